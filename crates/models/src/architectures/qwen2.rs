//! Qwen2, text only: the architecture of the Qwen2.5 language models.
//!
//! Follows transformers' `Qwen2ForCausalLM`, which the golden checkpoints compare it with. It serves through
//! the same trait as models that see, and refuses pictures.

use std::sync::Arc;

use reasonedit_imaging::RgbImage;
use reasonedit_nn::blocks::decoder::differentiable::{Cut, DifferentiableSuffix, HiddenStates};
use reasonedit_nn::blocks::decoder::{Axes, Decoder, TextConfig, Variant};
use reasonedit_nn::layer_suffix::LayerSuffix;
use reasonedit_nn::sequence::{ImageFeatures, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::TapName;
use reasonedit_nn::weights::Weights;
use serde_json::{Value, json};

use crate::architecture::{Architecture, KnownModel, ParameterList, Parts};
use crate::error::{ModelError, Result};
use crate::model::{ImagePreprocessor, ModelInfo, VisionLanguageModel};
use reasonedit_prompt::PromptTokenizer;

/// See [`Architecture`].
pub(crate) const ARCHITECTURE: Architecture = Architecture {
    model_type: "qwen2",
    pictures: false,
    language_modules: "model",
    known: &[
        KnownModel {
            id: "Qwen/Qwen2.5-0.5B-Instruct",
            parameters: 494_032_768,
            layers: 357_826_560,
            head: 136_134_656,
            tied: true,
        },
        KnownModel {
            id: "Qwen/Qwen2.5-1.5B-Instruct",
            parameters: 1_543_714_304,
            layers: 1_310_195_712,
            head: 233_373_696,
            tied: true,
        },
        KnownModel {
            id: "Qwen/Qwen2.5-7B-Instruct",
            parameters: 7_615_616_512,
            layers: 6_525_288_448,
            head: 544_997_376,
            tied: false,
        },
    ],
    parameters,
    load,
};

/// A language model.
#[derive(Debug)]
struct TextModel {
    info: ModelInfo,
    decoder: Decoder,
    tokenizer: Arc<PromptTokenizer>,
}

fn decoder(json: &Value, weights: &Weights) -> Result<Decoder> {
    let config = TextConfig::parse(json, "", &[("max_position_embeddings", json!(32768))])?;
    let variant = Variant {
        axes: Axes::Plain,
        theta: config.theta(None)?,
        qkv_bias: true,
        output_bias: false,
        head_norms: false,
        tied: weights.tied("lm_head.weight", "model.embed_tokens.weight", config.tie_word_embeddings)?,
    };
    let root = weights.scope("");
    let decoder = Decoder::new(&root.scope("model"), &root, &config, variant)?;
    // Some files store the tied output matrix a second time.
    weights.finish(|name| name == "lm_head.weight" && variant.tied)?;
    Ok(decoder)
}

fn parameters(config: &Value) -> Result<ParameterList> {
    let weights = Weights::names_only();
    decoder(config, &weights)?;
    Ok(weights.asked())
}

fn load(parts: &Parts<'_>) -> Result<Box<dyn VisionLanguageModel>> {
    let tokenizer = parts.checkpoint.text_tokenizer()?;
    let decoder = decoder(parts.config, parts.weights)?;
    let (limit, vocabulary) = (decoder.max_positions(), decoder.vocabulary());
    let info = parts.info(&ARCHITECTURE, decoder.taps().collect(), limit, vocabulary)?;
    Ok(Box::new(TextModel { info, decoder, tokenizer: Arc::new(tokenizer) }))
}

/// Refuses pictures.
#[derive(Clone, Copy, Debug)]
struct NoPictures;

fn refusal() -> ModelError {
    ModelError::unsupported("this model reads text only; it can't look at pictures")
}

impl ImagePreprocessor for NoPictures {
    fn image_tokens(&self, _: u32, _: u32) -> Result<usize> {
        Err(refusal())
    }

    fn preprocess(&self, _: &RgbImage) -> Result<PixelInput> {
        Err(refusal())
    }
}

impl VisionLanguageModel for TextModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor> {
        Arc::new(NoPictures)
    }

    fn tokenizer(&self) -> Arc<PromptTokenizer> {
        self.tokenizer.clone()
    }

    fn encode_images(&self, images: &[&PixelInput], _: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        if images.is_empty() { Ok(Vec::new()) } else { Err(refusal()) }
    }

    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        Ok(self.decoder.run(batch, taps)?)
    }

    fn hidden_states(&self, batch: &[Sequence], cut: Cut) -> Result<Vec<HiddenStates>> {
        Ok(self.decoder.hidden_states(batch, cut)?)
    }

    fn differentiable(&self, cut: Cut) -> Result<DifferentiableSuffix> {
        Ok(self.decoder.differentiable(cut)?)
    }

    fn forward_from_layer(&self, layer: usize, sequence: &Sequence) -> Result<Box<dyn LayerSuffix + '_>> {
        Ok(Box::new(self.decoder.forward_from_layer(layer, sequence)?))
    }
}
