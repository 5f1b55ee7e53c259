//! Why hit rates can't be measured.

use reasonedit_dataset::DatasetError;
use reasonedit_editor::EditorError;
use thiserror::Error;

/// Why hit rates can't be measured.
#[derive(Debug, Error)]
pub enum HitRateError {
    /// The records can't be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Records, report or options can't be used.
    #[error("hit rates can't be measured: {0}")]
    Input(String),
    /// The editor failed.
    #[error(transparent)]
    Editor(#[from] EditorError),
}
