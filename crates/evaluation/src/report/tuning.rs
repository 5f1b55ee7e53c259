//! How the editors' settings were chosen: the table.

use std::fmt::Write as _;

use super::EvaluationReport;
use super::table::{NOTHING, cell, decimals, table};
use crate::settings::EditorSettings;
use crate::tuned::{Trial, TunedEditor};

/// Trials, and what they chose.
pub(super) fn write_tuning(report: &EvaluationReport, page: &mut String) -> std::fmt::Result {
    let Some(tuned) = &report.tuning else { return Ok(()) };
    writeln!(
        page,
        "\n## How the editors were tuned\n\nEach editor had at most {} trials on {} edits of {}, of which nothing is evaluated here; the first is with \
         the settings as they were published (`NAME@published`), the others are points of its grid, drawn with seed {}. Chosen was the greatest \
         harmonic mean of the paper's six figures there, and of equals the earlier.\n",
        tuned.budget,
        tuned.edits,
        cell(&tuned.data),
        tuned.seed
    )?;
    let head = ["editor", "trials", "failed", "chosen", "there", "as published, there", "grid"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, editor) in &tuned.editors.0 {
        let failed = editor.trials.iter().filter(|trial| trial.failed.is_some()).count();
        let chosen = editor.settings.as_ref().map_or_else(|| NOTHING.to_owned(), EditorSettings::describe);
        let published = editor.trials.iter().find(|trial| trial.settings == editor.published);
        rows.push(vec![
            name.clone(),
            editor.trials.len().to_string(),
            failed.to_string(),
            cell(&chosen),
            decimals(best(editor), 3),
            decimals(published.and_then(|trial| trial.harmonic_mean), 3),
            cell(&grid(editor)),
        ]);
    }
    table(page, &rows)?;
    let failed: Vec<String> = tuned
        .editors
        .0
        .iter()
        .flat_map(|(name, editor)| editor.trials.iter().filter_map(move |trial| failure(name, trial)))
        .collect();
    if failed.is_empty() { Ok(()) } else { writeln!(page, "\nTrials that failed:\n\n{}", failed.join("\n")) }
}

fn best(editor: &TunedEditor) -> Option<f64> {
    let chosen = editor.settings.as_ref()?;
    editor.trials.iter().find(|trial| trial.settings == *chosen)?.harmonic_mean
}

fn grid(editor: &TunedEditor) -> String {
    let axis = |(name, values): &(String, Vec<f64>)| {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        format!("{name} {}", values.join(" / "))
    };
    editor.grid.0.iter().map(axis).collect::<Vec<_>>().join("; ")
}

fn failure(name: &str, trial: &Trial) -> Option<String> {
    let why = trial.failed.as_ref()?;
    Some(format!("- {name} with {}: {}", trial.settings.describe(), cell(why)))
}
