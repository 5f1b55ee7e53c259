//! Limits of an engine.

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

/// Limits of an engine. None of them changes an answer; they bound memory and waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Requests that may wait or be prepared at once; one more is [`EngineError::QueueFull`].
    pub queue_capacity: usize,
    /// Memory for image features and prefix caches, in bytes, on the model's device.
    pub cache_bytes: usize,
    /// New tokens (pictures counted in image tokens) per batch: how long a batch may keep others waiting.
    pub batch_tokens: usize,
    /// The same for batches of background work: a question that comes waits for the one that is being
    /// computed. More is faster where the device has room.
    pub background_batch_tokens: usize,
    /// The same while several callers ask: how long one's batch keeps the others waiting.
    pub shared_batch_tokens: usize,
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
            shared_batch_tokens: 128,
            working_bytes: 1 << 30,
            generations: 16,
        }
    }
}

impl EngineConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let fields = [
            ("queue_capacity", self.queue_capacity),
            ("batch_tokens", self.batch_tokens),
            ("background_batch_tokens", self.background_batch_tokens),
            ("shared_batch_tokens", self.shared_batch_tokens),
            ("working_bytes", self.working_bytes),
            ("generations", self.generations),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => {
                Err(EngineError::Unsupported(format!("the engine's {name} must be at least 1")))
            }
            None => Ok(()),
        }
    }
}
