//! The caller's end of a generation.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::error::{EngineError, Result};
use crate::request::{EngineTimes, GenerateEvent};

/// A reply that is being generated. Dropping it cancels the generation before its next token.
#[derive(Debug)]
pub struct GenerationStream {
    receiver: mpsc::UnboundedReceiver<Result<GenerateEvent>>,
    times: Arc<Mutex<EngineTimes>>,
    deadline: Option<Instant>,
    ended: bool,
}

impl GenerationStream {
    pub(super) fn new(
        receiver: mpsc::UnboundedReceiver<Result<GenerateEvent>>,
        times: Arc<Mutex<EngineTimes>>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { receiver, times, deadline, ended: false }
    }

    /// The next event: texts, then one [`GenerateEvent::Done`] or one error, then `None`.
    pub async fn next(&mut self) -> Option<Result<GenerateEvent>> {
        if self.ended {
            return None;
        }
        let receiver = &mut self.receiver;
        let event =
            within(self.deadline, async { receiver.recv().await.unwrap_or(Err(EngineError::Closed)) }).await;
        self.ended = !matches!(event, Ok(GenerateEvent::Text { .. }));
        Some(event)
    }

    /// As [`Self::next`], for implementations of `Stream`; the deadline is kept by the engine alone.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<GenerateEvent>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|event| {
            let event = event.unwrap_or(Err(EngineError::Closed));
            self.ended = !matches!(event, Ok(GenerateEvent::Text { .. }));
            Some(event)
        })
    }

    /// Where its time went, known once it has ended; the tokens of its prompt, known once there is text.
    pub fn times(&self) -> EngineTimes {
        *self.times.lock()
    }
}

/// Stops waiting when the deadline passes; what is dropped then is skipped by the engine.
pub(super) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match deadline {
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), work).await.unwrap_or(Err(EngineError::DeadlineExceeded))
        }
        None => work.await,
    }
}
