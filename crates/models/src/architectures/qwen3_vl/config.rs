//! `config.json` of Qwen3-VL checkpoints.

use reasonedit_nn::blocks::decoder::{Axes, TextConfig, Variant, require, require_sizes};
use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Result;
use crate::qwen_vision::config::QwenVisionConfig;

/// What is read of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct Qwen3VlConfig {
    /// The language model.
    pub(super) text: TextConfig,
    /// What kind of decoder it is.
    pub(super) variant: Variant,
    /// The vision tower.
    pub(super) vision: QwenVisionConfig,
    /// Its learned positions, and the features it hands on early.
    pub(super) deepstack: DeepStackConfig,
}

/// What this vision tower has beside those of its kin.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DeepStackConfig {
    /// Learned positions: a square grid.
    pub(super) num_position_embeddings: usize,
    /// Blocks after which features are taken for DeepStack.
    pub(super) deepstack_visual_indexes: Vec<usize>,
}

impl Qwen3VlConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let text = TextConfig::parse(&json["text_config"], "text_config", &[])?;
        let defaults = [("hidden_act", json!("gelu_pytorch_tanh"))];
        let vision = QwenVisionConfig::parse(json, &defaults, &text, "text_config.hidden_size")?;
        let deepstack: DeepStackConfig =
            settings::read("config.json", "vision_config", &json["vision_config"])?;
        deepstack.check(&vision, &text)?;
        let theta = text.theta(None)?;
        let variant = Variant {
            axes: Axes::Interleaved(text.mrope_section([24, 20, 20])?),
            theta,
            qkv_bias: text.attention_bias,
            output_bias: text.attention_bias,
            head_norms: true,
            tied: json["tie_word_embeddings"].as_bool().unwrap_or(false) || text.tie_word_embeddings,
        };
        Ok(Self { text, variant, vision, deepstack })
    }
}

impl DeepStackConfig {
    fn check(&self, vision: &QwenVisionConfig, text: &TextConfig) -> Result<()> {
        require_sizes(&[self.num_position_embeddings])?;
        let side = self.num_position_embeddings.isqrt();
        require(side * side == self.num_position_embeddings, "num_position_embeddings must be a square")?;
        Ok(require(
            self.deepstack_visual_indexes.iter().all(|i| *i < vision.depth)
                && self.deepstack_visual_indexes.len() <= text.num_hidden_layers,
            "deepstack_visual_indexes name blocks that do not exist, or more than there are decoder layers",
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let minimal = json!({
            "text_config": {
                "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
                "vocab_size": 30, "max_position_embeddings": 64, "rope_theta": 1e4,
                "rope_scaling": {"mrope_section": [2, 1, 1], "rope_type": "default"},
            },
            "vision_config": {
                "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4,
                "out_hidden_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
            },
        });
        Qwen3VlConfig::parse(&minimal).unwrap();
        for (pointer, value, word) in [
            ("/vision_config/out_hidden_size", json!(32), "out_hidden_size"),
            ("/vision_config/num_position_embeddings", json!(15), "square"),
            ("/vision_config/deepstack_visual_indexes", json!([7]), "deepstack"),
            ("/vision_config/depth", json!("many"), "vision_config"),
            ("/vision_config/num_heads", json!(0), "size"),
            ("/text_config/rope_scaling/mrope_section", json!([9, 9, 9]), "mrope_section"),
            ("/text_config", json!(null), "text_config"),
        ] {
            let mut config = minimal.clone();
            *config.pointer_mut(pointer).unwrap() = value;
            let error = Qwen3VlConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
    }
}
