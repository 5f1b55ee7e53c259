//! Qwen3-VL: vision tower with `DeepStack`, language model with interleaved M-RoPE.
//!
//! Follows transformers' `Qwen3VLForConditionalGeneration`, which the golden checkpoints compare it with. Taps
//! are the outputs of its modules: patch embedding plus learned positions, every vision block, the merger, token
//! embedding with the image tokens in place, every decoder layer (before `DeepStack` features are added).

pub mod config;
mod language;
pub mod preprocess;
mod rope;
mod vision;

use std::sync::Arc;

use serde_json::Value;

use crate::load::weights::Weights;
use crate::model::{
    ImageFeatures, ImagePreprocessor, ModelInfo, PixelInput, Sequence, SequenceOutput, TapInfo, TapName,
    TapStage, UpperLayers, VisionLanguageModel,
};
use crate::prompt::PromptTokenizer;
use crate::{Result, VlmError};
use config::Qwen3VlConfig;
use language::LanguageModel;
use preprocess::Qwen2VlProcessor;
use vision::VisionTower;

/// A loaded Qwen3-VL.
#[derive(Debug)]
pub struct Qwen3Vl {
    info: ModelInfo,
    vision: VisionTower,
    language: LanguageModel,
    preprocessor: Arc<Qwen2VlProcessor>,
    tokenizer: Arc<PromptTokenizer>,
}

/// The networks, without what surrounds them.
fn networks(config: &Qwen3VlConfig, weights: &Weights) -> Result<(VisionTower, LanguageModel)> {
    let vision = VisionTower::new(
        &weights.scope("model.visual"),
        &config.vision_config,
        weights.dtype(),
        weights.device(),
    )?;
    let language = LanguageModel::new(&weights.scope(""), config)?;
    // Some files store the tied output matrix a second time.
    weights.finish(|name| name == "lm_head.weight" && config.tied())?;
    Ok((vision, language))
}

/// Names and shapes of the parameters that a checkpoint with this `config.json` must have.
///
/// # Errors
/// [`VlmError::Load`] for a configuration that makes no sense.
pub fn parameters(config: &Value) -> Result<Vec<(String, Vec<usize>)>> {
    let weights = Weights::names_only();
    networks(&Qwen3VlConfig::parse(config)?, &weights)?;
    Ok(weights.asked())
}

impl Qwen3Vl {
    /// Builds the model from its parts; `name` and `fingerprint` go into [`ModelInfo`].
    pub(crate) fn new(
        config: &Value,
        preprocessor: &Value,
        weights: &Weights,
        tokenizer: Arc<PromptTokenizer>,
        name: String,
        fingerprint: String,
    ) -> Result<Self> {
        let config = Qwen3VlConfig::parse(config)?;
        let preprocessor = Qwen2VlProcessor::parse(preprocessor)?;
        let vision_config = &config.vision_config;
        if (preprocessor.patch_size, preprocessor.merge_size, preprocessor.temporal_patch_size)
            != (vision_config.patch_size, vision_config.spatial_merge_size, vision_config.temporal_patch_size)
            || vision_config.in_channels != 3
        {
            return Err(VlmError::load(
                "preprocessor_config.json",
                "its patch_size, merge_size and temporal_patch_size are not those of config.json",
            ));
        }
        let (vision, language) = networks(&config, weights)?;
        let stages = |name: &str| match name {
            "merger" => TapStage::Bridge,
            name if name.starts_with("vision.") => TapStage::Vision,
            _ => TapStage::Language,
        };
        let taps = vision
            .taps()
            .into_iter()
            .chain(language.taps())
            .map(|(name, width)| TapInfo { stage: stages(&name), name: TapName(name), width })
            .collect();
        Ok(Self {
            info: ModelInfo {
                architecture: "qwen3_vl".into(),
                name,
                fingerprint,
                parameters: weights.parameters(),
                dtype: crate::load::dtype_name(weights.dtype()).into(),
                device: crate::load::device_name(weights.device()),
                taps,
                max_positions: config.text_config.max_position_embeddings,
                vocabulary: config.text_config.vocab_size,
            },
            vision,
            language,
            preprocessor: Arc::new(preprocessor),
            tokenizer,
        })
    }
}

impl VisionLanguageModel for Qwen3Vl {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor> {
        self.preprocessor.clone()
    }

    fn tokenizer(&self) -> Arc<PromptTokenizer> {
        self.tokenizer.clone()
    }

    fn encode_images(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        self.vision.forward(images, taps)
    }

    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        self.language.run(batch, taps)
    }

    fn above(&self, layer: usize, sequence: &Sequence) -> Result<Box<dyn UpperLayers + '_>> {
        Ok(Box::new(self.language.above(layer, sequence)?))
    }
}
