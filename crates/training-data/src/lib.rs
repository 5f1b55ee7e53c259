//! Live edits as training data in the forms that other people's trainers read.
//!
//! A codebook holds what people corrected: a picture, a question, the right answer and why. [`write_tar`]
//! writes that as conversations ([`TrainingTask::Sft`]) or as pairs of the correction and what the model had
//! said before ([`TrainingTask::Dpo`]), for one [`Trainer`]. Nothing here knows of HTTP or of models.
//!
//! ```
//! use reasonedit_codebook::ImageStore;
//! use reasonedit_imaging::{DecodeLimits, PixelRules};
//! use reasonedit_training_data::{
//!     Trainer, TrainingModel, TrainingOptions, TrainingSource, TrainingTask, write_tar,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let images = ImageStore::open(folder.path())?;
//! let source = TrainingSource {
//!     codebook: "default".parse()?,
//!     revision: 0,
//!     generation: None,
//!     model: TrainingModel { architecture: "qwen3_vl".into(), fingerprint: "0f".into() },
//!     models: Default::default(),
//!     edits: Vec::new(),
//!     images: &images,
//!     limits: &DecodeLimits::default(),
//!     rules: PixelRules::CURRENT,
//! };
//! let options = TrainingOptions { split: 0.1, ..TrainingOptions::new(Trainer::Trl, TrainingTask::Sft) };
//! let mut tar = Vec::new();
//! let manifest = write_tar(&source, &options, &mut tar)?;
//! assert_eq!(manifest.codebook.edits, 0);
//! # Ok(())
//! # }
//! ```

mod archive;
mod dialogue;
mod error;
mod manifest;
mod options;
mod pictures;
mod plain_text;
mod rows;
mod source;
#[cfg(test)]
mod testing;

pub use archive::write_tar;
pub use error::TrainingDataError;
pub use manifest::{
    LeftOut, TrainingCodebook, TrainingManifest, TrainingModel, TrainingPictures, TrainingSide,
};
pub use options::{PicturePlace, ReasoningPlace, Trainer, TrainingOptions, TrainingTask};
pub use source::{TrainingEdit, TrainingSource};
