//! What networks that make edits are trained on: corrections with what an edit should change beside the
//! corrected question itself, and what it should not.

#[cfg(test)]
pub(crate) mod fixtures;
mod network_file;
mod parameters;
mod stochastic;

use std::path::Path;

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;
use reasonedit_models::{DifferentiableSuffix, Unadapted, VisionLanguageModel};
use serde::Serialize;

pub use network_file::NetworkOrigin;
pub(crate) use network_file::{read_network, write_network};
pub(crate) use parameters::{Init, ParameterStore, seeded};
pub(crate) use stochastic::{Group, optimise};
pub use stochastic::{LossCurves, TrainingProgress};

use crate::answer::answer;
use crate::error::{Result, TuningError};
use crate::method::{Correction, Question};
use crate::prompt::Example;
use crate::weights::last_feed_forward;

/// An edit with what it should and should not change.
#[derive(Clone, Debug)]
pub struct TrainingCase {
    /// The edit.
    pub correction: Correction,
    /// The question in other words, with the same reply.
    pub in_other_words: Vec<Correction>,
    /// The question on other pictures, with the same reply.
    pub on_other_pictures: Vec<Correction>,
    /// Questions that the edit has nothing to do with: the model's own answers are kept.
    pub unrelated: Vec<Question>,
}

/// A network that makes edits, trained once for a model and kept.
pub trait EditorNetwork: Sized + Send + Sync + 'static {
    /// Of the network and its training.
    type Settings: Clone + Serialize + Send + Sync + 'static;
    /// The editor's name in files.
    const EDITOR: &'static str;

    /// Trains one.
    ///
    /// # Errors
    /// Too few usable cases, settings that can't be followed, [`TuningError::NonFiniteLoss`]; those of the
    /// model.
    fn train(
        model: &dyn VisionLanguageModel,
        cases: &[TrainingCase],
        settings: &Self::Settings,
        progress: TrainingProgress<'_>,
    ) -> Result<Self>;

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`TuningError::File`].
    fn write(&self, path: &Path, origin: &NetworkOrigin) -> Result<()>;

    /// Reads what [`Self::write`] wrote with the same origin.
    ///
    /// # Errors
    /// [`TuningError::File`], also for a network of another origin.
    fn read(
        model: &dyn VisionLanguageModel,
        path: &Path,
        origin: &NetworkOrigin,
        settings: &Self::Settings,
    ) -> Result<Self>;

    /// How its training went.
    fn curves(&self) -> &LossCurves;
}

/// What the unedited model answers.
pub(crate) struct OwnAnswers<'a> {
    model: &'a dyn VisionLanguageModel,
    suffix: DifferentiableSuffix,
}

impl<'a> OwnAnswers<'a> {
    pub(crate) fn new(model: &'a dyn VisionLanguageModel) -> Result<Self> {
        Ok(Self { model, suffix: model.differentiable(last_feed_forward(model)?)? })
    }

    /// The question with the model's answer as its reply; `None` if it answers nothing.
    pub(crate) fn of(&self, question: &Question) -> Result<Option<Correction>> {
        let reply = answer(self.model, &self.suffix, question, &Unadapted)?.trim().to_owned();
        Ok((!reply.is_empty()).then(|| Correction { question: question.clone(), reply }))
    }
}

/// A reply that is to stay as likely as it is.
pub(crate) struct KeptReply {
    pub(crate) example: Example,
    /// ln P of every token at each of its places, (tokens of the reply, vocabulary), by the unedited model.
    log_probabilities: Tensor,
}

impl KeptReply {
    pub(crate) fn new(suffix: &DifferentiableSuffix, example: Example) -> Result<Self> {
        let logits = suffix.logits(&[&example.states], &Unadapted)?.detach();
        Ok(Self { example, log_probabilities: log_softmax(&logits, D::Minus1)? })
    }

    pub(crate) fn log_probabilities(&self) -> &Tensor {
        &self.log_probabilities
    }

    /// KL(before ‖ after), mean over the reply's places, of logits after an edit.
    pub(crate) fn divergence(&self, logits: &Tensor) -> Result<Tensor> {
        let after = log_softmax(logits, D::Minus1)?;
        let before = &self.log_probabilities;
        Ok((before.exp()? * (before - after)?)?.sum(D::Minus1)?.mean_all()?)
    }
}

/// Too few cases to train on are told before anything is computed.
pub(crate) fn require_cases(cases: &[TrainingCase], least: usize) -> Result<()> {
    let usable = |case: &TrainingCase| {
        !(case.unrelated.is_empty() || case.in_other_words.is_empty() && case.on_other_pictures.is_empty())
    };
    let found = cases.iter().filter(|case| usable(case)).count();
    if found < least {
        return Err(TuningError::Setting(format!(
            "{found} of {} training records have the question in other words or on another picture and an \
             unrelated question; at least {least} are needed",
            cases.len()
        )));
    }
    Ok(())
}
