//! Settings of the OpenAI-compatible endpoints.

use serde::{Deserialize, Serialize};

/// Settings of the OpenAI-compatible endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiConfig {
    /// What clients call the model; none: the loaded model's own name. Other codebooks than the default one
    /// are `NAME@CODEBOOK`.
    pub model: Option<String>,
    /// What becomes of a conversation with more pictures than `editor.limits.pictures`, those of the last
    /// turn not among them.
    pub older_pictures: OlderPictures,
}

/// What becomes of pictures above the number that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OlderPictures {
    /// The oldest are left out, and the answer says so: clients send the whole conversation every time.
    #[default]
    Omit,
    /// The request is refused.
    Refuse,
}

impl OpenAiConfig {
    /// Checks what types alone can't.
    ///
    /// # Errors
    /// What is wrong with the name: clients put it into paths.
    pub(super) fn check_model(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let part = |part: &str| !part.is_empty() && part.chars().all(plain);
        match &self.model {
            Some(name) if name.split('/').count() > 2 || !name.split('/').all(part) => {
                Err(format!("`{name}` is not a name of letters, digits and - _ . : with one / at most"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_paths() {
        let named = |name: &str| {
            OpenAiConfig { model: Some(name.to_owned()), ..OpenAiConfig::default() }.check_model().is_ok()
        };
        for name in ["demo", "Qwen/Qwen3-VL-4B-Instruct", "a.b_c:7b"] {
            assert!(named(name), "{name}");
        }
        for name in ["", "a@b", "a/b/c", "/a", "a/", "a b", "ä"] {
            assert!(!named(name), "{name}");
        }
        assert_eq!(OpenAiConfig::default().check_model(), Ok(()));
    }
}
