//! Fair tuning: every editor has as many trials as any other, on data of which nothing is evaluated, and the
//! settings with the greatest harmonic mean of the paper's six figures are chosen.
//!
//! A trial is an editor like any other, under a label (`ft@3`): it is measured by the same protocol, written
//! down as it goes, and a tuning that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reasonedit_dataset::{DataDigests, Dataset};
use reasonedit_resilience::in_lanes;
use serde_json::Value;

use crate::EvaluationError;
use crate::baseline::TunableFactory;
use crate::estimate::{Bootstrap, harmonic_mean};
use crate::named_values::NamedValues;
use crate::passes::{PLAIN, STATIC};
use crate::plan::{EvaluationPlan, MeasuredEditor, ProgressCallback};
use crate::questions::Metric;
use crate::run::Work;
use crate::settings::{EditorSettings, labelled};
use crate::tuned::{Trial, Tuned, TunedEditor};

/// What is to be tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct TuningPlan {
    /// Editors by name.
    pub editors: Vec<String>,
    /// Most trials of each.
    pub budget: usize,
    /// Edits of a trial.
    pub edits: usize,
    /// Use the records' own boxes instead of letting the editors look for evidence.
    pub given_boxes: bool,
    /// Trials at a time.
    pub jobs: usize,
    /// Seed of the points of the grid that are tried.
    pub seed: u64,
    /// Folder of outcomes, and of what editors keep; none: nothing outlasts the program.
    pub out: Option<PathBuf>,
}

/// Makes the trials and chooses. What the result says of data and model is for the caller to fill in.
///
/// # Errors
/// As [`evaluate`](crate::evaluate); an editor that has nothing to tune. A trial that fails by itself is no
/// error: it is listed.
pub async fn tune<F: TunableFactory>(
    mut factory: F,
    data: &Dataset,
    plan: &TuningPlan,
    identity: &Value,
    progress: ProgressCallback<'_>,
) -> Result<Tuned, EvaluationError> {
    let mut spaces = Vec::new();
    let mut labels = Vec::new();
    for name in &plan.editors {
        let space = factory.space(name)?;
        let trials = space.trials(plan.budget, plan.seed);
        for (at, settings) in trials.iter().enumerate() {
            let label = labelled(name, &(at + 1).to_string());
            factory = factory.with_settings(&label, settings.clone())?;
            labels.push(label);
        }
        spaces.push((name.clone(), space, trials));
    }
    let evaluation = EvaluationPlan {
        editors: labels.clone(),
        edits: plan.edits,
        given_boxes: plan.given_boxes,
        all_at_once: true,
        sizes: Vec::new(),
        single: false,
        sequential: None,
        noise: Vec::new(),
        sweeps: Vec::new(),
        seed: plan.seed,
        save_every: EvaluationPlan::SAVE_EVERY,
        jobs: plan.jobs,
        bootstrap: Bootstrap::default(),
        out: plan.out.clone(),
    };
    let used = DataDigests::of(data)?;
    let (work, _) = Work::prepare(&factory, data, &evaluation, identity, progress, &Metric::PAPER).await?;
    let mut tuned = Tuned {
        budget: plan.budget,
        edits: work.records.len(),
        seed: plan.seed,
        chosen_by: format!("harmonic mean of {}", Metric::PAPER.map(Metric::title).join(", ")),
        used,
        ..Tuned::default()
    };
    let all: Vec<&EditorSettings> = spaces.iter().flat_map(|(_, _, trials)| trials).collect();
    let shares = |at: usize| factory.shares_work(&labels[at]);
    let measured = in_lanes(labels.len(), plan.jobs, shares, async |at: usize| {
        let place = format!(" (trial {} of {})", at + 1, labels.len());
        let settings = all[at].clone();
        match work.measure(&factory, progress, &labels[at], &place).await {
            Ok(measured) => Ok(trial(settings, &work, &measured)),
            Err(error) if is_of_the_trial(&error) => {
                Ok(Trial { settings, failed: Some(error.to_string()), ..Trial::default() })
            }
            Err(error) => Err(error),
        }
    });
    let mut measured = measured.await?.into_iter();
    for (name, space, settings) in spaces {
        let trials: Vec<Trial> = measured.by_ref().take(settings.len()).collect();
        let settings = chosen(&trials).map(|trial| trial.settings.clone());
        let (published, grid) = (space.published, NamedValues(space.grid));
        tuned.editors.0.push((name, TunedEditor { settings, published, grid, trials }));
    }
    Ok(tuned)
}

/// Whether it is the settings that fail, and not the folder, the service or a name.
fn is_of_the_trial(error: &EvaluationError) -> bool {
    !matches!(
        error,
        EvaluationError::File { .. }
            | EvaluationError::Dataset(_)
            | EvaluationError::Resume { .. }
            | EvaluationError::Service(_)
            | EvaluationError::UnknownEditor { .. }
    )
}

fn trial(settings: EditorSettings, work: &Work<'_>, measured: &MeasuredEditor) -> Trial {
    let journal = &measured.journal;
    let mut counts: BTreeMap<Metric, (usize, usize)> = BTreeMap::new();
    for outcome in journal.outcomes(STATIC) {
        if let Some(question) = work.questions.get(outcome.question) {
            let (right, all) = counts.entry(question.metric).or_default();
            *right += usize::from(outcome.right);
            *all += 1;
        }
    }
    let share = |metric: Metric| counts.get(&metric).map(|(right, all)| *right as f64 / *all as f64);
    let figures = Metric::PAPER.map(|metric| (metric.name().to_owned(), share(metric)));
    Trial {
        settings,
        harmonic_mean: harmonic_mean(figures.iter().filter_map(|(_, share)| *share)),
        figures: NamedValues(figures.into()),
        failed_edits: journal.edits(PLAIN).filter(|edit| edit.failed.is_some()).count(),
        seconds: journal.seconds(),
        failed: None,
    }
}

/// The best trial; the earlier of equals.
fn chosen(trials: &[Trial]) -> Option<&Trial> {
    let mut best: Option<(f64, &Trial)> = None;
    for trial in trials {
        if let Some(mean) = trial.harmonic_mean
            && best.is_none_or(|(before, _)| mean > before)
        {
            best = Some((mean, trial));
        }
    }
    best.map(|(_, trial)| trial)
}

#[cfg(test)]
mod tests;
