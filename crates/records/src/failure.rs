//! What kind of failure an error of codebooks is.

use reasonedit_failure::{Classify, Failure, FailureKind};

use crate::CodebookError;
use crate::error::Unwritable;

impl Classify for CodebookError {
    fn classify(self) -> Failure {
        let kind = match self {
            CodebookError::UnknownEdit(_)
            | CodebookError::UnknownRevert(_)
            | CodebookError::UnknownCodebook(_)
            | CodebookError::UnknownImage(_) => FailureKind::NotFound,
            CodebookError::Erased { .. } => FailureKind::Erased,
            CodebookError::EmbeddingMismatch { .. }
            | CodebookError::KeysNotKept { .. }
            | CodebookError::Conflict(_) => FailureKind::Conflict,
            CodebookError::Contradicted(_) => FailureKind::Contradicted,
            CodebookError::OtherVersion { .. } => FailureKind::OtherVersion,
            CodebookError::NoSuchRevision { .. }
            | CodebookError::NotToSupersede(_)
            | CodebookError::InvalidId { .. }
            | CodebookError::InvalidName(_)
            | CodebookError::InvalidQuery(_) => FailureKind::Invalid,
            CodebookError::Unwritable(Unwritable::Full) => FailureKind::StorageFull,
            CodebookError::Unwritable(_) => FailureKind::Unwritable,
            CodebookError::HarmedImages(_) | CodebookError::Damaged { .. } => FailureKind::Damaged,
            _ => FailureKind::Internal,
        };
        match self {
            CodebookError::NotToSupersede(_) => {
                return Failure::at(kind, "/supersedes", self.to_string());
            }
            CodebookError::Contradicted(edits) => {
                let detail = CodebookError::Contradicted(edits.clone()).to_string();
                return Failure::new(kind, detail).about_edits(edits);
            }
            _ => {}
        }
        if let CodebookError::Corrupt { .. } = self {
            // Which value it is says more to whoever reads the log than to whoever asked.
            tracing::error!(error = %self, "damaged data");
            let detail = "A stored value can't be read as it was written; the log names it, and `reasonedit codebook \
                          verify` finds what else is damaged.";
            return Failure::new(FailureKind::Damaged, detail);
        }
        Failure::new(kind, self.to_string())
    }
}
