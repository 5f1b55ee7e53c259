//! `adapter_config.json`.

use std::path::Path;

use reasonedit_nn::settings;
use regex::Regex;
use serde_json::{Map, Value};

use super::CONFIG;
use crate::error::{ModelError, Result};

/// PEFT's rank and α where a file has none.
const DEFAULT: f64 = 8.0;

/// Settings that change nothing of what a trained adapter computes, or that the parameters themselves tell.
const WITHOUT_EFFECT: [&str; 20] = [
    "arrow_config",
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "velora_config",
];

/// Settings that are read.
const READ: [&str; 6] = ["peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"];

/// Ways to begin that leave the model's own weights as they are.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What decides what the factors stand for.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    rank: f64,
    alpha: f64,
    ranks: Vec<Pattern>,
    alphas: Vec<Pattern>,
    root: bool,
}

/// A number for the modules whose names end in what an expression matches.
#[derive(Debug)]
struct Pattern {
    key: String,
    expression: Regex,
    number: f64,
}

impl AdapterConfig {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&settings::json(CONFIG, &bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let reason =
                    format!("{} has no such file; is it an adapter as PEFT writes it?", folder.display());
                Err(ModelError::load(CONFIG, reason))
            }
            Err(source) => Err(ModelError::read(path, source)),
        }
    }

    pub(super) fn parse(json: &Value) -> Result<Self> {
        let fields = json.as_object().ok_or_else(|| ModelError::load(CONFIG, "it is not an object"))?;
        for (name, value) in fields {
            refuse_unknown(name, value)?;
        }
        if fields.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err(ModelError::load(CONFIG, "it has no peft_type; LORA is what is known"));
        }
        let root = match fields.get("use_rslora") {
            None | Some(Value::Null) => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("use_rslora", value))?,
        };
        Ok(Self {
            rank: number(fields, "r", rank)?,
            alpha: number(fields, "lora_alpha", finite)?,
            ranks: patterns(fields, "rank_pattern", rank)?,
            alphas: patterns(fields, "alpha_pattern", finite)?,
            root,
        })
    }

    /// The rank of a module's factors.
    pub(super) fn rank(&self, module: &str) -> usize {
        matching(&self.ranks, module).unwrap_or(self.rank) as usize
    }

    /// What the product of a module's factors is multiplied by.
    pub(super) fn scale(&self, module: &str, rank: usize) -> f64 {
        let alpha = matching(&self.alphas, module).unwrap_or(self.alpha);
        let rank = rank as f64;
        alpha / if self.root { rank.sqrt() } else { rank }
    }
}

/// The number of the first pattern that fits, as PEFT looks for it.
fn matching(patterns: &[Pattern], module: &str) -> Option<f64> {
    // A name that is written out may be no expression that fits itself.
    let fits = |pattern: &&Pattern| pattern.expression.is_match(module) || pattern.key == module;
    patterns.iter().find(fits).map(|pattern| pattern.number)
}

fn wrong(name: &str, value: &Value) -> ModelError {
    ModelError::load(CONFIG, format!("{name} is {value}, which can't be used"))
}

fn rank(value: &Value) -> Option<f64> {
    value.as_u64().filter(|rank| (1..=1 << 20).contains(rank)).map(|rank| rank as f64)
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|alpha| alpha.is_finite())
}

fn number(fields: &Map<String, Value>, name: &str, read: fn(&Value) -> Option<f64>) -> Result<f64> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(DEFAULT),
        Some(value) => read(value).ok_or_else(|| wrong(name, value)),
    }
}

fn patterns(
    fields: &Map<String, Value>,
    name: &str,
    read: fn(&Value) -> Option<f64>,
) -> Result<Vec<Pattern>> {
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let map = value.as_object().ok_or_else(|| wrong(name, value))?;
    map.iter()
        .map(|(key, value)| {
            let number = read(value).ok_or_else(|| wrong(&format!("{name}.{key}"), value))?;
            let expression = Regex::new(&format!(r"^(?:.*\.)?(?:{key})$")).map_err(|_| {
                ModelError::load(
                    CONFIG,
                    format!("{name} has the expression {key:?}, which can't be read here"),
                )
            })?;
            Ok(Pattern { key: key.clone(), expression, number })
        })
        .collect()
}

/// Refuses a setting that is not computed here, unless it says no more than that it is off.
fn refuse_unknown(name: &str, value: &Value) -> Result<()> {
    let off = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    let fine = match name {
        "peft_type" => value == "LORA",
        "bias" => off || value == "none",
        "init_lora_weights" => {
            value.is_boolean() || off || value.as_str().is_some_and(|begin| BEGINNINGS.contains(&begin))
        }
        _ => off || READ.contains(&name) || WITHOUT_EFFECT.contains(&name),
    };
    if fine {
        return Ok(());
    }
    let more = match name {
        "peft_type" => "; LORA is what is known",
        "init_lora_weights" => {
            "; such an adapter belongs to weights that were changed when it was begun: save it with \
             path_initial_model_for_weight_conversion"
        }
        _ => ", which is not known here and could change what is computed",
    };
    Err(ModelError::load(CONFIG, format!("{name} is {value}{more}")))
}
