//! What every stage works with: engine, codebooks, pictures, settings, and the locks between edits.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use reasonedit_codebook::{Codebook, CodebookError, CodebookName, ImageStore, Library};
use reasonedit_conflicts::ConflictLog;
use reasonedit_imaging::{PixelRules, RgbImage};
use reasonedit_inference::{EngineHandle, ModelInfo, SentenceInfo};
use reasonedit_proposals::Proposals;
use reasonedit_questions::KeptQuestions;
use tokio::sync::OwnedMutexGuard;
use ulid::Ulid;

use crate::backgrounds::Backgrounds;
use crate::config::EditorConfig;
use crate::error::EditorError;
use crate::firings::Tally;
use crate::pictures::PictureDecoder;
use crate::query::{RelevanceGate, Remembered};
use crate::question_log::QuestionLog;
use crate::states::States;

/// Held by whoever has a turn.
type Lock = Arc<tokio::sync::Mutex<()>>;

/// What is done one after the other in a codebook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// Working on requests with this idempotency key.
    Request(String),
    /// Holding edits against canaries, and storing them.
    Canaries,
    /// Deciding on this proposal, or saying otherwise what it says.
    Proposal(Ulid),
}

/// Shared by all handles of one editor.
pub(crate) struct Core {
    engine: EngineHandle,
    /// Another model that rephrases; without one the first does.
    paraphraser: OnceLock<EngineHandle>,
    model: Arc<ModelInfo>,
    encoder: Arc<SentenceInfo>,
    library: Arc<Library>,
    pictures: Arc<PictureDecoder>,
    backgrounds: Backgrounds,
    config: EditorConfig,
    ids: Mutex<ulid::Generator>,
    /// Taken to read by whoever stores an edit, to write by a re-embedding while it makes the last keys and
    /// swaps.
    gate: Arc<tokio::sync::RwLock<()>>,
    /// One lock for each turn in use.
    turns: Mutex<HashMap<(CodebookName, Turn), Lock>>,
    /// How often edits were used, until it is written.
    tally: Tally,
    /// Tells what bears on a question, where the configuration wants that.
    relevance: Option<RelevanceGate>,
    /// States of codebooks that aren't live.
    states: States,
    /// Questions whose answers must not change.
    canaries: KeptQuestions,
    /// What was asked, where that is logged.
    question_log: QuestionLog,
    /// Edits that contradict each other.
    conflict_log: ConflictLog,
    /// What tells edits apart, as far as it doesn't change.
    remembered: Remembered,
    /// Edits that wait.
    proposals: Proposals,
}

impl Core {
    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// A setting out of its range, a model that can't be loaded, a background folder that can't be read.
    pub(crate) async fn new(
        engine: EngineHandle,
        library: Arc<Library>,
        images: ImageStore,
        config: EditorConfig,
    ) -> Result<Self, EditorError> {
        config.validate()?;
        let (model, encoder) = (engine.info().await?, engine.sentence_info().await?);
        let images = Arc::new(images);
        let pictures = PictureDecoder::new(
            images,
            config.image.clone(),
            config.answer.picture_cache_bytes,
            config.limits.picture_bytes,
        );
        let relevance = RelevanceGate::open(&config.retrieval, &encoder)?;
        let backgrounds = Backgrounds::read(config.radius.backgrounds.as_deref(), &config.image)?;
        let canaries = KeptQuestions::open(&library, "canaries", config.canaries.most)?;
        let question_log = QuestionLog::open(&library, &config.question_log)?;
        let conflict_log = ConflictLog::open(&library)?;
        let proposals = Proposals::open(&library)?;
        let states = States::new(config.retrieval.hypothetical.clone());
        Ok(Self {
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
            relevance,
            states,
            canaries,
            question_log,
            conflict_log,
            remembered: Remembered::default(),
            proposals,
        })
    }

    /// The first call decides.
    pub(crate) fn set_paraphraser(&self, engine: EngineHandle) {
        let _ = self.paraphraser.set(engine);
    }

    pub(crate) async fn shutdown(&self) {
        self.engine.shutdown().await;
        if let Some(paraphraser) = self.paraphraser.get() {
            paraphraser.shutdown().await;
        }
    }

    pub(crate) fn paraphraser(&self) -> &EngineHandle {
        self.paraphraser.get().unwrap_or(&self.engine)
    }

    pub(crate) fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    pub(crate) fn model(&self) -> &Arc<ModelInfo> {
        &self.model
    }

    pub(crate) fn encoder(&self) -> &Arc<SentenceInfo> {
        &self.encoder
    }

    pub(crate) fn config(&self) -> &EditorConfig {
        &self.config
    }

    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    pub(crate) fn pictures(&self) -> &Arc<PictureDecoder> {
        &self.pictures
    }

    pub(crate) fn backgrounds(&self, rules: PixelRules) -> &Arc<Vec<RgbImage>> {
        self.backgrounds.under(rules)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn relevance(&self) -> Option<&RelevanceGate> {
        self.relevance.as_ref()
    }

    pub(crate) fn canaries(&self) -> &KeptQuestions {
        &self.canaries
    }

    pub(crate) fn question_log(&self) -> &QuestionLog {
        &self.question_log
    }

    pub(crate) fn conflict_log(&self) -> &ConflictLog {
        &self.conflict_log
    }

    pub(crate) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    pub(crate) fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    pub(crate) fn gate(&self) -> Arc<tokio::sync::RwLock<()>> {
        Arc::clone(&self.gate)
    }

    /// A codebook that has been begun.
    pub(crate) fn existing(&self, name: &CodebookName) -> Result<Option<Arc<Codebook>>, EditorError> {
        match self.library.get(name) {
            Ok(book) => Ok(Some(book)),
            Err(CodebookError::UnknownCodebook(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A new id, above every one given before in this process.
    pub(crate) fn next_id(&self) -> Ulid {
        let mut ids = self.ids.lock();
        // The generator fails only after 2^80 ids within one millisecond.
        ids.generate().unwrap_or_else(|_| Ulid::new())
    }

    /// Waits until nobody else has this turn in the codebook; it ends when what is given is dropped.
    pub(crate) async fn turn(&self, codebook: &CodebookName, turn: Turn) -> OwnedMutexGuard<()> {
        let lock = {
            let mut turns = self.turns.lock();
            turns.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(turns.entry((codebook.clone(), turn)).or_default())
        };
        lock.lock_owned().await
    }
}

/// What is pending is written when the last handle goes.
impl Drop for Core {
    fn drop(&mut self) {
        self.tally.write(&self.library);
    }
}
