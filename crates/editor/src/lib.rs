//! `ReasonEdit` itself: how a human's reasoning becomes entries and how entries become context.
//!
//! An edit goes down (`edit`): validate, decode, find evidence, make entries, store. A query goes down and
//! back up (`query`): validate, embed, retrieve, verify, put the statements in front, answer. Both are
//! pipelines whose stages stand in order in one file each; [`Editor`] is the only door. Nothing here knows of
//! HTTP, and nothing below knows of edits by people.
//!
//! ```
//! # use std::path::Path;
//! # use std::sync::Arc;
//! use reasonedit_codebook::{ImageStore, MemoryStore};
//! use reasonedit_editor::{
//!     CallContext, CodebookName, EditRequest, Editor, EditorConfig, Library, QueryRequest,
//! };
//! use reasonedit_inference::{Engine, EngineConfig, Models};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
//! # let folder = tempfile::tempdir()?;
//! let load = move || {
//!     let options = Default::default();
//!     Ok(Models {
//!         vlm: reasonedit_models::load(&demo.join("vlm").to_string_lossy(), &options)?,
//!         sentences: reasonedit_models::load_sentence_encoder(
//!             &demo.join("sentence-encoder").to_string_lossy(),
//!             &options,
//!         )?,
//!     })
//! };
//! let config = EditorConfig::default();
//! let library = Arc::new(Library::open(Arc::new(MemoryStore::new()), config.codebook)?);
//! let images = ImageStore::open(folder.path())?;
//! let editor = Editor::new(Engine::start(load, EngineConfig::default())?, library, images, config).await?;
//!
//! # let picture = reasonedit_imaging::RgbImage::from_fn(64, 64, |x, _| image::Rgb([x as u8 * 3, 40, 90]));
//! let picture = bytes::Bytes::from(reasonedit_imaging::encode_png(&picture)?);
//! let (codebook, call) = (CodebookName::default(), CallContext::default());
//!
//! // A person says what is right and why; it is durable and live when this returns.
//! let question = "What is in the picture?";
//! let correction = EditRequest {
//!     reasoning: vec!["The picture shows a gradient.".into()],
//!     ..EditRequest::new(picture.clone().into(), question, "a gradient")
//! };
//! let edit = editor.edit(&codebook, correction, call).await?;
//!
//! // The same question again has it in front of the model.
//! let asked = editor.query(&codebook, QueryRequest::new(picture.clone().into(), question), call).await?;
//! let facts: Vec<&str> = asked.retrieval.facts.iter().map(|fact| fact.value.as_str()).collect();
//! assert!(facts.contains(&"The answer to 'What is in the picture?' about the image is a gradient."));
//!
//! // Reverted, the codebook is what it would be had the edit never been made.
//! editor.revert(&codebook, edit.record.id).await?;
//! let asked = editor.query(&codebook, QueryRequest::new(picture.into(), question), call).await?;
//! assert!(asked.retrieval.facts.is_empty());
//! # editor.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod archive;
mod browse;
mod conflicts;
mod core;
#[cfg(test)]
mod decay_tests;
mod edit;
mod editor;
#[cfg(test)]
mod embed_tests;
mod entries;
mod erase;
mod firings;
mod foresight;
mod generations;
mod modularity;
mod query;
mod question_log;
mod reembed;
mod retention;
mod reverts;
mod review;
mod states;
#[cfg(test)]
mod testing;
mod timing;
mod training_data;
mod validate;

use reasonedit_asking::{
    answer, backgrounds, embed, paraphrase, patchify, pictures, prepared_chat, retry, stream, token_budget,
    visual_entailment,
};
use reasonedit_editor_config::{self as config, prompts};
use reasonedit_editor_error as error;
use reasonedit_editor_types as types;

pub use archive::{ImportOptions, ImportSummary, ImportWatch};
pub use browse::{CodebookSummary, LiveEdits};
pub use conflicts::ConflictFilter;

pub use config::{
    AnswerConfig, CanariesConfig, ConflictConfig, EditorConfig, EmbeddingConfig, EntriesConfig, InputLimits,
    OnBreak, OnMismatch, Pair, Paraphrase, PatchifyConfig, QuestionLogConfig, RadiusConfig, RelevanceConfig,
    RetrievalConfig, ReviewConfig, ReviewMode, ReviewRule, VerifyConfig,
};
pub use editor::Editor;
pub use erase::ErasureView;
pub use error::{EditorError, FieldError};
pub use modularity::{ModularityRequest, ModularityState, ModularityWatch, SampleSet, plain_facts};
pub use prompts::{Prompts, with_facts};
// What callers of the editor need of what lies below it: they name no model and no codebook themselves.
pub use reasonedit_archive::{ExportSummary, KeptMembers};
pub use reasonedit_codebook::{
    CodebookError, CodebookName, EditFilter, EditId, EditRecord, EditSelection, Embedding, EntryKind,
    EntryView, Evidence, EvidenceSource, Fact, Familiarity, GenerationId, ImageId, ImageInfo, Key, Library,
    MemberId, Moment, OnConflict, Opinion, Page, Relevance, RestoredEdits, Retrieval, Revert, RevertId,
    RevertedEdits, Seeds, Sentence, Stats, Superseded,
};
pub use reasonedit_conflicts::{ConflictReason, Decision, FoundConflict, Resolution};
pub use reasonedit_inference::constrain::ReplyForm;
pub use reasonedit_inference::prompt::{FormatFault, Role};
pub use reasonedit_inference::{
    EngineError, EngineStats, FinishReason, Flow, LogitRules, Priority, Sampling, ScoredToken, TokenChoice,
};
pub use reasonedit_proposals::{
    Approved, Proposal, ProposalError, ProposalFilter, ProposalState, ProposalStep, ProposedContent,
    ProposedVersion, Reviewer, StepKind, Submitted, Submitter,
};
pub use reasonedit_text::Warning;
pub use reasonedit_training_data::{
    LeftOut, PicturePlace, ReasoningPlace, Trainer, TrainingManifest, TrainingOptions, TrainingTask,
};
pub use types::{
    Absence, AbsentReason, ActiveEmbedding, Amendment, AnswerThere, AskedForm, BrokenCanary, CallContext,
    Canary, CanaryRequest, ChatPart, ChatRequest, ChatTurn, ChoiceScore, ComparedQuestion, Conflict,
    ConflictView, Contradiction, Decoding, DryRunOutcome, DryRunQuestions, EditRequest, EditVersion,
    EditView, Effect, EmbeddingChoice, EvidenceFound, Firings, ForeseenRevert, IdempotencyKey, ImageSource,
    PatchOpinion, PatchSearch, QueryEvent, QueryOutcome, QueryRequest, QuestionEffect, ReembedProgress,
    ReembedStage, RetrievalOverride, StatementInput, ThinkingOutcome, UploadedImage, Usage, Verification,
    Withheld, WithheldReason,
};

/// Durable storage for what goes on beside edits and queries: small rows in tables, the history of commits.
pub mod storage {
    pub use reasonedit_archive::ExportSummary;
    pub use reasonedit_codebook::{
        Codebook, CodebookError as StorageError, Event, EventOrigin, Journal, Library, LoggedEvent,
        MAX_ROW_BYTES, Result as StorageResult, RowKey,
    };
}
