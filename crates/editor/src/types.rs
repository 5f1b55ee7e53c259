//! What goes into the editor and what comes out: plain data, no HTTP.

mod chat;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use reasonedit_codebook::{
    EditId, EditRecord, Embedding, EntryView, Evidence, Fact, GenerationId, ImageId, ImageInfo, Opinion,
    Retrieval,
};
use reasonedit_imaging::{DrawnBox, PixelBox};
use reasonedit_inference::{CallOptions, FinishReason, Pooling, Priority, TokenChoice};
use reasonedit_text::Warning;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use chat::{AskedForm, ChatPart, ChatRequest, ChatTurn, Decoding};

/// Bytes of a picture file. They are hashed once, when their id is first asked for; copies share both.
#[derive(Clone, Debug)]
pub struct UploadedImage {
    bytes: Bytes,
    id: Arc<OnceLock<ImageId>>,
}

impl UploadedImage {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the picture is known by.
    pub fn id(&self) -> ImageId {
        *self.id.get_or_init(|| ImageId::of(&self.bytes))
    }
}

impl Deref for UploadedImage {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for UploadedImage {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, id: Arc::default() }
    }
}

impl From<Bytes> for ImageSource {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Where a picture comes from.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// An uploaded picture file.
    Bytes(UploadedImage),
    /// A picture uploaded before.
    Known(ImageId),
}

/// One statement of a person's reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementInput {
    /// The statement, one sentence.
    pub statement: String,
    /// Boxes the person drew, fitted to the picture when the edit is made; empty: the model looks for the
    /// evidence.
    pub evidence: Vec<DrawnBox>,
}

/// Idempotency key of a request, and the digest of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As sent by the client.
    pub key: String,
    /// BLAKE3 of the canonical body.
    pub body: [u8; 32],
    /// What the same body came to before: an edit that was made under one of these is this request's, too.
    pub former: Vec<[u8; 32]>,
}

/// A correction: what was shown and asked, what is right, and why.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The picture.
    pub image: ImageSource,
    /// The question that was answered wrongly.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Why, statement by statement; may be empty.
    pub reasoning: Vec<StatementInput>,
    /// Answers to choose from, if the question has such.
    pub choices: Vec<String>,
    /// Who says so.
    pub author: Option<String>,
    /// Labels for filtering.
    pub tags: Vec<String>,
    /// Anything the client wants kept: a JSON object.
    pub metadata: serde_json::Value,
    /// Ask the model before and after.
    pub verify: bool,
    /// Makes repeating the request harmless.
    pub idempotency: Option<IdempotencyKey>,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl EditRequest {
    /// Only what a correction can't do without; the model is not asked before and after.
    pub fn new(image: ImageSource, question: impl Into<String>, answer: impl Into<String>) -> Self {
        Self {
            image,
            question: question.into(),
            answer: answer.into(),
            reasoning: Vec::new(),
            choices: Vec::new(),
            author: None,
            tags: Vec::new(),
            metadata: serde_json::Value::Null,
            verify: false,
            idempotency: None,
            warnings: Vec::new(),
        }
    }
}

impl From<&str> for StatementInput {
    /// Without boxes: the model looks for the evidence.
    fn from(statement: &str) -> Self {
        Self { statement: statement.to_owned(), evidence: Vec::new() }
    }
}

/// An edit with everything known of it.
#[derive(Clone, Debug)]
pub struct EditView {
    /// What was stored.
    pub record: EditRecord,
    /// Its entries as they stand in the codebook now.
    pub entries: Vec<EntryView>,
    /// The generation of keys that the entries are of: the live one. `record.embedding` is the one that it
    /// was made under.
    pub generation: GenerationId,
    /// The model's answer to the edited question with the codebook, right after the edit.
    pub after: Option<Opinion>,
    /// Why there is no such answer; `None` where there is.
    pub after_absent: Option<Absence>,
    /// Why `record.before` is empty; `None` where it isn't.
    pub before_absent: Option<Absence>,
    /// Live edits about the same picture and question that are older and answer otherwise, newest first.
    pub conflicts: Vec<Conflict>,
    /// The newest edit about the same picture and question, if it answers otherwise: nothing that this edit
    /// alone says is retrieved.
    pub superseded_by: Option<Conflict>,
    /// Milliseconds by stage of the request that made it: queue, patchify, embed, merge, store, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// How often it was used.
    pub fired: Firings,
    /// Whether this is a replay of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Why an answer of the model isn't there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// For programs.
    pub reason: AbsentReason,
    /// For people.
    pub detail: String,
}

/// Why an answer of the model isn't there, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentReason {
    /// The edit was to be made without asking the model.
    NotAsked,
    /// The model was asked and gave none.
    Failed,
    /// It was given, perhaps, and not remembered: the edit came from an archive, or the service stopped right
    /// after it was stored.
    NotKept,
}

impl Absence {
    pub(crate) fn not_asked() -> Self {
        Self::new(AbsentReason::NotAsked, "The edit was made without asking the model.")
    }

    pub(crate) fn not_kept() -> Self {
        let detail = "It was not kept: the edit came from an archive, or the service stopped right after it was stored.";
        Self::new(AbsentReason::NotKept, detail)
    }

    pub(crate) fn failed(detail: &str) -> Self {
        Self::new(AbsentReason::Failed, detail)
    }

    fn new(reason: AbsentReason, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned() }
    }
}

/// Another edit about the same picture and question, with another answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The edit.
    pub edit_id: EditId,
    /// Its answer.
    pub answer: String,
    /// Who made it.
    pub author: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<&EditRecord> for Conflict {
    fn from(record: &EditRecord) -> Self {
        Self {
            edit_id: record.id,
            answer: record.answer.clone(),
            author: record.author.clone(),
            created_at: record.created_at,
        }
    }
}

/// How often an edit was used. For people to look at: what was counted in the last seconds before a crash is
/// lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firings {
    /// Answers that a sentence of the edit was put in front of.
    pub queries: u64,
    /// The last of them.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last: Option<OffsetDateTime>,
}

/// Per-request settings of retrieval; `None` means the configured default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalOverride {
    /// Whether to retrieve at all.
    pub enabled: Option<bool>,
    /// How many keys.
    pub k: Option<usize>,
    /// Percentile of pairwise key distances beyond which nothing is retrieved.
    pub reject_percentile: Option<f64>,
    /// Whether what was retrieved is judged on the query's picture before it is put in front.
    pub verify: Option<bool>,
}

/// What the model said of retrieved sentences when it was shown the query's picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Probability (0 to 1) that the picture bears a sentence out, by sentence; of an answer the mean over
    /// its edit's statements. A sentence that is not here was said of this very picture, or rests on nothing
    /// that can be judged.
    pub support: BTreeMap<String, f64>,
    /// Retrieved, and not put in front.
    pub withheld: Vec<Withheld>,
}

/// A retrieved sentence that was not put in front of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Withheld {
    /// The sentence.
    pub fact: Fact,
    /// Why not.
    pub reason: WithheldReason,
}

/// Why a retrieved sentence was not put in front of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldReason {
    /// The model says that the picture doesn't show it.
    NotShown,
    /// Another answer to the same question is borne out better.
    Contradicted,
    /// Nothing that it rests on can be judged, and the question is outside of the radius of its key.
    OutOfReach,
}

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The picture.
    pub image: ImageSource,
    /// The question.
    pub question: String,
    /// Answers to choose from; empty: the answer is generated.
    pub choices: Vec<String>,
    /// Most tokens to generate.
    pub max_tokens: Option<usize>,
    /// Settings of retrieval.
    pub retrieval: RetrievalOverride,
    /// Answer without the codebook too.
    pub compare: bool,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl QueryRequest {
    /// A question whose answer is generated, everything else as configured.
    pub fn new(image: ImageSource, question: impl Into<String>) -> Self {
        Self {
            image,
            question: question.into(),
            choices: Vec::new(),
            max_tokens: None,
            retrieval: RetrievalOverride::default(),
            compare: false,
            warnings: Vec::new(),
        }
    }
}

/// One choice and how probable it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// The choice.
    pub text: String,
    /// Summed log-likelihood of its tokens as the reply.
    pub log_probability: f64,
    /// Softmax over the choices.
    pub probability: f64,
}

/// Tokens counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt, picture included.
    pub prompt_tokens: usize,
    /// Generated.
    pub completion_tokens: usize,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryOutcome {
    /// The answer.
    pub answer: String,
    /// Its probability: of a generated answer that of all its tokens, its end included; of a choice over the
    /// choices.
    pub probability: f64,
    /// Every choice, in the order asked, when asked with choices.
    pub choices: Option<Vec<ChoiceScore>>,
    /// What was put in front of the model, and what was left out for want of room or because it does not
    /// stand any more.
    pub retrieval: Retrieval,
    /// What was judged on the picture first; `None` where nothing was.
    pub verification: Option<Verification>,
    /// The generation of keys that was asked; `None` if none was (retrieval off, a codebook without edits).
    pub generation: Option<GenerationId>,
    /// The model's answer without the codebook, when asked to compare.
    pub unedited: Option<Opinion>,
    /// The prompt as the model got it: of a query facts and question, of a conversation everything, as the
    /// chat template has it.
    pub prompt: String,
    /// Why generation ended; `None` with choices.
    pub finish: Option<FinishReason>,
    /// Tokens counted.
    pub usage: Usage,
    /// Milliseconds by stage: queue, embed, retrieve, verify, answer, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// What of the request was not taken as it came.
    pub warnings: Vec<Warning>,
}

/// What a streamed query sends, in order: one retrieval, texts, one done.
#[derive(Clone, Debug)]
pub enum QueryEvent {
    /// What was retrieved and fits in front of the question, and what was judged on the picture.
    Retrieval(Box<Retrieval>, Option<Verification>),
    /// A piece of the answer.
    Token {
        /// The piece.
        text: String,
        /// Of its tokens, given what stands before them; of a choice, over the choices.
        probability: f64,
        /// Its tokens one by one, where they were asked for.
        tokens: Vec<TokenChoice>,
    },
    /// The whole outcome.
    Done(Box<QueryOutcome>),
}

/// What can be chosen of the embedding E(x, t) = [h(x) ; λ·S(t)] of a codebook; the rest is the loaded
/// models'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingChoice {
    /// Vision or bridge tap h, as `vision.7`.
    pub tap: String,
    /// Pooling over the image's tokens.
    pub pooling: Pooling,
    /// Weight λ of the sentence embedding, at least 0.
    pub lambda: f64,
}

/// What a codebook's keys are made with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActiveEmbedding {
    /// The live embedding; of a codebook without edits the one that its first edit will set.
    pub embedding: Embedding,
    /// Whether tap, pooling and λ were chosen for this codebook; else they are the configured ones.
    pub chosen: bool,
    /// What [`crate::Editor::rollback`] goes back to.
    pub previous: Option<Embedding>,
}

/// What a re-embedding is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReembedStage {
    /// Makes the keys of the edits that were there, and of those that came meanwhile.
    Embedding,
    /// Makes the last few, while edits wait to be stored, and swaps.
    Swapping,
}

impl ReembedStage {
    /// As it is told to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Swapping => "swapping",
        }
    }
}

/// How far a re-embedding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReembedProgress {
    /// What it is at.
    pub stage: ReembedStage,
    /// Live edits that have their new keys.
    pub done: usize,
    /// Live edits; grows with those that come meanwhile.
    pub total: usize,
}

/// How urgent a call is and until when it is of use.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallContext {
    /// Urgency.
    pub priority: Priority,
    /// After this the answer is of no use.
    pub deadline: Option<Instant>,
}

impl CallContext {
    /// A call that someone waits for until then.
    pub fn interactive(deadline: Instant) -> Self {
        Self { priority: Priority::Interactive, deadline: Some(deadline) }
    }

    /// A call that lets others go first, of use until then.
    pub fn background(deadline: Instant) -> Self {
        Self { priority: Priority::Background, deadline: Some(deadline) }
    }

    pub(crate) fn options(self) -> CallOptions {
        CallOptions { priority: self.priority, deadline: self.deadline }
    }
}

/// Candidate evidence that was looked at for a statement.
#[derive(Clone, Debug)]
pub struct PatchOpinion {
    /// The candidate.
    pub area: PixelBox,
    /// Probability that it shows the statement.
    pub p_yes: f64,
    /// Per-token log-likelihood of the statement as its description; only for kept patches.
    pub log_likelihood: Option<f64>,
}

/// Where a picture shows some statements, by the model.
#[derive(Clone, Debug)]
pub struct EvidenceFound {
    /// The picture.
    pub image: ImageInfo,
    /// What was found for each statement.
    pub searches: Vec<PatchSearch>,
    /// Probability that the whole picture shows each statement.
    pub p_yes: Vec<f64>,
    /// What of the picture was not taken as it came.
    pub warnings: Vec<Warning>,
    /// Milliseconds spent waiting for the engine.
    pub queue_ms: f64,
    /// Milliseconds of everything.
    pub total_ms: f64,
}

/// Evidence found for one statement, and everything that was looked at.
#[derive(Clone, Debug, Default)]
pub struct PatchSearch {
    /// What was chosen: at most one best patch and the best among the smallest.
    pub evidence: Vec<Evidence>,
    /// Every candidate.
    pub candidates: Vec<PatchOpinion>,
}
