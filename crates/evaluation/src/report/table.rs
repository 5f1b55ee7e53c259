//! Cells and tables of the Markdown report.

use crate::estimate::Estimate;

/// What stands where nothing was measured.
pub(super) const NOTHING: &str = "–";

/// A value without its interval.
pub(super) fn plain(estimate: Estimate) -> String {
    estimate.value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.3}"))
}

/// A value with its interval.
pub(super) fn with_interval(estimate: Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        _ => NOTHING.to_owned(),
    }
}

/// A difference, bold where its interval leaves out 0.
pub(super) fn signed(estimate: Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => {
            let text = format!("{value:+.3}").replace('-', "−");
            if low > 0.0 || high < 0.0 { format!("**{text}**") } else { text }
        }
        _ => NOTHING.to_owned(),
    }
}

/// A number.
pub(super) fn decimals(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.decimals$}"))
}

/// Text that can't leave its cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Rows as a Markdown table: the first column to the left, the others to the right.
pub(super) fn table(page: &mut String, rows: &[Vec<String>]) -> std::fmt::Result {
    use std::fmt::Write as _;

    for (at, row) in rows.iter().enumerate() {
        writeln!(page, "| {} |", row.join(" | "))?;
        if at == 0 {
            writeln!(page, "| --- |{}", " ---: |".repeat(row.len() - 1))?;
        }
    }
    Ok(())
}
