//! One editor at work: makes edits, is asked questions, and writes down what comes of them.

use futures::stream::{self, StreamExt as _};
use reasonedit_editor::RetrievalOverride;
use serde_json::json;

use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditorCorrection, EditorFactory, EditorQuestion, EditorReply, Profile,
};
use crate::dataset::Dataset;
use crate::journal::{OutcomeJournal, PassEnd, QuestionOutcome, hold_to};
use crate::plan::{EvaluationPlan, ProgressCallback, STATIC};
use crate::questions::{EvaluationQuestion, Metric, changing, is_right, keeping};
use crate::record::{Record, Sample};

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

/// One editor at work.
pub(crate) struct Runner<'a> {
    baseline: Box<dyn BaselineEditor>,
    pub(crate) profile: Profile,
    pub(crate) journal: OutcomeJournal,
    data: &'a Dataset,
    plan: &'a EvaluationPlan,
    progress: ProgressCallback<'a>,
    /// Stands behind the editor's name where progress is told.
    place: &'a str,
    /// Edits that the editor has.
    made: usize,
}

impl<'a> Runner<'a> {
    pub(crate) async fn open(
        factory: &dyn EditorFactory,
        plan: &'a EvaluationPlan,
        data: &'a Dataset,
        progress: ProgressCallback<'a>,
        name: &str,
        set: &str,
        place: &'a str,
    ) -> Result<Self, EvaluationError> {
        let baseline = factory.editor(name, set).await?;
        let profile = baseline.profile().clone();
        let journal = OutcomeJournal::open(plan.out.as_deref(), name)?;
        if let Some(folder) = &plan.out {
            hold_to(&folder.join("outcomes"), &format!("{name}.json"), &json!(profile))?;
        }
        Ok(Self { baseline, profile, journal, data, plan, progress, place, made: 0 })
    }

    /// Begins anew with an editor without edits.
    pub(crate) async fn renew(
        &mut self,
        factory: &dyn EditorFactory,
        set: &str,
    ) -> Result<(), EvaluationError> {
        self.baseline = factory.editor(&self.profile.name, set).await?;
        self.made = 0;
        Ok(())
    }

    pub(crate) fn done(self) -> (Profile, OutcomeJournal) {
        (self.profile, self.journal)
    }

    fn tell(&self, what: &str, done: usize, all: usize) {
        (self.progress)(&format!("{}{}: {what}", self.profile.name, self.place), done, all);
    }

    /// Makes edits until there are `count`; returns the milliseconds of those made now.
    pub(crate) async fn edit(
        &mut self,
        corrections: &[EditorCorrection],
        count: usize,
    ) -> Result<Vec<f64>, EvaluationError> {
        let mut took = Vec::new();
        for (number, correction) in corrections.iter().enumerate().take(count).skip(self.made) {
            self.tell("edits", number, count);
            took.extend(self.baseline.edit(number, correction).await?);
            self.made = number + 1;
        }
        Ok(took)
    }

    /// Writes down that a pass is whole, once.
    pub(crate) async fn end(
        &mut self,
        pass: &str,
        edits: usize,
        edit_ms: Vec<f64>,
    ) -> Result<(), EvaluationError> {
        if self.journal.ended(pass).is_some() {
            return Ok(());
        }
        let kept = self.baseline.kept().await?;
        self.journal.end(PassEnd { ended: pass.to_owned(), edits, edit_ms, kept })
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
        self.baseline.ask(&question).await
    }

    /// Asks those of these questions of which the pass has no outcome yet. With `timed`, some of them alone,
    /// to see how long one takes.
    pub(crate) async fn ask(
        &mut self,
        pass: &str,
        questions: &[EvaluationQuestion],
        numbers: impl IntoIterator<Item = usize>,
        retrieval: RetrievalOverride,
        timed: bool,
    ) -> Result<(), EvaluationError> {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let (all, mut missing) = (numbers.len(), self.journal.missing(pass, numbers));
        let mut done = all - missing.len();
        if timed && self.journal.outcomes(pass).all(|outcome| outcome.ms.is_none()) {
            let step = (missing.len() / TIMED).max(1);
            let alone: Vec<usize> = missing.iter().copied().step_by(step).take(TIMED).collect();
            for number in &alone {
                self.tell(pass, done, all);
                let question = &questions[*number];
                let began = std::time::Instant::now();
                let reply = self.put(&question.sample, question.edit, retrieval).await?;
                let ms = began.elapsed().as_secs_f64() * 1e3;
                let outcome = QuestionOutcome { ms: Some(ms), ..outcome(pass, *number, question, reply) };
                self.journal.add(outcome)?;
                done += 1;
            }
            missing.retain(|number| !alone.contains(number));
        }
        // Written down a stretch at a time, so that the journal is not shared with the questions under way.
        for stretch in missing.chunks(SEARCHED) {
            let this = &*self;
            let replies: Vec<Result<EditorReply, EvaluationError>> = stream::iter(stretch)
                .map(|number| this.put(&questions[*number].sample, questions[*number].edit, retrieval))
                .buffered(CONCURRENCY)
                .collect()
                .await;
            for (number, reply) in stretch.iter().zip(replies) {
                self.journal.add(outcome(pass, *number, &questions[*number], reply?))?;
            }
            done += stretch.len();
            self.tell(pass, done, all);
        }
        Ok(())
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
            self.ask(SEARCH, &questions, searched..until, RetrievalOverride::default(), false).await?;
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

    /// All questions: those that edits should change, and of those that they should not the ones that the
    /// model answers rightly now.
    pub(crate) async fn choose_questions(
        &mut self,
        edits: &[&Record],
        all: &[Record],
    ) -> Result<Vec<EvaluationQuestion>, EvaluationError> {
        let mut questions = changing(edits);
        let candidates = keeping(edits, all);
        self.ask(BEFORE, &candidates, 0..candidates.len(), RetrievalOverride::default(), false).await?;
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

fn outcome(pass: &str, number: usize, question: &EvaluationQuestion, reply: EditorReply) -> QuestionOutcome {
    let own = reply.in_front.iter().position(|edits| edits.contains(&question.edit)).map(|at| at + 1);
    QuestionOutcome {
        pass: pass.to_owned(),
        question: number,
        right: is_right(&question.sample, &reply.answer),
        answer: reply.answer,
        sentences: reply.in_front.len(),
        own,
        rejected: reply.rejected,
        ms: None,
    }
}
