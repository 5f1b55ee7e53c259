//! Why a word on an answer was not kept or found.

use reasonedit_codebook::CodebookError;
use reasonedit_failure::{Classify, Failure, FailureKind};
use ulid::Ulid;

/// Why a word on an answer was not kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackError {
    /// Nobody gave it, or it was taken back.
    #[error("There is no feedback {0}.")]
    Unknown(Ulid),
    /// It can't be kept as it is.
    #[error("{detail}")]
    Invalid {
        /// JSON pointer of what is wrong.
        pointer: &'static str,
        /// What is.
        detail: String,
    },
    /// A row is of another form.
    #[error("feedback is kept in another form: {0}")]
    Form(#[from] serde_json::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] CodebookError),
}

impl Classify for FeedbackError {
    fn classify(self) -> Failure {
        let said = self.to_string();
        match self {
            Self::Unknown(_) => Failure::new(FailureKind::NotFound, said),
            Self::Invalid { pointer, detail } => Failure::at(FailureKind::Invalid, pointer, detail),
            Self::Form(_) => Failure::new(FailureKind::Internal, said),
            Self::Journal(error) => error.classify(),
        }
    }
}

/// Results of this crate.
pub type Result<T, E = FeedbackError> = std::result::Result<T, E>;
