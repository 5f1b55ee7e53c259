//! Hidden states as the networks look at them: the picture's, the question's, the reply's.

use std::ops::Range;

use candle_core::Tensor;
use reasonedit_models::{Cut, VisionLanguageModel};

use crate::error::Result;
use crate::method::Correction;
use crate::prompt::{Example, Prompt, nothing, reply_tokens};

/// A question with a reply.
pub(super) struct Signal {
    /// Of the prompt and, of an edit, the whole reply behind it, (rows, width).
    states: Tensor,
    picture: Range<usize>,
    question: Range<usize>,
    /// The same without the reply's last token, for training it.
    pub(super) example: Example,
}

impl Signal {
    fn rows(&self, rows: Range<usize>) -> Result<Tensor> {
        Ok(self.states.narrow(0, rows.start, rows.len())?)
    }

    /// Of the picture's tokens.
    pub(super) fn picture(&self) -> Result<Tensor> {
        self.rows(self.picture.clone())
    }

    /// Of the prompt's tokens behind the picture.
    pub(super) fn question(&self) -> Result<Tensor> {
        self.rows(self.question.clone())
    }

    /// Of an edit's picture, question and reply.
    pub(super) fn whole(&self) -> Result<Tensor> {
        self.rows(self.picture.start..self.states.dim(0)?)
    }
}

/// Runs a question with its reply up to `cut`; of an edit the reply's last token too.
///
/// # Errors
/// Those of the model; a reply without tokens, a prompt without a picture.
pub(super) fn signal(
    model: &dyn VisionLanguageModel,
    cut: Cut,
    correction: &Correction,
    is_edit: bool,
) -> Result<Signal> {
    let question = &correction.question;
    let prompt = Prompt::new(model, &question.picture, &question.text, cut)?;
    let targets = reply_tokens(model, &correction.reply)?;
    if prompt.picture_rows().is_empty() {
        return Err(nothing().into());
    }
    // What is predicted last stands in no row: any token may stand in its place.
    let whole: Vec<u32> = targets.iter().copied().chain([0]).collect();
    let replies: &[&[u32]] = if is_edit { &[&targets, &whole] } else { &[&targets] };
    let mut runs = prompt.states(model, replies)?.into_iter();
    let states = runs.next().ok_or_else(nothing)?;
    let whole = runs.next().map_or_else(|| states.states.clone(), |whole| whole.states);
    let (picture, question) = (prompt.picture_rows(), prompt.question_rows());
    Ok(Signal { states: whole, picture, question, example: Example { states, targets } })
}
