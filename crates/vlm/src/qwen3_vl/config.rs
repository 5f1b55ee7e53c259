//! `config.json` of Qwen3-VL checkpoints.

use serde::Deserialize;

use crate::{Result, VlmError};

/// What is read of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Qwen3VlConfig {
    /// The language model.
    pub text_config: TextConfig,
    /// The vision tower.
    pub vision_config: VisionConfig,
    /// Placeholder token of a picture.
    pub image_token_id: u32,
    /// Whether the output matrix is the embedding matrix.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

/// The language model's part.
#[derive(Clone, Debug, Deserialize)]
pub struct TextConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the gated feed-forward.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key–value heads; as many as query heads when absent.
    pub num_key_value_heads: Option<usize>,
    /// Size of a head; hidden size over heads when absent.
    pub head_dim: Option<usize>,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// ε of the RMS norms.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// Activation of the feed-forward.
    #[serde(default = "default_text_activation")]
    pub hidden_act: String,
    /// Whether the attention projections have biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// Base of the rotary frequencies, where older files have it.
    pub rope_theta: Option<f64>,
    /// Rotary settings as new files name them.
    pub rope_parameters: Option<RopeConfig>,
    /// Rotary settings as the published files name them.
    pub rope_scaling: Option<RopeConfig>,
    /// Some files tie the embeddings here.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

/// Rotary settings.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RopeConfig {
    /// Rotated pairs that follow the temporal, row and column position.
    pub mrope_section: Option<[usize; 3]>,
    /// Base of the frequencies.
    pub rope_theta: Option<f64>,
    /// Only `default` is known.
    #[serde(alias = "type")]
    pub rope_type: Option<String>,
}

/// The vision tower's part.
#[derive(Clone, Debug, Deserialize)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Colour channels.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Patches a side that are merged into one token.
    #[serde(default = "two")]
    pub spatial_merge_size: usize,
    /// Frames to a patch (a still picture is repeated).
    #[serde(default = "two")]
    pub temporal_patch_size: usize,
    /// Width of an image token.
    pub out_hidden_size: usize,
    /// Learned positions: a square grid.
    pub num_position_embeddings: usize,
    /// Blocks after which features are taken for DeepStack.
    pub deepstack_visual_indexes: Vec<usize>,
    /// Activation of the feed-forward.
    #[serde(default = "default_vision_activation")]
    pub hidden_act: String,
    /// Rotary settings; the base is 10,000 in all published files.
    pub rope_parameters: Option<RopeConfig>,
}

fn default_epsilon() -> f64 {
    1e-6
}
fn default_text_activation() -> String {
    "silu".into()
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
    /// [`VlmError::Load`] naming the setting at fault.
    pub fn parse(json: &serde_json::Value) -> Result<Self> {
        let config: Self = serde_json::from_value(json.clone())
            .map_err(|e| VlmError::load("config.json", format!("not a Qwen3-VL configuration: {e}")))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        let require = |holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(VlmError::load("config.json", reason)) }
        };
        let sizes = [
            text.hidden_size,
            text.intermediate_size,
            text.num_hidden_layers,
            text.num_attention_heads,
            text.kv_heads(),
            text.vocab_size,
            text.max_position_embeddings,
            vision.depth,
            vision.hidden_size,
            vision.intermediate_size,
            vision.num_heads,
            vision.in_channels,
            vision.patch_size,
            vision.spatial_merge_size,
            vision.temporal_patch_size,
            vision.num_position_embeddings,
        ];
        require(sizes.iter().all(|s| (1..=1 << 24).contains(s)), "a size is 0 or beyond reason")?;
        require(
            text.num_attention_heads.is_multiple_of(text.kv_heads()),
            "num_attention_heads must be a multiple of num_key_value_heads",
        )?;
        require(text.head_size().is_multiple_of(2), "head_dim must be even")?;
        require(
            vision.hidden_size.is_multiple_of(vision.num_heads)
                && (vision.hidden_size / vision.num_heads).is_multiple_of(4),
            "the vision tower's head size must be a multiple of 4",
        )?;
        let side = vision.num_position_embeddings.isqrt();
        require(side * side == vision.num_position_embeddings, "num_position_embeddings must be a square")?;
        require(
            vision.out_hidden_size == text.hidden_size,
            "vision_config.out_hidden_size must equal text_config.hidden_size",
        )?;
        require(
            vision.deepstack_visual_indexes.iter().all(|i| *i < vision.depth)
                && vision.deepstack_visual_indexes.len() <= text.num_hidden_layers,
            "deepstack_visual_indexes name blocks that do not exist, or more than there are decoder layers",
        )?;
        require(
            text.mrope_section().iter().sum::<usize>() == text.head_size() / 2,
            "mrope_section must add up to half of head_dim",
        )?;
        for rope in [&text.rope_parameters, &text.rope_scaling, &vision.rope_parameters].into_iter().flatten()
        {
            let kind = rope.rope_type.as_deref().unwrap_or("default");
            require(
                matches!(kind, "default" | "axial" | "mrope"),
                "only the default rotary embedding is known; longer contexts by scaling are not",
            )?;
        }
        Ok(())
    }

    /// Whether the output matrix is the embedding matrix.
    pub fn tied(&self) -> bool {
        self.tie_word_embeddings || self.text_config.tie_word_embeddings
    }
}

impl TextConfig {
    /// Key–value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Size of a head.
    pub fn head_size(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Rotated pairs by axis; 24, 20, 20 when the file doesn't say, as in transformers.
    pub fn mrope_section(&self) -> [usize; 3] {
        [&self.rope_parameters, &self.rope_scaling]
            .into_iter()
            .flatten()
            .find_map(|r| r.mrope_section)
            .unwrap_or([24, 20, 20])
    }

    /// Base of the rotary frequencies; 500,000 when the file doesn't say, as in transformers.
    pub fn theta(&self) -> f64 {
        [&self.rope_parameters, &self.rope_scaling]
            .into_iter()
            .flatten()
            .find_map(|r| r.rope_theta)
            .or(self.rope_theta)
            .unwrap_or(500_000.0)
    }
}

impl VisionConfig {
    /// Base of the rotary frequencies.
    pub fn theta(&self) -> f64 {
        self.rope_parameters.as_ref().and_then(|r| r.rope_theta).unwrap_or(10_000.0)
    }

    /// Values of a flattened patch.
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minimal() -> serde_json::Value {
        json!({
            "image_token_id": 5,
            "text_config": {
                "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
                "vocab_size": 30, "max_position_embeddings": 64, "rope_theta": 1e4,
                "rope_scaling": {"mrope_section": [2, 1, 1], "rope_type": "default"},
            },
            "vision_config": {
                "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4,
                "out_hidden_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
            },
        })
    }

    #[test]
    fn reads_both_spellings_of_rotary_settings() {
        let old = Qwen3VlConfig::parse(&minimal()).unwrap();
        assert_eq!((old.text_config.mrope_section(), old.text_config.theta()), ([2, 1, 1], 1e4));
        let mut new = minimal();
        new["text_config"]["rope_parameters"] =
            json!({"mrope_section": [1, 2, 1], "rope_theta": 5e5, "rope_type": "default"});
        let new = Qwen3VlConfig::parse(&new).unwrap();
        assert_eq!((new.text_config.mrope_section(), new.text_config.theta()), ([1, 2, 1], 5e5));
    }

    #[test]
    fn contradictions_are_named() {
        for (pointer, value, word) in [
            ("/vision_config/out_hidden_size", json!(32), "out_hidden_size"),
            ("/vision_config/num_position_embeddings", json!(15), "square"),
            ("/vision_config/deepstack_visual_indexes", json!([7]), "deepstack"),
            ("/text_config/rope_scaling/mrope_section", json!([9, 9, 9]), "mrope_section"),
            ("/text_config/rope_scaling/rope_type", json!("yarn"), "rotary"),
            ("/text_config/hidden_size", json!(0), "size"),
            ("/text_config/vocab_size", json!("many"), "Qwen3-VL"),
        ] {
            let mut config = minimal();
            *config.pointer_mut(pointer).unwrap() = value;
            let error = Qwen3VlConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
    }
}
