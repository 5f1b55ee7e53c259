//! What goes into the editor and what comes out: plain data, no HTTP.

mod calls;
mod canaries;
mod chat;
mod edits;
mod embeddings;
mod foresight;
mod images;
mod queries;

pub use calls::CallContext;
pub use canaries::{BrokenCanary, Canary, CanaryRequest};
pub use chat::{AskedForm, ChatPart, ChatRequest, ChatTurn, Decoding};
pub use edits::{
    Absence, AbsentReason, Amendment, Conflict, ConflictView, Contradiction, EditRequest, EditVersion,
    EditView, EvidenceFound, Firings, IdempotencyKey, PatchOpinion, PatchSearch, StatementInput,
};
pub use embeddings::{ActiveEmbedding, EmbeddingChoice, ReembedProgress, ReembedStage};
pub use foresight::{
    AnswerThere, ComparedQuestion, DryRunOutcome, DryRunQuestions, Effect, ForeseenRevert, QuestionEffect,
};
pub use images::{ImageSource, UploadedImage};
pub use queries::{
    ChoiceScore, QueryEvent, QueryOutcome, QueryRequest, RetrievalOverride, ThinkingOutcome, Usage,
    Verification, Withheld, WithheldReason,
};
