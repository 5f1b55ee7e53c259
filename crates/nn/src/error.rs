//! What can go wrong between files of weights and what a network computes with them.

use std::path::PathBuf;

/// Errors of networks and of reading what they are made of. Messages name the tensor, file or limit at fault
/// and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A checkpoint, or a file of it, can't be used.
    #[error("cannot load {what}: {reason}")]
    Load {
        /// The tensor, file or setting.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A file of a checkpoint can't be read, or not be written where it is kept.
    #[error("cannot access {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's word on it.
        source: std::io::Error,
    },
    /// An input whose shape the network can't take.
    #[error("wrong shape: {0}")]
    Shape(String),
    /// More tokens than the network takes.
    #[error("{tokens} tokens are more than the limit of {limit}")]
    TooLong {
        /// Tokens of the request.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// The device failed.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
    /// The request asks for something the network doesn't have.
    #[error("{0}")]
    Unsupported(String),
}

impl NnError {
    /// A [`NnError::Load`].
    pub fn load(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Load { what: what.into(), reason: reason.into() }
    }
}

/// Results of this crate.
pub type Result<T, E = NnError> = std::result::Result<T, E>;
