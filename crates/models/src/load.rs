//! Checkpoints in Hugging Face's layout, from a folder or the hub, to loaded models.

pub(crate) mod checkpoint;
mod foreign;
#[cfg(test)]
mod prompt_tests;
pub mod source;

use std::path::PathBuf;

use checkpoint::Checkpoint;
use reasonedit_nn::precision::{BlockType, DeviceChoice, Precision, WeightType};
use reasonedit_nn::weights::Weights;
use serde::{Deserialize, Serialize};
use source::{DownloadProgress, resolve};

use crate::adapter::merged;
use crate::architecture::{Architecture, Parts};
use crate::error::Result;
use crate::model::{SentenceEncoder, VisionLanguageModel};
use crate::sentence;
use reasonedit_prompt::ThinkingChoice;

/// How a model is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: DeviceChoice,
    /// What its weights are held in.
    pub dtype: WeightType,
    /// Blocks of fewer bits for the language model's layers; none: as `dtype` says.
    pub quantize: Option<BlockType>,
    /// Folder of a low-rank adapter in PEFT's layout, merged into the language model's weights while they are
    /// read; sentence encoders have none.
    pub adapter: Option<PathBuf>,
    /// Whether and how the model thinks before it answers.
    pub thinking: ThinkingChoice,
    /// Branch, tag or commit on the hub; its main branch when absent. Unused for folders.
    pub revision: Option<String>,
    /// Use only what was downloaded before.
    pub offline: bool,
}

/// Loads a vision-language model from a folder or hub id.
///
/// # Errors
/// [`crate::NnError::Load`] or [`crate::NnError::Read`], naming what is at fault and what to do about it.
pub fn load(source: &str, options: &LoadOptions) -> Result<Box<dyn VisionLanguageModel>> {
    load_with_progress(source, options, &|_| {})
}

/// As [`load`], with a callback while files are downloaded.
///
/// # Errors
/// As [`load`].
pub fn load_with_progress(
    source: &str,
    options: &LoadOptions,
    progress: &dyn Fn(DownloadProgress),
) -> Result<Box<dyn VisionLanguageModel>> {
    let checkpoint = Checkpoint { thinking: options.thinking, ..resolve(source, options, progress)? };
    let config = checkpoint.required_json("config.json")?;
    let architecture = Architecture::of(&config)?;
    let device = options.device.open()?;
    let precision = Precision::on(&device, options.dtype, options.quantize);
    let mut weights = Weights::open(&checkpoint.whole_weight_files(&config)?, precision, device)?;
    if let Some(folder) = &options.adapter {
        weights = merged(&checkpoint, weights, folder)?;
    }
    (architecture.load)(&Parts { checkpoint: &checkpoint, config: &config, weights: &weights })
}

/// Loads a sentence encoder from a folder or hub id.
///
/// # Errors
/// As [`load`].
pub fn load_sentence_encoder(source: &str, options: &LoadOptions) -> Result<Box<dyn SentenceEncoder>> {
    load_sentence_encoder_with_progress(source, options, &|_| {})
}

/// As [`load_sentence_encoder`], with a callback while files are downloaded.
///
/// # Errors
/// As [`load`].
pub fn load_sentence_encoder_with_progress(
    source: &str,
    options: &LoadOptions,
    progress: &dyn Fn(DownloadProgress),
) -> Result<Box<dyn SentenceEncoder>> {
    let checkpoint = resolve(source, options, progress)?;
    let config = checkpoint.required_json("config.json")?;
    let device = options.device.open()?;
    let precision = Precision { blocks: None, ..Precision::on(&device, options.dtype, options.quantize) };
    let weights = Weights::open(&checkpoint.whole_weight_files(&config)?, precision, device)?;
    let fingerprint = checkpoint.fingerprint(&weights)?;
    Ok(Box::new(sentence::TextEncoder::new(&checkpoint, &weights, fingerprint)?))
}

/// Makes sure that a checkpoint's files are here, without loading it: the folder of a source, downloaded if
/// need be.
///
/// # Errors
/// As [`load`].
pub fn pull(source: &str, options: &LoadOptions, progress: &dyn Fn(DownloadProgress)) -> Result<PathBuf> {
    let checkpoint = resolve(source, options, progress)?;
    checkpoint.weight_files()?;
    Ok(checkpoint.folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults_and_refuse_unknown_names() {
        let options: LoadOptions = serde_json::from_str(r#"{"device": "cuda:1", "dtype": "bf16"}"#).unwrap();
        assert_eq!((options.device, options.dtype), (DeviceChoice::Cuda(1), WeightType::Bf16));
        assert!(serde_json::from_str::<LoadOptions>(r#"{"devise": "cpu"}"#).is_err());
        for blocks in BlockType::ALL {
            let json = format!(r#"{{"quantize": "{}"}}"#, blocks.name());
            assert_eq!(serde_json::from_str::<LoadOptions>(&json).unwrap().quantize, Some(blocks));
        }
    }
}
