//! What an architecture says of itself, and what its models are built from.

use reasonedit_nn::precision::{BlockType, device_name};
use reasonedit_nn::taps::TapInfo;
use reasonedit_nn::weights::Weights;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::load::checkpoint::Checkpoint;
use crate::model::{ModelInfo, VisionLanguageModel};

/// Names and shapes of tensors.
pub type ParameterList = Vec<(String, Vec<usize>)>;

/// An architecture.
#[derive(Debug)]
pub struct Architecture {
    /// `model_type` of `config.json`.
    pub model_type: &'static str,
    /// Whether it looks at pictures.
    pub pictures: bool,
    /// Where its language model lies among the modules of transformers' class (from 4.52 on): adapters name
    /// what they change by it.
    pub language_modules: &'static str,
    /// Published checkpoints whose parameters are known to be those asked for.
    pub known: &'static [KnownModel],
    /// Names and shapes of the parameters that a checkpoint with this `config.json` must have.
    pub parameters: fn(&Value) -> Result<ParameterList>,
    /// Builds the model.
    pub(crate) load: fn(&Parts<'_>) -> Result<Box<dyn VisionLanguageModel>>,
}

/// A published checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// Its id on the hub.
    pub id: &'static str,
    /// Parameters in all.
    pub parameters: u64,
    /// Parameters of the language model's layers: what is quantised.
    pub layers: u64,
    /// Parameters of the output matrix, which quantised models have in 8 bits.
    pub head: u64,
    /// Whether the output matrix is the embedding matrix too, and is counted once in `parameters`.
    pub tied: bool,
}

impl KnownModel {
    /// Bytes of its weights at `bits` a weight: 32 or 16.
    pub fn bytes(&self, bits: u64) -> u64 {
        self.parameters * bits / 8
    }

    /// Bytes of its weights with the layers in blocks and the rest in 16 bits.
    pub fn quantised_bytes(&self, blocks: BlockType) -> u64 {
        let of = |parameters: u64, bits: f64| parameters as f64 * bits / 8.0;
        let apart = self.layers + if self.tied { 0 } else { self.head };
        let rest = self.parameters.saturating_sub(apart);
        let bytes = of(rest, 16.0) + of(self.layers, blocks.bits()) + of(self.head, BlockType::Q8_0.bits());
        bytes as u64
    }
}

/// What a model is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'c> {
    /// The folder's files.
    pub(crate) checkpoint: &'c Checkpoint,
    /// `config.json`.
    pub(crate) config: &'c Value,
    /// The tensors.
    pub(crate) weights: &'c Weights,
}

impl Parts<'_> {
    /// The placeholder of a picture that `config.json` names, by either of its names.
    pub(crate) fn image_token(&self) -> Result<u32> {
        let config = self.config;
        let id = ["image_token_id", "image_token_index"].into_iter().find_map(|name| config[name].as_u64());
        id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            ModelError::load(
                "config.json",
                "it has no image_token_id (or image_token_index), the picture's placeholder",
            )
        })
    }

    /// What the model says of itself, once all its tensors have been asked for. Reads all weights for their
    /// fingerprint.
    pub(crate) fn info(
        &self,
        architecture: &Architecture,
        taps: Vec<TapInfo>,
        max_positions: usize,
        vocabulary: usize,
    ) -> Result<ModelInfo> {
        Ok(ModelInfo {
            architecture: architecture.model_type.into(),
            name: self.checkpoint.name.clone(),
            fingerprint: self.checkpoint.fingerprint(self.weights)?,
            parameters: self.weights.parameters(),
            dtype: self.weights.held(),
            device: device_name(self.weights.device()),
            taps,
            max_positions,
            vocabulary,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_models_are_smaller() {
        let model = KnownModel { id: "a/b", parameters: 1000, layers: 600, head: 100, tied: true };
        assert_eq!(model.bytes(16), 2000);
        // 400 in 16 bits, 600 in 4.5, and the head once more in 8.5.
        assert_eq!(model.quantised_bytes(BlockType::Q4K), 800 + 337 + 106);
        let apart = KnownModel { tied: false, ..model };
        assert_eq!(apart.quantised_bytes(BlockType::Q8_0), 600 + 637 + 106);
    }
}
