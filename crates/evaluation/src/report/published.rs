//! What the papers publish: figures of other models on other data, which stand beside the report's own and
//! are never ranked with them. Copied from the tables that are named with them.

use serde::Deserialize;

use crate::named_values::NamedValues;

/// The figures (`docs/method.md` shows the same).
const FIGURES: &str = include_str!("published_figures.json");

/// A part of a published table: one model on one set of data.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PublishedTable {
    /// The paper.
    pub(super) paper: String,
    /// The table's number in it.
    pub(super) table: String,
    /// The data.
    pub(super) data: String,
    /// The model.
    pub(super) model: String,
    /// Edits, where the table says how many.
    pub(super) edits: Option<usize>,
    /// What the columns are.
    pub(super) metrics: Vec<String>,
    /// Editors by the names that they have here.
    pub(super) rows: NamedValues<Vec<f64>>,
}

/// All of them. A test reads them; a file that can't be read would be none here.
pub(super) fn published() -> Vec<PublishedTable> {
    serde_json::from_str(FIGURES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Metric;

    #[test]
    fn every_row_has_a_share_for_every_column() {
        let tables = published();
        assert_eq!(tables.len(), 14);
        for of in &tables {
            assert!(!of.rows.is_empty());
            for (editor, row) in &of.rows.0 {
                assert_eq!(row.len(), of.metrics.len(), "{} {editor}", of.model);
                assert!(row.iter().all(|share| (0.0..=1.0).contains(share)), "{} {editor}", of.model);
            }
        }
        let of = tables.iter().find(|of| of.model == "Qwen3-VL-4B" && of.data == "A-OKVQA").unwrap();
        assert_eq!(of.metrics, Metric::PAPER.map(|metric| metric.name().to_owned()));
        assert_eq!(of.rows.get("reasonedit"), Some(&vec![0.97, 0.90, 0.96, 0.96, 0.77, 1.00]));
        assert_eq!(of.rows.get("balance-edit-cot").map(|row| row[5]), Some(0.71));
    }
}
