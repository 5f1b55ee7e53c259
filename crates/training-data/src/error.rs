//! Why no training data was written.

use reasonedit_codebook::CodebookError;
use thiserror::Error;

/// See the module's description.
#[derive(Debug, Error)]
pub enum TrainingDataError {
    /// An option is out of its range, or does not go with another.
    #[error("{detail}")]
    Option {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A picture can't be read from the store.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
    /// What is written can't be taken.
    #[error("the training data can't be written: {0}")]
    Write(#[from] std::io::Error),
}
