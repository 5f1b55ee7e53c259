//! Why a conflict was not kept or found.

use reasonedit_codebook::CodebookError;
use reasonedit_failure::{Classify, Failure, FailureKind};
use ulid::Ulid;

/// Why a conflict was not kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConflictError {
    /// It was never found, or is none any more.
    #[error("There is no conflict {0}.")]
    Unknown(Ulid),
    /// A row is of another form.
    #[error("conflicts are kept in another form: {0}")]
    Form(#[from] serde_json::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] CodebookError),
}

impl Classify for ConflictError {
    fn classify(self) -> Failure {
        let said = self.to_string();
        match self {
            Self::Unknown(_) => Failure::new(FailureKind::NotFound, said),
            Self::Form(_) => Failure::new(FailureKind::Internal, said),
            Self::Journal(error) => error.classify(),
        }
    }
}

/// Results of this crate.
pub type Result<T, E = ConflictError> = std::result::Result<T, E>;
