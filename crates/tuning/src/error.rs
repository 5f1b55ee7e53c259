//! What can go wrong while weights are changed.

use std::path::PathBuf;

use reasonedit_imaging::ImagingError;
use reasonedit_models::prompt::PromptError;
use reasonedit_models::{ModelError, NnError};

/// Errors of editors that change weights.
#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    /// The model refused or failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A picture that can't be decoded.
    #[error(transparent)]
    Picture(#[from] ImagingError),
    /// The device failed.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
    /// A loss that is no number: the edit did not take, and the weights are those of before.
    #[error("the loss is no number after {steps} steps")]
    NonFiniteLoss {
        /// Steps that were made before.
        steps: usize,
    },
    /// A setting that can't be followed.
    #[error("{0}")]
    Setting(String),
    /// A file of trained weights that can't be read, written or used with this model.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl From<PromptError> for TuningError {
    fn from(error: PromptError) -> Self {
        Self::Model(error.into())
    }
}

impl From<NnError> for TuningError {
    fn from(error: NnError) -> Self {
        Self::Model(error.into())
    }
}

/// Results of this crate.
pub(crate) type Result<T, E = TuningError> = std::result::Result<T, E>;
