//! What kind of failure an error of codebooks is.

use reasonedit_failure::{Classify, Failure, FailureKind};

use crate::CodebookError;

impl Classify for CodebookError {
    fn classify(self) -> Failure {
        let kind = match self {
            CodebookError::UnknownEdit(_)
            | CodebookError::UnknownCodebook(_)
            | CodebookError::UnknownImage(_) => FailureKind::NotFound,
            CodebookError::EmbeddingMismatch { .. } | CodebookError::Conflict(_) => FailureKind::Conflict,
            CodebookError::InvalidId { .. }
            | CodebookError::InvalidName(_)
            | CodebookError::InvalidQuery(_) => FailureKind::Invalid,
            _ => FailureKind::Internal,
        };
        Failure::new(kind, self.to_string())
    }
}
