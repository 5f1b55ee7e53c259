//! `config.json` of InstructBLIP checkpoints.

use reasonedit_nn::blocks::vit::EncoderSizes;
use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::vision_config::{Eva, VisionConfig, encoder_sizes};

/// What is read of `config.json`, the language model's part aside.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InstructBlipConfig {
    /// The vision tower.
    #[serde(default)]
    pub(super) vision_config: VisionConfig<Eva>,
    /// The Q-Former.
    #[serde(default)]
    pub(super) qformer_config: QFormerConfig,
    /// Tokens that a picture becomes.
    #[serde(default = "thirty_two")]
    pub(super) num_query_tokens: usize,
    /// Whether the output matrix is the embedding matrix.
    #[serde(default)]
    pub(super) tie_word_embeddings: bool,
}

/// The Q-Former's part; what is absent has the default of transformers' class.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct QFormerConfig {
    /// Size of its own vocabulary.
    pub(super) vocab_size: usize,
    /// Width of the hidden states.
    pub(super) hidden_size: usize,
    /// Layers.
    pub(super) num_hidden_layers: usize,
    /// Attention heads.
    pub(super) num_attention_heads: usize,
    /// Width of the feed-forwards.
    pub(super) intermediate_size: usize,
    /// Activation of the feed-forwards.
    pub(super) hidden_act: String,
    /// Longest instruction in tokens.
    pub(super) max_position_embeddings: usize,
    /// ε of the layer norms.
    pub(super) layer_norm_eps: f64,
    /// Every how many layers the queries look at the picture.
    pub(super) cross_attention_frequency: usize,
}

impl Default for QFormerConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            cross_attention_frequency: 2,
        }
    }
}

fn thirty_two() -> usize {
    32
}

impl InstructBlipConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let fail = |reason: String| ModelError::load("config.json", reason);
        let config: Self = settings::read("config.json", "", json)?;
        let text = json["text_config"]["model_type"].as_str().unwrap_or("opt");
        if text != "llama" {
            return Err(fail(format!(
                "text_config.model_type {text:?} is not supported, llama is (Salesforce/instructblip-vicuna-7b)"
            )));
        }
        if !config.vision_config.qkv_bias {
            return Err(fail("vision_config.qkv_bias = false is not supported".into()));
        }
        let qformer = &config.qformer_config;
        let sizes = [
            qformer.vocab_size,
            qformer.max_position_embeddings,
            qformer.cross_attention_frequency,
            config.num_query_tokens,
        ];
        if !sizes.iter().all(|n| (1..=1 << 24).contains(n)) {
            return Err(fail("qformer_config or num_query_tokens: a size is 0 or beyond reason".into()));
        }
        qformer.sizes()?;
        Ok(config)
    }
}

impl QFormerConfig {
    pub(super) fn sizes(&self) -> Result<EncoderSizes> {
        let sizes = encoder_sizes(
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
            self.layer_norm_eps,
            &self.hidden_act,
        )?;
        sizes.check("qformer_config")?;
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_published_file_leaves_much_out() {
        let config =
            json!({"text_config": {"model_type": "llama"}, "qformer_config": {"vocab_size": 30_523}});
        let config = InstructBlipConfig::parse(&config).unwrap();
        assert_eq!((config.num_query_tokens, config.vision_config.num_hidden_layers), (32, 39));
        assert_eq!((config.qformer_config.vocab_size, config.qformer_config.hidden_size), (30_523, 768));
    }

    #[test]
    fn contradictions_are_named() {
        for (name, value, word) in [
            ("text_config", json!({"model_type": "t5"}), "t5"),
            ("vision_config", json!({"qkv_bias": false}), "qkv_bias"),
            ("qformer_config", json!({"num_attention_heads": 7}), "qformer_config"),
            ("qformer_config", json!({"cross_attention_frequency": 0}), "qformer_config"),
            ("num_query_tokens", json!(0), "num_query_tokens"),
            ("num_query_tokens", json!("many"), "num_query_tokens is"),
        ] {
            let mut config = json!({"text_config": {"model_type": "llama"}});
            config[name] = value;
            let error = InstructBlipConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{name}: {error}");
        }
    }
}
