//! The protocols: which edits are made and which questions asked, when (method section 7).

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_dataset::{Dataset, NoiseKind, Record, Sample, disturb};
use reasonedit_editor::{RetrievalOverride, StatementInput};
use reasonedit_resilience::in_lanes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::EvaluationError;
use crate::baseline::{EditorCorrection, EditorFactory, Profile, RetrievalSetting};
use crate::editors::UNEDITED;
use crate::journal::{OutcomeJournal, damaged, hold_to};
use crate::passes::{SEQUENTIAL, STATIC, noise_pass, sequential_pass, size_pass, sweep_pass};
use crate::plan::{EvaluationPlan, Measured, MeasuredEditor, ProgressCallback, Sequential};
use crate::questions::{EvaluationQuestion, Metric};
use crate::runner::{Asking, Runner};
use crate::settings::EditorSettings;

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
    let (work, unedited) = Work::prepare(factory, data, plan, identity, progress, &Metric::ALL).await?;
    let wanted: Vec<&String> = plan.editors.iter().filter(|name| *name != UNEDITED).collect();
    let shares = |at: usize| wanted.get(at).is_some_and(|name| factory.shares_work(name));
    // In each lane one after another: an editor is gone before the next is made.
    let measured = in_lanes(wanted.len(), plan.jobs, shares, async |at: usize| {
        let place = format!(" ({} of {})", at + 1, wanted.len());
        work.measure(factory, progress, wanted[at], &place).await
    });
    let mut editors = vec![unedited];
    editors.extend(measured.await?);
    for name in from_before(plan)? {
        if !editors.iter().any(|editor| editor.profile.name == name) {
            editors.push(found(plan, &name)?);
        }
    }
    let edited = work.records.iter().map(|record| record.uid.clone()).collect();
    let Work { questions, right_before, lacking, .. } = work;
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

/// What the folder says of an editor: its profile, and its settings if it has any beside its defaults.
#[derive(Deserialize)]
struct Description {
    #[serde(flatten)]
    profile: Profile,
    #[serde(default)]
    settings: EditorSettings,
}

fn found(plan: &EvaluationPlan, name: &str) -> Result<MeasuredEditor, EvaluationError> {
    let file = plan.out.clone().unwrap_or_default().join(format!("outcomes/{name}.json"));
    let text = std::fs::read_to_string(&file).map_err(|error| EvaluationError::file(&file, error))?;
    let Description { profile, settings } =
        serde_json::from_str(&text).map_err(|error| damaged(&file, &error))?;
    Ok(MeasuredEditor { profile, settings, journal: OutcomeJournal::open(plan.out.as_deref(), name)? })
}

/// What all editors are measured on.
pub(crate) struct Work<'a> {
    /// The edits.
    pub(crate) records: Vec<&'a Record>,
    /// Every question.
    pub(crate) questions: Vec<EvaluationQuestion>,
    /// Numbers of the questions of each edit.
    of_edit: BTreeMap<usize, Vec<usize>>,
    right_before: usize,
    lacking: Vec<Metric>,
    plan: &'a EvaluationPlan,
    data: &'a Dataset,
}

/// Questions that are asked when so many edits are live.
struct Test {
    edits: usize,
    pass: String,
    retrieval: RetrievalOverride,
    timed: bool,
    asked: Vec<usize>,
}

impl<'a> Work<'a> {
    /// Finds the edits (errors of the unedited model) and the questions that these metrics ask; also what the
    /// unedited model answers to them.
    pub(crate) async fn prepare(
        factory: &dyn EditorFactory,
        data: &'a Dataset,
        plan: &'a EvaluationPlan,
        identity: &Value,
        progress: ProgressCallback<'_>,
        metrics: &[Metric],
    ) -> Result<(Self, MeasuredEditor), EvaluationError> {
        if let Some(folder) = &plan.out {
            let EvaluationPlan { edits, given_boxes, seed, .. } = plan;
            let settings =
                json!({"edits": edits, "given_boxes": given_boxes, "seed": seed, "measured_on": identity});
            hold_to(folder, "settings.json", &settings)?;
        }
        let mut unedited = Runner::open(factory, plan, data, progress, UNEDITED, "").await?;
        let (records, right_before) = unedited.find_errors(&data.records).await?;
        if records.is_empty() {
            return Err(EvaluationError::Data(format!(
                "the unedited model answers all {right_before} records rightly: there is nothing to edit"
            )));
        }
        let questions = unedited.choose_questions(&records, &data.records, metrics).await?;
        let lacking = lacking(&questions, &records);
        unedited.ask(Asking::timed(STATIC), &questions, 0..questions.len()).await?;
        unedited.end(STATIC, 0..0).await?;
        let mut of_edit: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, question) in questions.iter().enumerate() {
            of_edit.entry(question.edit).or_default().push(at);
        }
        Ok((Self { records, questions, of_edit, right_before, lacking, plan, data }, unedited.done()))
    }

    /// Everything that the plan says of one editor.
    pub(crate) async fn measure(
        &self,
        factory: &dyn EditorFactory,
        progress: ProgressCallback<'_>,
        name: &str,
        place: &str,
    ) -> Result<MeasuredEditor, EvaluationError> {
        let (plan, data) = (self.plan, self.data);
        let mut run = Runner::open(factory, plan, data, progress, name, place).await?;
        run.edited.clone_from(&self.records);
        let plain = self.corrections(None)?;
        if plan.single {
            run.each_alone(&plain, &self.questions, &self.of_edit).await?;
        }
        let tests = self.tests(&run.profile);
        self.test(&mut run, &plain, tests).await?;
        for (kind, percent) in plan.noise.iter().copied() {
            let pass = noise_pass(kind, percent);
            let wanted = percent > 0 && run.profile.uses_reasoning;
            if wanted && run.journal.ended(&pass).is_none() {
                let noisy = self.corrections(Some((kind, percent)))?;
                run.renew(&format!("{}-{percent}", kind.name())).await?;
                self.test(&mut run, &noisy, vec![self.all_questions(pass)]).await?;
            }
        }
        Ok(run.done())
    }

    /// Tests with the edits as they are, by how many of them are live: one editor that grows passes them all.
    fn tests(&self, profile: &Profile) -> Vec<Test> {
        let (plan, count) = (self.plan, self.records.len());
        let mut tests = Vec::new();
        if let Some(Sequential { every, sample }) = plan.sequential {
            let every = every.max(1);
            let last = Some(count).filter(|count| !count.is_multiple_of(every));
            for edits in (1..=count / every).map(|test| test * every).chain(last) {
                let pass = sequential_pass(edits, sample);
                let asked = self.drawn(edits, sample);
                tests.push(Test { edits, pass, retrieval: RetrievalOverride::default(), timed: true, asked });
            }
        }
        let sweeps: Vec<(RetrievalSetting, f64)> = plan
            .sweeps
            .iter()
            .filter(|(setting, _)| profile.retrieval_settings.contains(setting))
            .flat_map(|(setting, values)| values.iter().map(|value| (*setting, *value)))
            .collect();
        if plan.all_at_once {
            let sizes = plan.sizes.iter().copied().filter(|size| *size > 0 && *size < count);
            tests.extend(sizes.map(|size| {
                let asked = self.of_edit.range(..size).flat_map(|(_, own)| own).copied();
                Test {
                    edits: size,
                    timed: false,
                    asked: asked.collect(),
                    ..self.all_questions(size_pass(size))
                }
            }));
        }
        // Without noise is what noise is compared with.
        if plan.all_at_once || !sweeps.is_empty() || !plan.noise.is_empty() {
            tests.push(Test { timed: true, ..self.all_questions(STATIC.to_owned()) });
        }
        tests.extend(sweeps.into_iter().map(|(setting, value)| Test {
            retrieval: setting.set(value),
            ..self.all_questions(sweep_pass(setting, value))
        }));
        tests.sort_by_key(|test| test.edits);
        tests
    }

    fn all_questions(&self, pass: String) -> Test {
        let asked = (0..self.questions.len()).collect();
        Test { edits: self.records.len(), pass, retrieval: RetrievalOverride::default(), timed: false, asked }
    }

    /// The questions of edits that are drawn from the first ones.
    fn drawn(&self, edits: usize, sample: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(edits as u64);
        let mut drawn = rand::seq::index::sample(&mut rng, edits, sample.min(edits)).into_vec();
        drawn.sort_unstable();
        drawn.iter().filter_map(|edit| self.of_edit.get(edit)).flatten().copied().collect()
    }

    /// Edit after edit, with the tests in between.
    async fn test(
        &self,
        run: &mut Runner<'_>,
        corrections: &[EditorCorrection],
        tests: Vec<Test>,
    ) -> Result<(), EvaluationError> {
        let mut sequential_before = 0;
        for Test { edits, pass, retrieval, timed, asked } in tests {
            // Of the sequential protocol the edits since the test before are told, else all.
            let is_sequential = pass.starts_with(SEQUENTIAL);
            let from = if is_sequential { std::mem::replace(&mut sequential_before, edits) } else { 0 };
            if run.journal.ended(&pass).is_none() {
                run.edit(corrections, edits).await?;
                run.ask(Asking { retrieval, timed, ..Asking::untimed(&pass) }, &self.questions, asked)
                    .await?;
                run.end(&pass, from..edits).await?;
            }
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
            let Sample { image, question, answer, choices, .. } = record.sample.clone();
            Ok(EditorCorrection { image: self.data.picture(&image)?, question, answer, choices, reasoning })
        };
        self.records.iter().zip(reasoning).map(correction).collect()
    }
}

#[cfg(test)]
mod tests;
