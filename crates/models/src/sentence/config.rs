//! Configuration of sentence encoders: the network's `config.json` and the files of a sentence-transformers
//! folder.

use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::load::checkpoint::Checkpoint;

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
                return Err(ModelError::load(
                    "config.json",
                    format!(
                        "model_type {other:?} is not supported; supported sentence encoders: mpnet, bert"
                    ),
                ));
            }
        };
        let config: Self = settings::read("config.json", "", &json)?;
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
            return Err(ModelError::load(
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Tokens that a text is cut to, those around it included.
    pub(super) max_tokens: usize,
    pub(super) lower_case: bool,
    /// Stands in front of every text.
    pub(super) prompt: String,
    /// Whether the prompt's tokens count in the mean.
    pub(super) pools_prompt: bool,
    /// Whether the limit is the tokenizer's, as sentence-transformers saves it since release 6.
    limit_of_tokenizer: bool,
}

/// The one way of pooling that is done.
const MEAN: &str = "mean";

impl Surroundings {
    /// Checks that the pipeline is network, then mean pooling; a normalisation at its end is left out on
    /// purpose, since lengths count in Euclidean distances.
    pub(super) fn read(checkpoint: &Checkpoint, limit: usize) -> Result<Self> {
        let pooling = pooling_folder(&checkpoint.json("modules.json")?.unwrap_or_default())?;
        let file = format!("{pooling}/config.json");
        let pooling = checkpoint.json(&file)?.unwrap_or_default();
        let modes = pooling_modes(&pooling);
        if let Some(other) = modes.iter().find(|mode| *mode != MEAN) {
            let reason = format!("pooling by {other:?} is not done, only by {MEAN:?}");
            return Err(ModelError::load(file, reason));
        }
        let settings = checkpoint.json(NETWORK)?.unwrap_or_default();
        check_network(&settings)?;
        let (prompt, tokenizer) = (
            default_prompt(&checkpoint.json(PIPELINE)?.unwrap_or_default())?,
            checkpoint.json("tokenizer_config.json")?.unwrap_or_default(),
        );
        let own = length(&settings["max_seq_length"]);
        // What a tokenizer says that knows no limit (1e30) is beyond every limit.
        let of_tokenizer = length(&tokenizer["model_max_length"]).filter(|n| own.is_none() && *n < limit);
        Ok(Self {
            max_tokens: own.or(of_tokenizer).unwrap_or(limit).clamp(2, limit.max(2)),
            lower_case: settings["do_lower_case"].as_bool().unwrap_or(false),
            prompt,
            pools_prompt: pooling["include_prompt"].as_bool().unwrap_or(true),
            limit_of_tokenizer: of_tokenizer.is_some(),
        })
    }

    /// A checkpoint's fingerprint, with what the files that it is made of do not tell by themselves. Vectors
    /// of a release that paid no heed to the prompt or the tokenizer's limit are not those of this one.
    pub(super) fn refine(&self, fingerprint: String) -> String {
        if self.prompt.is_empty() && !self.limit_of_tokenizer {
            return fingerprint;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(fingerprint.as_bytes()).update(&(self.max_tokens as u64).to_le_bytes());
        hasher.update(&[u8::from(self.pools_prompt)]).update(self.prompt.as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

/// The network's own settings in a sentence-transformers folder.
const NETWORK: &str = "sentence_bert_config.json";
/// The pipeline's.
const PIPELINE: &str = "config_sentence_transformers.json";

/// Where the pooling's settings lie. Modules are told by the last part of their class: releases move them
/// about.
fn pooling_folder(modules: &Value) -> Result<String> {
    let fail = |reason: String| Err(ModelError::load("modules.json", reason));
    let mut pooling = "1_Pooling".to_owned();
    for module in modules.as_array().into_iter().flatten() {
        let (kind, path) =
            (module["type"].as_str().unwrap_or_default(), module["path"].as_str().unwrap_or_default());
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" if !path.is_empty() && path != "." => {
                return fail(format!(
                    "the network lies in {path:?}; save the folder again with sentence-transformers, which puts it \
                     at the top"
                ));
            }
            // What drops values in training changes none here.
            "Transformer" | "Normalize" | "Dropout" => {}
            "Pooling" => path.clone_into(&mut pooling),
            other => {
                return fail(format!(
                    "module {other:?} is not supported; Transformer, Pooling, Normalize are"
                ));
            }
        }
    }
    let plain = pooling.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !plain || pooling.is_empty() {
        return fail("the path of the pooling is not a plain name".into());
    }
    Ok(pooling)
}

/// The ways of pooling that are switched on: in one list since release 6, a switch each before. None named is
/// the mean.
fn pooling_modes(config: &Value) -> Vec<String> {
    match &config["pooling_mode"] {
        Value::String(mode) => return vec![mode.clone()],
        Value::Array(modes) => {
            return modes.iter().map(|m| m.as_str().map_or_else(|| m.to_string(), str::to_owned)).collect();
        }
        _ => {}
    }
    let switches = config.as_object().into_iter().flatten().filter(|(_, on)| on.as_bool() == Some(true));
    switches
        .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
        .map(|mode| mode.trim_end_matches("_tokens").trim_end_matches("_token").to_owned())
        .collect()
}

/// Refuses networks that are asked for anything but the hidden states of texts.
fn check_network(settings: &Value) -> Result<()> {
    let said = |value: &Value, wanted: &str| value.as_str().is_none_or(|v| v == wanted);
    let text = &settings["modality_config"]["text"];
    let reason = if !said(&settings["transformer_task"], "feature-extraction") {
        format!("transformer_task is {}, only \"feature-extraction\" is done", settings["transformer_task"])
    } else if settings["modality_config"].is_object() && !text.is_object() {
        "modality_config has no text: the model doesn't encode texts".into()
    } else if !said(&text["method"], "forward") || !said(&text["method_output_name"], "last_hidden_state") {
        "modality_config.text asks for another output than the last hidden states, which is not done".into()
    } else {
        return Ok(());
    };
    Err(ModelError::load(NETWORK, reason))
}

/// What stands in front of every text unless somebody says otherwise.
fn default_prompt(pipeline: &Value) -> Result<String> {
    let Some(name) = pipeline["default_prompt_name"].as_str() else { return Ok(String::new()) };
    let prompt = &pipeline["prompts"][name];
    prompt.as_str().map(str::to_owned).ok_or_else(|| {
        ModelError::load(PIPELINE, format!("default_prompt_name is {name:?}, which is none of its prompts"))
    })
}

/// A number of tokens. What is no number is none; what is beyond all numbers is as many as there can be.
fn length(value: &Value) -> Option<usize> {
    let number = value.as_f64().filter(|n| *n >= 1.0)?;
    Some(value.as_u64().map_or(number as usize, |n| n as usize))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(files: &[(&str, Value)]) -> (tempfile::TempDir, Checkpoint) {
        let folder = tempfile::tempdir().unwrap();
        for (name, json) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, json.to_string()).unwrap();
        }
        let checkpoint = Checkpoint::new(folder.path(), None).unwrap();
        (folder, checkpoint)
    }

    fn read(files: &[(&str, Value)]) -> Result<Surroundings> {
        Surroundings::read(&folder(files).1, 512)
    }

    fn modules(kinds: &[&str]) -> Value {
        kinds.iter().map(|kind| json!({"path": if kind.ends_with("Pooling") { "1_Pooling" } else { "" }, "type": kind})).collect()
    }

    #[test]
    fn the_limit_is_the_pipelines_then_the_tokenizers_then_the_networks() {
        let none: f64 = 1e30;
        for (own, of_tokenizer, want) in [
            (json!(256), json!(512), 256),
            (json!(384), json!(128), 384),
            (json!(null), json!(256), 256),
            (json!(null), json!(none), 512),
            (json!(null), json!(1_000_000_000_000_000_019_884_624_838_656u128 as f64), 512),
            (json!(null), json!(null), 512),
            (json!(9999), json!(64), 512),
            (json!(0), json!(64), 64),
            (json!(1), json!(64), 2),
        ] {
            let files = [
                (NETWORK, json!({"max_seq_length": own})),
                ("tokenizer_config.json", json!({"model_max_length": of_tokenizer})),
            ];
            assert_eq!(read(&files).unwrap().max_tokens, want, "{files:?}");
        }
        // As Python writes that number, which fits no integer.
        let (folder, checkpoint) = folder(&[]);
        let text = r#"{"model_max_length": 1000000000000000019884624838656}"#;
        std::fs::write(folder.path().join("tokenizer_config.json"), text).unwrap();
        assert_eq!(Surroundings::read(&checkpoint, 512).unwrap().max_tokens, 512);
    }

    #[test]
    fn a_default_prompt_is_kept_and_changes_the_fingerprint() {
        let prompts =
            |name: Value| json!({"prompts": {"query": "ask: ", "document": ""}, "default_prompt_name": name});
        let with = read(&[(PIPELINE, prompts(json!("query")))]).unwrap();
        assert_eq!((with.prompt.as_str(), with.pools_prompt), ("ask: ", true));
        assert_ne!(with.refine("f".into()), "f");
        for name in [json!(null), json!("document")] {
            let without = read(&[(PIPELINE, prompts(name))]).unwrap();
            assert_eq!((without.prompt.as_str(), without.refine("f".into()).as_str()), ("", "f"));
        }
        let limited = read(&[("tokenizer_config.json", json!({"model_max_length": 100}))]).unwrap();
        assert_ne!(limited.refine("f".into()), "f");
        let excluded = json!({"pooling_mode": "mean", "include_prompt": false});
        assert!(!read(&[("1_Pooling/config.json", excluded)]).unwrap().pools_prompt);
    }

    #[test]
    fn pipelines_of_every_release_are_read() {
        let paths = ["models.", "base.modules.", "sentence_transformer.modules.pooling.", "util."];
        for path in paths.map(|p| format!("sentence_transformers.{p}")) {
            let kinds =
                ["Transformer", "Pooling", "Dropout", "Normalize"].map(|kind| format!("{path}{kind}"));
            let kinds = modules(&kinds.each_ref().map(String::as_str));
            for pooling in [
                json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}),
                json!({"pooling_mode": "mean", "embedding_dimension": 8}),
                json!({"pooling_mode": ["mean"]}),
                json!({"word_embedding_dimension": 8}),
            ] {
                read(&[("modules.json", kinds.clone()), ("1_Pooling/config.json", pooling)]).unwrap();
            }
        }
        let network = json!({
            "transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        });
        read(&[(NETWORK, network)]).unwrap();
    }

    #[test]
    fn what_is_not_done_is_named() {
        let pooling = |json: Value| ("1_Pooling/config.json", json);
        let last = modules(&["a.Transformer", "a.Pooling", "a.Dense"]);
        let below = json!([{"type": "a.Transformer", "path": "0_Transformer"}]);
        let away = json!([{"type": "a.Pooling", "path": "../x"}]);
        for (file, word) in [
            (pooling(json!({"pooling_mode_cls_token": true})), "\"cls\""),
            (pooling(json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true})), "\"max\""),
            (pooling(json!({"pooling_mode_mean_sqrt_len_tokens": true})), "\"mean_sqrt_len\""),
            (pooling(json!({"pooling_mode_weightedmean_tokens": true})), "\"weightedmean\""),
            (pooling(json!({"pooling_mode": "lasttoken"})), "\"lasttoken\""),
            (pooling(json!({"pooling_mode": ["mean", "max"]})), "\"max\""),
            (("modules.json", last), "\"Dense\""),
            (("modules.json", below), "\"0_Transformer\""),
            (("modules.json", away), "plain name"),
            ((NETWORK, json!({"transformer_task": "fill-mask"})), "\"fill-mask\""),
            ((NETWORK, json!({"modality_config": {"image": {}}})), "text"),
            (
                (NETWORK, json!({"modality_config": {"text": {"method_output_name": "pooler_output"}}})),
                "output",
            ),
            ((PIPELINE, json!({"default_prompt_name": "query", "prompts": {}})), "\"query\""),
        ] {
            let name = file.0;
            let error = read(&[file]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot load {name}: ")) && error.contains(word), "{error}");
        }
    }
}
