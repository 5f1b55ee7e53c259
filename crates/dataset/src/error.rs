//! Why data can't be read.

use std::path::PathBuf;

use thiserror::Error;

/// Why data can't be used.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// They are not what was wanted.
    #[error("the data can't be used: {0}")]
    Data(String),
    /// What editors are tuned or trained on is evaluated too.
    #[error(
        "the data for {what} share {pictures} pictures and {edits} edits (question and reasoning) with those that are evaluated: take others"
    )]
    Overlap {
        /// What they are for.
        what: String,
        /// Pictures in both.
        pictures: usize,
        /// Edits in both, by their words.
        edits: usize,
    },
    /// A file that can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's word on it.
        source: std::io::Error,
    },
}

impl DatasetError {
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
