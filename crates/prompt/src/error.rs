//! What can go wrong between texts and tokens.

use reasonedit_nn::error::NnError;

/// Errors of tokenizers and chat templates. Messages contain no user text.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file is not what it has to be.
    #[error(transparent)]
    File(#[from] NnError),
    /// The tokenizer refused a text, or its file is not usable.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template failed or yields something that can't be mapped to the request.
    #[error("chat template: {0}")]
    Template(String),
}

/// Results of this crate.
pub type Result<T, E = PromptError> = std::result::Result<T, E>;
