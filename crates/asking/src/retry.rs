//! Waiting for a place in the engine's queue: work in the background has time, people who wait have the
//! places.

use std::time::Duration;

use reasonedit_inference::EngineError;
use reasonedit_resilience::{Backoff, retry};

use crate::error::EditorError;

/// Least wait when the engine's queue is full.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Makes a call again for as long as the queue is full.
///
/// # Errors
/// That of the call, unless the queue is full.
pub async fn retry_when_full<T, F>(call: impl Fn() -> F) -> Result<T, EditorError>
where
    F: Future<Output = Result<T, EditorError>>,
{
    let full = |error: &EditorError| match error {
        EditorError::Engine(EngineError::QueueFull { retry_after }) => Some(*retry_after),
        _ => None,
    };
    retry(Backoff::constant(PAUSE), call, full).await
}
