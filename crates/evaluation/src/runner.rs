//! One editor at work: makes edits, is asked questions, and writes down what comes of them.

use futures::stream::{self, StreamExt as _};
use reasonedit_editor::RetrievalOverride;
use serde_json::json;

use crate::EvaluationError;
use crate::dataset::{Dataset, Record, Sample};
use crate::journal::{Journal, Outcome, PassEnd, hold_to};
use crate::run::{Plan, STATIC, Told};
use crate::subject::{Correction, Profile, Question, Reply, Subject, Subjects};
use crate::trials::{Metric, Trial, changing, is_right, keeping};

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
    subject: Box<dyn Subject>,
    pub(crate) profile: Profile,
    pub(crate) journal: Journal,
    data: &'a Dataset,
    plan: &'a Plan,
    progress: Told<'a>,
    /// Stands behind the editor's name where progress is told.
    place: &'a str,
    /// Edits that the subject has.
    made: usize,
}

impl<'a> Runner<'a> {
    pub(crate) async fn open(
        subjects: &dyn Subjects,
        plan: &'a Plan,
        data: &'a Dataset,
        progress: Told<'a>,
        name: &str,
        set: &str,
        place: &'a str,
    ) -> Result<Self, EvaluationError> {
        let subject = subjects.subject(name, set).await?;
        let profile = subject.profile().clone();
        let journal = Journal::open(plan.out.as_deref(), name)?;
        if let Some(folder) = &plan.out {
            hold_to(&folder.join("outcomes"), &format!("{name}.json"), &json!(profile))?;
        }
        Ok(Self { subject, profile, journal, data, plan, progress, place, made: 0 })
    }

    /// Begins anew with an editor without edits.
    pub(crate) async fn renew(&mut self, subjects: &dyn Subjects, set: &str) -> Result<(), EvaluationError> {
        self.subject = subjects.subject(&self.profile.name, set).await?;
        self.made = 0;
        Ok(())
    }

    pub(crate) fn done(self) -> (Profile, Journal) {
        (self.profile, self.journal)
    }

    fn tell(&self, what: &str, done: usize, all: usize) {
        (self.progress)(&format!("{}{}: {what}", self.profile.name, self.place), done, all);
    }

    /// Makes edits until there are `count`; returns the milliseconds of those made now.
    pub(crate) async fn edit(
        &mut self,
        corrections: &[Correction],
        count: usize,
    ) -> Result<Vec<f64>, EvaluationError> {
        let mut took = Vec::new();
        for (number, correction) in corrections.iter().enumerate().take(count).skip(self.made) {
            self.tell("edits", number, count);
            took.extend(self.subject.edit(number, correction).await?);
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
        let kept = self.subject.kept().await?;
        self.journal.end(PassEnd { ended: pass.to_owned(), edits, edit_ms, kept })
    }

    async fn put(
        &self,
        sample: &Sample,
        of_edit: usize,
        retrieval: RetrievalOverride,
    ) -> Result<Reply, EvaluationError> {
        let question = Question {
            image: self.data.picture(&sample.image)?,
            question: sample.question.clone(),
            choices: sample.choices.clone(),
            of_edit,
            retrieval,
        };
        self.subject.ask(&question).await
    }

    /// Asks those of these questions of which the pass has no outcome yet. With `timed`, some of them alone,
    /// to see how long one takes.
    pub(crate) async fn ask(
        &mut self,
        pass: &str,
        trials: &[Trial],
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
                let trial = &trials[*number];
                let began = std::time::Instant::now();
                let reply = self.put(&trial.sample, trial.edit, retrieval).await?;
                let ms = began.elapsed().as_secs_f64() * 1e3;
                let outcome = Outcome { ms: Some(ms), ..outcome(pass, *number, trial, reply) };
                self.journal.add(outcome)?;
                done += 1;
            }
            missing.retain(|number| !alone.contains(number));
        }
        // Written down a stretch at a time, so that the journal is not shared with the questions under way.
        for stretch in missing.chunks(SEARCHED) {
            let this = &*self;
            let replies: Vec<Result<Reply, EvaluationError>> = stream::iter(stretch)
                .map(|number| this.put(&trials[*number].sample, trials[*number].edit, retrieval))
                .buffered(CONCURRENCY)
                .collect()
                .await;
            for (number, reply) in stretch.iter().zip(replies) {
                self.journal.add(outcome(pass, *number, &trials[*number], reply?))?;
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
        let trials: Vec<Trial> = records
            .iter()
            .map(|r| Trial { metric: Metric::Reliability, edit: 0, sample: r.sample.clone() })
            .collect();
        let (mut errors, mut right) = (Vec::new(), 0);
        let mut searched = 0;
        while searched < records.len() && errors.len() < self.plan.edits {
            let until = (searched + SEARCHED).min(records.len());
            self.ask(SEARCH, &trials, searched..until, RetrievalOverride::default(), false).await?;
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
    pub(crate) async fn choose_trials(
        &mut self,
        edits: &[&Record],
        all: &[Record],
    ) -> Result<Vec<Trial>, EvaluationError> {
        let mut trials = changing(edits);
        let candidates = keeping(edits, all);
        self.ask(BEFORE, &candidates, 0..candidates.len(), RetrievalOverride::default(), false).await?;
        for (number, candidate) in candidates.into_iter().enumerate() {
            let Some(before) = self.journal.outcome(BEFORE, number).filter(|before| before.right).cloned()
            else {
                continue;
            };
            // The unedited model is asked once: its answer before is its answer.
            if self.journal.outcome(STATIC, trials.len()).is_none() {
                self.journal.add(Outcome { pass: STATIC.to_owned(), trial: trials.len(), ..before })?;
            }
            trials.push(candidate);
        }
        Ok(trials)
    }
}

fn outcome(pass: &str, number: usize, trial: &Trial, reply: Reply) -> Outcome {
    let own = reply.in_front.iter().position(|edits| edits.contains(&trial.edit)).map(|at| at + 1);
    Outcome {
        pass: pass.to_owned(),
        trial: number,
        right: is_right(&trial.sample, &reply.answer),
        answer: reply.answer,
        sentences: reply.in_front.len(),
        own,
        rejected: reply.rejected,
        ms: None,
    }
}
