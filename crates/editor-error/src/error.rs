//! Everything that can go wrong in an edit or a query.

use reasonedit_archive::ArchiveError;
use reasonedit_codebook::{CodebookError, EditId, Embedding, ImageId, MemberId};
use reasonedit_conflicts::ConflictError;
use reasonedit_editor_config::OutOfRange;
use reasonedit_editor_types::BrokenCanary;
use reasonedit_imaging::ImagingError;
use reasonedit_inference::EngineError;
use reasonedit_inference::prompt::PromptError;
use reasonedit_proposals::ProposalError;
use reasonedit_relevance::RelevanceError;
use reasonedit_resilience::WorkLost;
use reasonedit_topology::TopologyError;
use reasonedit_training_data::TrainingDataError;
use serde::Serialize;
use thiserror::Error;
use ulid::Ulid;

/// One thing wrong with the input, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer into the request body, for example `/reasoning/2/evidence/0`.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

impl FieldError {
    /// A field error.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// Why an edit, a query or a look-up failed.
#[derive(Debug, Error)]
pub enum EditorError {
    /// The input was understood but can't be used.
    #[error("{}", .0.first().map_or("the input can't be used", |e| e.detail.as_str()))]
    Invalid(Vec<FieldError>),
    /// What is asked doesn't fit into the model's context, without anything in front of it.
    #[error("{what} take {tokens} tokens, and this model takes {limit} in all")]
    TooLong {
        /// JSON pointer to what is too long.
        pointer: &'static str,
        /// What was counted, in the plural.
        what: &'static str,
        /// So many there are.
        tokens: usize,
        /// So many the model takes.
        limit: usize,
    },
    /// Too many large pictures are being looked at.
    #[error("too many large pictures are being looked at; try again in a moment")]
    Busy,
    /// The picture can't be used.
    #[error(transparent)]
    Image(#[from] ImagingError),
    /// One of several pictures can't be used.
    #[error("{error}")]
    ImageAt {
        /// JSON pointer to it.
        pointer: String,
        /// Why not.
        error: ImagingError,
    },
    /// No picture with this id was uploaded.
    #[error("no image {0} is known here")]
    UnknownImage(ImageId),
    /// No such edit, or it was reverted.
    #[error("no edit {0} is live in this codebook")]
    UnknownEdit(EditId),
    /// No canary has this id.
    #[error("there is no canary {0} of this codebook")]
    UnknownCanary(Ulid),
    /// No pair of edits of this id contradicts each other, or not any more.
    #[error("there is no conflict {0} in this codebook")]
    UnknownConflict(Ulid),
    /// The edit would change answers that must not change.
    #[error("the edit would break {} of the codebook's canaries, and was not made", .0.len())]
    BreaksCanaries(Vec<BrokenCanary>),
    /// Something can't be done with a proposal.
    #[error(transparent)]
    Proposal(ProposalError),
    /// No key of this id is live.
    #[error("no entry {0} is live in this codebook")]
    UnknownEntry(MemberId),
    /// The idempotency key was used before with another body.
    #[error("this idempotency key was used before with another request body")]
    IdempotencyConflict,
    /// The edit that was made under this idempotency key was reverted.
    #[error(
        "the edit {0} that was made under this idempotency key was reverted; to make it again, send it with another key"
    )]
    Reverted(EditId),
    /// The model failed, is busy, or took too long.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The codebook failed.
    #[error("{}", told(.0))]
    Codebook(#[source] CodebookError),
    /// An archive to be imported is not one of ours, or is damaged.
    #[error("the archive can't be imported: {0}")]
    Archive(String),
    /// Reading or writing files failed.
    #[error("storage failed: {0}")]
    Storage(#[from] std::io::Error),
    /// A setting is out of its range.
    #[error("the editor's settings can't be used: {0}")]
    Config(&'static str),
    /// What bears on a question can't be told.
    #[error(transparent)]
    Relevance(#[from] RelevanceError),
    /// A part of this program broke its contract with another: a defect.
    #[error("internal failure: {0}")]
    Internal(&'static str),
    /// The caller has gone, or the service is stopping.
    #[error("the work was cancelled")]
    Cancelled,
}

impl EditorError {
    /// Whether a picture isn't there, or not any more.
    pub fn is_missing_picture(&self) -> bool {
        matches!(self, Self::UnknownImage(_))
    }

    /// The engine answers in kind; anything else is a defect of the engine, told as such.
    pub fn unexpected_answer() -> Self {
        Self::Internal("the engine answered another kind of question than was asked")
    }
}

/// What a model's tokenizer refuses is told as the engine would tell it.
impl From<PromptError> for EditorError {
    fn from(error: PromptError) -> Self {
        Self::Engine(error.into())
    }
}

/// What is measured on comes from the caller, and so does what is wrong with it.
impl From<TopologyError> for EditorError {
    fn from(error: TopologyError) -> Self {
        Self::Invalid(vec![FieldError::new("/samples", error.to_string())])
    }
}

impl From<WorkLost> for EditorError {
    fn from(lost: WorkLost) -> Self {
        tracing::error!(failure = %lost, "blocking work failed");
        match lost {
            WorkLost::Panicked(_) => Self::Internal("a piece of work panicked"),
            WorkLost::Cancelled => Self::Cancelled,
        }
    }
}

/// An option comes from the caller.
impl From<TrainingDataError> for EditorError {
    fn from(error: TrainingDataError) -> Self {
        match error {
            TrainingDataError::Option { name, detail } => {
                Self::Invalid(vec![FieldError::new(format!("/{name}"), detail)])
            }
            TrainingDataError::Codebook(error) => error.into(),
            TrainingDataError::Write(error) => Self::Storage(error),
        }
    }
}

impl From<ArchiveError> for EditorError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Invalid(said) => Self::Archive(said),
            ArchiveError::Codebook(error) => error.into(),
            ArchiveError::Io(error) => Self::Storage(error),
        }
    }
}

impl From<OutOfRange> for EditorError {
    fn from(OutOfRange(what): OutOfRange) -> Self {
        Self::Config(what)
    }
}

impl From<ConflictError> for EditorError {
    fn from(error: ConflictError) -> Self {
        match error {
            ConflictError::Unknown(id) => Self::UnknownConflict(id),
            ConflictError::Journal(error) => error.into(),
            _ => Self::Internal("a conflict is kept in another form"),
        }
    }
}

impl From<ProposalError> for EditorError {
    fn from(error: ProposalError) -> Self {
        match error {
            ProposalError::Journal(error) => error.into(),
            other => Self::Proposal(other),
        }
    }
}

impl From<CodebookError> for EditorError {
    fn from(error: CodebookError) -> Self {
        match error {
            CodebookError::UnknownEdit(id) => Self::UnknownEdit(id),
            CodebookError::UnknownImage(id) => Self::UnknownImage(id),
            other => Self::Codebook(other),
        }
    }
}

/// What an error of a codebook says, with what to do about it where that is known: short enough for the
/// `detail` of a problem.
fn told(error: &CodebookError) -> String {
    let CodebookError::EmbeddingMismatch { stored, asked } = error else { return error.to_string() };
    let shown = |embedding: &Embedding| {
        let model = embedding.model_fingerprint.get(..16).unwrap_or(&embedding.model_fingerprint);
        format!("model {model}…, tap {}, λ {}", embedding.tap, embedding.lambda)
    };
    format!(
        "the codebook was made with another model, adapter or embedding ({}) than those in use ({}): use those \
         that it was made with, or have its keys made anew with --set editor.embedding.on_mismatch=reembed",
        shown(stored),
        shown(asked)
    )
}
