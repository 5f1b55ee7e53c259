//! `config.json` of Qwen2.5-VL checkpoints.

use reasonedit_nn::blocks::decoder::{Axes, TextConfig, Variant, require, require_sizes};
use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Result;
use crate::qwen_vision::config::QwenVisionConfig;

/// What is read of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct Qwen25VlConfig {
    /// The language model.
    pub(super) text: TextConfig,
    /// What kind of decoder it is.
    pub(super) variant: Variant,
    /// The vision tower.
    pub(super) vision: QwenVisionConfig,
    /// Its windows.
    pub(super) windows: WindowConfig,
}

/// Which blocks of the vision tower attend within windows.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct WindowConfig {
    /// Side of an attention window in pixels.
    window_size: usize,
    /// Blocks that attend to the whole picture.
    pub(super) fullatt_block_indexes: Vec<usize>,
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self { window_size: 112, fullatt_block_indexes: vec![7, 15, 23, 31] }
    }
}

impl Qwen25VlConfig {
    /// Parses and checks `config.json`. The published files have the language model's settings at the top,
    /// newer ones in `text_config`.
    ///
    /// # Errors
    /// [`crate::ModelError::load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let (text, place) =
            if json["text_config"].is_object() { (&json["text_config"], "text_config") } else { (json, "") };
        let text = TextConfig::parse(
            text,
            place,
            &[("rms_norm_eps", json!(1e-5)), ("max_position_embeddings", json!(32768))],
        )?;
        require(
            text.head_size() * text.num_attention_heads == text.hidden_size,
            "heads must fill hidden_size",
        )?;
        let defaults = [
            ("intermediate_size", json!(3420)),
            ("num_heads", json!(16)),
            ("patch_size", json!(14)),
            ("hidden_act", json!("silu")),
        ];
        let vision = QwenVisionConfig::parse(json, &defaults, &text, "the language model's hidden_size")?;
        let windows: WindowConfig = settings::read("config.json", "vision_config", &json["vision_config"])?;
        windows.check(&vision)?;
        let theta = text.theta(None)?;
        let variant = Variant {
            axes: Axes::Sections(text.mrope_section([16, 24, 24])?),
            theta,
            qkv_bias: true,
            output_bias: false,
            head_norms: false,
            tied: json["tie_word_embeddings"].as_bool().unwrap_or(false) || text.tie_word_embeddings,
        };
        Ok(Self { text, variant, vision, windows })
    }
}

impl WindowConfig {
    /// Side of an attention window in image tokens.
    pub(super) fn side(&self, vision: &QwenVisionConfig) -> usize {
        self.window_size / vision.spatial_merge_size / vision.patch_size
    }

    fn check(&self, vision: &QwenVisionConfig) -> Result<()> {
        require_sizes(&[self.window_size])?;
        require(self.side(vision) > 0, "vision_config.window_size is less than an image token")?;
        Ok(require(
            self.fullatt_block_indexes.iter().all(|i| *i < vision.depth),
            "fullatt_block_indexes name blocks that do not exist",
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat() -> Value {
        json!({
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": 30, "rope_theta": 1e4, "rope_scaling": {"mrope_section": [2, 1, 1], "type": "mrope"},
            "vision_config": {
                "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4,
                "out_hidden_size": 16, "window_size": 17, "fullatt_block_indexes": [1],
            },
        })
    }

    #[test]
    fn reads_settings_at_the_top_and_in_text_config() {
        let config = Qwen25VlConfig::parse(&flat()).unwrap();
        assert_eq!((config.text.vocab_size, config.variant.axes), (30, Axes::Sections([2, 1, 1])));
        assert_eq!((config.windows.side(&config.vision), config.vision.theta()), (2, 1e4));
        let mut nested = json!({"vision_config": flat()["vision_config"], "vocab_size": 99});
        nested["text_config"] = flat();
        assert_eq!(Qwen25VlConfig::parse(&nested).unwrap().text.vocab_size, 30);
    }

    #[test]
    fn contradictions_are_named() {
        for (pointer, value, word) in [
            ("/vision_config/out_hidden_size", json!(32), "out_hidden_size"),
            ("/vision_config/window_size", json!(7), "window_size"),
            ("/vision_config/fullatt_block_indexes", json!([2]), "fullatt_block_indexes"),
            ("/vision_config/num_heads", json!(3), "head size"),
            ("/rope_scaling/mrope_section", json!([1, 1, 1]), "mrope_section"),
            ("/vision_config", json!(null), "vision_config"),
        ] {
            let mut config = flat();
            *config.pointer_mut(pointer).unwrap() = value;
            let error = Qwen25VlConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
    }
}
