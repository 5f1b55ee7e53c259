//! Why data can't be read.

use std::path::PathBuf;

use thiserror::Error;

/// Why data can't be used.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// They are not what was wanted.
    #[error("the data can't be used: {0}")]
    Data(String),
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
