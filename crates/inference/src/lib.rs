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
//! ```
//! use std::sync::Arc;
//!
//! use reasonedit_imaging::RgbImage;
//! use reasonedit_inference::{
//!     CallOptions, Conversation, Engine, EngineConfig, FeatureKey, GenerateRequest, KeyedImage, Models,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
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
//! let engine = Engine::start(load, EngineConfig::default())?;
//!
//! let picture = RgbImage::from_fn(64, 64, |x, _| [x as u8 * 3, 40, 90].into());
//! // What is computed of a picture is kept under its key.
//! let image = KeyedImage { key: FeatureKey { image: [1; 32], area: None }, picture: Arc::new(picture) };
//! let prompt = Conversation::question(Some(image), "What is in the picture?");
//! let (reply, times) = engine.generate_text(GenerateRequest::greedy(prompt, 8), CallOptions::default()).await?;
//! assert!(reply.completion_tokens <= 8 && times.prompt_tokens > 0);
//! engine.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//! - A full queue is [`EngineError::QueueFull`] with a retry time, never an unbounded wait; a place is taken
//!   before a picture is preprocessed, so that memory is bounded as well.
//! - A request whose caller has gone or whose deadline has passed is dropped before it costs anything.
//! - A request that fails, or makes the model panic, fails alone: its batch is run again request by request.
//! - On the CPU a request gives the same bits whatever runs beside it and whatever is cached: every sum is
//!   taken in an order that depends on the request alone, ties between tokens go to the smaller id, sampling
//!   is seeded per request. The next tokens of generations and everything else are computed by two kinds of
//!   kernels, told apart by what they are ([`reasonedit_nn::sequence::Sequence::is_step`]) and never by how
//!   many there are. On a GPU the products are the library's, and the sizes of batches show in the last
//!   digits.
//!
//! # Map
//! [`request`]: what can be asked. `handle`, `converse`: the caller's side; `prepare`: its preprocessing and
//! cache look-ups; `stream`: its end of a generation. `queue`: places, order, batches. `worker`: the thread.
//! `compute`: features and prefixes; `asks`, `embed`, `generate`, `model_call`: the kinds of work. `cache`:
//! the byte-budgeted store. `sampling`: how tokens are chosen. `score`: log-probabilities. `stats`: counters.

mod asks;
mod cache;
mod compute;
mod config;
pub mod constrain;
mod converse;
mod embed;
mod engine;
pub mod error;
mod failure;
mod generate;
mod handle;
mod lane;
mod loaded;
mod model_call;
mod picture;
mod prepare;
mod queue;
pub mod request;
mod sampling;
mod score;
mod shared;
mod stats;
mod stop_sequences;
mod stream;
mod units;
mod work;
mod worker;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

pub use config::EngineConfig;
pub use engine::Engine;
pub use error::{EngineError, Result};
pub use handle::EngineHandle;
pub use loaded::Models;
pub use reasonedit_models::{
    ModelError, ModelInfo, Pooled, PooledTaps, Pooling, TapInfo, TapName, TapStage, prompt,
};
pub use request::{
    Answered, Ask, CallOptions, Conversation, EngineTimes, FeatureKey, FinishReason, Flow, GenerateEvent,
    GenerateRequest, Generated, KeyedImage, LogitRules, Priority, ReplyScore, Sampling, ScoredToken,
    SentenceInfo, TokenChoice, Want,
};
pub use stats::EngineStats;
pub use stop_sequences::{ReplyPiece, StopFilter};
pub use stream::GenerationStream;
