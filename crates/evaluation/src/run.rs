//! The protocols: which edits are made and which questions asked, when (method section 7).

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_editor::{RetrievalOverride, StatementInput};
use serde_json::{Value, json};

use crate::EvaluationError;
use crate::baseline::{EditorCorrection, EditorFactory, Profile, RetrievalSetting};
use crate::dataset::Dataset;
use crate::editors::UNEDITED;
use crate::journal::{OutcomeJournal, hold_to};
use crate::noise::{NoiseKind, disturb};
use crate::plan::{
    EvaluationPlan, Measured, ProgressCallback, STATIC, Sequential, noise_pass, sequential_pass, sweep_pass,
};
use crate::questions::{EvaluationQuestion, Metric};
use crate::record::{Record, Sample};
use crate::runner::Runner;

/// The set of edits as they are, without noise.
const PLAIN: &str = "plain";

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
