//! The architectures that can be loaded: one folder and two lines here for each.

mod instructblip;
mod llava;
mod qwen2;
mod qwen2_5_vl;
mod qwen3_vl;

use serde_json::Value;

use crate::architecture::Architecture;
use crate::error::{ModelError, Result};

/// Every architecture, told apart by `model_type` of `config.json`.
pub const ARCHITECTURES: &[Architecture] = &[
    qwen3_vl::ARCHITECTURE,
    qwen2_5_vl::ARCHITECTURE,
    llava::ARCHITECTURE,
    instructblip::ARCHITECTURE,
    qwen2::ARCHITECTURE,
];

impl Architecture {
    /// The architecture of a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::load`] for one that isn't known, telling which are.
    pub fn of(config: &Value) -> Result<&'static Self> {
        let model_type = config["model_type"].as_str().ok_or_else(|| {
            ModelError::load(
                "config.json",
                "it has no model_type; is it the model's, as transformers writes it?",
            )
        })?;
        ARCHITECTURES.iter().find(|a| a.model_type == model_type).ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|a| a.model_type).collect();
            ModelError::load(
                "config.json",
                format!(
                    "model_type {model_type:?} is not supported; supported are {}. `reasonedit models list` shows \
                     checkpoints of them",
                    known.join(", ")
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_names_of_their_own() {
        for (i, one) in ARCHITECTURES.iter().enumerate() {
            assert!(ARCHITECTURES[..i].iter().all(|other| other.model_type != one.model_type));
            let config = serde_json::json!({"model_type": one.model_type});
            assert_eq!(Architecture::of(&config).unwrap().model_type, one.model_type);
        }
        let error = Architecture::of(&serde_json::json!({"model_type": "gpt2"})).unwrap_err().to_string();
        assert!(error.contains("gpt2") && error.contains("qwen3_vl"), "{error}");
        assert!(Architecture::of(&Value::Null).is_err());
    }
}
