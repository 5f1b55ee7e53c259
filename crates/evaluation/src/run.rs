//! The protocols: which edits are made and which questions asked, when (method section 7).

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_editor::{RetrievalOverride, StatementInput};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::EvaluationError;
use crate::baseline::{EditorCorrection, EditorFactory, Profile, RetrievalSetting};
use crate::dataset::{Dataset, Record, Sample};
use crate::editors::UNEDITED;
use crate::estimate::Bootstrap;
use crate::journal::{OutcomeJournal, hold_to};
use crate::noise::{NoiseKind, disturb};
use crate::questions::{EvaluationQuestion, Metric};
use crate::runner::Runner;

/// The pass of all edits and all questions.
pub(crate) const STATIC: &str = "static";
/// The set of edits as they are, without noise.
const PLAIN: &str = "plain";

/// Edits one after another, tested in between (paper section 4.4: every 200 edits, 50 of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequential {
    /// Edits between two tests.
    pub every: usize,
    /// Edits that are tested, drawn from all made so far.
    pub sample: usize,
}

/// What is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationPlan {
    /// Editors by name. The unedited model is always among them.
    pub editors: Vec<String>,
    /// Edits to make; fewer if the data hold fewer errors.
    pub edits: usize,
    /// Use the records' own boxes instead of letting the editors look for evidence.
    pub given_boxes: bool,
    /// All edits, then all questions.
    pub all_at_once: bool,
    /// Tests in between.
    pub sequential: Option<Sequential>,
    /// Noise in the reasoning, and percent of the statements.
    pub noise: Vec<(NoiseKind, u32)>,
    /// Settings of retrieval to vary, with their values.
    pub sweeps: Vec<(RetrievalSetting, Vec<f64>)>,
    /// Seed of samples and noise.
    pub seed: u64,
    /// How intervals are found.
    pub bootstrap: Bootstrap,
    /// Folder of outcomes, and of what editors keep; none: nothing outlasts the program.
    pub out: Option<PathBuf>,
}

/// What was measured: everything that a report is made of.
pub struct Measured {
    /// Every question.
    pub questions: Vec<EvaluationQuestion>,
    /// Records that became edits, in order.
    pub edited: Vec<String>,
    /// Records that were looked at and not edited, because the unedited model answers their question rightly.
    pub right_before: usize,
    /// Metrics for which the data have no questions at all.
    pub lacking: Vec<Metric>,
    /// Editors and their outcomes: the unedited model, then those asked for, then those that the folder has
    /// from before.
    pub editors: Vec<(Profile, OutcomeJournal)>,
}

/// Name of the pass at a test of the sequential protocol.
pub(crate) fn sequential_pass(edits: usize, sample: usize) -> String {
    format!("sequential:{sample}:{edits}")
}

/// Name of the pass with noise.
pub(crate) fn noise_pass(kind: NoiseKind, percent: u32) -> String {
    format!("noise:{}:{percent}", kind.name())
}

/// Name of the pass with a setting of retrieval.
pub(crate) fn sweep_pass(setting: RetrievalSetting, value: f64) -> String {
    format!("{}:{value}", setting.name())
}

/// Is told what is being done, how much of it is done, and of how much.
pub type ProgressCallback<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// Measures. `identity` is everything beside the plan that decides outcomes (data, model, configuration);
/// outcomes that are there from another are refused.
///
/// # Errors
/// Unreadable data, a failing editor, a folder that can't be written or holds outcomes of other settings.
pub async fn evaluate(
    factory: &dyn EditorFactory,
    data: &Dataset,
    plan: &EvaluationPlan,
    identity: &Value,
    progress: ProgressCallback<'_>,
) -> Result<Measured, EvaluationError> {
    if let Some(folder) = &plan.out {
        let EvaluationPlan { edits, given_boxes, seed, .. } = plan;
        let settings =
            json!({"edits": edits, "given_boxes": given_boxes, "seed": seed, "measured_on": identity});
        hold_to(folder, "settings.json", &settings)?;
    }
    let mut unedited = Runner::open(factory, plan, data, progress, UNEDITED, PLAIN, "").await?;
    let (records, right_before) = unedited.find_errors(&data.records).await?;
    if records.is_empty() {
        return Err(EvaluationError::Data(format!(
            "the unedited model answers all {right_before} records rightly: there is nothing to edit"
        )));
    }
    let questions = unedited.choose_questions(&records, &data.records).await?;
    let lacking = lacking(&questions, &records);
    unedited.ask(STATIC, &questions, 0..questions.len(), RetrievalOverride::default(), true).await?;
    unedited.end(STATIC, 0, Vec::new()).await?;
    let mut editors = vec![unedited.done()];

    let work = Work { records: &records, questions: &questions, plan, data };
    let wanted: Vec<&String> = plan.editors.iter().filter(|name| *name != UNEDITED).collect();
    for (at, name) in wanted.iter().enumerate() {
        let place = format!(" ({} of {})", at + 1, wanted.len());
        editors.push(work.measure(factory, progress, name, &place).await?);
    }
    for name in from_before(plan)? {
        if !editors.iter().any(|(profile, _)| profile.name == name) {
            editors.push(found(plan, &name)?);
        }
    }
    let edited = records.iter().map(|record| record.uid.clone()).collect();
    Ok(Measured { questions, edited, right_before, lacking, editors })
}

/// Metrics of which neither a question nor a candidate stands in the data.
fn lacking(questions: &[EvaluationQuestion], records: &[&Record]) -> Vec<Metric> {
    let has = |metric: Metric| {
        questions.iter().any(|question| question.metric == metric)
            || match metric {
                Metric::Locality | Metric::HardLocality => records.iter().any(|r| !r.unrelated.is_empty()),
                Metric::Contrast => records.iter().any(|r| !r.contrast.is_empty()),
                _ => false,
            }
    };
    Metric::ALL.into_iter().filter(|metric| !has(*metric)).collect()
}

/// Editors of which the folder has outcomes.
fn from_before(plan: &EvaluationPlan) -> Result<Vec<String>, EvaluationError> {
    let Some(folder) = plan.out.as_ref().map(|folder| folder.join("outcomes")) else { return Ok(Vec::new()) };
    let failed = |error| EvaluationError::file(&folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn found(plan: &EvaluationPlan, name: &str) -> Result<(Profile, OutcomeJournal), EvaluationError> {
    let file = plan.out.clone().unwrap_or_default().join(format!("outcomes/{name}.json"));
    let text = std::fs::read_to_string(&file).map_err(|error| EvaluationError::file(&file, error))?;
    let profile = serde_json::from_str(&text)
        .map_err(|error| EvaluationError::Resume { file, what: error.to_string() })?;
    Ok((profile, OutcomeJournal::open(plan.out.as_deref(), name)?))
}

/// What all editors are measured on.
struct Work<'a> {
    records: &'a [&'a Record],
    questions: &'a [EvaluationQuestion],
    plan: &'a EvaluationPlan,
    data: &'a Dataset,
}

impl Work<'_> {
    /// Everything that the plan says of one editor.
    async fn measure(
        &self,
        factory: &dyn EditorFactory,
        progress: ProgressCallback<'_>,
        name: &str,
        place: &str,
    ) -> Result<(Profile, OutcomeJournal), EvaluationError> {
        let (plan, data) = (self.plan, self.data);
        let mut run = Runner::open(factory, plan, data, progress, name, PLAIN, place).await?;
        let plain = self.corrections(None)?;
        if let Some(sequential) = plan.sequential {
            self.one_after_another(&mut run, &plain, sequential).await?;
        }
        let retrieval_settings = run.profile.retrieval_settings.clone();
        let sweeps: Vec<(RetrievalSetting, f64)> = plan
            .sweeps
            .iter()
            .filter(|(setting, _)| retrieval_settings.contains(setting))
            .flat_map(|(setting, values)| values.iter().map(|value| (*setting, *value)))
            .collect();
        let noise: Vec<(NoiseKind, u32)> = plan
            .noise
            .iter()
            .copied()
            .filter(|(_, percent)| *percent > 0 && run.profile.uses_reasoning)
            .collect();
        // Without noise is what noise is compared with.
        let wants_static = plan.all_at_once || !sweeps.is_empty() || !plan.noise.is_empty();
        let mut passes: Vec<(String, RetrievalOverride)> = Vec::new();
        if wants_static {
            passes.push((STATIC.to_owned(), RetrievalOverride::default()));
        }
        passes.extend(
            sweeps.iter().map(|(setting, value)| (sweep_pass(*setting, *value), setting.set(*value))),
        );
        self.all_at_once(&mut run, &plain, &passes).await?;
        for (kind, percent) in noise {
            let pass = noise_pass(kind, percent);
            if run.journal.ended(&pass).is_none() {
                let noisy = self.corrections(Some((kind, percent)))?;
                run.renew(factory, &format!("{}-{percent}", kind.name())).await?;
                self.all_at_once(&mut run, &noisy, &[(pass, RetrievalOverride::default())]).await?;
            }
        }
        Ok(run.done())
    }

    /// All edits, then all questions, once per pass.
    async fn all_at_once(
        &self,
        run: &mut Runner<'_>,
        corrections: &[EditorCorrection],
        passes: &[(String, RetrievalOverride)],
    ) -> Result<(), EvaluationError> {
        if passes.iter().all(|(pass, _)| run.journal.ended(pass).is_some()) {
            return Ok(());
        }
        let edit_ms = run.edit(corrections, corrections.len()).await?;
        for (pass, retrieval) in passes {
            run.ask(pass, self.questions, 0..self.questions.len(), *retrieval, pass == STATIC).await?;
            run.end(pass, corrections.len(), edit_ms.clone()).await?;
        }
        Ok(())
    }

    async fn one_after_another(
        &self,
        run: &mut Runner<'_>,
        corrections: &[EditorCorrection],
        sequential: Sequential,
    ) -> Result<(), EvaluationError> {
        let mut questions: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, question) in self.questions.iter().enumerate() {
            questions.entry(question.edit).or_default().push(at);
        }
        let every = sequential.every.max(1);
        let mut tests: Vec<usize> = (1..=corrections.len() / every).map(|test| test * every).collect();
        if !corrections.len().is_multiple_of(every) {
            tests.push(corrections.len());
        }
        for edits in tests {
            let pass = sequential_pass(edits, sequential.sample);
            if run.journal.ended(&pass).is_some() {
                continue;
            }
            let edit_ms = run.edit(corrections, edits).await?;
            let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
            rng.set_stream(edits as u64);
            let mut drawn =
                rand::seq::index::sample(&mut rng, edits, sequential.sample.min(edits)).into_vec();
            drawn.sort_unstable();
            let asked: Vec<usize> =
                drawn.iter().filter_map(|edit| questions.get(edit)).flatten().copied().collect();
            run.ask(&pass, self.questions, asked, RetrievalOverride::default(), true).await?;
            run.end(&pass, edits, edit_ms).await?;
        }
        Ok(())
    }

    /// The edits as the editors are given them.
    fn corrections(&self, noise: Option<(NoiseKind, u32)>) -> Result<Vec<EditorCorrection>, EvaluationError> {
        let mut reasoning: Vec<Vec<StatementInput>> = self
            .records
            .iter()
            .map(|record| {
                let boxes = |at: usize| record.evidence.get(at).filter(|_| self.plan.given_boxes);
                let statement = |(at, text): (usize, &String)| StatementInput {
                    statement: text.clone(),
                    evidence: boxes(at).into_iter().flatten().map(|&area| area.into()).collect(),
                };
                record.reasoning.iter().enumerate().map(statement).collect()
            })
            .collect();
        if let Some((kind, percent)) = noise {
            disturb(&mut reasoning, kind, percent, self.plan.seed);
        }
        let correction = |(record, reasoning): (&&Record, Vec<StatementInput>)| {
            let Sample { image, question, answer, choices } = record.sample.clone();
            Ok(EditorCorrection { image: self.data.picture(&image)?, question, answer, choices, reasoning })
        };
        self.records.iter().zip(reasoning).map(correction).collect()
    }
}

#[cfg(test)]
mod tests;
