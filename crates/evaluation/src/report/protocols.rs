//! Each edit alone, and all of the first ones: the tables.

use std::fmt::Write as _;

use super::table::{decimals, plain, table, with_interval};
use super::{EvaluationReport, ProtocolFigures};
use crate::questions::Metric;

fn head() -> Vec<String> {
    let names = ["editor", "edits"].into_iter().chain(Metric::ALL.map(Metric::title));
    names
        .chain(["harmonic mean of all", "KB an edit", "ms an edit", "failed edits"])
        .map(str::to_owned)
        .collect()
}

fn row(name: &str, figures: &ProtocolFigures) -> Vec<String> {
    let mut row = vec![name.to_owned(), figures.edits.to_string()];
    row.extend(Metric::ALL.map(|metric| plain(figures.metrics.right(metric))));
    row.push(with_interval(figures.harmonic_mean.all));
    row.push(decimals(figures.kb_per_edit_merged, 1));
    row.push(decimals(figures.edit_ms, 0));
    row.push(figures.failed_edits.to_string());
    row
}

/// Each edit alone on the unedited model.
pub(super) fn write_single(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    if report.single.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## Each edit alone\n\nOne edit is made on the unedited model, its own questions are asked, and it is taken back before the next.\n"
    )?;
    let rows = report.single.0.iter().map(|(name, figures)| row(name, figures));
    table(page, &std::iter::once(head()).chain(rows).collect::<Vec<_>>())
}

/// The first edits at once, and then their questions.
pub(super) fn write_sizes(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    if report.sizes.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## So many edits live at once\n\nThe first edits are made, then their questions are asked: what an editor loses while edits become more.\n"
    )?;
    let rows =
        report.sizes.0.iter().flat_map(|(name, sizes)| sizes.iter().map(move |figures| row(name, figures)));
    table(page, &std::iter::once(head()).chain(rows).collect::<Vec<_>>())
}
