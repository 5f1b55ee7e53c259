//! Qwen2.5-VL: vision tower with attention in windows, language model with M-RoPE whose axes lie side by
//! side.
//!
//! Follows transformers' `Qwen2_5_VLForConditionalGeneration`, which the golden checkpoints compare it with.
//! Taps are the outputs of its modules: patch embedding, every vision block (rows in the order of windows:
//! the last row is the picture's lower right corner in either order), the merger, token embedding with the
//! image tokens in place, every decoder layer.

mod config;
mod vision;
mod windows;

use config::Qwen25VlConfig;
use reasonedit_nn::blocks::decoder::{Decoder, Variant};
use reasonedit_nn::weights::Weights;
use serde_json::Value;
use vision::VisionTower;

use crate::architecture::{Architecture, KnownModel, ParameterList, Parts};
use crate::composed::Composed;
use crate::error::Result;
use crate::model::VisionLanguageModel;

/// See [`Architecture`].
pub(crate) const ARCHITECTURE: Architecture = Architecture {
    model_type: "qwen2_5_vl",
    pictures: true,
    language_modules: "model.language_model",
    known: &[
        KnownModel {
            id: "Qwen/Qwen2.5-VL-3B-Instruct",
            parameters: 3_754_622_976,
            layers: 2_774_532_096,
            head: 311_164_928,
            tied: true,
        },
        KnownModel {
            id: "Qwen/Qwen2.5-VL-7B-Instruct",
            parameters: 8_292_166_656,
            layers: 6_525_288_448,
            head: 544_997_376,
            tied: false,
        },
    ],
    parameters,
    load,
};

/// The networks, without what surrounds them. The published files have the names of the first release,
/// transformers writes others since.
fn networks(config: &Qwen25VlConfig, weights: &Weights) -> Result<(VisionTower, Decoder)> {
    let published = weights.has("visual.patch_embed.proj.weight");
    let (visual, language) =
        if published { ("visual", "model") } else { ("model.visual", "model.language_model") };
    let tower = VisionTower::new(
        &weights.scope(visual),
        &config.vision,
        &config.windows,
        weights.dtype(),
        weights.device(),
    )?;
    let table = format!("{language}.embed_tokens.weight");
    let tied = weights.tied("lm_head.weight", &table, config.variant.tied)?;
    let variant = Variant { tied, ..config.variant };
    let decoder = Decoder::new(&weights.scope(language), &weights.scope(""), &config.text, variant)?;
    // Some files store the tied output matrix a second time.
    weights.finish(|name| name == "lm_head.weight" && tied)?;
    Ok((tower, decoder))
}

fn parameters(config: &Value) -> Result<ParameterList> {
    let weights = Weights::names_only();
    networks(&Qwen25VlConfig::parse(config)?, &weights)?;
    Ok(weights.asked())
}

fn load(parts: &Parts<'_>) -> Result<Box<dyn VisionLanguageModel>> {
    let config = Qwen25VlConfig::parse(parts.config)?;
    let processor = config.vision.processor(&parts.checkpoint.image_processor()?)?;
    let tokenizer = parts.checkpoint.prompt_tokenizer(parts.image_token()?)?;
    let (tower, decoder) = networks(&config, parts.weights)?;
    Ok(Box::new(Composed::new(parts, &ARCHITECTURE, tower, decoder, processor, tokenizer)?))
}
