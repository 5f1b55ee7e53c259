//! `config.json` of SigLIP checkpoints.

use reasonedit_nn::blocks::vit::EncoderSizes;
use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::vision_config::{SiglipTower, VisionConfig, encoder_sizes};

/// What is read of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SiglipConfig {
    /// The text tower.
    #[serde(default)]
    pub(super) text_config: SiglipTextConfig,
    /// The vision tower.
    #[serde(default)]
    pub(super) vision_config: VisionConfig<SiglipTower>,
}

/// The text tower's part; what is absent has the default of transformers' class.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct SiglipTextConfig {
    /// Size of the vocabulary.
    pub(super) vocab_size: usize,
    /// Width of the hidden states.
    pub(super) hidden_size: usize,
    /// Width of the feed-forward.
    pub(super) intermediate_size: usize,
    /// Blocks.
    pub(super) num_hidden_layers: usize,
    /// Attention heads.
    pub(super) num_attention_heads: usize,
    /// Tokens that every text is filled up or cut to.
    pub(super) max_position_embeddings: usize,
    /// Activation of the feed-forward.
    pub(super) hidden_act: String,
    /// ε of the layer norms.
    pub(super) layer_norm_eps: f64,
    /// What a text is filled up with.
    pub(super) pad_token_id: u32,
    /// Width of an embedding; `hidden_size` when absent.
    pub(super) projection_size: Option<usize>,
}

impl Default for SiglipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: "gelu_pytorch_tanh".into(),
            layer_norm_eps: 1e-6,
            pad_token_id: 1,
            projection_size: None,
        }
    }
}

impl SiglipConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let fail = |reason: &str| ModelError::load("config.json", reason);
        if json["model_type"] != "siglip" {
            return Err(ModelError::load(
                "config.json",
                format!("model_type {} is not siglip", json["model_type"]),
            ));
        }
        let config: Self = settings::read("config.json", "", json)?;
        let (text, vision) = (&config.text_config, &config.vision_config);
        if !vision.vision_use_head {
            return Err(fail("vision_use_head = false: such a tower has no embedding"));
        }
        if text.projection() != vision.hidden_size {
            return Err(fail("text_config.projection_size must equal vision_config.hidden_size"));
        }
        if ![text.vocab_size, text.max_position_embeddings].iter().all(|n| (1..=1 << 24).contains(n))
            || text.pad_token_id as usize >= text.vocab_size
        {
            return Err(fail("text_config: vocab_size, max_position_embeddings or pad_token_id is unusable"));
        }
        Ok(config)
    }
}

impl SiglipTextConfig {
    /// Width of an embedding.
    pub(super) fn projection(&self) -> usize {
        self.projection_size.unwrap_or(self.hidden_size)
    }

    pub(super) fn sizes(&self) -> Result<EncoderSizes> {
        let sizes = encoder_sizes(
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
            self.layer_norm_eps,
            &self.hidden_act,
        )?;
        sizes.check("text_config")?;
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn contradictions_are_named() {
        for (pointer, value, word) in [
            ("/model_type", json!("clip"), "clip"),
            ("/vision_config/vision_use_head", json!(false), "vision_use_head"),
            ("/text_config/projection_size", json!(12), "projection_size"),
            ("/text_config/pad_token_id", json!(50), "pad_token_id"),
            ("/text_config/vocab_size", json!("many"), "text_config.vocab_size is"),
        ] {
            let mut config = json!({
                "model_type": "siglip", "vision_config": {"hidden_size": 24, "vision_use_head": true},
                "text_config": {"hidden_size": 24, "vocab_size": 40, "pad_token_id": 1, "projection_size": 24},
            });
            SiglipConfig::parse(&config).unwrap();
            *config.pointer_mut(pointer).unwrap() = value;
            let error = SiglipConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
    }
}
