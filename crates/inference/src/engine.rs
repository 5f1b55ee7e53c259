//! The engine: one thread owns the model, everything else holds a cloneable handle to its bounded queue.
//!
//! A call is prepared on the caller's side (tokenising, cropping, preprocessing; the latter two only for
//! pictures whose features are not cached), waits in the queue, and is computed in batches. Batches form
//! while the device is busy: the worker takes the oldest request of the most urgent kind together with
//! whatever else of the same kind and urgency waits, up to a token budget. Requests are made of units (a
//! picture, a question, a sentence), so that a large one is computed in several batches and more urgent work
//! gets in between. Generations that run take one step, all together, after each batch.
//!
//! What is computed of a picture is shared: its features are computed once and kept (with the pooled taps
//! that [`EngineHandle::set_always_taps`] names, so that embedding and answering share one vision pass), the
//! part of the prompt up to its last picture is run once (together with what follows it) and its keys and
//! values kept, the longest common beginning of all prompts to a picture is run once per batch, and all
//! replies continue their prompt's cache.
//!
//! # What holds
//! - A full queue is [`VlmError::QueueFull`] with a retry time, never an unbounded wait; a place is taken
//!   before a picture is preprocessed, so that memory is bounded as well.
//! - A request whose caller has gone or whose deadline has passed is dropped before it costs anything.
//! - A request that fails, or makes the model panic, fails alone: its batch is run again request by request.
//! - On the CPU a request gives the same bits whatever runs beside it and whatever is cached: every sum is
//!   taken in an order that depends on the request alone, ties between tokens go to the smaller id, sampling
//!   is seeded per request. The next tokens of generations and everything else are computed by two kinds of
//!   kernels, told apart by what they are ([`reasonedit_nn::sequence::Sequence::is_step`]) and never by how many there are. On
//!   a GPU the products are the library's, and the sizes of batches show in the last digits.
//!
//! # Map
//! [`request`]: what can be asked. `handle`, `converse`: the caller's side; `prepare`: its preprocessing and
//! cache look-ups; `stream`: its end of a generation. `queue`: places, order, batches. `worker`: the thread.
//! `compute`: features and prefixes; `asks`, `embed`, `generate`, `visit`: the kinds of work. `cache`: the
//! byte-budgeted store. `sampling`: how tokens are chosen. `score`: log-probabilities. `stats`: counters.

mod asks;
mod cache;
mod compute;
mod converse;
mod embed;
mod generate;
mod handle;
mod prepare;
mod queue;
pub mod request;
mod sampling;
mod score;
mod stats;
mod stream;
mod visit;
mod worker;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::constrain::FormCompiler;
pub use handle::EngineHandle;
use reasonedit_models::model::{SentenceEncoder, VisionLanguageModel};
use reasonedit_nn::error::{Result, VlmError};
pub use request::{
    Answered, Ask, CallOptions, Conversation, EngineTimes, FeatureKey, FinishReason, GenerateEvent,
    GenerateRequest, Generated, ImageInput, LogitRules, Priority, ReplyScore, Sampling, ScoredToken,
    SentenceInfo, TokenChoice, Want,
};
pub use stats::EngineStats;
pub use stream::GenerationStream;

/// The models an engine owns.
pub struct Models {
    /// Looks and answers.
    pub vlm: Box<dyn VisionLanguageModel>,
    /// Embeds questions and statements.
    pub sentences: Box<dyn SentenceEncoder>,
}

impl Models {
    /// A model that only writes (rephrases, say), without an encoder: sentences are refused.
    pub fn writer(vlm: Box<dyn VisionLanguageModel>) -> Self {
        Self { vlm, sentences: Box::new(NoEncoder) }
    }
}

/// In place of an encoder that nobody asks.
struct NoEncoder;

impl SentenceEncoder for NoEncoder {
    fn fingerprint(&self) -> &'static str {
        ""
    }

    fn width(&self) -> usize {
        0
    }

    fn encode(&self, _: &[String]) -> Result<Vec<Vec<f32>>> {
        Err(VlmError::Unsupported("this engine has no sentence encoder".into()))
    }
}

/// Limits of an engine. None of them changes an answer; they bound memory and waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Requests that may wait or be prepared at once; one more is [`VlmError::QueueFull`].
    pub queue_capacity: usize,
    /// Memory for image features and prefix caches, in bytes, on the model's device.
    pub cache_bytes: usize,
    /// New tokens (pictures counted in image tokens) per batch: how long a batch may keep others waiting.
    pub batch_tokens: usize,
    /// The same for batches of background work: a question that comes waits for the one that is being
    /// computed. More is faster where the device has room.
    pub background_batch_tokens: usize,
    /// Memory for a batch's logits and key–value caches, in bytes.
    pub working_bytes: usize,
    /// Generations that run at once; more wait in the queue.
    pub generations: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            queue_capacity: 256,
            cache_bytes: 512 << 20,
            batch_tokens: 4096,
            background_batch_tokens: 64,
            working_bytes: 1 << 30,
            generations: 16,
        }
    }
}

impl EngineConfig {
    fn validate(&self) -> Result<()> {
        let fields = [
            ("queue_capacity", self.queue_capacity),
            ("batch_tokens", self.batch_tokens),
            ("background_batch_tokens", self.background_batch_tokens),
            ("working_bytes", self.working_bytes),
            ("generations", self.generations),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(VlmError::Unsupported(format!("the engine's {name} must be at least 1"))),
            None => Ok(()),
        }
    }
}

/// Starts engines.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts the engine's thread, which calls `load` and then serves. Returns at once:
    /// [`EngineHandle::wait_ready`] tells when the models are loaded, or why they could not be.
    ///
    /// The engine ends when [`EngineHandle::shutdown`] is called or every handle has been dropped.
    ///
    /// # Errors
    /// A limit of 0 in `config`; a thread that can't be started.
    pub fn start(
        load: impl FnOnce() -> Result<Models> + Send + 'static,
        config: EngineConfig,
    ) -> Result<EngineHandle> {
        config.validate()?;
        let (handle, shared) = EngineHandle::new(config);
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || worker::main(load, &shared))
            .map_err(|e| VlmError::Unsupported(format!("the engine's thread can't be started: {e}")))?;
        Ok(handle)
    }
}

/// Locks, also when a holder panicked: everything behind these locks is consistent between any two
/// statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the caller's side needs of the loaded models.
struct Loaded {
    info: Arc<reasonedit_models::model::ModelInfo>,
    sentences: Arc<SentenceInfo>,
    tokenizer: Arc<reasonedit_models::prompt::PromptTokenizer>,
    preprocessor: Arc<dyn reasonedit_models::model::ImagePreprocessor>,
    /// Made when the first reply is to have a form.
    forms: OnceLock<Result<FormCompiler, String>>,
}
