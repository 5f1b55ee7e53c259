//! MEND (Mitchell et al. 2022, arXiv 2110.11309): a network turns the gradient of an edit's loss, as the
//! rank-one factors that it is the sum of, into a change of weights (method section 9.3).
//!
//! The network is trained once, on records that are never evaluated; an edit is then one gradient and one
//! pass through it. Edits accumulate: each is computed with the weights that the one before left.

mod factors;
mod network;
mod training;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use reasonedit_models::VisionLanguageModel;
use serde::{Deserialize, Serialize};

use crate::answer::answer;
use crate::error::{Result, TuningError};
use crate::feed_forward::{last_suffix, read_weights};
use crate::method::{Correction, EditingMethod, Question, TunedAnswer};
use crate::prompt::Prompt;
use crate::training_case::{
    EditorNetwork, LossCurves, NetworkOrigin, TrainingCase, TrainingProgress, read_network, write_network,
};
use crate::weights::WeightPatch;

use factors::factors;
use network::{Shapes, Transform};

const FILE: &str = "weights.safetensors";

/// Settings of MEND and of its network's training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MendSettings {
    /// Rank of the network's layers (authors: 1,920 at a width of 4,096 and more).
    pub rank: usize,
    /// Adam's learning rate for the network (authors: 1e-6).
    pub learning_rate: f64,
    /// What the learned rates of edits begin with (authors: 1e-4).
    pub edit_rate: f64,
    /// Adam's learning rate for them (authors: 1e-4).
    pub edit_rate_learning_rate: f64,
    /// `c_e`, the weight of the losses on the question in other words and on other pictures (authors: 0.1;
    /// EasyEdit's for models that see: 0.1 each).
    pub edit_weight: f64,
    /// `c_loc`, the weight of what unrelated answers diverge by (authors: 1).
    pub locality_weight: f64,
    /// Steps of the training.
    pub steps: usize,
    /// Sets of edits in a step (authors: 1, gradients of 2 summed).
    pub batch: usize,
    /// Edits of a set, made at once in training (authors: 1, and up to 125 where many are to be made).
    pub edits_together: usize,
    /// Length that gradients are cut to (authors: 100).
    pub longest_gradient: f64,
    /// Seed of the network's first weights and of the order of cases.
    pub seed: u64,
}

impl Default for MendSettings {
    fn default() -> Self {
        Self {
            rank: 128,
            learning_rate: 1e-5,
            edit_rate: 1e-4,
            edit_rate_learning_rate: 1e-4,
            edit_weight: 0.1,
            locality_weight: 1.0,
            steps: 4000,
            batch: 2,
            edits_together: 1,
            longest_gradient: 100.0,
            seed: 0,
        }
    }
}

/// MEND's network, trained for one model.
pub struct MendNetwork {
    transform: Transform,
    curves: LossCurves,
}

impl EditorNetwork for MendNetwork {
    type Settings = MendSettings;
    const EDITOR: &'static str = "mend";

    fn train(
        model: &dyn VisionLanguageModel,
        cases: &[TrainingCase],
        settings: &MendSettings,
        progress: TrainingProgress<'_>,
    ) -> Result<Self> {
        let (transform, curves) = training::train(model, cases, settings, progress)?;
        Ok(Self { transform, curves })
    }

    fn write(&self, path: &Path, origin: &NetworkOrigin) -> Result<()> {
        write_network(path, &self.transform.tensors(), origin, &self.curves)
    }

    fn read(
        model: &dyn VisionLanguageModel,
        path: &Path,
        origin: &NetworkOrigin,
        settings: &MendSettings,
    ) -> Result<Self> {
        let (tensors, curves) = read_network(path, origin)?;
        let shapes = Shapes::of(&last_suffix(model)?);
        Ok(Self { transform: Transform::trained(tensors, shapes, settings.rank)?, curves })
    }

    fn curves(&self) -> &LossCurves {
        &self.curves
    }
}

/// MEND with its edits.
pub struct Mend {
    network: Arc<MendNetwork>,
    weights: WeightPatch,
}

impl Mend {
    /// Without edits.
    pub fn new(network: Arc<MendNetwork>) -> Self {
        Self { network, weights: WeightPatch::default() }
    }
}

impl EditingMethod for Mend {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let suffix = last_suffix(model)?;
        let layer = suffix.cut().layer();
        let question = &correction.question;
        let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut())?;
        let example = prompt.example(model, &correction.reply)?;
        let factors = factors(&suffix, &example, &self.weights)?;
        let updates = self.network.transform.updates(&factors)?;
        let mut weights = BTreeMap::new();
        for (projection, update) in updates {
            let own = match self.weights.0.get(&(layer, projection)) {
                Some(weight) => weight.clone(),
                None => suffix.weight(layer, projection)?,
            };
            let edited = (own - update.matrix()?)?;
            if !edited.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Err(TuningError::NonFiniteLoss { steps: 1 });
            }
            weights.insert((layer, projection), edited);
        }
        self.weights = WeightPatch(weights);
        Ok(())
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let text = answer(model, &last_suffix(model)?, question, &self.weights)?;
        Ok(TunedAnswer { text, ..TunedAnswer::default() })
    }

    fn bytes(&self) -> u64 {
        self.weights.bytes() + self.network.transform.bytes()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.weights.write(&folder.join(FILE))
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        self.weights = read_weights(&folder.join(FILE), &last_suffix(model)?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
