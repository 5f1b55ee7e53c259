//! `ReasonEdit` itself: how a human's reasoning becomes entries and how entries become context.
//!
//! An edit goes down: validate, find evidence ([`patchify`]), make entries (`entries`: keys, radii), store. A
//! query goes down and back up: embed, retrieve, put the statements in front, answer. Nothing here knows of
//! HTTP, and nothing below knows of edits by people.

mod answer;
mod archive;
mod browse;
mod chat;
mod config;
mod context;
mod edit;
mod embed;
#[cfg(test)]
mod embed_tests;
mod entries;
mod error;
mod evidence;
mod failure;
mod generations;
mod modularity;
mod outcome;
mod paraphrase;
mod patchify;
mod patience;
mod pictures;
mod prompts;
mod query;
mod reembed;
mod stop;
#[cfg(test)]
mod testing;
mod text;
mod types;
mod validate;
mod verify;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reasonedit_codebook::ImageStore;
use reasonedit_imaging::{PixelRules, RgbImage};
use reasonedit_vlm::ModelInfo;
use reasonedit_vlm::engine::{CallOptions, EngineHandle, SentenceInfo};
use tokio::sync::OwnedMutexGuard;
use ulid::Ulid;

pub use archive::{ExportSummary, ImportOptions, ImportProgress, ImportSummary};
pub use browse::CodebookSummary;
pub use chat::{AskedForm, ChatPart, ChatRequest, ChatTurn, Decoding};
pub use config::{
    AnswerConfig, EditorConfig, EmbeddingConfig, EntriesConfig, InputLimits, OnMismatch, Pair, Paraphrase,
    PatchifyConfig, RadiusConfig, RetrievalConfig, VerifyConfig,
};
pub use error::{EditorError, FieldError};
pub use modularity::{ModularityRequest, ModularityState, ModularityWatch, SampleSet, plain_facts};
pub use prompts::{Prompts, with_facts};
// What callers of the editor need of what lies below it: they name no model and no codebook themselves.
pub use reasonedit_codebook::{
    CodebookError, CodebookName, EditFilter, EditId, EditRecord, Embedding, EntryKind, EntryView, Evidence,
    EvidenceSource, Fact, GenerationId, ImageId, ImageInfo, Key, Library, MemberId, Opinion, Retrieval,
    Sentence, Stats, Superseded,
};
pub use reasonedit_text::Warning;
pub use reasonedit_vlm::VlmError;
pub use reasonedit_vlm::constrain::ReplyForm;
pub use reasonedit_vlm::engine::{
    EngineStats, FinishReason, LogitRules, Priority, Sampling, ScoredToken, TokenChoice,
};
pub use reasonedit_vlm::prompt::Role;
pub use types::{
    Absence, AbsentReason, ActiveEmbedding, CallContext, ChoiceScore, Conflict, EditRequest, EditView,
    EmbeddingChoice, EvidenceFound, Firings, IdempotencyKey, ImageSource, PatchOpinion, PatchSearch,
    QueryEvent, QueryOutcome, QueryRequest, ReembedProgress, ReembedStage, RetrievalOverride, StatementInput,
    Usage, Verification, Withheld, WithheldReason,
};

use outcome::Tally;
use pictures::Pictures;

/// Held while a request with an idempotency key is worked on.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// The editor: a cheap handle, shared by everything that edits or asks.
#[derive(Clone)]
pub struct Editor {
    inner: Arc<Inner>,
}

struct Inner {
    engine: EngineHandle,
    /// Another model that rephrases; without one the first does.
    paraphraser: OnceLock<EngineHandle>,
    model: Arc<ModelInfo>,
    encoder: Arc<SentenceInfo>,
    library: Arc<Library>,
    pictures: Arc<Pictures>,
    backgrounds: entries::Backgrounds,
    config: EditorConfig,
    ids: Mutex<ulid::Generator>,
    /// Taken to read by whoever stores an edit, to write by a re-embedding while it makes the last keys and
    /// swaps.
    gate: Arc<tokio::sync::RwLock<()>>,
    /// One lock for each idempotency key in use.
    turns: Mutex<HashMap<(CodebookName, String), Turn>>,
    /// How often edits were used, until it is written.
    tally: Tally,
}

impl Editor {
    /// An editor on an engine, the codebooks and the pictures. Waits until the model is loaded.
    ///
    /// # Errors
    /// A setting out of its range, a model that can't be loaded, a configured tap that the model hasn't, a λ
    /// that is no weight, a background folder that can't be read.
    pub async fn new(
        engine: EngineHandle,
        library: Arc<Library>,
        images: ImageStore,
        config: EditorConfig,
    ) -> Result<Self, EditorError> {
        config.validate()?;
        let (model, encoder) = (engine.info().await?, engine.sentence_info().await?);
        let images = Arc::new(images);
        let pictures = Pictures::new(images, config.image.clone(), config.answer.picture_cache_bytes);
        let backgrounds = entries::Backgrounds::read(config.radius.backgrounds.as_deref(), &config.image)?;
        let editor = Self {
            inner: Arc::new(Inner {
                engine,
                paraphraser: OnceLock::new(),
                model,
                encoder,
                library,
                pictures: Arc::new(pictures),
                backgrounds,
                config,
                ids: Mutex::new(ulid::Generator::new()),
                gate: Arc::default(),
                turns: Mutex::new(HashMap::new()),
                tally: Tally::default(),
            }),
        };
        // A wrong tap or λ is told at the start, not at the first edit.
        editor.configured_embedder()?;
        editor.sweep_imports().await?;
        editor.settle_embeddings().await?;
        editor.refresh_taps().await?;
        Ok(editor)
    }

    /// Has texts rephrased by another model, where `radius.paraphrase` is `model`. A second one is ignored.
    #[must_use]
    pub fn with_paraphraser(self, engine: EngineHandle) -> Self {
        let _ = self.inner.paraphraser.set(engine);
        self
    }

    /// Ends the engines; what they work on is finished first.
    pub async fn shutdown(&self) {
        self.engine().shutdown().await;
        if let Some(paraphraser) = self.inner.paraphraser.get() {
            paraphraser.shutdown().await;
        }
    }

    /// The engine that rephrases.
    pub fn paraphraser(&self) -> &EngineHandle {
        self.inner.paraphraser.get().unwrap_or(&self.inner.engine)
    }

    /// The engine.
    pub fn engine(&self) -> &EngineHandle {
        &self.inner.engine
    }

    /// The configuration.
    pub fn config(&self) -> &EditorConfig {
        &self.inner.config
    }

    /// The codebooks.
    pub fn library(&self) -> &Arc<Library> {
        &self.inner.library
    }

    fn pictures(&self) -> &Arc<Pictures> {
        &self.inner.pictures
    }

    fn backgrounds(&self, rules: PixelRules) -> &Arc<Vec<RgbImage>> {
        self.inner.backgrounds.under(rules)
    }

    /// A new id, above every one given before in this process.
    fn next_id(&self) -> Ulid {
        let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
        // The generator fails only after 2^80 ids within one millisecond.
        ids.generate().unwrap_or_else(|_| Ulid::new())
    }

    /// Waits until no other request with this idempotency key is being worked on.
    async fn idempotency_turn(&self, codebook: &CodebookName, key: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry((codebook.clone(), key.to_owned())).or_default())
        };
        turn.lock_owned().await
    }
}

impl CallContext {
    fn options(self) -> CallOptions {
        CallOptions { priority: self.priority, deadline: self.deadline }
    }
}
