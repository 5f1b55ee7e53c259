//! `config.json` of Qwen2.5-VL checkpoints.

use serde::Deserialize;
use serde_json::{Value, json};

use reasonedit_nn::blocks::decoder::{Axes, RopeConfig, TextConfig, Variant, require, require_sizes};
use reasonedit_nn::error::Result;
use reasonedit_nn::settings;

/// What is read of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct Qwen25VlConfig {
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
    /// Width of the gated feed-forward.
    #[serde(default = "default_inner")]
    pub(super) intermediate_size: usize,
    /// Attention heads.
    #[serde(default = "sixteen")]
    pub(super) num_heads: usize,
    /// Side of a patch in pixels.
    #[serde(default = "fourteen")]
    pub(super) patch_size: usize,
    /// Patches a side that are merged into one token.
    #[serde(default = "two")]
    pub(super) spatial_merge_size: usize,
    /// Frames to a patch (a still picture is repeated).
    #[serde(default = "two")]
    pub(super) temporal_patch_size: usize,
    /// Width of an image token.
    pub(super) out_hidden_size: usize,
    /// Side of an attention window in pixels.
    #[serde(default = "default_window")]
    pub(super) window_size: usize,
    /// Blocks that attend to the whole picture.
    #[serde(default = "default_full")]
    pub(super) fullatt_block_indexes: Vec<usize>,
    /// Activation of the feed-forward.
    #[serde(default = "default_activation")]
    pub(super) hidden_act: String,
    /// Rotary settings; the base is 10,000 in all published files.
    rope_parameters: Option<RopeConfig>,
}

fn default_inner() -> usize {
    3420
}
fn sixteen() -> usize {
    16
}
fn fourteen() -> usize {
    14
}
fn two() -> usize {
    2
}
fn default_window() -> usize {
    112
}
fn default_full() -> Vec<usize> {
    vec![7, 15, 23, 31]
}
fn default_activation() -> String {
    "silu".into()
}

impl Qwen25VlConfig {
    /// Parses and checks `config.json`. The published files have the language model's settings at the top,
    /// newer ones in `text_config`.
    ///
    /// # Errors
    /// [`ModelError::Load`] naming the setting at fault.
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
        let vision: VisionConfig = settings::read("config.json", "vision_config", &json["vision_config"])?;
        vision.check(&text)?;
        let theta = text.theta(None)?;
        let variant = Variant {
            axes: Axes::Sections(text.mrope_section([16, 24, 24])?),
            theta,
            qkv_bias: true,
            output_bias: false,
            head_norms: false,
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
        3 * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Side of an attention window in image tokens.
    pub(super) fn window(&self) -> usize {
        self.window_size / self.spatial_merge_size / self.patch_size
    }

    fn check(&self, text: &TextConfig) -> Result<()> {
        require_sizes(&[
            self.depth,
            self.hidden_size,
            self.intermediate_size,
            self.num_heads,
            self.patch_size,
            self.spatial_merge_size,
            self.temporal_patch_size,
            self.window_size,
        ])?;
        require(
            self.hidden_size.is_multiple_of(self.num_heads)
                && (self.hidden_size / self.num_heads).is_multiple_of(4),
            "the vision tower's head size must be a multiple of 4",
        )?;
        require(
            self.out_hidden_size == text.hidden_size,
            "vision_config.out_hidden_size must equal the language model's hidden_size",
        )?;
        require(self.window() > 0, "vision_config.window_size is less than an image token")?;
        require(
            self.fullatt_block_indexes.iter().all(|i| *i < self.depth),
            "fullatt_block_indexes name blocks that do not exist",
        )?;
        self.rope_parameters.iter().try_for_each(RopeConfig::check)
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
        assert_eq!((config.vision.window(), config.vision.theta()), (2, 1e4));
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
