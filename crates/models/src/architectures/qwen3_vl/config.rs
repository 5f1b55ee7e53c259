//! `config.json` of Qwen3-VL checkpoints.

use serde::Deserialize;
use serde_json::Value;

use reasonedit_nn::blocks::decoder::{Axes, RopeConfig, TextConfig, Variant, require, require_sizes};
use reasonedit_nn::error::Result;
use reasonedit_nn::settings;

/// What is read of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct Qwen3VlConfig {
    /// The language model.
    pub(super) text: TextConfig,
    /// What kind of decoder it is.
    pub(super) variant: Variant,
    /// The vision tower.
    pub(super) vision: VisionConfig,
}

/// The vision tower's part.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VisionConfig {
    /// Blocks.
    pub(super) depth: usize,
    /// Width of the hidden states.
    pub(super) hidden_size: usize,
    /// Width of the feed-forward.
    pub(super) intermediate_size: usize,
    /// Attention heads.
    pub(super) num_heads: usize,
    /// Colour channels.
    #[serde(default = "three")]
    pub(super) in_channels: usize,
    /// Side of a patch in pixels.
    pub(super) patch_size: usize,
    /// Patches a side that are merged into one token.
    #[serde(default = "two")]
    pub(super) spatial_merge_size: usize,
    /// Frames to a patch (a still picture is repeated).
    #[serde(default = "two")]
    pub(super) temporal_patch_size: usize,
    /// Width of an image token.
    pub(super) out_hidden_size: usize,
    /// Learned positions: a square grid.
    pub(super) num_position_embeddings: usize,
    /// Blocks after which features are taken for DeepStack.
    pub(super) deepstack_visual_indexes: Vec<usize>,
    /// Activation of the feed-forward.
    #[serde(default = "default_vision_activation")]
    pub(super) hidden_act: String,
    /// Rotary settings; the base is 10,000 in all published files.
    pub(super) rope_parameters: Option<RopeConfig>,
}

fn default_vision_activation() -> String {
    "gelu_pytorch_tanh".into()
}
fn two() -> usize {
    2
}
fn three() -> usize {
    3
}

impl Qwen3VlConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let text = TextConfig::parse(&json["text_config"], "text_config", &[])?;
        let vision: VisionConfig = settings::read("config.json", "vision_config", &json["vision_config"])?;
        vision.check(&text)?;
        let theta = text.theta(None)?;
        let variant = Variant {
            axes: Axes::Interleaved(text.mrope_section([24, 20, 20])?),
            theta,
            qkv_bias: text.attention_bias,
            output_bias: text.attention_bias,
            head_norms: true,
            tied: json["tie_word_embeddings"].as_bool().unwrap_or(false) || text.tie_word_embeddings,
        };
        Ok(Self { text, variant, vision })
    }
}

impl VisionConfig {
    /// Base of the rotary frequencies.
    pub(super) fn theta(&self) -> f64 {
        self.rope_parameters.as_ref().and_then(|r| r.rope_theta).unwrap_or(10_000.0)
    }

    /// Values of a flattened patch.
    pub(super) fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    fn check(&self, text: &TextConfig) -> Result<()> {
        require_sizes(&[
            self.depth,
            self.hidden_size,
            self.intermediate_size,
            self.num_heads,
            self.in_channels,
            self.patch_size,
            self.spatial_merge_size,
            self.temporal_patch_size,
            self.num_position_embeddings,
        ])?;
        require(self.in_channels == 3, "pictures have three channels (vision_config.in_channels)")?;
        require(
            self.hidden_size.is_multiple_of(self.num_heads)
                && (self.hidden_size / self.num_heads).is_multiple_of(4),
            "the vision tower's head size must be a multiple of 4",
        )?;
        let side = self.num_position_embeddings.isqrt();
        require(side * side == self.num_position_embeddings, "num_position_embeddings must be a square")?;
        require(
            self.out_hidden_size == text.hidden_size,
            "vision_config.out_hidden_size must equal text_config.hidden_size",
        )?;
        require(
            self.deepstack_visual_indexes.iter().all(|i| *i < self.depth)
                && self.deepstack_visual_indexes.len() <= text.num_hidden_layers,
            "deepstack_visual_indexes name blocks that do not exist, or more than there are decoder layers",
        )?;
        self.rope_parameters.iter().try_for_each(RopeConfig::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
