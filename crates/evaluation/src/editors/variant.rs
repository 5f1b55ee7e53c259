//! `ReasonEdit` with other settings: the paper's ablations, and whatever else is to be compared.

use reasonedit_editor::EditorConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::EvaluationError;
use crate::baseline::{Profile, RetrievalSetting};
use crate::settings::EditorSettings;

/// Settings of the editor changed under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditorVariant {
    /// Its name as an editor.
    pub name: String,
    /// What is different, in a sentence.
    pub about: String,
    /// Settings by their path below `editor`, and their values.
    pub changes: Vec<(String, Value)>,
}

impl EditorVariant {
    /// The paper's ablations (section 4.5) that the service's editor can be made for. Keys from a language
    /// layer are not among them: they depend on picture and text at once, and the editor takes taps that
    /// depend on the picture alone.
    pub(super) fn ablations() -> Vec<Self> {
        let variant = |name: &str, about: &str, changes: &[(&str, Value)]| Self {
            name: name.to_owned(),
            about: about.to_owned(),
            changes: changes.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect(),
        };
        vec![
            variant(
                "single-vision",
                "Keys from the vision layer alone (λ = 0).",
                &[("embedding.lambda", json!(0.0))],
            ),
            variant(
                "no-merging",
                "Every entry is a key of its own.",
                &[("codebook.merge.enabled", json!(false))],
            ),
            variant(
                "no-patches",
                "Statements are paired with the whole picture, and no evidence is looked for.",
                &[("entries.pair", json!("image")), ("patchify.enabled", json!(false))],
            ),
            variant(
                "no-hubness",
                "Distances are not evened out between crowded and lonely keys.",
                &[("codebook.retrieval.hubness", json!(false))],
            ),
            variant(
                "no-gate",
                "Nothing is kept back, however far it is.",
                &[("codebook.retrieval.gate", json!(false)), ("retrieval.relevance.enabled", json!(false))],
            ),
            variant(
                "no-relevance",
                "The gate by distance, in the place of what bears on the question.",
                &[("retrieval.relevance.enabled", json!(false))],
            ),
        ]
    }

    /// The editor as configured, under its own name.
    pub(super) fn unchanged(name: &str) -> Self {
        let about = "ReasonEdit as it is configured.".to_owned();
        Self { name: name.to_owned(), about, changes: Vec::new() }
    }

    /// The editor with settings that are numbers by their paths; of a switch 0 is off.
    pub(super) fn with_settings(name: &str, settings: &EditorSettings, base: &EditorConfig) -> Self {
        let mut variant = Self::unchanged(name);
        if settings.is_empty() {
            return variant;
        }
        let base = json!(base);
        for (path, value) in settings.iter() {
            let before = base.pointer(&format!("/{}", path.replace('.', "/")));
            let value = match before {
                Some(Value::Bool(_)) => json!(value != 0.0),
                _ if value.fract() == 0.0 && (0.0..1e15).contains(&value) => json!(value as u64),
                _ => json!(value),
            };
            variant.changes.push((path.to_owned(), value));
        }
        variant.about = format!("ReasonEdit with {}.", settings.describe());
        variant
    }

    /// A variant as people write it: `NAME:PATH=VALUE[,PATH=VALUE…]`, paths as in the settings file with or
    /// without `editor.` before them, values as JSON or plain words.
    ///
    /// # Errors
    /// A text that is not written so.
    pub fn parse(text: &str) -> Result<Self, EvaluationError> {
        let wrong = |what: &str| EvaluationError::Variant { name: text.to_owned(), what: what.to_owned() };
        let (name, rest) = text.split_once(':').ok_or_else(|| wrong("NAME:PATH=VALUE is wanted"))?;
        let fits = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !fits {
            return Err(wrong("a name has small letters, digits and hyphens"));
        }
        let changes: Vec<(String, Value)> = rest
            .split(',')
            .map(|change| {
                let (path, value) = change.split_once('=').ok_or_else(|| wrong("PATH=VALUE is wanted"))?;
                let (path, value) = (path.trim(), value.trim());
                let path = path.strip_prefix("editor.").unwrap_or(path).to_owned();
                Ok((path, serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
            })
            .collect::<Result<_, EvaluationError>>()?;
        let said: Vec<String> = changes.iter().map(|(path, value)| format!("`{path}` = {value}")).collect();
        Ok(Self { name: name.to_owned(), about: format!("With {}.", said.join(", ")), changes })
    }

    /// The settings changed so.
    ///
    /// # Errors
    /// A setting that there is not, a value that it can't have.
    pub(super) fn of(&self, base: &EditorConfig) -> Result<EditorConfig, EvaluationError> {
        let wrong = |what: String| EvaluationError::Variant { name: self.name.clone(), what };
        let mut settings = serde_json::to_value(base).map_err(|error| wrong(error.to_string()))?;
        for (path, value) in &self.changes {
            let mut place = &mut settings;
            for name in path.split('.') {
                place = place
                    .get_mut(name)
                    .ok_or_else(|| wrong(format!("the editor has no setting `{path}`")))?;
            }
            *place = value.clone();
        }
        let config: EditorConfig =
            serde_json::from_value(settings).map_err(|error| wrong(error.to_string()))?;
        config.codebook.validate().map_err(|error| wrong(error.to_string()))?;
        Ok(config)
    }

    /// What an editor with these settings says of itself. `same` tells that the changes change nothing.
    pub(super) fn profile(&self, config: &EditorConfig, same: bool) -> Profile {
        let note = if same { " The configuration has it so already: this is ReasonEdit itself." } else { "" };
        let gated = config.codebook.retrieval.gate;
        Profile {
            name: self.name.clone(),
            about: format!("{}{note}", self.about),
            retrieves: true,
            gated,
            uses_reasoning: true,
            retrieval_settings: if gated {
                vec![RetrievalSetting::K, RetrievalSetting::Tau]
            } else {
                vec![RetrievalSetting::K]
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ablation_changes_what_it_says() {
        let mut base = EditorConfig::default();
        base.codebook.retrieval.hubness = true;
        base.retrieval.relevance.enabled = true;
        for variant in EditorVariant::ablations() {
            let changed = variant.of(&base).unwrap();
            assert_ne!(changed, base, "{}", variant.name);
        }
        assert_eq!(EditorVariant::unchanged("reasonedit").of(&base).unwrap(), base);
    }

    #[test]
    fn variants_are_written_as_settings_are() {
        let variant = EditorVariant::parse(
            "five-ten:editor.codebook.retrieval.k=10,entries.pair=image,embedding.tap=vision.1",
        )
        .unwrap();
        let config = variant.of(&EditorConfig::default()).unwrap();
        assert_eq!(config.codebook.retrieval.k, 10);
        assert_eq!(config.entries.pair, reasonedit_editor::Pair::Image);
        assert_eq!(config.embedding.tap.as_deref(), Some("vision.1"));
        for (text, named) in [
            ("x", "NAME:PATH=VALUE"),
            ("A:embedding.lambda=1", "small letters"),
            ("x:embedding.lambda", "PATH=VALUE"),
        ] {
            let error = EditorVariant::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        for (text, named) in [
            ("x:embedding.lamda=1", "embedding.lamda"),
            ("x:embedding.lambda=much", "much"),
            ("x:codebook.gate.percentile=200", "percentile"),
        ] {
            let error =
                EditorVariant::parse(text).unwrap().of(&EditorConfig::default()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
