//! `config.json` of LLaVA checkpoints.

use reasonedit_nn::settings;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::vision_config::{Clip, VisionConfig};

/// What is read of `config.json`, the language model's part aside.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LlavaConfig {
    /// The vision tower.
    pub(super) vision_config: VisionConfig<Clip>,
    /// Which hidden states become image tokens: 0 is what enters the first block, −1 what leaves the last.
    #[serde(default = "second_to_last")]
    pub(super) vision_feature_layer: i64,
    /// `default` leaves the class token out, `full` keeps it.
    #[serde(default = "default_strategy")]
    pub(super) vision_feature_select_strategy: String,
    /// Activation between the projector's layers.
    #[serde(default = "gelu")]
    pub(super) projector_hidden_act: String,
    /// Whether the projector's layers have biases.
    #[serde(default = "yes")]
    pub(super) multimodal_projector_bias: bool,
    /// Whether the output matrix is the embedding matrix.
    #[serde(default)]
    pub(super) tie_word_embeddings: bool,
}

fn second_to_last() -> i64 {
    -2
}
fn default_strategy() -> String {
    "default".into()
}
fn gelu() -> String {
    "gelu".into()
}
fn yes() -> bool {
    true
}

impl LlavaConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::load`] naming the setting at fault.
    pub(super) fn parse(json: &Value) -> Result<Self> {
        let fail = |reason: String| ModelError::load("config.json", reason);
        if json["vision_feature_layer"].is_array() {
            return Err(fail("several vision_feature_layer are not supported; LLaVA-1.5 has one".into()));
        }
        let config: Self = settings::read("config.json", "", json)?;
        let kind = config.vision_config.model_type.as_str();
        if kind != "clip_vision_model" {
            return Err(fail(format!(
                "vision_config.model_type {kind:?} is not supported, clip_vision_model is"
            )));
        }
        let text = json["text_config"]["model_type"].as_str().unwrap_or("llama");
        if text != "llama" {
            return Err(fail(format!("text_config.model_type {text:?} is not supported, llama is")));
        }
        if !matches!(config.vision_feature_select_strategy.as_str(), "default" | "full") {
            return Err(fail("vision_feature_select_strategy must be default or full".into()));
        }
        config.feature_blocks()?;
        Ok(config)
    }

    /// Blocks of the vision tower behind which the image tokens are taken.
    ///
    /// # Errors
    /// [`ModelError::load`] if there are not as many.
    pub(super) fn feature_blocks(&self) -> Result<usize> {
        let layers = self.vision_config.num_hidden_layers;
        let counted = if self.vision_feature_layer < 0 {
            self.vision_feature_layer.checked_add_unsigned(layers as u64 + 1)
        } else {
            Some(self.vision_feature_layer)
        };
        counted.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= layers).ok_or_else(|| {
            ModelError::load("config.json", format!("vision_feature_layer names none of the {layers} layers"))
        })
    }

    /// Whether the class token is among the image tokens.
    pub(super) fn keeps_class(&self) -> bool {
        self.vision_feature_select_strategy == "full"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_published_file_leaves_much_out() {
        let config = LlavaConfig::parse(&json!({
            "model_type": "llava", "vision_config": {"num_hidden_layers": 24}, "text_config": {"vocab_size": 32_064},
        }))
        .unwrap();
        assert_eq!((config.feature_blocks().unwrap(), config.keeps_class()), (23, false));
        assert_eq!((config.vision_config.image_size, config.vision_config.patch_size), (336, 14));
    }

    #[test]
    fn contradictions_are_named() {
        for (name, value, word) in [
            ("vision_feature_layer", json!(-9), "vision_feature_layer"),
            ("vision_feature_layer", json!(4), "vision_feature_layer"),
            ("vision_feature_layer", json!(i64::MIN), "vision_feature_layer"),
            ("vision_feature_layer", json!([-2, -5]), "several"),
            ("vision_feature_select_strategy", json!("cls"), "select_strategy"),
            ("vision_config", json!({"model_type": "siglip_vision_model"}), "siglip"),
            ("text_config", json!({"model_type": "mistral"}), "mistral"),
            ("projector_hidden_act", json!(3), "projector_hidden_act is 3"),
        ] {
            let mut config = json!({"vision_config": {"num_hidden_layers": 3}, "text_config": {}});
            config[name] = value;
            let error = LlavaConfig::parse(&config).unwrap_err().to_string();
            assert!(error.contains(word), "{name}: {error}");
        }
    }
}
