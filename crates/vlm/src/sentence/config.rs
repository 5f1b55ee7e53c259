//! Configuration of sentence encoders: the network's `config.json` and the files of a sentence-transformers folder.

use serde::Deserialize;

use crate::load::checkpoint::Checkpoint;
use crate::{Result, VlmError};

/// Networks that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Relative attention bias, positions counted from the padding index.
    Mpnet,
    /// Token types, positions counted from 0.
    Bert,
}

/// What is read of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NetworkConfig {
    pub(super) model_type: String,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) hidden_act: String,
    pub(super) max_position_embeddings: usize,
    pub(super) layer_norm_eps: f64,
    #[serde(default = "default_buckets")]
    pub(super) relative_attention_num_buckets: usize,
    #[serde(default = "default_types")]
    pub(super) type_vocab_size: usize,
    #[serde(default = "default_positions")]
    pub(super) position_embedding_type: String,
}

fn default_buckets() -> usize {
    32
}
fn default_types() -> usize {
    2
}
fn default_positions() -> String {
    "absolute".into()
}

impl NetworkConfig {
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<(Self, Family)> {
        let json = checkpoint.required_json("config.json")?;
        let family = match json["model_type"].as_str().unwrap_or_default() {
            "mpnet" => Family::Mpnet,
            "bert" => Family::Bert,
            other => {
                return Err(VlmError::load(
                    "config.json",
                    format!(
                        "model_type {other:?} is not supported; supported sentence encoders: mpnet, bert"
                    ),
                ));
            }
        };
        let config: Self = serde_json::from_value(json)
            .map_err(|e| VlmError::load("config.json", format!("not a sentence encoder's: {e}")))?;
        let sizes = [
            config.vocab_size,
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.max_position_embeddings,
            config.relative_attention_num_buckets,
            config.type_vocab_size,
        ];
        let good = sizes.iter().all(|s| (1..=1 << 24).contains(s))
            && config.hidden_size.is_multiple_of(config.num_attention_heads)
            && config.max_position_embeddings > 2
            && config.relative_attention_num_buckets >= 32;
        if !good || config.position_embedding_type != "absolute" {
            return Err(VlmError::load(
                "config.json",
                format!(
                    "sizes of this {} that make no sense, or positions that are not absolute",
                    config.model_type
                ),
            ));
        }
        Ok((config, family))
    }

    /// Greatest number of tokens that there are positions for.
    pub(super) fn max_tokens(&self, family: Family) -> usize {
        match family {
            // Positions 0 and 1 are the padding index and what lies before it.
            Family::Mpnet => self.max_position_embeddings - 2,
            Family::Bert => self.max_position_embeddings,
        }
    }
}

/// What the files around the network say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) max_tokens: usize,
    pub(super) lower_case: bool,
}

impl Surroundings {
    /// Checks that the pipeline is network, then mean pooling; a normalisation at its end is left out on purpose,
    /// since lengths count in Euclidean distances.
    pub(super) fn read(checkpoint: &Checkpoint, limit: usize) -> Result<Self> {
        let modules = checkpoint.json("modules.json")?.unwrap_or_default();
        let mut pooling = "1_Pooling".to_owned();
        for module in modules.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => module["path"].as_str().unwrap_or_default().clone_into(&mut pooling),
                other => {
                    return Err(VlmError::load("modules.json", format!("module {other:?} is not supported")));
                }
            }
        }
        let plain = pooling.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !plain {
            return Err(VlmError::load("modules.json", "the path of the pooling is not a plain name"));
        }
        if let Some(config) = checkpoint.json(&format!("{pooling}/config.json"))? {
            let on = |name: &str| config[name].as_bool() == Some(true);
            let others =
                ["pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"];
            let named_mean = config["pooling_mode"].as_str().is_some_and(|mode| mode == "mean");
            if !(on("pooling_mode_mean_tokens") || named_mean) || others.into_iter().any(on) {
                return Err(VlmError::load("1_Pooling/config.json", "only mean pooling is supported"));
            }
        }
        let settings = checkpoint.json("sentence_bert_config.json")?.unwrap_or_default();
        let max = settings["max_seq_length"].as_u64().map_or(limit, |n| (n as usize).clamp(2, limit));
        Ok(Self { max_tokens: max, lower_case: settings["do_lower_case"].as_bool().unwrap_or(false) })
    }
}
