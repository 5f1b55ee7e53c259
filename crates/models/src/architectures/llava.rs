//! LLaVA-1.5: a CLIP vision tower, a projector of two layers, a Llama (Vicuna) language model.
//!
//! Follows transformers' `LlavaForConditionalGeneration`, which the golden checkpoints compare it with. Taps
//! are the outputs of its modules: what enters the vision tower's first block, every vision block (class
//! token included, also blocks behind the one whose output becomes image tokens), the projector, token
//! embedding with the image tokens in place, every decoder layer.

mod config;
mod tower;

use config::LlavaConfig;
use reasonedit_nn::blocks::decoder::{Axes, Decoder, TextConfig, Variant};
use reasonedit_nn::weights::Weights;
use serde_json::Value;
use tower::LlavaTower;

use crate::architecture::{Architecture, KnownModel, Parts};
use crate::composed::Composed;
use crate::error::Result;
use crate::fixed_size::FixedSizeProcessor;
use crate::llama::{LLAMA_THETA, first_prefix, text_config, under};
use crate::model::VisionLanguageModel;

/// See [`Architecture`].
pub(crate) const ARCHITECTURE: Architecture = Architecture {
    model_type: "llava",
    pictures: true,
    language_modules: "model.language_model",
    known: &[KnownModel {
        id: "llava-hf/llava-1.5-7b-hf",
        parameters: 7_063_427_072,
        layers: 6_476_005_376,
        head: 131_334_144,
        tied: false,
    }],
    parameters,
    load,
};

/// The networks, without what surrounds them.
fn networks(config: &LlavaConfig, text: &TextConfig, weights: &Weights) -> Result<(LlavaTower, Decoder)> {
    // The published files have the first of these names, later releases of transformers write the second.
    let model =
        first_prefix(weights, &["language_model.model", "model.language_model"], "embed_tokens.weight");
    let head = first_prefix(weights, &["language_model", ""], "lm_head.weight");
    let tied = weights.tied(
        &under(head, "lm_head.weight"),
        &under(model, "embed_tokens.weight"),
        config.tie_word_embeddings || text.tie_word_embeddings,
    )?;
    let tower = LlavaTower::new(weights, config, text.hidden_size)?;
    let variant = Variant {
        axes: Axes::Plain,
        theta: text.theta(Some(LLAMA_THETA))?,
        qkv_bias: text.attention_bias,
        output_bias: text.attention_bias,
        head_norms: false,
        tied,
    };
    let decoder = Decoder::new(&weights.scope(model), &weights.scope(head), text, variant)?;
    weights.finish(|name| {
        // Position numbers that older releases stored, and the second copy of a tied output matrix.
        name.ends_with("embeddings.position_ids") || (tied && name.ends_with("lm_head.weight"))
    })?;
    Ok((tower, decoder))
}

fn parameters(config: &Value) -> Result<Vec<(String, Vec<usize>)>> {
    let weights = Weights::names_only();
    networks(&LlavaConfig::parse(config)?, &text_config(config)?, &weights)?;
    Ok(weights.asked())
}

fn load(parts: &Parts<'_>) -> Result<Box<dyn VisionLanguageModel>> {
    let text = text_config(parts.config)?;
    let config = LlavaConfig::parse(parts.config)?;
    let vision = &config.vision_config;
    let processor = FixedSizeProcessor::parse(
        &parts.checkpoint.image_processor()?,
        vision.image_size,
        vision.patch_size,
    )?;
    let tokenizer = parts.checkpoint.prompt_tokenizer(parts.image_token()?)?;
    let (tower, decoder) = networks(&config, &text, parts.weights)?;
    let processor = processor.making(tower.token_count());
    Ok(Box::new(Composed::new(parts, &ARCHITECTURE, tower, decoder, processor, tokenizer)?))
}
