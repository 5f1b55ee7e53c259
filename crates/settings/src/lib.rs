//! The layers settings come from, and refusing what is wrong in them by name and origin.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

/// A wrong setting, file or profile. Every message names the setting and where it came from.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A setting nobody knows.
    #[error("unknown setting `{name}` in {origin}{}", hint(suggestion.as_deref()))]
    Unknown {
        /// Its dotted name.
        name: String,
        /// The layer it stands in.
        origin: String,
        /// The known name most like it.
        suggestion: Option<String>,
    },
    /// A value that can't be used.
    #[error("setting `{name}` in {origin}: {reason}")]
    Value {
        /// Its dotted name.
        name: String,
        /// The layer it stands in.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that can't be read at all.
    #[error("settings from {origin}: {reason}")]
    Layer {
        /// Which.
        origin: String,
        /// Why.
        reason: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Variables with the prefix that are not settings.
const NOT_SETTINGS: [&str; 3] = ["log", "token", "config"];

/// One place settings come from.
#[derive(Clone, Debug)]
pub struct Layer {
    /// For messages: `./reasonedit.toml`, `environment variables` …
    origin: String,
    values: Dict,
    /// The variable or option that carries a dotted name, where the layer has such.
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    File,
    Variables,
    Options,
}

impl Layer {
    /// The built-in defaults.
    ///
    /// # Errors
    /// The text is not TOML.
    pub fn defaults(text: &str) -> Result<Self, SettingsError> {
        Self::from_provider("the built-in defaults", Style::File, &Toml::string(text))
    }

    /// A settings file.
    ///
    /// # Errors
    /// It can't be read or is not TOML.
    pub fn file(path: &Path) -> Result<Self, SettingsError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError::Layer { origin: origin.clone(), reason: error.to_string() })?;
        Self::from_provider(&origin, Style::File, &Toml::string(&text))
    }

    /// `REASONEDIT_*` variables; two underscores separate levels. Variables of any content are values.
    pub fn environment() -> Self {
        let mut values = Dict::new();
        for (name, text) in Env::prefixed("REASONEDIT_").ignore(&NOT_SETTINGS).split("__").iter() {
            insert(&mut values, name.as_str(), value(&text));
        }
        Self { origin: "the environment".to_owned(), values, style: Style::Variables }
    }

    /// A model's profile: settings of the editor, in a JSON object.
    ///
    /// # Errors
    /// It can't be read or is not a JSON object.
    pub fn profile(path: &Path) -> Result<Self, SettingsError> {
        let origin = path.display().to_string();
        let fail = |reason: String| SettingsError::Layer { origin: origin.clone(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let editor: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if !editor.is_object() {
            return Err(fail("a JSON object of editor settings is expected".to_owned()));
        }
        let value = serde_json::json!({ "editor": editor });
        Self::from_provider(&origin, Style::File, &Serialized::defaults(value))
    }

    /// Options of the command line: dotted names and values.
    pub fn options(pairs: Vec<(String, Value)>) -> Self {
        let mut values = Dict::new();
        for (name, value) in pairs {
            insert(&mut values, &name, value);
        }
        Self { origin: "the command line".to_owned(), values, style: Style::Options }
    }

    fn from_provider(origin: &str, style: Style, provider: &dyn Provider) -> Result<Self, SettingsError> {
        let data = provider.data().map_err(|error| SettingsError::Layer {
            origin: origin.to_owned(),
            reason: describe(&error.kind),
        })?;
        let values = data.into_iter().next().map(|(_, dict)| dict).unwrap_or_default();
        Ok(Self { origin: origin.to_owned(), values, style })
    }

    /// Where a setting of this layer was set, for messages.
    fn origin_of(&self, name: &str) -> String {
        match self.style {
            Style::File => self.origin.clone(),
            Style::Variables => format!("REASONEDIT_{}", name.to_uppercase().replace('.', "__")),
            Style::Options => format!("{} ({name})", self.origin),
        }
    }

    fn has(&self, name: &str) -> bool {
        let mut dict = &self.values;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            match (dict.get(part), parts.peek()) {
                (Some(Value::Dict(_, inner)), Some(_)) => dict = inner,
                // The setting itself, or a list that the error lies inside of.
                (Some(_), _) => return true,
                (None, _) => return false,
            }
        }
        false
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn insert(dict: &mut Dict, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            dict.insert(name.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = dict.entry(head.to_owned()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::Dict(Tag::Default, Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Reads a value as variables are read: `7`, `true`, `[1, 2]`, bare words. What has escapes and letters
/// beyond ASCII is JSON or a text: figment (0.10.19) takes characters for bytes there.
pub fn value(text: &str) -> Value {
    if text.contains('\\') && !text.is_ascii() {
        let json = serde_json::from_str::<serde_json::Value>(text).ok();
        return json.and_then(|json| Value::serialize(json).ok()).unwrap_or_else(|| Value::from(text));
    }
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Merges layers, the later over the earlier, into `T`.
///
/// `known` is a value of `T` as JSON: an object in it has exactly its keys, unless it is empty (then it takes
/// any).
///
/// # Errors
/// The first unknown name, or the first value that can't be used, with the layer it stands in.
pub fn merge<T: serde::de::DeserializeOwned>(
    layers: &[Layer],
    known: &serde_json::Value,
) -> Result<T, SettingsError> {
    for layer in layers {
        refuse_unknown(layer, &layer.values, known, "")?;
    }
    let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer.clone()));
    figment.extract::<T>().map_err(|error| {
        let error = error.into_iter().next();
        let (name, reason) = error.map_or_else(
            || (String::new(), "unusable".to_owned()),
            |error| (error.path.join("."), describe(&error.kind)),
        );
        let layer = layers.iter().rev().find(|layer| layer.has(&name));
        let origin = layer.map_or_else(|| "the settings".to_owned(), |layer| layer.origin_of(&name));
        SettingsError::Value { name, origin, reason }
    })
}

fn refuse_unknown(
    layer: &Layer,
    dict: &Dict,
    known: &serde_json::Value,
    prefix: &str,
) -> Result<(), SettingsError> {
    let Some(known) = known.as_object().filter(|object| !object.is_empty()) else { return Ok(()) };
    for (key, value) in dict {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (known.get(key), value) {
            (None, _) => {
                return Err(SettingsError::Unknown {
                    origin: layer.origin_of(&name),
                    suggestion: nearest(key, known.keys())
                        .map(|k| if prefix.is_empty() { k.to_owned() } else { format!("{prefix}.{k}") }),
                    name,
                });
            }
            (Some(inner), Value::Dict(_, dict)) => refuse_unknown(layer, dict, inner, &name)?,
            (Some(serde_json::Value::Object(inner)), _) if !inner.is_empty() => {
                return Err(SettingsError::Value {
                    origin: layer.origin_of(&name),
                    reason: format!("a table with {} is expected", keys(inner.keys())),
                    name,
                });
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn keys<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// The known name most like `name`, if one is like it at all.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::levenshtein(name, candidate), candidate.as_str()))
        .filter(|(d, candidate)| *d <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

fn describe(kind: &Kind) -> String {
    struct Shown<'a>(&'a Actual);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Actual::Str(text) => write!(f, "`{text}`"),
                Actual::Unsigned(n) => write!(f, "{n}"),
                Actual::Signed(n) => write!(f, "{n}"),
                Actual::Float(n) => write!(f, "{n}"),
                Actual::Bool(b) => write!(f, "{b}"),
                other => write!(f, "{other}"),
            }
        }
    }
    match kind {
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("{} where {expected} is expected", Shown(actual))
        }
        other => other.to_string(),
    }
}

/// Every dotted name in a value of the settings as JSON: leaves, and tables that are empty.
pub fn names(value: &serde_json::Value) -> std::collections::BTreeSet<String> {
    fn walk(value: &serde_json::Value, prefix: &str, into: &mut std::collections::BTreeSet<String>) {
        match value.as_object().filter(|object| !object.is_empty()) {
            Some(object) => {
                for (key, inner) in object {
                    let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(inner, &name, into);
                }
            }
            None => {
                into.insert(prefix.to_owned());
            }
        }
    }
    let mut found = std::collections::BTreeSet::new();
    walk(value, "", &mut found);
    found
}

/// The file that is read when none is named, if it is there.
pub fn usual_file() -> Option<PathBuf> {
    let path = PathBuf::from("reasonedit.toml");
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests;
