//! `eval --tune`, and what of it `eval --tuned` takes.

use std::path::Path;
use std::sync::Arc;

use reasonedit_dataset::{DataDigests, Dataset};
use reasonedit_evaluation::{
    EditorRegistry, EditorSettings, EvaluationError, Provenance, TrainingCallback, Tuned, TuningPlan, tune,
};
use serde_json::Value;

use super::naming::{TRAINING, USUAL_TRAINING};
use super::{data_folder, edits, failed, source, usage};
use crate::args::EvalArgs;
use crate::error::{CliError, Result};
use crate::output;
use crate::progress::Stages;

/// Tries settings of every editor that is asked for, and writes what was chosen.
///
/// # Errors
/// An editor that has nothing to tune, data that can't be read, a file that can't be written, a folder of
/// other trials.
pub(super) async fn run(
    args: &EvalArgs,
    file: &Path,
    registry: EditorRegistry,
    editors: Vec<String>,
    data: &Dataset,
    provenance: &Provenance,
    identity: &Value,
) -> Result<()> {
    let plan = TuningPlan {
        editors,
        budget: args.trials,
        jobs: args.jobs,
        edits: edits(args),
        given_boxes: args.given_boxes,
        seed: args.seed,
        out: args.out.clone(),
    };
    let bars = Stages::of(args.jobs);
    let told = |stage: &str, done: usize, all: usize| bars.set(stage, done as u64, all as u64);
    let tuned = tune(registry, data, &plan, identity, &told).await;
    bars.finish();
    let tuned = Tuned {
        data: provenance.data.clone(),
        data_digest: provenance.data_digest.clone(),
        model_fingerprint: provenance.model_fingerprint.clone(),
        encoder_fingerprint: provenance.encoder_fingerprint.clone(),
        ..tuned.map_err(|error| match error {
            error @ EvaluationError::Variant { .. } => usage(&error),
            other => failed(other),
        })?
    };
    tuned.write(file).map_err(CliError::failed)?;
    if args.json {
        output::print_json(&tuned)?;
    } else {
        output::print(&output::table(&rows(&tuned)))?;
    }
    for (name, editor) in &tuned.editors.0 {
        let failed = editor.trials.iter().filter(|trial| trial.failed.is_some()).count();
        if failed > 0 {
            output::note(&format!("{name}: {failed} of {} trials failed", editor.trials.len()));
        }
    }
    output::note(&format!("settings: {}", file.display()));
    Ok(())
}

/// A table for a terminal: an editor a row.
fn rows(tuned: &Tuned) -> Vec<Vec<String>> {
    let mut rows = vec![["editor", "trials", "harmonic mean", "chosen"].map(str::to_owned).to_vec()];
    for (name, editor) in &tuned.editors.0 {
        let chosen = editor.settings.as_ref();
        let best = editor.trials.iter().find(|trial| Some(&trial.settings) == chosen);
        let mean = best.and_then(|trial| trial.harmonic_mean);
        rows.push(vec![
            name.clone(),
            editor.trials.len().to_string(),
            mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}")),
            chosen.map_or_else(|| "every trial failed".to_owned(), EditorSettings::describe),
        ]);
    }
    rows
}

/// The settings to measure with, if a file is named: chosen on data of which nothing is evaluated now.
///
/// # Errors
/// A file that is none, data that overlap.
pub(super) fn read(args: &EvalArgs, data: &Dataset) -> Result<Option<Tuned>> {
    let Some(file) = &args.tuned else { return Ok(None) };
    let tuned = Tuned::read(file).map_err(CliError::failed)?;
    let evaluated = DataDigests::of(data).map_err(CliError::failed)?;
    tuned.used.keep_apart("tuning", &evaluated).map_err(|error| usage(&error.into()))?;
    Ok(Some(tuned))
}

/// The records that some of these editors are trained on before any edit: those that are named, for a world
/// those of another world.
///
/// # Errors
/// None are named for other data; data that can't be read, or that overlap with what is evaluated.
pub(super) fn training(
    args: &EvalArgs,
    trained: &[&str],
    data: &Dataset,
    scratch: &Path,
) -> Result<Option<Dataset>> {
    if trained.is_empty() {
        return Ok(None);
    }
    let source = match &args.training {
        Some(source) => source.clone(),
        None if source(args).starts_with("world:") => USUAL_TRAINING.to_owned(),
        None => {
            return Err(CliError::Usage(format!(
                "--training: {} are trained before any edit: name records for that, of which none is evaluated, or other editors",
                trained.join(", ")
            )));
        }
    };
    let folder = data_folder("--training", &source, &scratch.join(TRAINING))?;
    let training = Dataset::open(&folder).map_err(CliError::failed)?;
    let evaluated = DataDigests::of(data).map_err(CliError::failed)?;
    let own = DataDigests::of(&training).map_err(CliError::failed)?;
    own.keep_apart("training", &evaluated).map_err(|error| usage(&error.into()))?;
    Ok(Some(training))
}

/// Shows how a training goes.
pub(super) fn training_progress() -> TrainingCallback {
    let bars = Stages::default();
    Arc::new(move |stage: &str, done: usize, all: usize| {
        if done < all {
            bars.set(stage, done as u64, all as u64);
        } else {
            bars.finish();
        }
    })
}

/// Puts each editor as published beside itself with tuned settings, where `known` has it.
pub(super) fn beside_published(editors: &mut Vec<String>, known: &[String]) {
    let own = std::mem::take(editors);
    for name in own {
        let published = format!("{name}@published");
        if editors.contains(&name) {
            continue;
        }
        editors.push(name);
        if known.contains(&published) && !editors.contains(&published) {
            editors.push(published);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_as_published_stands_beside_itself_once() {
        let known = ["unedited", "ft", "ft@published", "ike"].map(str::to_owned);
        for asked in [&["ft", "ike"][..], &["ft", "ft@published", "ike"]] {
            let mut editors: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            beside_published(&mut editors, &known);
            assert_eq!(editors, ["ft", "ft@published", "ike"]);
        }
    }
}
