//! What can go wrong between a checkpoint and what its model computes.

use std::path::PathBuf;

use reasonedit_nn::error::NnError;
use reasonedit_prompt::PromptError;

/// Errors of models: those of the network inside, and those of texts and pictures on their way into it.
/// Messages contain no user text.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A checkpoint or its network can't do it.
    #[error(transparent)]
    Network(#[from] NnError),
    /// The tokenizer refused a text, or its file is not usable.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template failed or yields something that can't be mapped to the request.
    #[error("chat template: {0}")]
    Template(String),
    /// A picture the model can't look at.
    #[error("image: {0}")]
    Image(String),
}

impl ModelError {
    /// An [`NnError::Load`].
    pub fn load(what: impl Into<String>, reason: impl Into<String>) -> Self {
        NnError::load(what, reason).into()
    }

    /// An [`NnError::Read`].
    pub fn read(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        NnError::Read { path: path.into(), source }.into()
    }

    /// An [`NnError::Shape`].
    pub fn shape(reason: impl Into<String>) -> Self {
        NnError::Shape(reason.into()).into()
    }

    /// An [`NnError::Unsupported`].
    pub fn unsupported(reason: impl Into<String>) -> Self {
        NnError::Unsupported(reason.into()).into()
    }
}

impl From<PromptError> for ModelError {
    fn from(error: PromptError) -> Self {
        match error {
            PromptError::File(error) => Self::Network(error),
            PromptError::Tokenizer(reason) => Self::Tokenizer(reason),
            PromptError::Template(reason) => Self::Template(reason),
        }
    }
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        Self::Network(error.into())
    }
}

/// Results of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
