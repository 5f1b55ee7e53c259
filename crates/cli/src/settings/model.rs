//! Which model is meant, and where it lies.

use std::path::{Path, PathBuf};

use reasonedit_models::prompt::ThinkingChoice;
use reasonedit_models::{BlockType, DeviceChoice, LoadOptions, WeightType, is_hub_id};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Result};

/// The demo bundle, from the root of a checkout.
const DEMO: &str = "models/demo";
/// The sentence encoder of the paper, for models that bring none.
const PAPER_ENCODER: &str = "sentence-transformers/paraphrase-mpnet-base-v2";
/// The head beside a model that tells what bears on a question, for the model's own sentence encoder.
const RELEVANCE_HEAD: &str = "relevance-head.safetensors";
/// The profile beside a model: its own settings of the editor.
const PROFILE: &str = "reasonedit.json";

/// Which model, and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelSettings {
    /// A folder (a bundle of `vlm/` and `sentence-encoder/`, or a checkpoint) or a hub id; none: the demo
    /// bundle.
    pub(crate) source: Option<String>,
    /// A folder or a hub id; none: the bundle's own, else the paper's.
    pub(crate) sentence_encoder: Option<String>,
    /// A model that rephrases texts, a folder or a hub id; none: the vision-language model does.
    pub(crate) paraphraser: Option<String>,
    /// Folder of a low-rank adapter in PEFT's layout, merged into the model's language side; none: the model
    /// as it is.
    pub(crate) adapter: Option<PathBuf>,
    /// Whether and how the model thinks before it answers.
    pub(crate) thinking: ThinkingChoice,
    /// Branch, tag or commit of a hub id.
    pub(crate) revision: Option<String>,
    /// Device that runs the model.
    pub(crate) device: DeviceChoice,
    /// Type of the weights.
    pub(crate) dtype: WeightType,
    /// Blocks of few bits for the language model's layers; none: as `dtype` says.
    pub(crate) quantize: Option<BlockType>,
    /// Never ask the hub, use only what has been fetched before.
    pub(crate) offline: bool,
}

/// Where the two models come from: folders or hub ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelSources {
    /// The vision-language model.
    pub(crate) vlm: String,
    /// The sentence encoder.
    pub(crate) sentence_encoder: String,
    /// What rephrases, if another model does.
    pub(crate) paraphraser: Option<String>,
    /// Pictures to try the model with, when it brings some.
    pub(crate) samples: Option<PathBuf>,
}

impl ModelSettings {
    /// Finds the models.
    ///
    /// # Errors
    /// No demo bundle where it is looked for, or a source that is neither a folder nor a hub id.
    pub(crate) fn sources(&self) -> Result<ModelSources> {
        let folder = self.folder()?;
        let bundle = folder.as_deref().filter(|folder| folder.join("vlm").is_dir());
        let vlm = match (bundle, &folder, &self.source) {
            (Some(bundle), _, _) => bundle.join("vlm").display().to_string(),
            (None, Some(folder), _) => folder.display().to_string(),
            (None, None, Some(id)) => id.clone(),
            (None, None, None) => return Err(no_demo(&places())),
        };
        let own = bundle.map(|bundle| bundle.join("sentence-encoder")).filter(|encoder| encoder.is_dir());
        let sentence_encoder = match (&self.sentence_encoder, own) {
            (Some(source), _) => folder_or_id(source)?,
            (None, Some(own)) => own.display().to_string(),
            (None, None) => PAPER_ENCODER.to_owned(),
        };
        let samples = bundle.map(|bundle| bundle.join("samples")).filter(|samples| samples.is_dir());
        let paraphraser = self.paraphraser.as_deref().map(folder_or_id).transpose()?;
        Ok(ModelSources { vlm, sentence_encoder, paraphraser, samples })
    }

    /// How the models are loaded. Revision and adapter are the vision-language model's.
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            device: self.device,
            dtype: self.dtype,
            quantize: self.quantize,
            adapter: self.adapter.clone(),
            thinking: self.thinking,
            revision: self.revision.clone(),
            offline: self.offline,
        }
    }

    /// The profile of the model, if it is a folder that has one. A model that can't be found has none: that
    /// is told when it is loaded, not when settings are read (`codebook import --server` needs no model).
    pub(crate) fn profile(&self) -> Option<PathBuf> {
        let path = self.folder().ok()??.join(PROFILE);
        path.is_file().then_some(path)
    }

    /// The model's own head that tells what bears on a question, if it is a folder that has one.
    pub(crate) fn relevance_head(&self) -> Option<PathBuf> {
        let path = self.folder().ok()??.join(RELEVANCE_HEAD);
        path.is_file().then_some(path)
    }

    /// Whether it is the demo bundle, named or not.
    pub(crate) fn is_demo(&self) -> bool {
        let whole = |place: &PathBuf| place.canonicalize().ok();
        let own = self.folder().ok().flatten().as_ref().and_then(whole);
        own.is_some_and(|own| places().iter().filter_map(whole).any(|place| place == own))
    }

    /// The folder the model is in, or `None` for a hub id.
    fn folder(&self) -> Result<Option<PathBuf>> {
        if let Some(source) = &self.source {
            return as_folder(source);
        }
        let places = places();
        let found = places.iter().find(|place| place.join("vlm").is_dir()).cloned();
        found.map(Some).ok_or_else(|| no_demo(&places))
    }
}

/// A folder if there is one of that name, `None` if it can only be a hub id.
fn as_folder(source: &str) -> Result<Option<PathBuf>> {
    let path = Path::new(source);
    if path.is_dir() {
        return Ok(Some(path.to_owned()));
    }
    if is_hub_id(source) {
        return Ok(None);
    }
    Err(CliError::Usage(format!(
        "model `{source}`: no such folder, and not a hub id such as Qwen/Qwen3-VL-4B-Instruct"
    )))
}

/// What is loaded for a folder or a hub id.
fn folder_or_id(source: &str) -> Result<String> {
    Ok(as_folder(source)?.map_or_else(|| source.to_owned(), |folder| folder.display().to_string()))
}

/// Where the demo bundle is looked for: the checkout one stands in, the installation the program belongs to,
/// the checkout it was built in.
fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(DEMO)];
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    // `bin/reasonedit` of an installation, `target/release/reasonedit` of a checkout.
    let mut above = program.iter().flat_map(|path| path.ancestors()).skip(2);
    places.extend(above.next().map(|folder| folder.join("share/reasonedit").join(DEMO)));
    places.extend(above.next().map(|folder| folder.join(DEMO)));
    places
}

fn no_demo(places: &[PathBuf]) -> CliError {
    let places: Vec<String> = places.iter().map(|place| format!("  {}", place.display())).collect();
    CliError::Failed(format!(
        "the demo bundle (a folder with vlm/ and sentence-encoder/) is in none of\n{}\n\
         Run from the root of a checkout, or name a model: --model DIR_OR_ID",
        places.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &Path) -> ModelSettings {
        ModelSettings { source: Some(source.display().to_string()), ..ModelSettings::default() }
    }

    #[test]
    fn a_bundle_brings_both_models() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["vlm", "sentence-encoder", "samples"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let sources = of(folder.path()).sources().unwrap();
        assert_eq!(sources.vlm, folder.path().join("vlm").display().to_string());
        assert_eq!(sources.sentence_encoder, folder.path().join("sentence-encoder").display().to_string());
        assert_eq!(sources.samples, Some(folder.path().join("samples")));
        assert_eq!(of(folder.path()).profile(), None);
        std::fs::write(folder.path().join(PROFILE), "{}").unwrap();
        assert_eq!(of(folder.path()).profile(), Some(folder.path().join(PROFILE)));
    }

    #[test]
    fn a_checkpoint_alone_takes_the_papers_encoder_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = of(folder.path());
        let sources = settings.sources().unwrap();
        assert_eq!(sources.vlm, folder.path().display().to_string());
        assert_eq!(sources.sentence_encoder, PAPER_ENCODER);
        settings.sentence_encoder = Some("some-one/else".to_owned());
        assert_eq!(settings.sources().unwrap().sentence_encoder, "some-one/else");
    }

    #[test]
    fn hub_ids_are_told_from_folders_that_are_not_there() {
        for id in ["Qwen/Qwen3-VL-4B-Instruct", "a/b.c"] {
            assert!(is_hub_id(id), "{id}");
        }
        for path in ["./a/b", "/a/b", "a/b/c", "a", "../a", "a/..", "a/", "/", "a b/c", ""] {
            assert!(!is_hub_id(path), "{path}");
        }
        let id = ModelSettings { source: Some("Qwen/x".to_owned()), ..ModelSettings::default() };
        assert_eq!(id.sources().unwrap().vlm, "Qwen/x");
        let missing = ModelSettings { source: Some("./no/such".to_owned()), ..ModelSettings::default() };
        let error = missing.sources().unwrap_err();
        assert_eq!(error.status(), 2);
        assert!(error.to_string().contains("./no/such"));
        assert_eq!(missing.profile(), None);
    }
}
