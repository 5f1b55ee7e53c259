//! The settings of a decoder as `config.json` files have them.

use serde::Deserialize;
use serde_json::Value;

use super::rope::Axes;
use crate::error::{NnError, Result};
use crate::settings;

/// What is read of a text model's settings. Names and defaults are Hugging Face's; what a model's own class
/// has other defaults for is filled in by [`TextConfig::parse`].
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the file's own switches")]
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
    num_key_value_heads: Option<usize>,
    /// Size of a head; hidden size over heads when absent.
    head_dim: Option<usize>,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// ε of the RMS norms.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// Activation of the feed-forward.
    #[serde(default = "default_activation")]
    pub hidden_act: String,
    /// Whether the attention projections have biases, where that is not fixed by the architecture.
    #[serde(default)]
    pub attention_bias: bool,
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
    /// What each layer sees, where the file says it layer by layer.
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    /// Some files tie the embeddings here.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

/// What layers that see everything are called where settings differ by kind of layer.
const FULL_ATTENTION: &str = "full_attention";

/// Rotary settings.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RopeConfig {
    /// Rotated pairs that follow the temporal, row and column position.
    pub mrope_section: Option<[usize; 3]>,
    /// Base of the frequencies.
    pub rope_theta: Option<f64>,
    /// Only `default`, and what is no scaling by another name, is known.
    pub rope_type: Option<String>,
    /// The same as older files spell it; libraries write both, with one value or two.
    #[serde(rename = "type")]
    pub older_type: Option<String>,
    /// Part of a head that is turned; the whole of it when absent.
    partial_rotary_factor: Option<f64>,
}

impl RopeConfig {
    /// Refuses what isn't the plain rotary embedding.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("rope_type", &self.rope_type), ("type", &self.older_type)] {
            if let Some(value) = value.as_deref().filter(|v| !matches!(*v, "default" | "axial" | "mrope")) {
                let reason = format!(
                    "the rotary embedding's {name} is {value:?}; longer contexts by scaling are not known, only \
                     the default is"
                );
                return Err(NnError::load("config.json", reason));
            }
        }
        require(
            self.partial_rotary_factor.is_none_or(|part| (part - 1.0).abs() < f64::EPSILON),
            "partial_rotary_factor is not 1: heads that are turned in part are not known",
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
pub fn require(holds: bool, reason: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(NnError::load("config.json", reason)) }
}

/// Greatest size that is believed.
const GREATEST: usize = 1 << 24;

/// Refuses sizes that would divide by zero or overflow.
pub fn require_sizes(sizes: &[usize]) -> Result<()> {
    require(sizes.iter().all(|s| (1..=GREATEST).contains(s)), "a size is 0 or beyond reason")
}

impl TextConfig {
    /// Parses and checks a text model's settings, which stand at `place` in `config.json` (empty: at the
    /// top); `defaults` stand where the file says nothing, as its class has them.
    ///
    /// # Errors
    /// [`NnError::Load`] naming the setting at fault.
    pub fn parse(json: &Value, place: &str, defaults: &[(&str, Value)]) -> Result<Self> {
        let mut json = json.clone();
        if let Some(settings) = json.as_object_mut() {
            for (name, value) in defaults {
                if settings.get(*name).is_none_or(Value::is_null) {
                    settings.insert((*name).to_owned(), value.clone());
                }
            }
        }
        // Settings by kind of layer: there is one kind here, see `check`.
        if let Some(of_full) =
            json.pointer_mut(&format!("/rope_parameters/{FULL_ATTENTION}")).map(Value::take)
        {
            json["rope_parameters"] = of_full;
        }
        let config: Self = settings::read("config.json", place, &json)?;
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
        let other = self.layer_types.iter().flatten().find(|kind| *kind != FULL_ATTENTION);
        if let Some(other) = other {
            let reason = format!("layer_types has {other:?}; only {FULL_ATTENTION} is known");
            return Err(NnError::load("config.json", reason));
        }
        [&self.rope_parameters, &self.rope_scaling].into_iter().flatten().try_for_each(RopeConfig::check)
    }

    /// Key–value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Size of a head.
    pub fn head_size(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn rope<T>(&self, value: impl Fn(&RopeConfig) -> Option<T>) -> Option<T> {
        [&self.rope_parameters, &self.rope_scaling].into_iter().flatten().find_map(value)
    }

    /// Rotated pairs by axis, where the file has them.
    ///
    /// # Errors
    /// Pairs that don't add up to half a head.
    pub fn mrope_section(&self, default: [usize; 3]) -> Result<[usize; 3]> {
        let section = self.rope(|r| r.mrope_section).unwrap_or(default);
        let fits = section.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
        require(fits == Some(self.head_size() / 2), "mrope_section must add up to half of head_dim")?;
        Ok(section)
    }

    /// Base of the rotary frequencies. `default` is what stands for a file that says nothing at all of the
    /// rotary embedding, where published files don't; without one such a file is refused: classes differ in
    /// what they assume, and wrong angles give wrong answers that look right.
    ///
    /// # Errors
    /// A file that doesn't say it.
    pub fn theta(&self, default: Option<f64>) -> Result<f64> {
        let silent = self.rope_parameters.is_none() && self.rope_scaling.is_none();
        let theta = self.rope(|r| r.rope_theta).or(self.rope_theta).or(default.filter(|_| silent));
        let theta = theta.ok_or_else(|| {
            NnError::load(
                "config.json",
                "neither rope_parameters.rope_theta nor rope_theta is there: the base of the rotary embedding has \
                 to be known. Take it from the config.json of the model this one was made of",
            )
        })?;
        require(theta.is_finite() && theta > 1.0, "rope_theta has to be greater than 1")?;
        Ok(theta)
    }
}

/// What distinguishes one decoder from another, beside its sizes.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is there or not, by itself")]
pub struct Variant {
    /// What the rotary embedding's pairs follow.
    pub axes: Axes,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// A bias of the output projection.
    pub output_bias: bool,
    /// RMS norms of each head's queries and keys.
    pub head_norms: bool,
    /// Whether the output matrix is the embedding matrix.
    pub tied: bool,
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
        let config = TextConfig::parse(&minimal(), "", &defaults).unwrap();
        assert_eq!((config.max_position_embeddings, config.vocab_size), (64, 30));
        assert!(TextConfig::parse(&minimal(), "", &DEFAULTS).is_err());
    }

    #[test]
    fn reads_both_spellings_of_rotary_settings() {
        let limit = [("max_position_embeddings", json!(64))];
        let old = TextConfig::parse(&minimal(), "", &limit).unwrap();
        assert_eq!((old.mrope_section([4, 0, 0]).unwrap(), old.theta(None).unwrap()), ([2, 1, 1], 1e4));
        let of = |rope: Value| {
            let mut new = minimal();
            new["rope_parameters"] = rope;
            let new = TextConfig::parse(&new, "", &limit).unwrap();
            (new.mrope_section([4, 0, 0]).unwrap(), new.theta(None).unwrap())
        };
        let rope = json!({"mrope_section": [1, 2, 1], "rope_theta": 5e5, "rope_type": "default"});
        assert_eq!(of(rope.clone()), ([1, 2, 1], 5e5));
        assert_eq!(
            of(json!({"full_attention": rope, "sliding_attention": {"rope_theta": 2.0}})),
            ([1, 2, 1], 5e5)
        );
    }

    /// What is no scaling has several names, and files have two of them at once.
    #[test]
    fn names_of_the_plain_rotary_embedding_are_one() {
        let read = |older: Value, newer: Value| {
            let mut config = minimal();
            config["max_position_embeddings"] = json!(64);
            config["rope_scaling"] = json!({"type": older, "rope_type": newer, "mrope_section": [2, 1, 1]});
            TextConfig::parse(&config, "", &DEFAULTS)
        };
        for (older, newer) in
            [("mrope", "default"), ("default", "default"), ("mrope", "mrope"), ("default", "mrope")]
        {
            read(json!(older), json!(newer)).unwrap();
        }
        read(json!(null), json!("default")).unwrap();
        for (older, newer, word) in [
            (json!("yarn"), json!("default"), "type is \"yarn\""),
            (json!("mrope"), json!("linear"), "rope_type is \"linear\""),
            (json!("dynamic"), json!(null), "dynamic"),
        ] {
            assert!(read(older, newer).unwrap_err().to_string().contains(word));
        }
    }

    #[test]
    fn a_file_without_the_base_is_refused_unless_published_ones_are_so() {
        let mut config = minimal();
        config["max_position_embeddings"] = json!(64);
        config.as_object_mut().unwrap().remove("rope_theta");
        // Something is said of the rotary embedding, but not this.
        let said = TextConfig::parse(&config, "", &DEFAULTS).unwrap();
        for default in [None, Some(1e4)] {
            assert!(said.theta(default).unwrap_err().to_string().contains("rope_theta"));
        }
        config.as_object_mut().unwrap().remove("rope_scaling");
        let silent = TextConfig::parse(&config, "", &DEFAULTS).unwrap();
        assert!(silent.theta(None).is_err());
        assert_eq!(silent.theta(Some(1e4)).unwrap(), 1e4);
        config["rope_theta"] = json!(0);
        assert!(TextConfig::parse(&config, "", &DEFAULTS).unwrap().theta(None).is_err());
    }

    #[test]
    fn contradictions_are_named() {
        for (pointer, value, word) in [
            ("/rope_scaling/type", json!("yarn"), "rotary"),
            ("/hidden_size", json!(0), "size"),
            ("/vocab_size", json!("many"), "vocab_size is \"many\""),
            ("/num_attention_heads", json!(16), "even"),
        ] {
            let mut config = minimal();
            config["max_position_embeddings"] = json!(64);
            *config.pointer_mut(pointer).unwrap() = value;
            let error = TextConfig::parse(&config, "", &DEFAULTS).unwrap_err().to_string();
            assert!(error.contains(word), "{pointer}: {error}");
        }
        let windows = json!(["full_attention", "sliding_attention"]);
        let part = json!({"rope_theta": 1e4, "partial_rotary_factor": 0.5});
        for (name, value, word) in [
            ("use_sliding_window", json!(true), "use_sliding_window"),
            ("mlp_bias", json!(true), "mlp_bias"),
            ("layer_types", windows, "sliding_attention"),
            ("rope_parameters", part, "partial_rotary_factor"),
        ] {
            let mut config = minimal();
            config["max_position_embeddings"] = json!(64);
            config[name] = value;
            assert!(TextConfig::parse(&config, "", &DEFAULTS).unwrap_err().to_string().contains(word));
        }
        let mut config = minimal();
        config["max_position_embeddings"] = json!(64);
        config["rope_scaling"]["mrope_section"] = json!([9, 9, 9]);
        let config = TextConfig::parse(&config, "", &DEFAULTS).unwrap();
        assert!(config.mrope_section([4, 0, 0]).unwrap_err().to_string().contains("mrope_section"));
    }
}
