//! One editor at work: makes edits, is asked questions, and writes down what comes of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use reasonedit_dataset::{Dataset, Record, Sample};
use reasonedit_editor::RetrievalOverride;
use serde_json::json;

use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFactory, EditorQuestion, EditorReply, Profile,
};
use crate::journal::{EditLine, OutcomeJournal, PassEnd, QuestionOutcome, WorkLine, hold_to};
use crate::memory::{forget_peak, peak};
use crate::passes::{PLAIN, SINGLE, STATIC};
use crate::plan::{EvaluationPlan, MeasuredEditor, ProgressCallback};
use crate::questions::{EvaluationQuestion, Metric, changing, is_right, keeping};
use crate::saved_states::SavedStates;
use crate::settings::EditorSettings;
use crate::truth::first_true;

/// Questions under way at once: enough for the engine to batch, few enough for its queue.
const CONCURRENCY: usize = 8;
/// Questions of an editor that are asked one at a time, to measure how long one takes.
const TIMED: usize = 32;
/// Records whose question is put to the unedited model at once, in the search for errors.
pub(crate) const SEARCHED: usize = 64;
/// Whether the unedited model makes an error on a record.
const SEARCH: &str = "search";
/// Whether it answers a question rightly that edits should not change.
const BEFORE: &str = "before";

/// How questions are asked.
#[derive(Clone)]
pub(crate) struct Asking<'a> {
    /// The pass.
    pub(crate) pass: &'a str,
    /// Settings of retrieval.
    pub(crate) retrieval: RetrievalOverride,
    /// Whether some are asked alone, to see how long one takes.
    pub(crate) timed: bool,
    /// Whether progress is told.
    pub(crate) told: bool,
}

impl<'a> Asking<'a> {
    /// Several at once.
    pub(crate) fn untimed(pass: &'a str) -> Self {
        Self { pass, retrieval: RetrievalOverride::default(), timed: false, told: true }
    }

    /// Some of them alone.
    pub(crate) fn timed(pass: &'a str) -> Self {
        Self { timed: true, ..Self::untimed(pass) }
    }
}

/// One editor at work.
pub(crate) struct Runner<'a> {
    factory: &'a dyn EditorFactory,
    /// Gone only while another is made: there are never two of them.
    baseline: Option<Box<dyn BaselineEditor>>,
    /// The records that the edits are of, by number; empty before they are known.
    pub(crate) edited: Vec<&'a Record>,
    pub(crate) profile: Profile,
    settings: EditorSettings,
    pub(crate) journal: OutcomeJournal,
    data: &'a Dataset,
    plan: &'a EvaluationPlan,
    progress: ProgressCallback<'a>,
    /// Stands behind the editor's name where progress is told.
    place: &'a str,
    /// The edits that the editor is given.
    set: String,
    /// How many of them it has.
    made: usize,
    states: SavedStates,
    clock: Instant,
}

impl<'a> Runner<'a> {
    pub(crate) async fn open(
        factory: &'a dyn EditorFactory,
        plan: &'a EvaluationPlan,
        data: &'a Dataset,
        progress: ProgressCallback<'a>,
        name: &str,
        place: &'a str,
    ) -> Result<Self, EvaluationError> {
        forget_peak();
        let clock = Instant::now();
        let baseline = factory.editor(name, PLAIN).await?;
        // The factory knows it under the name that it was asked for: with other settings it is another row.
        let profile = Profile { name: name.to_owned(), ..baseline.profile().clone() };
        let settings = factory.settings(name);
        let journal = OutcomeJournal::open(plan.out.as_deref(), name)?;
        if let Some(folder) = &plan.out {
            let mut said = json!(profile);
            if !settings.is_empty() {
                said["settings"] = json!(settings);
            }
            if let Some(training) = factory.training(name) {
                said["training"] = json!(training);
            }
            hold_to(&folder.join("outcomes"), &format!("{name}.json"), &said)?;
        }
        let states = SavedStates::new(plan.out.as_deref(), name, PLAIN);
        let (baseline, set) = (Some(baseline), PLAIN.to_owned());
        Ok(Self {
            factory,
            baseline,
            edited: Vec::new(),
            profile,
            settings,
            journal,
            data,
            plan,
            progress,
            place,
            set,
            made: 0,
            states,
            clock,
        })
    }

    /// Begins anew with an editor without edits, that is given those of this set.
    pub(crate) async fn renew(&mut self, set: &str) -> Result<(), EvaluationError> {
        let reset = self.set == set && self.baseline()?.reset().await?;
        if !reset {
            self.baseline = None;
            self.baseline = Some(self.factory.editor(&self.profile.name, set).await?);
        }
        if self.set != set {
            self.states = SavedStates::new(self.plan.out.as_deref(), &self.profile.name, set);
            set.clone_into(&mut self.set);
        }
        self.made = 0;
        Ok(())
    }

    fn baseline(&self) -> Result<&dyn BaselineEditor, EvaluationError> {
        // After an error nothing goes on.
        self.baseline.as_deref().ok_or_else(|| EvaluationError::Data("the editor is gone".to_owned()))
    }

    pub(crate) fn done(self) -> MeasuredEditor {
        MeasuredEditor { profile: self.profile, settings: self.settings, journal: self.journal }
    }

    /// Says how much is done of what is being done.
    pub(crate) fn tell(&self, what: &str, done: usize, all: usize) {
        (self.progress)(&format!("{}{}: {what}", self.profile.name, self.place), done, all);
    }

    /// Makes edits until there are `count`, beginning with those of a saved state, where there is one.
    pub(crate) async fn edit(
        &mut self,
        corrections: &[EditorCorrection],
        count: usize,
    ) -> Result<(), EvaluationError> {
        if self.made == 0 {
            let baseline = self.baseline()?;
            let restored = self.states.restore(baseline, count).await?;
            self.made = restored;
        }
        for (number, correction) in corrections.iter().enumerate().take(count).skip(self.made) {
            self.tell("edits", number, count);
            let set = self.set.clone();
            self.make(&set, number, correction, false).await?;
            self.made = number + 1;
            if self.made.is_multiple_of(self.plan.save_every.max(1)) || self.made == count {
                self.worked(&format!("edits:{set}"))?;
                let baseline = self.baseline.as_deref();
                if let Some(baseline) = baseline {
                    self.states.save(baseline, self.made).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes one edit and writes down what became of it.
    async fn make(
        &mut self,
        set: &str,
        number: usize,
        correction: &EditorCorrection,
        alone: bool,
    ) -> Result<(), EvaluationError> {
        let baseline = self.baseline()?;
        let (ms, failed) = match baseline.edit(number, correction).await? {
            EditOutcome::Made(ms) => (ms, None),
            EditOutcome::Failed(why) => (None, Some(why)),
        };
        let kept = if alone { baseline.kept().await? } else { None };
        self.journal.add_edit(EditLine { set: set.to_owned(), edit: number, ms, failed, kept })
    }

    /// Each edit alone on the unedited model, and its own questions: `asked` are theirs, by edit.
    pub(crate) async fn each_alone(
        &mut self,
        corrections: &[EditorCorrection],
        questions: &[EvaluationQuestion],
        asked: &BTreeMap<usize, Vec<usize>>,
    ) -> Result<(), EvaluationError> {
        if self.journal.ended(SINGLE).is_some() {
            return Ok(());
        }
        let mut untouched = self.made == 0;
        for (number, correction) in corrections.iter().enumerate() {
            let own = asked.get(&number).map(Vec::as_slice).unwrap_or_default();
            let whole = self.journal.missing(SINGLE, own.iter().copied()).is_empty();
            if whole && self.journal.edit(SINGLE, number).is_some() {
                continue;
            }
            self.tell("edits, each alone", number, corrections.len());
            if !std::mem::take(&mut untouched) {
                self.renew(PLAIN).await?;
            }
            self.make(SINGLE, number, correction, true).await?;
            let asking = Asking { told: false, ..Asking::untimed(SINGLE) };
            self.ask(asking, questions, own.iter().copied()).await?;
        }
        if !untouched {
            self.renew(PLAIN).await?;
        }
        self.end(SINGLE, 0..corrections.len()).await
    }

    /// Writes down that a pass is whole, once. `edits`: those that were made for it, since the pass before.
    pub(crate) async fn end(&mut self, pass: &str, edits: Range<usize>) -> Result<(), EvaluationError> {
        if self.journal.ended(pass).is_some() {
            return Ok(());
        }
        let alone = pass == SINGLE;
        let kept = if alone { None } else { self.baseline()?.kept().await? };
        let set = if alone { SINGLE } else { self.set.as_str() };
        let made = edits.clone().filter_map(|number| self.journal.edit(set, number));
        let edit_ms = made.filter_map(|edit| edit.ms).collect();
        self.journal.end(PassEnd { ended: pass.to_owned(), edits: edits.end, edit_ms, kept })
    }

    /// Writes down what the work since the last time cost.
    fn worked(&mut self, what: &str) -> Result<(), EvaluationError> {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.journal.add_work(WorkLine { worked: what.to_owned(), seconds, peak_bytes: peak() })
    }

    async fn put(
        &self,
        sample: &Sample,
        of_edit: usize,
        retrieval: RetrievalOverride,
    ) -> Result<EditorReply, EvaluationError> {
        let question = EditorQuestion {
            image: self.data.picture(&sample.image)?,
            question: sample.question.clone(),
            choices: sample.choices.clone(),
            of_edit,
            retrieval,
        };
        self.baseline()?.ask(&question).await
    }

    /// Asks those of these questions of which the pass has no outcome yet.
    pub(crate) async fn ask(
        &mut self,
        asking: Asking<'_>,
        questions: &[EvaluationQuestion],
        numbers: impl IntoIterator<Item = usize>,
    ) -> Result<(), EvaluationError> {
        let Asking { pass, retrieval, timed, told } = asking;
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let (all, mut missing) = (numbers.len(), self.journal.missing(pass, numbers));
        let before = all - missing.len();
        let mut done = before;
        if timed && self.journal.outcomes(pass).all(|outcome| outcome.ms.is_none()) {
            let step = (missing.len() / TIMED).max(1);
            let alone: Vec<usize> = missing.iter().copied().step_by(step).take(TIMED).collect();
            for number in &alone {
                self.tell(pass, done, all);
                let question = &questions[*number];
                let began = std::time::Instant::now();
                let reply = self.put(&question.sample, question.edit, retrieval.clone()).await?;
                let ms = began.elapsed().as_secs_f64() * 1e3;
                let outcome =
                    QuestionOutcome { ms: Some(ms), ..self.outcome(pass, *number, question, reply) };
                self.journal.add(outcome)?;
                done += 1;
            }
            missing.retain(|number| !alone.contains(number));
        }
        // Written down a stretch at a time, so that the journal is not shared with the questions under way.
        for stretch in missing.chunks(SEARCHED) {
            let this = &*self;
            let replies: Vec<Result<EditorReply, EvaluationError>> = stream::iter(stretch)
                .map(|number| {
                    let question = &questions[*number];
                    this.put(&question.sample, question.edit, retrieval.clone())
                })
                .buffered(CONCURRENCY)
                .collect()
                .await;
            for (number, reply) in stretch.iter().zip(replies) {
                let outcome = self.outcome(pass, *number, &questions[*number], reply?);
                self.journal.add(outcome)?;
            }
            done += stretch.len();
            if told {
                self.tell(pass, done, all);
            }
        }
        if done > before { self.worked(pass) } else { Ok(()) }
    }

    fn outcome(
        &self,
        pass: &str,
        number: usize,
        question: &EvaluationQuestion,
        reply: EditorReply,
    ) -> QuestionOutcome {
        let own = reply.in_front.iter().position(|sentence| sentence.edits.contains(&question.edit));
        QuestionOutcome {
            pass: pass.to_owned(),
            question: number,
            right: is_right(&question.sample, &reply.answer),
            answer: reply.answer,
            sentences: reply.in_front.len(),
            own: own.map(|at| at + 1),
            true_at: first_true(&question.sample, &reply.in_front, &self.edited),
            rejected: reply.rejected,
            ms: None,
        }
    }

    /// The first records whose question the model answers wrongly, and how many it answered rightly on the
    /// way.
    pub(crate) async fn find_errors<'d>(
        &mut self,
        records: &'d [Record],
    ) -> Result<(Vec<&'d Record>, usize), EvaluationError> {
        let questions: Vec<EvaluationQuestion> = records
            .iter()
            .map(|r| EvaluationQuestion { metric: Metric::Reliability, edit: 0, sample: r.sample.clone() })
            .collect();
        let (mut errors, mut right) = (Vec::new(), 0);
        let mut searched = 0;
        while searched < records.len() && errors.len() < self.plan.edits {
            let until = (searched + SEARCHED).min(records.len());
            self.ask(Asking::untimed(SEARCH), &questions, searched..until).await?;
            for (number, record) in records.iter().enumerate().take(until).skip(searched) {
                if errors.len() == self.plan.edits {
                    break;
                }
                match self.journal.outcome(SEARCH, number) {
                    Some(outcome) if outcome.right => right += 1,
                    _ => errors.push(record),
                }
            }
            searched = until;
        }
        Ok((errors, right))
    }

    /// All questions of these metrics: those that edits should change, and of those that they should not the
    /// ones that the model answers rightly now.
    pub(crate) async fn choose_questions(
        &mut self,
        edits: &[&Record],
        all: &[Record],
        metrics: &[Metric],
    ) -> Result<Vec<EvaluationQuestion>, EvaluationError> {
        let (mut questions, mut candidates) = (changing(edits), keeping(edits, all));
        for wanted in [&mut questions, &mut candidates] {
            wanted.retain(|question| metrics.contains(&question.metric));
        }
        self.ask(Asking::untimed(BEFORE), &candidates, 0..candidates.len()).await?;
        for (number, candidate) in candidates.into_iter().enumerate() {
            let Some(before) = self.journal.outcome(BEFORE, number).filter(|before| before.right).cloned()
            else {
                continue;
            };
            // The unedited model is asked once: its answer before is its answer.
            if self.journal.outcome(STATIC, questions.len()).is_none() {
                self.journal.add(QuestionOutcome {
                    pass: STATIC.to_owned(),
                    question: questions.len(),
                    ..before
                })?;
            }
            questions.push(candidate);
        }
        Ok(questions)
    }
}
