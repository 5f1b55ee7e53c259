//! Editors that change weights, behind one trait.

use std::path::Path;
use std::sync::Arc;

use reasonedit_models::VisionLanguageModel;

use crate::error::{Result, TuningError};
use crate::picture::Picture;

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct Question {
    /// The picture.
    pub picture: Arc<Picture>,
    /// The question.
    pub text: String,
    /// What can be answered; empty: the answer is generated.
    pub choices: Vec<String>,
}

/// What an editor is to make the model say.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The question that is answered wrongly.
    pub question: Question,
    /// What is to be replied: the right answer, with the reasoning behind it where that is trained too.
    pub reply: String,
}

/// An answer with the reasoning behind it, as it is trained: sentences, one after another.
pub fn reply_with_reasoning<'s>(answer: &str, statements: impl IntoIterator<Item = &'s str>) -> String {
    let mut reply = answer.trim().to_owned();
    for statement in statements {
        if !reply.ends_with(['.', '!', '?']) {
            reply.push('.');
        }
        reply.push(' ');
        reply.push_str(statement.trim());
    }
    reply
}

/// An editor's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TunedAnswer {
    /// The answer.
    pub text: String,
    /// Edits, by number, whose weights were used because something chose them; empty for editors with one
    /// set of weights.
    pub used: Vec<usize>,
    /// Whether something kept all edits' weights back.
    pub rejected: bool,
}

/// An editor that changes (copies of) weights. Edits are numbered in the order in which they are made. A
/// failed edit leaves it as it was.
pub trait EditingMethod: Send {
    /// Makes an edit.
    ///
    /// # Errors
    /// [`TuningError::NonFiniteLoss`] where the edit did not take; those of the model.
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()>;

    /// Answers a question with all edits made so far.
    ///
    /// # Errors
    /// Those of the model.
    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer>;

    /// Bytes of what it keeps beside the model.
    fn bytes(&self) -> u64;

    /// Writes what it keeps into a folder, so that [`Self::restore`] goes on from there.
    ///
    /// # Errors
    /// [`TuningError::File`].
    fn save(&self, folder: &Path) -> Result<()>;

    /// Takes what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`TuningError::File`], also for what another model or other settings wrote.
    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()>;
}

/// A [`TuningError::File`].
pub(crate) fn file(path: &Path, reason: impl std::fmt::Display) -> TuningError {
    TuningError::File { path: path.to_owned(), reason: reason.to_string() }
}
