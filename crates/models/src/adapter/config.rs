//! `adapter_config.json`.

use std::path::Path;

use fancy_regex::Regex;
use serde_json::{Map, Value};

use super::files::{CONFIG, WEIGHTS};
use super::modules::Parameter;
use super::python::{self, expression, shown, wrong};
use super::targets::Targets;
use crate::error::{ModelError, Result};

/// PEFT's rank and α where a file has none.
const DEFAULT: f64 = 8.0;

/// Settings that change nothing of what a trained adapter computes, whatever they are.
const WITHOUT_EFFECT: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    // PEFT takes it back for linear maps.
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Settings of how a training begins or computes its gradients.
const OF_TRAINING: [&str; 4] = ["corda_config", "eva_config", "lora_ga_config", "velora_config"];

/// Settings that are read by [`AdapterConfig::parse`] or [`Targets::read`].
const READ: [&str; 9] = [
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
];

/// Ways to begin that leave the model's own weights as they are.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// PEFT's kinds of tasks; an adapter of the language model's layers computes the same for each.
const TASKS: [&str; 6] =
    ["SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"];

const RANK: &str = "a whole number from 1";
const FINITE: &str = "a finite number";

/// What decides what the factors stand for.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    rank: f64,
    alpha: f64,
    ranks: Vec<Pattern>,
    alphas: Vec<Pattern>,
    root: bool,
    targets: Targets,
    /// `target_modules` as it is written.
    target_modules: Value,
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
            Ok(bytes) => Self::parse(&python::json(&bytes)?),
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
            refuse_unusable(name, value)?;
        }
        if fields.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err(ModelError::load(CONFIG, "it has no peft_type; LORA is what is known"));
        }
        Ok(Self {
            rank: number(fields, "r", rank, RANK)?,
            alpha: number(fields, "lora_alpha", finite, FINITE)?,
            ranks: patterns(fields, "rank_pattern", rank, RANK)?,
            alphas: patterns(fields, "alpha_pattern", finite, FINITE)?,
            root: fields.get("use_rslora").is_some_and(python::is_true),
            targets: Targets::read(fields)?,
            target_modules: fields.get("target_modules").cloned().unwrap_or_default(),
        })
    }

    /// Whether PEFT puts factors beside a module.
    pub(super) fn includes(&self, parameter: &Parameter) -> Result<bool> {
        self.targets.include(&parameter.module, parameter.layer, parameter.projection.name())
    }

    /// That no module of a file is one that the settings name.
    pub(super) fn names_none(&self) -> ModelError {
        let reason = format!(
            "target_modules is {}, which names none of the modules in {WEIGHTS}",
            self.target_modules
        );
        ModelError::load(CONFIG, reason)
    }

    /// The rank of a module's factors.
    pub(super) fn rank(&self, module: &str) -> Result<usize> {
        Ok(matching(&self.ranks, module)?.map_or(self.rank, |pattern| pattern.number) as usize)
    }

    /// What the product of a module's factors is multiplied by.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64> {
        let alpha = matching(&self.alphas, module)?.map_or(self.alpha, |pattern| pattern.number);
        let rank = rank as f64;
        Ok(alpha / if self.root { rank.sqrt() } else { rank })
    }

    /// That the factors of a module are no numbers any more once they are multiplied by their α.
    pub(super) fn too_large(&self, module: &str) -> Result<ModelError> {
        let (name, alpha) = match matching(&self.alphas, module)? {
            Some(pattern) => (format!("alpha_pattern.{}", pattern.key), pattern.number),
            None => ("lora_alpha".to_owned(), self.alpha),
        };
        let reason = format!("{name} is {alpha:e}: with it the factors of {module} are beyond 32-bit floats");
        Ok(ModelError::load(CONFIG, reason))
    }
}

/// The first pattern that fits, as PEFT looks for it.
fn matching<'p>(patterns: &'p [Pattern], module: &str) -> Result<Option<&'p Pattern>> {
    for pattern in patterns {
        // A name that is written out may be no expression that fits itself.
        if pattern.key == module || python::fits(&pattern.expression, module)? {
            return Ok(Some(pattern));
        }
    }
    Ok(None)
}

fn rank(value: &Value) -> Option<f64> {
    value.as_u64().filter(|rank| (1..=1 << 20).contains(rank)).map(|rank| rank as f64)
}

fn finite(value: &Value) -> Option<f64> {
    python::number(value).filter(|alpha| alpha.is_finite())
}

fn number(
    fields: &Map<String, Value>,
    name: &str,
    read: fn(&Value) -> Option<f64>,
    wanted: &str,
) -> Result<f64> {
    match fields.get(name) {
        None => Ok(DEFAULT),
        Some(value) => read(value).ok_or_else(|| wrong(name, value, wanted)),
    }
}

fn patterns(
    fields: &Map<String, Value>,
    name: &str,
    read: fn(&Value) -> Option<f64>,
    wanted: &str,
) -> Result<Vec<Pattern>> {
    let Some(value) = fields.get(name) else { return Ok(Vec::new()) };
    let map = value.as_object().ok_or_else(|| wrong(name, value, "an object"))?;
    map.iter()
        .map(|(key, value)| {
            let number = read(value).ok_or_else(|| wrong(&format!("{name}.{key}"), value, wanted))?;
            Ok(Pattern { key: key.clone(), expression: expression(name, key, r"(?:.*\.)?", "")?, number })
        })
        .collect()
}

/// Refuses a setting that PEFT could not use, or that is not computed here and says more than that it is off.
fn refuse_unusable(name: &str, value: &Value) -> Result<()> {
    let off = !python::is_true(value);
    let wanted = match name {
        _ if READ.contains(&name) || WITHOUT_EFFECT.contains(&name) => return Ok(()),
        _ if OF_TRAINING.contains(&name) => {
            (value.is_null() || value.is_object()).then_some(()).ok_or("an object or null")
        }
        // What is no number is not above any.
        "lora_dropout" => python::number(value)
            .filter(|share| share.is_nan() || *share <= 1.0)
            .map(drop)
            .ok_or("a number up to 1"),
        "task_type" => (value.is_null() || value.as_str().is_some_and(|task| TASKS.contains(&task)))
            .then_some(())
            .ok_or("null, or one of PEFT's types of tasks"),
        "bias" if value.is_string() && !off => (value == "none").then_some(()).ok_or(""),
        "bias" => Err("none"),
        "peft_type" => (value == "LORA").then_some(()).ok_or("LORA"),
        // A list of none is one of no tokens, which PEFT looks for in the file.
        "trainable_token_indices" if off => {
            (value.is_null() || value.is_object()).then_some(()).ok_or("an object, a list or null")
        }
        "target_parameters" if off => (!value.is_string()).then_some(()).ok_or("a list or null"),
        "init_lora_weights" => {
            let known = |begin: &str| BEGINNINGS.contains(&begin.to_ascii_lowercase().as_str());
            let fine = off || *value == Value::Bool(true) || value.as_str().is_some_and(known);
            if fine {
                Ok(())
            } else if value.is_string() {
                return Err(ModelError::load(CONFIG, format!("{name} is {value}{CHANGED}")));
            } else {
                Err("a truth value or the name of a way to begin")
            }
        }
        _ => off.then_some(()).ok_or(""),
    };
    wanted.map_err(|wanted| match wanted {
        "" => {
            let reason = format!(
                "{name} is {}, which is not known here and could change what is computed",
                shown(value)
            );
            ModelError::load(CONFIG, reason)
        }
        wanted => wrong(name, value, wanted),
    })
}

/// What is to be done about an adapter that was begun in another way.
const CHANGED: &str = "; only gaussian, eva and orthogonal leave the model's own weights as they are. Where it is one of PEFT's ways \
     to change them when an adapter is begun, save it with path_initial_model_for_weight_conversion";
