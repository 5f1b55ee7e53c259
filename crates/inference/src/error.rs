//! What can go wrong between a request and its answer.

use std::path::PathBuf;
use std::time::Duration;

use reasonedit_models::ModelError;
use reasonedit_models::prompt::PromptError;
use reasonedit_nn::error::NnError;
use reasonedit_resilience::WorkLost;

/// Errors of this crate. Messages name the tensor, file or limit at fault and what to do about it; they
/// contain no user text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
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
    /// More tokens than the model, or the engine's limit, takes.
    #[error("{tokens} tokens are more than the limit of {limit}")]
    TooLong {
        /// Tokens of the request.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// The device failed.
    #[error("device: {0}")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request asks for something the model doesn't have.
    #[error("{0}")]
    Unsupported(String),
    /// A form that replies can't be held to.
    #[error("{detail}")]
    Form {
        /// JSON pointer into the schema; empty for the whole, and for regular expressions and grammars.
        pointer: String,
        /// In words.
        detail: String,
    },
    /// The engine's queue is full.
    #[error("the engine's queue is full; retry in {} ms", retry_after.as_millis())]
    QueueFull {
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The engine has been shut down, or its model could not be loaded.
    #[error("the engine is closed")]
    Closed,
    /// The request's deadline passed before it was answered.
    #[error("the deadline passed before the request was answered")]
    DeadlineExceeded,
    /// The model panicked on this request; the engine lives on.
    #[error("internal failure while computing: {0}")]
    Panicked(String),
}

impl EngineError {
    /// An [`EngineError::Load`].
    pub fn load(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Load { what: what.into(), reason: reason.into() }
    }
}

impl From<ModelError> for EngineError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Network(error) => error.into(),
            ModelError::Tokenizer(reason) => Self::Tokenizer(reason),
            ModelError::Template(reason) => Self::Template(reason),
            ModelError::Image(reason) => Self::Image(reason),
        }
    }
}

impl From<PromptError> for EngineError {
    fn from(error: PromptError) -> Self {
        ModelError::from(error).into()
    }
}

impl From<NnError> for EngineError {
    fn from(error: NnError) -> Self {
        match error {
            NnError::Load { what, reason } => Self::Load { what, reason },
            NnError::Read { path, source } => Self::Read { path, source },
            NnError::Shape(reason) => Self::Shape(reason),
            NnError::TooLong { tokens, limit } => Self::TooLong { tokens, limit },
            NnError::Device(error) => Self::Device(Box::new(error)),
            NnError::Unsupported(reason) => Self::Unsupported(reason),
        }
    }
}

/// Only the runtime cancels such work, when everything stops.
impl From<WorkLost> for EngineError {
    fn from(lost: WorkLost) -> Self {
        match lost {
            WorkLost::Panicked(said) => Self::Panicked(said),
            WorkLost::Cancelled => Self::Closed,
        }
    }
}

/// Results of this crate.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
