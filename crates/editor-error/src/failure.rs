//! What kind of failure an error of the editor is.

use reasonedit_codebook::{CodebookError, Unwritable};
use reasonedit_editor_types::BrokenCanary;
use reasonedit_failure::{Classify, Failure, FailureKind, InputFault};

use crate::EditorError;

impl Classify for EditorError {
    fn classify(self) -> Failure {
        match self {
            EditorError::Invalid(fields) => {
                let detail = match fields.as_slice() {
                    [] => "The input can't be used.".to_owned(),
                    [one] => one.detail.clone(),
                    [first, rest @ ..] => format!("{} ({} more in `errors`)", first.detail, rest.len()),
                };
                let places = fields.into_iter().map(|f| InputFault { pointer: f.pointer, detail: f.detail });
                Failure { places: places.collect(), ..Failure::new(FailureKind::Invalid, detail) }
            }
            EditorError::TooLong { pointer, tokens, limit, .. } => {
                Failure::at(FailureKind::Invalid, pointer, self.to_string()).exceeding(tokens, limit)
            }
            EditorError::Image(error) => error.classify(),
            EditorError::ImageAt { pointer, error } => error.classify().moved_to(&pointer),
            EditorError::Engine(error) => error.classify(),
            EditorError::Proposal(error) => error.classify(),
            // All that a client gives to a record without a bound of its own.
            EditorError::Codebook(CodebookError::InvalidRecord(_)) => {
                Failure::at(FailureKind::Invalid, "/metadata", "The metadata is nested too deeply.")
            }
            EditorError::Codebook(CodebookError::EmbeddingMismatch { .. }) => {
                Failure::new(FailureKind::Conflict, self.to_string())
            }
            EditorError::Codebook(
                error @ (CodebookError::NoSuchRevision { .. } | CodebookError::KeysNotKept { .. }),
            ) => {
                let Failure { kind, detail, .. } = error.classify();
                Failure::at(kind, "/retrieval/as_of", detail)
            }
            EditorError::Codebook(error) => error.classify(),
            EditorError::UnknownImage(_)
            | EditorError::UnknownEdit(_)
            | EditorError::UnknownCanary(_)
            | EditorError::UnknownConflict(_)
            | EditorError::UnknownEntry(_) => Failure::new(FailureKind::NotFound, self.to_string()),
            EditorError::BreaksCanaries(ref broken) => {
                let place = |one: &BrokenCanary| InputFault {
                    pointer: format!("/canaries/{}", one.canary.id),
                    detail: format!(
                        "It must be {:?}, and would be {:?}.",
                        one.canary.answer, one.after.answer
                    ),
                };
                let places = broken.iter().map(place).collect();
                Failure { places, ..Failure::new(FailureKind::Conflict, self.to_string()) }
            }
            EditorError::IdempotencyConflict => Failure::new(FailureKind::Conflict, self.to_string()),
            EditorError::Reverted(id) => Failure::new(FailureKind::Conflict, self.to_string()).about_edit(id),
            EditorError::Archive(_) => Failure::new(FailureKind::Invalid, self.to_string()),
            EditorError::Busy | EditorError::Cancelled => {
                Failure::new(FailureKind::Unavailable, self.to_string())
            }
            EditorError::Storage(error) if Unwritable::is_full(error.kind()) => {
                CodebookError::Unwritable(Unwritable::Full).classify()
            }
            EditorError::Storage(_)
            | EditorError::Config(_)
            | EditorError::Relevance(_)
            | EditorError::Internal(_) => Failure::internal(&self),
        }
    }
}
