//! What is evaluated: an editor behind one trait, so that the protocols, the metrics and the report know none
//! of them.

use std::path::Path;

use futures::future::BoxFuture;
use reasonedit_codebook::EntryKind;
use reasonedit_editor::{ImageSource, RetrievalOverride, StatementInput};
use serde::{Deserialize, Serialize};

use crate::EvaluationError;
use crate::settings::{EditorSettings, TuningSpace};

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

/// A sentence in front of the model, or what stands for one with an editor that changes the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentenceInFront {
    /// The numbers of the edits that it is from.
    pub edits: Vec<usize>,
    /// What of them it says; empty where that can't be told.
    pub says: Vec<SentencePart>,
}

/// What of an edit a sentence says.
#[derive(Clone, Debug, PartialEq)]
pub enum SentencePart {
    /// Its answer.
    Answer,
    /// A statement of its reasoning.
    Statement(String),
}

impl SentenceInFront {
    /// The answer of these edits.
    pub fn answer(edits: Vec<usize>) -> Self {
        Self { edits, says: vec![SentencePart::Answer] }
    }

    /// A statement of these edits.
    pub fn statement(edits: Vec<usize>, text: impl Into<String>) -> Self {
        Self { edits, says: vec![SentencePart::Statement(text.into())] }
    }

    /// A sentence of a codebook.
    pub fn of_kind(kind: EntryKind, edits: Vec<usize>, text: &str) -> Self {
        match kind {
            EntryKind::Answer => Self::answer(edits),
            EntryKind::Statement => Self::statement(edits, text),
        }
    }
}

/// What an editor answered, and what it put in front of the model for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EditorReply {
    /// The answer.
    pub answer: String,
    /// The sentences in front, in order of rank.
    pub in_front: Vec<SentenceInFront>,
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

/// What became of an edit.
#[derive(Clone, Debug, PartialEq)]
pub enum EditOutcome {
    /// It is made, in so many milliseconds; `None` where they say nothing (part of the work was borrowed).
    Made(Option<f64>),
    /// It could not be made, for example because its loss was no finite number: why, in a few words. The
    /// editor stands as it did before, and goes on with the next edit. It counts as a failed edit, and its
    /// questions are asked like any other's.
    Failed(String),
}

/// An editor that is evaluated. Edits bear the numbers of their records, from 0, and are made in this order,
/// each once in an instance (or once after [`BaselineEditor::reset`]); the first one that is made need not be
/// the first record's.
///
/// What an editor does not support it need not implement: then it is made anew instead.
pub trait BaselineEditor: Send + Sync {
    /// What it says of itself.
    fn profile(&self) -> &Profile;

    /// Makes an edit.
    ///
    /// # Errors
    /// What ends the whole run: the engine is gone, a picture can't be read. An edit that can't be made is
    /// [`EditOutcome::Failed`].
    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome>;

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

    /// Takes back all edits, so that the editor stands as it was made. `false`: it can't, and another is made
    /// in its place, after it is gone.
    ///
    /// # Errors
    /// The editor failed, and is of no use any more.
    fn reset(&self) -> EditorFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Writes what the edits made so far have changed into an empty folder, so that a run that was stopped
    /// goes on from there. `false`: there is nothing to write, and the edits are made again after a restart:
    /// right for an editor that makes them in no time, or keeps what it made somewhere else.
    ///
    /// # Errors
    /// The folder can't be written.
    fn save<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        let _ = folder;
        Box::pin(async { Ok(false) })
    }

    /// Reads what [`BaselineEditor::save`] wrote with the same settings, model and edits, into an editor
    /// without edits. `false`: it can't be read (another version wrote it), and the edits are made again.
    ///
    /// # Errors
    /// The editor failed, and is of no use any more.
    fn restore<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        let _ = folder;
        Box::pin(async { Ok(false) })
    }
}

/// Makes the editors to be evaluated.
pub trait EditorFactory: Sync {
    /// Settings that the editor of this name is made with beside its defaults: outcomes under other settings
    /// are not gone on with.
    fn settings(&self, name: &str) -> EditorSettings {
        let _ = name;
        EditorSettings::default()
    }

    /// BLAKE3 of the records that the editor of this name is trained on before any edit, if it is: outcomes
    /// after another training are not gone on with.
    fn training(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }

    /// Whether the editor of this name shares work with others of which that is so, too: these are better
    /// made and asked one after another.
    fn shares_work(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// A fresh editor without edits. `set` names the edits that it will be given: where the same set is made
    /// again, by another editor or after a restart, work may be shared.
    ///
    /// # Errors
    /// An unknown name, settings that the editor can't follow.
    fn editor<'a>(&'a self, name: &'a str, set: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>>;
}

/// Makes editors with settings of somebody's choice.
pub trait TunableFactory: EditorFactory + Sized {
    /// What of an editor can be tuned.
    ///
    /// # Errors
    /// An unknown editor, or one that has nothing to tune.
    fn space(&self, name: &str) -> Result<TuningSpace, EvaluationError>;

    /// The same with an editor that has these settings: under its own name, or under a label (`ft@3`).
    ///
    /// # Errors
    /// An unknown editor, a setting that it has not.
    fn with_settings(self, name: &str, settings: EditorSettings) -> Result<Self, EvaluationError>;
}
