//! What can go wrong between a checkpoint and what its model computes.

use std::path::PathBuf;

/// Errors of networks and of the models made of them. Messages name the tensor, file or limit at fault and
/// what to do about it; they contain no user text.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
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
    /// An input whose shape the model can't take.
    #[error("wrong shape: {0}")]
    Shape(String),
    /// The tokenizer refused a text, or its file is not usable.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template failed or yields something that can't be mapped to the request.
    #[error("chat template: {0}")]
    Template(String),
    /// A picture the model can't look at.
    #[error("image: {0}")]
    Image(String),
    /// More tokens than the model takes.
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
    /// The request asks for something the model doesn't have.
    #[error("{0}")]
    Unsupported(String),
}

impl ModelError {
    /// A [`ModelError::Load`].
    pub fn load(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Load { what: what.into(), reason: reason.into() }
    }
}

/// Results of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
