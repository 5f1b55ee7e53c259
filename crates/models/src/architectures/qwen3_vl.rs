//! Qwen3-VL: vision tower with `DeepStack`, language model with interleaved M-RoPE.
//!
//! Follows transformers' `Qwen3VLForConditionalGeneration`, which the golden checkpoints compare it with.
//! Taps are the outputs of its modules: patch embedding plus learned positions, every vision block, the
//! merger, token embedding with the image tokens in place, every decoder layer (before `DeepStack` features
//! are added).

mod config;
mod positions;
mod vision;

use config::Qwen3VlConfig;
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
    model_type: "qwen3_vl",
    pictures: true,
    language_modules: "model.language_model",
    known: &[
        KnownModel {
            id: "Qwen/Qwen3-VL-4B-Instruct",
            parameters: 4_437_815_808,
            layers: 3_633_315_840,
            head: 388_956_160,
            tied: true,
        },
        KnownModel {
            id: "Qwen/Qwen3-VL-8B-Instruct",
            parameters: 8_767_123_696,
            layers: 6_945_767_424,
            head: 622_329_856,
            tied: false,
        },
    ],
    parameters,
    load,
};

/// The networks, without what surrounds them.
fn networks(config: &Qwen3VlConfig, weights: &Weights) -> Result<(VisionTower, Decoder)> {
    let tower = VisionTower::new(
        &weights.scope("model.visual"),
        &config.vision,
        &config.deepstack,
        weights.dtype(),
        weights.device(),
    )?;
    let root = weights.scope("");
    let tied =
        weights.tied("lm_head.weight", "model.language_model.embed_tokens.weight", config.variant.tied)?;
    let variant = Variant { tied, ..config.variant };
    let decoder = Decoder::new(&root.scope("model.language_model"), &root, &config.text, variant)?;
    // Some files store the tied output matrix a second time.
    weights.finish(|name| name == "lm_head.weight" && tied)?;
    Ok((tower, decoder))
}

fn parameters(config: &Value) -> Result<ParameterList> {
    let weights = Weights::names_only();
    networks(&Qwen3VlConfig::parse(config)?, &weights)?;
    Ok(weights.asked())
}

fn load(parts: &Parts<'_>) -> Result<Box<dyn VisionLanguageModel>> {
    let config = Qwen3VlConfig::parse(parts.config)?;
    let processor = config.vision.processor(&parts.checkpoint.image_processor()?)?;
    let tokenizer = parts.checkpoint.prompt_tokenizer(parts.image_token()?)?;
    let (tower, decoder) = networks(&config, parts.weights)?;
    Ok(Box::new(Composed::new(parts, &ARCHITECTURE, tower, decoder, processor, tokenizer)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use candle_core::{DType, Device};

    use super::*;
    use crate::composed::PictureTower;
    use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence};
    use reasonedit_nn::taps::TapName;

    /// Computed with in half precision everything goes through plain tensor operations, as on a GPU: close,
    /// not equal.
    #[test]
    fn computing_in_half_precision_is_close() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen3_vl-1");
        let json = |file: &str| serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        let config = Qwen3VlConfig::parse(&json("config.json")).unwrap();
        let processor = config.vision.processor(&json("preprocessor_config.json")).unwrap();
        let bytes = std::fs::read(folder.join("images/1.png")).unwrap();
        let image = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
        let pixels = crate::model::ImagePreprocessor::preprocess(&processor, &image.image).unwrap();
        let outputs = |dtype: DType| {
            let weights = Weights::open(&[folder.join("model.safetensors")], dtype, Device::Cpu).unwrap();
            let (tower, decoder) = networks(&config, &weights).unwrap();
            let taps: Vec<TapName> = tower.taps().into_iter().chain(decoder.taps()).map(|t| t.name).collect();
            let features = tower.encode(&[&pixels, &pixels], &taps).unwrap();
            assert_eq!(features[0].tokens.dtype(), dtype);
            let of = |past, logits, keep_cache, pieces| Sequence { past, pieces, logits, keep_cache };
            let pieces = vec![Piece::Tokens(vec![1, 2]), Piece::Image(features[1].clone())];
            let past = decoder.run(&[of(None, LogitsAt::None, true, pieces)], &taps).unwrap().remove(0);
            let rest =
                of(past.cache.map(Arc::new), LogitsAt::From(1), false, vec![Piece::Tokens(vec![3, 4, 5])]);
            let other = of(None, LogitsAt::Last, false, vec![Piece::Tokens(vec![9])]);
            let out = decoder.run(&[rest, other], &[]).unwrap();
            let merger = &features[0].taps.values().last().unwrap().mean;
            let last = &past.taps.values().last().unwrap().last;
            [&out[0].logits, &out[1].logits, merger, last].map(Clone::clone).concat()
        };
        let want = outputs(DType::F32);
        let scale = want.iter().fold(0f32, |a, b| a.max(b.abs()));
        for (dtype, tolerance) in [(DType::BF16, 0.05), (DType::F16, 0.01)] {
            let got = outputs(dtype);
            let worst = got.iter().zip(&want).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
            assert!(worst > 0.0 && worst / scale < tolerance, "{dtype:?}: {}", worst / scale);
        }
    }
}
