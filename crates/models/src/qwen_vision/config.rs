//! `vision_config` as the Qwen models have it.

use reasonedit_nn::blocks::decoder::{RopeConfig, TextConfig, require, require_sizes};
use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;

/// The settings that the vision towers share.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct QwenVisionConfig {
    /// Blocks.
    pub(crate) depth: usize,
    /// Width of the hidden states.
    pub(crate) hidden_size: usize,
    /// Width of the feed-forward.
    pub(crate) intermediate_size: usize,
    /// Attention heads.
    pub(crate) num_heads: usize,
    /// Colour channels.
    #[serde(default = "three")]
    pub(crate) in_channels: usize,
    /// Side of a patch in pixels.
    pub(crate) patch_size: usize,
    /// Patches a side that are merged into one token.
    #[serde(default = "two")]
    pub(crate) spatial_merge_size: usize,
    /// Frames to a patch (a still picture is repeated).
    #[serde(default = "two")]
    pub(crate) temporal_patch_size: usize,
    /// Width of an image token.
    pub(crate) out_hidden_size: usize,
    /// Activation of the feed-forward.
    pub(crate) hidden_act: String,
    /// Rotary settings; the base is 10,000 in all published files.
    rope_parameters: Option<RopeConfig>,
}

fn two() -> usize {
    2
}
fn three() -> usize {
    3
}

impl QwenVisionConfig {
    /// Parses and checks `vision_config` of `config.json`; `defaults` stand where it says nothing. An image
    /// token must be as wide as the language model's states, `text_width` in the words of the file.
    ///
    /// # Errors
    /// [`crate::ModelError::load`] naming the setting at fault.
    pub(crate) fn parse(
        config: &Value,
        defaults: &[(&str, Value)],
        text: &TextConfig,
        text_width: &str,
    ) -> Result<Self> {
        let mut json = config["vision_config"].clone();
        if let Some(settings) = json.as_object_mut() {
            for (name, value) in defaults {
                settings.entry(*name).or_insert_with(|| value.clone());
            }
        }
        let this: Self = settings::read("config.json", "vision_config", &json)?;
        require_sizes(&[
            this.depth,
            this.hidden_size,
            this.intermediate_size,
            this.num_heads,
            this.in_channels,
            this.patch_size,
            this.spatial_merge_size,
            this.temporal_patch_size,
        ])?;
        require(this.in_channels == 3, "pictures have three channels (vision_config.in_channels)")?;
        require(
            this.hidden_size.is_multiple_of(this.num_heads)
                && (this.hidden_size / this.num_heads).is_multiple_of(4),
            "the vision tower's head size must be a multiple of 4",
        )?;
        require(
            this.out_hidden_size == text.hidden_size,
            &format!("vision_config.out_hidden_size must equal {text_width}"),
        )?;
        this.rope_parameters.iter().try_for_each(RopeConfig::check)?;
        Ok(this)
    }

    /// Base of the rotary frequencies.
    pub(crate) fn theta(&self) -> f64 {
        self.rope_parameters.as_ref().and_then(|r| r.rope_theta).unwrap_or(10_000.0)
    }

    /// Shape of a patch: channels, frames, rows, columns.
    pub(crate) fn patch(&self) -> [usize; 4] {
        [self.in_channels, self.temporal_patch_size, self.patch_size, self.patch_size]
    }

    /// Values of a flattened patch.
    pub(crate) fn patch_values(&self) -> usize {
        self.patch().iter().product()
    }
}
