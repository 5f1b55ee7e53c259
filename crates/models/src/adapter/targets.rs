//! Which modules PEFT puts factors beside: `target_modules`, `exclude_modules`, `layers_to_transform`,
//! `layers_pattern`. Factors of other modules are in no model that PEFT makes of the file.

use fancy_regex::Regex;
use serde_json::{Map, Value};

use super::below;
use super::modules::LANGUAGE;
use super::python::{expression, fits, is_true, number, wrong};
use crate::error::Result;

/// As PEFT's word for every linear module.
const ALL: &str = "all-linear";

/// The modules that a file of settings names.
#[derive(Debug)]
pub(super) struct Targets {
    included: Names,
    excluded: Names,
    /// Numbers of layers, where not all are meant, and what they stand behind.
    layers: Option<(Vec<u64>, Vec<Regex>)>,
}

#[derive(Debug)]
enum Names {
    /// Everything (of `exclude_modules`: nothing).
    Unsaid,
    Expression(Regex),
    /// Whole names or ends of names.
    Ends(Vec<String>),
}

impl Targets {
    /// # Errors
    /// [`ModelError::load`] for the first setting that PEFT can't use, with its value.
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self> {
        let of = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        let target = of("target_modules");
        let included = match target {
            // PEFT chooses by the architecture then: the parameters tell what it chose.
            Value::Null => Names::Unsaid,
            Value::String(word) if word.eq_ignore_ascii_case(ALL) => Names::Unsaid,
            _ if !is_true(target) => return Err(wrong("target_modules", target, MODULES)),
            Value::Array(names) if !names.iter().all(Value::is_string) => {
                return Err(wrong("target_modules", target, MODULES));
            }
            _ => Names::read("target_modules", target)?,
        };
        let excluded = of("exclude_modules");
        let excluded =
            if is_true(excluded) { Names::read("exclude_modules", excluded)? } else { Names::Unsaid };
        let (layers, pattern) = (of("layers_to_transform"), of("layers_pattern"));
        for (name, value) in [("layers_to_transform", layers), ("layers_pattern", pattern)] {
            if target.is_string() && !value.is_null() {
                return Err(wrong(name, value, "nothing beside a target_modules that is an expression"));
            }
        }
        if is_true(pattern) && layers.is_null() {
            return Err(wrong("layers_pattern", pattern, "nothing without layers_to_transform"));
        }
        let layer = |value: &Value| number(value).map(|layer| layer as u64);
        let numbers = match layers {
            Value::Null => None,
            Value::Array(numbers) if numbers.is_empty() => None,
            Value::Array(numbers) => Some(numbers.iter().filter_map(layer).collect()),
            Value::Bool(_) => Some(layer(layers).into_iter().collect()),
            Value::Number(whole) if whole.is_u64() || whole.is_i64() => {
                Some(layer(layers).filter(|_| whole.is_u64()).into_iter().collect())
            }
            _ => return Err(wrong("layers_to_transform", layers, "a number, or a list of numbers")),
        };
        let patterns = match pattern {
            _ if !is_true(pattern) => Vec::new(),
            Value::String(pattern) => vec![pattern.as_str()],
            Value::Array(patterns) if patterns.iter().all(Value::is_string) => {
                patterns.iter().filter_map(Value::as_str).collect()
            }
            _ => return Err(wrong("layers_pattern", pattern, "a name, or a list of names")),
        };
        let patterns = patterns
            .into_iter()
            .map(|pattern| expression("layers_pattern", pattern, r"(?:.*\.)?", ""))
            .collect::<Result<_>>()?;
        Ok(Self { included, excluded, layers: numbers.map(|numbers| (numbers, patterns)) })
    }

    /// Whether PEFT puts factors beside a module. Its name may be that of another release of transformers
    /// than the one whose names the settings have.
    pub(super) fn include(&self, module: &str, layer: usize, projection: &str) -> Result<bool> {
        if !matches!(self.excluded, Names::Unsaid) && self.excluded.name(module)?.is_some() {
            return Ok(false);
        }
        let place = format!("layers.{layer}.{projection}");
        let mut how = self.included.name(module)?;
        for prefix in LANGUAGE {
            if how.is_none() {
                how = self.included.name(&below(prefix, &place))?;
            }
        }
        match (how, &self.layers) {
            (None, _) => Ok(false),
            // Whole names are meant whatever the layer.
            (Some(Named::Whole), _) | (Some(_), None) => Ok(true),
            (Some(Named::Partly), Some((numbers, patterns))) => {
                let before = module.split_once(&format!(".{layer}.")).map_or("", |(before, _)| before);
                let mut behind = patterns.is_empty();
                for pattern in patterns {
                    behind |= fits(pattern, before)?;
                }
                Ok(behind && numbers.contains(&(layer as u64)))
            }
        }
    }
}

/// What `target_modules` has to be.
const MODULES: &str = "names of modules or an expression that they fit";

/// How a module was named.
#[derive(Clone, Copy)]
enum Named {
    Whole,
    Partly,
}

impl Names {
    fn read(setting: &str, value: &Value) -> Result<Self> {
        match value {
            Value::String(written) => Ok(Self::Expression(expression(setting, written, "", "")?)),
            Value::Array(names) => {
                Ok(Self::Ends(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
            }
            // Python goes through the keys.
            Value::Object(names) => Ok(Self::Ends(names.keys().cloned().collect())),
            _ => Err(wrong(setting, value, MODULES)),
        }
    }

    fn name(&self, module: &str) -> Result<Option<Named>> {
        Ok(match self {
            Self::Unsaid => Some(Named::Partly),
            Self::Expression(expression) => fits(expression, module)?.then_some(Named::Whole),
            Self::Ends(names) if names.iter().any(|name| name == module) => Some(Named::Whole),
            Self::Ends(names) => {
                let is_end = |name: &String| module.strip_suffix(name.as_str())?.strip_suffix('.');
                names.iter().any(|name| is_end(name).is_some()).then_some(Named::Partly)
            }
        })
    }
}
