//! What an edit would change.

use std::collections::BTreeMap;

use reasonedit_codebook::{EditId, Fact, ImageId, Opinion, RevertedEdits};
use reasonedit_questions::QuestionKey;
use reasonedit_text::{Warning, same};
use ulid::Ulid;

use crate::{BrokenCanary, Conflict, ImageSource};

/// A question that is asked before and after.
#[derive(Clone, Debug)]
pub struct ComparedQuestion {
    /// The picture.
    pub image: ImageSource,
    /// The question.
    pub question: String,
    /// Answers to choose from; empty: the answer is generated.
    pub choices: Vec<String>,
    /// The key that it is looked up by, if it is known.
    pub key: Option<QuestionKey>,
}

/// The questions of a dry run.
#[derive(Clone, Debug)]
pub enum DryRunQuestions {
    /// These.
    Given(Vec<ComparedQuestion>),
    /// Those of the log.
    Log,
}

/// An answer, and what stood in front of the question.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerThere {
    /// The model's answer.
    pub opinion: Opinion,
    /// What stood in front, nearest first.
    pub facts: Vec<Fact>,
}

/// What an edit does to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing: the model is told the same as before, so that the answer is the same.
    None,
    /// The model is told something else; its answers before and after.
    Asked(Box<(AnswerThere, AnswerThere)>),
    /// It can't be known: the picture is not kept, and it would have to be looked at.
    Unknown,
}

impl Effect {
    /// Whether the answer is another.
    pub fn flips(&self) -> bool {
        match self {
            Self::Asked(there) => !same(&there.0.opinion.answer, &there.1.opinion.answer),
            Self::None | Self::Unknown => false,
        }
    }
}

/// What an edit would change.
#[derive(Clone, Debug)]
pub struct DryRunOutcome {
    /// The state of the codebook that it was tried on.
    pub revision: u64,
    /// What would be told of the edit itself.
    pub warnings: Vec<Warning>,
    /// Older edits that would stand back for it.
    pub conflicts: Vec<Conflict>,
    /// The edit that would stand in its place.
    pub superseded_by: Option<Conflict>,
    /// What becomes of each question, in their order.
    pub questions: Vec<QuestionEffect>,
    /// Canaries that it would break.
    pub broken_canaries: Vec<BrokenCanary>,
    /// What stands for the edit among the edits of facts; no edit has this id.
    pub tried: EditId,
    /// Milliseconds: edit (what making it took), compare.
    pub timings_ms: BTreeMap<String, f64>,
}

/// What taking edits back would change.
#[derive(Clone, Debug)]
pub struct ForeseenRevert {
    /// What would go, and what the codebook would be.
    pub reverted: RevertedEdits,
    /// What becomes of the questions that were given, and the canaries that would break.
    pub effects: Option<(Vec<QuestionEffect>, Vec<BrokenCanary>)>,
}

/// What becomes of one question of a dry run.
#[derive(Clone, Debug)]
pub struct QuestionEffect {
    /// Of the log: its id.
    pub id: Option<Ulid>,
    /// Its picture.
    pub image: ImageId,
    /// The question.
    pub question: String,
    /// What becomes of it.
    pub effect: Effect,
}
