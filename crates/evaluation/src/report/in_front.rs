//! What was put in front of the model: whether it was of the right edit, and whether it was true.

use std::fmt::Write as _;

use serde::Serialize;

use super::EvaluationReport;
use super::table::{decimals, table, with_interval};
use crate::estimate::Estimate;
use crate::questions::Metric;

/// What stands where the data don't tell what statements say.
const NOT_KNOWN: &str = "not known";

/// What an editor put in front of questions, with all edits live at once. Related are the questions whose
/// answers edits should change, unrelated those of locality and hard locality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct InFrontFigures {
    /// Share of the related questions before which the first sentence is true of the asked picture and bears
    /// on the question.
    pub true_hit_at_1: Estimate,
    /// The same of any of the first five.
    pub true_hit_at_5: Estimate,
    /// Share of the related questions before which the first sentence is one of the right edit.
    pub hit_at_1: Estimate,
    /// The same of any of the first five.
    pub hit_at_5: Estimate,
    /// Share of the related questions before which sentences stood of which none is true of the asked picture
    /// and bears on the question.
    pub false_injection_related: Estimate,
    /// The same of the unrelated ones.
    pub false_injection_unrelated: Estimate,
    /// The same of those on pictures for which the reasoning does not hold.
    pub false_injection_contrast: Estimate,
    /// Share of the related questions from which a gate kept everything back.
    pub rejected_related: Estimate,
    /// The same of the unrelated ones.
    pub rejected_unrelated: Estimate,
}

pub(super) fn write_in_front(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## What was put in front of the model\n\nTrue hit: share of the related questions (those whose answers edits should change) before which the first \
         sentence, or one of the first five, is true of the asked picture and bears on the question, whichever edit it is from. Edit hit: the same of \
         sentences of the edit that the question belongs to. False injection: share of questions before which sentences stood of which none is true of the \
         picture and bears on the question. Gate closed: share of questions from which everything was kept back. What is true only data know that say what \
         their statements say.\n"
    )?;
    let head = [
        "editor",
        "true hit, first",
        "true hit, first five",
        "edit hit, first",
        "edit hit, first five",
        "false injection, related",
        "false injection, unrelated",
        "false injection, contrast",
        "gate closed, related",
        "gate closed, unrelated",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let retrieving = || {
        report
            .measured()
            .filter(|(_, editor)| editor.metrics.0.iter().any(|(_, figure)| figure.hit_at_1.is_some()))
    };
    for (name, editor) in retrieving() {
        let of = editor.in_front;
        let known = |estimate: Estimate| {
            estimate.value.map_or_else(|| NOT_KNOWN.to_owned(), |_| with_interval(estimate))
        };
        rows.push(vec![
            name.clone(),
            known(of.true_hit_at_1),
            known(of.true_hit_at_5),
            with_interval(of.hit_at_1),
            with_interval(of.hit_at_5),
            known(of.false_injection_related),
            known(of.false_injection_unrelated),
            known(of.false_injection_contrast),
            with_interval(of.rejected_related),
            with_interval(of.rejected_unrelated),
        ]);
    }
    table(page, &rows)?;
    writeln!(
        page,
        "\nBy what the questions measure: true hit, first / first five; edit hit, first / first five. A miss of both is one of retrieval; a wrong answer in spite \
         of a true hit is the model's. Any sentence: share of the unrelated questions before which any sentence stood, whatever it says.\n"
    )?;
    let changing: Vec<Metric> = Metric::ALL.into_iter().filter(|metric| !metric.keeps()).collect();
    let mut head = vec!["editor".to_owned()];
    head.extend(changing.iter().map(|metric| metric.title().to_owned()));
    head.push("any sentence, unrelated".to_owned());
    let mut rows = vec![head];
    for (name, editor) in retrieving() {
        let mut row = vec![name.clone()];
        row.extend(changing.iter().map(|metric| {
            let figure = editor.metrics.get(metric.name()).copied().unwrap_or_default();
            let both = |first, five| format!("{} / {}", decimals(first, 3), decimals(five, 3));
            let truly = both(figure.true_hit_at_1, figure.true_hit_at_5);
            format!("{truly}; {}", both(figure.hit_at_1, figure.hit_at_5))
        }));
        row.push(with_interval(editor.false_injection));
        rows.push(row);
    }
    table(page, &rows)
}
