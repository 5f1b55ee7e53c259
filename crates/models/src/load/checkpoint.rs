//! The files of a checkpoint's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use reasonedit_nn::settings;
use reasonedit_nn::weights::Weights;
use serde_json::Value;

use super::foreign::{instead_of_weights, refuse_quantised};
use crate::error::{ModelError, Result};
use reasonedit_prompt::{PromptSettings, PromptTokenizer, ThinkingChoice};

/// The settings of the image processor by themselves.
const IMAGE_PROCESSOR: &str = "preprocessor_config.json";
/// Those of all that surrounds a model.
const PROCESSOR: &str = "processor_config.json";

/// Pictures, then what is said, turns separated by a space: for checkpoints that know no conversations.
const BARE_TEMPLATE: &str = "\
    {% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% endif %}{% endfor %}{% endfor %}\
    {% for m in messages %}{% if not loop.first %}{{ ' ' }}{% endif %}\
    {% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}";

/// A folder in Hugging Face's layout.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    /// Where they are.
    pub(crate) folder: PathBuf,
    /// What the model is called in reports: the hub id, or the name of the folder, of a bundle's that of the
    /// bundle.
    pub(crate) name: String,
    /// Whether and how the model thinks, by whoever loads it.
    pub(crate) thinking: ThinkingChoice,
}

impl Checkpoint {
    pub(crate) fn new(folder: impl Into<PathBuf>, name: Option<String>) -> Result<Self> {
        let folder = folder.into();
        if !folder.is_dir() {
            return Err(ModelError::load(folder.display().to_string(), "there is no such folder"));
        }
        let name = name.unwrap_or_else(|| {
            let canonical = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            // All bundles call the model's folder so: the bundle's own name says which it is.
            let bundle = canonical.parent().filter(|_| canonical.ends_with("vlm"));
            let named = bundle.unwrap_or(&canonical).file_name();
            named.map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned())
        });
        Ok(Self { folder, name, thinking: ThinkingChoice::Auto })
    }

    /// Bytes of a file, `None` if it doesn't exist.
    pub(crate) fn bytes(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let path = self.folder.join(file);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ModelError::read(path, source)),
        }
    }

    /// A JSON file, `None` if it doesn't exist.
    pub(crate) fn json(&self, file: &str) -> Result<Option<Value>> {
        Ok(self.bytes(file)?.map(|bytes| settings::json(file, &bytes)).transpose()?)
    }

    /// A JSON file that must be there.
    pub(crate) fn required_json(&self, file: &str) -> Result<Value> {
        self.json(file)?.ok_or_else(|| self.missing(file))
    }

    /// A file that must be there.
    pub(crate) fn required_bytes(&self, file: &str) -> Result<Vec<u8>> {
        self.bytes(file)?.ok_or_else(|| self.missing(file))
    }

    /// How pictures are preprocessed: where transformers 5 writes it, else `preprocessor_config.json`. In
    /// this order transformers looks too: a folder that was written over has both.
    pub(crate) fn image_processor(&self) -> Result<Value> {
        match self.nested_image_processor()? {
            Some(settings) => Ok(settings),
            None => self.json(IMAGE_PROCESSOR)?.ok_or_else(|| self.missing(IMAGE_PROCESSOR)),
        }
    }

    fn nested_image_processor(&self) -> Result<Option<Value>> {
        let settings = self.json(PROCESSOR)?.unwrap_or_default()["image_processor"].take();
        Ok(Some(settings).filter(Value::is_object))
    }

    fn missing(&self, file: &str) -> ModelError {
        const SLOW: [&str; 4] = ["tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"];
        if file == "config.json"
            && !self.folder.join("model.safetensors").is_file()
            && let Some(instead) = instead_of_weights(&self.folder)
        {
            return instead;
        }
        let slow = SLOW.into_iter().find(|name| self.folder.join(name).is_file());
        if let Some(slow) = slow.filter(|_| file == "tokenizer.json") {
            let reason = format!(
                "there is only {slow}. AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER) makes \
                 tokenizer.json of it"
            );
            return ModelError::load(file, reason);
        }
        ModelError::load(
            file,
            format!(
                "{} has no such file; is it a whole checkpoint in Hugging Face's layout?",
                self.folder.display()
            ),
        )
    }

    /// The weight files: `model.safetensors`, or what the index lists.
    pub(crate) fn weight_files(&self) -> Result<Vec<PathBuf>> {
        const INDEX: &str = "model.safetensors.index.json";
        let single = self.folder.join("model.safetensors");
        if single.is_file() {
            return Ok(vec![single]);
        }
        let Some(index) = self.json(INDEX)? else {
            return Err(instead_of_weights(&self.folder).unwrap_or_else(|| self.missing("model.safetensors")));
        };
        weight_shards(&index)?
            .into_iter()
            .map(|name| {
                let path = self.folder.join(&name);
                let missing = || {
                    let reason = format!(
                        "{INDEX} lists it, {} has no such file; copy it again",
                        self.folder.display()
                    );
                    ModelError::load(&name, reason)
                };
                if path.is_file() { Ok(path) } else { Err(missing()) }
            })
            .collect()
    }

    /// As [`Self::weight_files`], of weights that are not quantised.
    ///
    /// # Errors
    /// [`ModelError::load`] with the method's name, as `config.json` has it.
    pub(crate) fn whole_weight_files(&self, config: &Value) -> Result<Vec<PathBuf>> {
        let files = self.weight_files()?;
        refuse_quantised(config, &files)?;
        Ok(files)
    }

    /// BLAKE3 (hex) over everything that decides what the model computes.
    pub(crate) fn fingerprint(&self, weights: &Weights) -> Result<String> {
        const FILES: [&str; 11] = [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "qformer_tokenizer/tokenizer.json",
            "chat_template.jinja",
            "chat_template.json",
            IMAGE_PROCESSOR,
            "sentence_bert_config.json",
            "modules.json",
            "1_Pooling/config.json",
            "special_tokens_map.json",
        ];
        let mut hasher = blake3::Hasher::new();
        // Looked at only where it has what other files have by themselves.
        let image_settings =
            self.bytes(IMAGE_PROCESSOR)?.is_none() || self.nested_image_processor()?.is_some();
        let processor = (image_settings || self.template_of_processor()?.is_some()).then_some(PROCESSOR);
        let pieces = self.bytes("tokenizer.json")?.is_none().then_some("spiece.model");
        for file in FILES.into_iter().chain(processor).chain(pieces) {
            if let Some(bytes) = self.bytes(file)? {
                // Lengths, so that no two different sets of files give the same stream.
                hasher.update(&(file.len() as u64).to_le_bytes()).update(file.as_bytes());
                hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
            }
        }
        weights.hash_into(&mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Tokenizer and chat template; `image_token` is the placeholder's id.
    pub(crate) fn prompt_tokenizer(&self, image_token: u32) -> Result<PromptTokenizer> {
        self.tokenizer(Some(image_token))
    }

    /// Tokenizer and chat template of a model that reads text only.
    pub(crate) fn text_tokenizer(&self) -> Result<PromptTokenizer> {
        self.tokenizer(None)
    }

    /// Tokenizers of a model whose Q-Former reads the prompt too, in at most `limit` tokens. Such a
    /// checkpoint needs no chat template: pictures come first, then what is said, nothing around it.
    pub(crate) fn instructed_tokenizer(&self, image_token: u32, limit: usize) -> Result<PromptTokenizer> {
        let (json, settings) = self.tokenizer_parts(Some(image_token), true)?;
        let instruction = self.required_bytes("qformer_tokenizer/tokenizer.json")?;
        Ok(PromptTokenizer::with_instruction(&json, settings, &instruction, limit)?)
    }

    fn tokenizer(&self, image_token: Option<u32>) -> Result<PromptTokenizer> {
        let (json, settings) = self.tokenizer_parts(image_token, false)?;
        Ok(PromptTokenizer::new(&json, settings)?)
    }

    /// The bytes of `tokenizer.json` and what surrounds it; `bare`: it may do without a chat template.
    fn tokenizer_parts(&self, image_token: Option<u32>, bare: bool) -> Result<(Vec<u8>, PromptSettings)> {
        let around = self.json("tokenizer_config.json")?.unwrap_or_default();
        let special_tokens = special_tokens(&around);
        let json = self.required_bytes("tokenizer.json")?;
        let mut stop_tokens = self.stop_tokens()?;
        let tokenizer = settings::json("tokenizer.json", &json)?;
        let added = || tokenizer["added_tokens"].as_array().into_iter().flatten();
        if let Some(eos) = special_tokens.get("eos_token") {
            let id = added().filter(|t| t["content"].as_str() == Some(eos)).find_map(|t| t["id"].as_u64());
            stop_tokens.extend(id.map(|id| id as u32));
        }
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        if stop_tokens.is_empty() {
            return Err(ModelError::load(
                "generation_config.json",
                "neither it, nor config.json, nor tokenizer_config.json names an end-of-turn token (eos_token_id, eos_token)",
            ));
        }
        let chat_template = match self.chat_template(&around)? {
            Some(template) => template,
            None if bare => {
                let image = added().find(|t| t["id"].as_u64() == image_token.map(u64::from));
                let image = image.and_then(|t| t["content"].as_str()).ok_or_else(|| {
                    ModelError::load(
                        "tokenizer.json",
                        "it has no added token of config.json's image_token_index",
                    )
                })?;
                BARE_TEMPLATE.replace("<image>", image)
            }
            None => {
                return Err(ModelError::load(
                    "chat_template.jinja",
                    "the checkpoint has no chat template, neither there nor in chat_template.json or \
                     tokenizer_config.json; use the instruction-tuned checkpoint",
                ));
            }
        };
        let thinking = self.thinking;
        Ok((json, PromptSettings { chat_template, special_tokens, image_token, stop_tokens, thinking }))
    }

    /// Tokens that end a reply: those of `generation_config.json`; a folder without that file has them in
    /// `config.json`.
    fn stop_tokens(&self) -> Result<Vec<u32>> {
        let ids = |value: &Value| -> Vec<u32> {
            let ids = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()).collect()
        };
        if let Some(generation) = self.json("generation_config.json")? {
            return Ok(ids(&generation["eos_token_id"]));
        }
        let config = self.json("config.json")?.unwrap_or_default();
        let places = [&config["eos_token_id"], &config["text_config"]["eos_token_id"]];
        Ok(places.into_iter().map(ids).find(|ids| !ids.is_empty()).unwrap_or_default())
    }

    /// The chat template that early releases put among the processor's settings.
    fn template_of_processor(&self) -> Result<Option<String>> {
        let elsewhere =
            ["chat_template.jinja", "chat_template.json"].iter().any(|f| self.folder.join(f).is_file());
        let settings = if elsewhere { None } else { self.json(PROCESSOR)? };
        Ok(settings.as_ref().and_then(|s| s["chat_template"].as_str()).map(str::to_owned))
    }

    /// The chat template, from the first of the places where checkpoints keep it.
    fn chat_template(&self, settings: &Value) -> Result<Option<String>> {
        if let Some(bytes) = self.bytes("chat_template.jinja")? {
            return String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| ModelError::load("chat_template.jinja", "it is not UTF-8"));
        }
        let from_file = self.json("chat_template.json")?.unwrap_or_default();
        let of_processor = self.template_of_processor()?.map_or(Value::Null, Value::String);
        let places = [&from_file["chat_template"], &of_processor, &settings["chat_template"]];
        Ok(places.into_iter().find_map(|value| match value {
            Value::String(template) => Some(template.clone()),
            // Several named ones.
            Value::Array(all) => {
                all.iter().find(|t| t["name"] == "default")?["template"].as_str().map(str::to_owned)
            }
            Value::Object(all) => all.get("default")?.as_str().map(str::to_owned),
            _ => None,
        }))
    }
}

/// File names an index lists, sorted.
pub(crate) fn weight_shards(index: &Value) -> Result<BTreeSet<String>> {
    let fail = |reason: &str| ModelError::load("model.safetensors.index.json", reason);
    let map = index["weight_map"].as_object().ok_or_else(|| fail("it has no weight_map"))?;
    map.values()
        .map(|name| {
            let name = name.as_str().unwrap_or_default();
            // Plain names only: an index from outside must not reach other folders.
            let plain = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
            if plain {
                Ok(name.to_owned())
            } else {
                Err(fail("it lists something that is not a plain file name"))
            }
        })
        .collect()
}

/// `bos_token` and the like: strings, or objects with their content.
fn special_tokens(settings: &Value) -> BTreeMap<String, String> {
    settings
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| {
            let content = value.as_str().or_else(|| value["content"].as_str())?;
            Some((name.clone(), content.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_cannot_leave_the_folder() {
        let good = json!({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}});
        let names: Vec<_> = weight_shards(&good).unwrap().into_iter().collect();
        assert_eq!(names, ["model-1.safetensors", "model-2.safetensors"]);
        for name in ["../secret", "/etc/passwd", "a/b", "..", ""] {
            assert!(weight_shards(&json!({"weight_map": {"a": name}})).is_err(), "{name}");
        }
        assert!(weight_shards(&json!({})).is_err());
    }

    #[test]
    fn missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path(), None).unwrap();
        assert!(checkpoint.required_json("config.json").unwrap_err().to_string().contains("config.json"));
        assert!(checkpoint.weight_files().unwrap_err().to_string().contains("model.safetensors"));
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        assert!(checkpoint.json("config.json").unwrap_err().to_string().contains("ends in the middle"));
        assert!(Checkpoint::new(folder.path().join("none"), None).is_err());
    }
}
