//! The settings of a decoder as `config.json` files have them.

use serde::Deserialize;
use serde_json::Value;

use super::rope::Axes;
use crate::{Result, VlmError};

/// What is read of a text model's settings. Names and defaults are Hugging Face's; what a model's own class has other
/// defaults for is filled in by [`TextConfig::parse`].
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the file's own switches")]
pub(crate) struct TextConfig {
    /// Width of the hidden states.
    pub(crate) hidden_size: usize,
    /// Width of the gated feed-forward.
    pub(crate) intermediate_size: usize,
    /// Decoder layers.
    pub(crate) num_hidden_layers: usize,
    /// Query heads.
    pub(crate) num_attention_heads: usize,
    /// Key–value heads; as many as query heads when absent.
    num_key_value_heads: Option<usize>,
    /// Size of a head; hidden size over heads when absent.
    head_dim: Option<usize>,
    /// Size of the vocabulary.
    pub(crate) vocab_size: usize,
    /// Longest sequence in tokens.
    pub(crate) max_position_embeddings: usize,
    /// ε of the RMS norms.
    #[serde(default = "default_epsilon")]
    pub(crate) rms_norm_eps: f64,
    /// Activation of the feed-forward.
    #[serde(default = "default_activation")]
    pub(crate) hidden_act: String,
    /// Whether the attention projections have biases, where that is not fixed by the architecture.
    #[serde(default)]
    pub(crate) attention_bias: bool,
    /// Whether the feed-forward has biases; no known checkpoint says so.
    #[serde(default)]
    mlp_bias: bool,
    /// Base of the rotary frequencies, where older files have it.
    rope_theta: Option<f64>,
    /// Rotary settings as new files name them.
    rope_parameters: Option<RopeConfig>,
    /// Rotary settings as the published files name them.
    rope_scaling: Option<RopeConfig>,
    /// Whether later layers see only a window.
    #[serde(default)]
    use_sliding_window: bool,
    /// Some files tie the embeddings here.
    #[serde(default)]
    pub(crate) tie_word_embeddings: bool,
}

/// Rotary settings.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RopeConfig {
    /// Rotated pairs that follow the temporal, row and column position.
    pub(crate) mrope_section: Option<[usize; 3]>,
    /// Base of the frequencies.
    pub(crate) rope_theta: Option<f64>,
    /// Only `default` is known.
    #[serde(alias = "type")]
    pub(crate) rope_type: Option<String>,
}

impl RopeConfig {
    /// Refuses what isn't the plain rotary embedding.
    pub(crate) fn check(&self) -> Result<()> {
        require(
            matches!(self.rope_type.as_deref().unwrap_or("default"), "default" | "axial" | "mrope"),
            "only the default rotary embedding is known; longer contexts by scaling are not",
        )
    }
}

fn default_epsilon() -> f64 {
    1e-6
}
fn default_activation() -> String {
    "silu".into()
}

/// A condition on `config.json`.
pub(crate) fn require(holds: bool, reason: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(VlmError::load("config.json", reason)) }
}

/// Greatest size that is believed.
const GREATEST: usize = 1 << 24;

/// Refuses sizes that would divide by zero or overflow.
pub(crate) fn require_sizes(sizes: &[usize]) -> Result<()> {
    require(sizes.iter().all(|s| (1..=GREATEST).contains(s)), "a size is 0 or beyond reason")
}

impl TextConfig {
    /// Parses and checks a text model's settings; `defaults` stand where the file says nothing, as its class has them.
    ///
    /// # Errors
    /// [`VlmError::Load`] naming the setting at fault.
    pub(crate) fn parse(json: &Value, defaults: &[(&str, Value)]) -> Result<Self> {
        let mut json = json.clone();
        if let Some(settings) = json.as_object_mut() {
            for (name, value) in defaults {
                if settings.get(*name).is_none_or(Value::is_null) {
                    settings.insert((*name).to_owned(), value.clone());
                }
            }
        }
        let config: Self = serde_json::from_value(json)
            .map_err(|e| VlmError::load("config.json", format!("the language model's settings: {e}")))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        require_sizes(&[
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.kv_heads(),
            self.vocab_size,
            self.max_position_embeddings,
        ])?;
        require(
            self.num_attention_heads.is_multiple_of(self.kv_heads()),
            "num_attention_heads must be a multiple of num_key_value_heads",
        )?;
        let head = self.head_size();
        require(head.is_multiple_of(2) && (2..=GREATEST).contains(&head), "head_dim must be even")?;
        require(!self.mlp_bias, "a feed-forward with biases (mlp_bias) is not known")?;
        require(!self.use_sliding_window, "sliding windows (use_sliding_window) are not known")?;
        [&self.rope_parameters, &self.rope_scaling].into_iter().flatten().try_for_each(RopeConfig::check)
    }

    /// Key–value heads.
    pub(crate) fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Size of a head.
    pub(crate) fn head_size(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn rope<T>(&self, value: impl Fn(&RopeConfig) -> Option<T>) -> Option<T> {
        [&self.rope_parameters, &self.rope_scaling].into_iter().flatten().find_map(value)
    }

    /// Rotated pairs by axis, where the file has them.
    ///
    /// # Errors
    /// Pairs that don't add up to half a head.
    pub(crate) fn mrope_section(&self, default: [usize; 3]) -> Result<[usize; 3]> {
        let section = self.rope(|r| r.mrope_section).unwrap_or(default);
        let fits = section.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
        require(fits == Some(self.head_size() / 2), "mrope_section must add up to half of head_dim")?;
        Ok(section)
    }

    /// Base of the rotary frequencies; `default` is what the model's class has.
    pub(crate) fn theta(&self, default: f64) -> f64 {
        self.rope(|r| r.rope_theta).or(self.rope_theta).unwrap_or(default)
    }
}

/// What distinguishes one decoder from another, beside its sizes.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is there or not, by itself")]
pub(crate) struct Variant {
    /// What the rotary embedding's pairs follow.
    pub(crate) axes: Axes,
    /// Base of the rotary frequencies.
    pub(crate) theta: f64,
    /// Biases of the query, key and value projections.
    pub(crate) qkv_bias: bool,
    /// A bias of the output projection.
    pub(crate) output_bias: bool,
    /// RMS norms of each head's queries and keys.
    pub(crate) head_norms: bool,
    /// Whether the output matrix is the embedding matrix.
    pub(crate) tied: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minimal() -> Value {
        json!({
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": 30, "rope_theta": 1e4, "rope_scaling": {"mrope_section": [2, 1, 1], "type": "mrope"},
        })
    }

    const DEFAULTS: [(&str, Value); 0] = [];

    #[test]
    fn defaults_stand_where_the_file_says_nothing() {
        let defaults = [("max_position_embeddings", json!(64)), ("vocab_size", json!(99))];
        let config = TextConfig::parse(&minimal(), &defaults).unwrap();
        assert_eq!((config.max_position_embeddings, config.vocab_size), (64, 30));
        assert!(TextConfig::parse(&minimal(), &DEFAULTS).is_err());
    }

    #[test]
    fn reads_both_spellings_of_rotary_settings() {
        let limit = [("max_position_embeddings", json!(64))];
        let old = TextConfig::parse(&minimal(), &limit).unwrap();
        assert_eq!((old.mrope_section([4, 0, 0]).unwrap(), old.theta(1.0)), ([2, 1, 1], 1e4));
        let mut new = minimal();
        new["rope_parameters"] =
            json!({"mrope_section": [1, 2, 1], "rope_theta": 5e5, "rope_type": "default"});
        let new = TextConfig::parse(&new, &limit).unwrap();
        assert_eq!((new.mrope_section([4, 0, 0]).unwrap(), new.theta(1.0)), ([1, 2, 1], 5e5));
    }

    #[test]
    fn contradictions_are_named() {
        for (pointer, value, word) in [
            ("/rope_scaling/type", json!("yarn"), "rotary"),
            ("/hidden_size", json!(0), "size"),
            ("/vocab_size", json!("many"), "settings"),
            ("/num_attention_heads", json!(16), "even"),
        ] {
            let mut config = minimal();
            config["max_position_embeddings"] = json!(64);
            *config.pointer_mut(pointer).unwrap() = value;
            let error = TextConfig::parse(&config, &DEFAULTS).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
        for (name, value) in [("use_sliding_window", json!(true)), ("mlp_bias", json!(true))] {
            let mut config = minimal();
            config["max_position_embeddings"] = json!(64);
            config[name] = value;
            assert!(TextConfig::parse(&config, &DEFAULTS).unwrap_err().to_string().contains(name));
        }
        let mut config = minimal();
        config["max_position_embeddings"] = json!(64);
        config["rope_scaling"]["mrope_section"] = json!([9, 9, 9]);
        let config = TextConfig::parse(&config, &DEFAULTS).unwrap();
        assert!(config.mrope_section([4, 0, 0]).unwrap_err().to_string().contains("mrope_section"));
    }
}
