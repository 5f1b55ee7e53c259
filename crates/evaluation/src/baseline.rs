//! What is evaluated: an editor behind one trait, so that the protocols, the metrics and the report know none
//! of them.

use futures::future::BoxFuture;
use reasonedit_editor::{ImageSource, RetrievalOverride, StatementInput};
use serde::{Deserialize, Serialize};

use crate::EvaluationError;

/// A correction as an editor is given it. The protocol has put noise into the reasoning already, where it
/// does that.
#[derive(Clone, Debug)]
pub struct EditorCorrection {
    /// The picture.
    pub image: ImageSource,
    /// The question that the model answers wrongly.
    pub question: String,
    /// The right answer, one of the choices.
    pub answer: String,
    /// What can be answered.
    pub choices: Vec<String>,
    /// Why, statement by statement, with the boxes that the editor may use.
    pub reasoning: Vec<StatementInput>,
}

/// A question as an editor is asked it.
#[derive(Clone, Debug)]
pub struct EditorQuestion {
    /// The picture.
    pub image: ImageSource,
    /// The question.
    pub question: String,
    /// What can be answered.
    pub choices: Vec<String>,
    /// The edit of whose record the question is part, by its number. For the oracle alone: no other editor
    /// may look.
    pub of_edit: usize,
    /// Settings of retrieval that this question is asked with.
    pub retrieval: RetrievalOverride,
}

/// What an editor answered, and what it put in front of the model for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EditorReply {
    /// The answer.
    pub answer: String,
    /// For each sentence in front, in order of rank, the numbers of the edits that it is from.
    pub in_front: Vec<Vec<usize>>,
    /// Whether a gate kept everything back.
    pub rejected: bool,
}

/// Bytes of what an editor keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFootprint {
    /// As it stands.
    pub merged: u64,
    /// As it would be if nothing were merged.
    pub unmerged: u64,
}

/// A setting of retrieval that a question can override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetrievalSetting {
    /// How many keys' sentences are put in front.
    K,
    /// τ, the percentile beyond which nothing is.
    Tau,
}

impl RetrievalSetting {
    /// As it is named in options, passes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::K => "k",
            Self::Tau => "tau",
        }
    }

    /// The override that sets it.
    pub fn set(self, value: f64) -> RetrievalOverride {
        match self {
            Self::K => RetrievalOverride { k: Some(value as usize), ..RetrievalOverride::default() },
            Self::Tau => RetrievalOverride { reject_percentile: Some(value), ..RetrievalOverride::default() },
        }
    }
}

/// What an editor says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name in options, files and tables.
    pub name: String,
    /// A sentence on what it does.
    pub about: String,
    /// Whether it puts sentences of edits in front of the model: else there is no hit to count.
    pub retrieves: bool,
    /// Whether it may keep everything back.
    pub gated: bool,
    /// Whether what it keeps depends on the reasoning.
    pub uses_reasoning: bool,
    /// Settings of retrieval that it follows.
    #[serde(rename = "knobs")]
    pub retrieval_settings: Vec<RetrievalSetting>,
}

/// What an editor does in the background.
pub type EditorFuture<'a, T> = BoxFuture<'a, Result<T, EvaluationError>>;

/// An editor that is evaluated. Edits are numbered in the order in which they are made, from 0; each is made
/// once in an instance, and the same one made again after a restart costs next to nothing where the editor
/// keeps what it made.
pub trait BaselineEditor: Send + Sync {
    /// What it says of itself.
    fn profile(&self) -> &Profile;

    /// Makes an edit; returns the milliseconds it took, `None` where they say nothing (part of the work was
    /// borrowed).
    ///
    /// # Errors
    /// The editor failed.
    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, Option<f64>>;

    /// Answers a question.
    ///
    /// # Errors
    /// The editor failed.
    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply>;

    /// Bytes of what it keeps, `None` for one that keeps nothing.
    ///
    /// # Errors
    /// The editor failed.
    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>>;
}

/// Makes the editors to be evaluated.
pub trait EditorFactory: Sync {
    /// A fresh editor without edits. `set` names the edits that it will be given: where the same set is made
    /// again, by another editor or after a restart, work may be shared.
    ///
    /// # Errors
    /// An unknown name, settings that the editor can't follow.
    fn editor<'a>(&'a self, name: &'a str, set: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>>;
}
