//! The contract between a model and the engine: what every vision-language model here can do.
//!
//! A model is synchronous and belongs to one thread (architecture invariant 2). It owns no conversation
//! state: key–value caches belong to the caller, so that an image prefix can be shared by many prompts.

use std::sync::Arc;

use reasonedit_imaging::RgbImage;
use reasonedit_nn::blocks::decoder::differentiable::{Cut, DifferentiableSuffix, HiddenStates};
use reasonedit_nn::layer_suffix::LayerSuffix;
use reasonedit_nn::sequence::{ImageFeatures, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::{TapInfo, TapName};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use reasonedit_prompt::PromptTokenizer;

/// What a loaded model says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `model_type` of `config.json`, for example `qwen3_vl`.
    pub architecture: String,
    /// Folder name or hub id it was loaded from.
    pub name: String,
    /// BLAKE3 (hex) over configuration, tokenizer, preprocessing and weights: the same model has the same
    /// one.
    pub fingerprint: String,
    /// Parameters in all.
    pub parameters: u64,
    /// Weight type: `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// `cpu`, `cuda:0` …
    pub device: String,
    /// Every tap, in forward order.
    pub taps: Vec<TapInfo>,
    /// Longest sequence in tokens.
    pub max_positions: usize,
    /// Size of the vocabulary (width of the logits).
    pub vocabulary: usize,
}

/// Turns a picture into the model's pixel input. Shareable, so that it runs on the caller's thread.
pub trait ImagePreprocessor: Send + Sync {
    /// Resizes, normalises and cuts one upright picture.
    ///
    /// # Errors
    /// A picture whose shape the model can't take.
    fn preprocess(&self, image: &RgbImage) -> Result<PixelInput, ModelError>;

    /// Patches to an image token, for estimates of cost; where a Q-Former makes fewer tokens of all patches,
    /// 1 is cautious.
    fn patches_per_token(&self) -> usize {
        1
    }

    /// Tokens that a picture of this size, in pixels, takes in a sequence: [`ImageFeatures::len`] before it
    /// is looked at.
    ///
    /// # Errors
    /// As [`Self::preprocess`].
    fn image_tokens(&self, width: u32, height: u32) -> Result<usize, ModelError>;
}

/// A vision-language model on its device.
pub trait VisionLanguageModel: Send + Sync {
    /// What it is.
    fn info(&self) -> &ModelInfo;

    /// Its image preprocessing, for use on other threads.
    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor>;

    /// Its tokenizer and chat template, for use on other threads.
    fn tokenizer(&self) -> Arc<PromptTokenizer>;

    /// Runs the vision side over any number of pictures of any sizes at once.
    ///
    /// `taps` names the vision and bridge taps to pool; language taps in it are ignored.
    ///
    /// # Errors
    /// Device failures, and inputs of a wrong shape.
    fn encode_images(
        &self,
        images: &[&PixelInput],
        taps: &[TapName],
    ) -> Result<Vec<Arc<ImageFeatures>>, ModelError>;

    /// Runs the language side over a batch of sequences of any lengths; each gives the same result as alone.
    ///
    /// `taps` names the language taps to pool over each sequence's new tokens.
    ///
    /// # Errors
    /// Device failures, sequences that exceed `max_positions`, token ids out of range.
    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>, ModelError>;

    /// Runs one sequence of text up to decoder layer `layer` (from 0), for asking what the model would say if
    /// the state of the first new token behind that layer were another. `sequence.logits` and `keep_cache`
    /// are not looked at.
    ///
    /// # Errors
    /// [`ModelError::unsupported`] for a layer the model doesn't have, for pictures among the new pieces, and
    /// for models that can't; as [`Self::run`].
    fn forward_from_layer(
        &self,
        layer: usize,
        sequence: &Sequence,
    ) -> Result<Box<dyn LayerSuffix + '_>, ModelError> {
        let _ = (layer, sequence);
        Err(ModelError::unsupported(format!(
            "hidden states of {} can't be replaced",
            self.info().architecture
        )))
    }

    /// Runs sequences up to a cut in the decoder; what [`Self::differentiable`] goes on from.
    ///
    /// # Errors
    /// As [`reasonedit_nn::blocks::decoder::Decoder::hidden_states`]; [`ModelError::unsupported`] for models
    /// that can't.
    fn hidden_states(&self, batch: &[Sequence], cut: Cut) -> Result<Vec<HiddenStates>, ModelError> {
        let _ = (batch, cut);
        Err(ModelError::unsupported(format!("{} has no gradients", self.info().architecture)))
    }

    /// The decoder from a cut on, with gradients. It shares the model's weights and changes none.
    ///
    /// # Errors
    /// As [`reasonedit_nn::blocks::decoder::Decoder::differentiable`]; [`ModelError::unsupported`] for models
    /// that can't.
    fn differentiable(&self, cut: Cut) -> Result<DifferentiableSuffix, ModelError> {
        let _ = cut;
        Err(ModelError::unsupported(format!("{} has no gradients", self.info().architecture)))
    }
}

/// A sentence encoder: text to one vector, mean pooled, not normalised.
pub trait SentenceEncoder: Send {
    /// BLAKE3 (hex) over configuration, tokenizer and weights.
    fn fingerprint(&self) -> &str;

    /// Components of an embedding.
    fn width(&self) -> usize;

    /// Embeds a batch of texts; each gives the same vector as alone. Texts beyond the encoder's length are
    /// cut.
    ///
    /// # Errors
    /// Device failures.
    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError>;
}
