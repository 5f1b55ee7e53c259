//! Work whose events are sent while it is done.

use tokio::sync::mpsc;

use crate::error::EditorError;
use crate::types::{QueryEvent, QueryOutcome};

/// Events that may wait for a slow reader before generation waits too.
const BUFFER: usize = 64;

/// Where events go.
pub type EventSender = mpsc::Sender<Result<QueryEvent, EditorError>>;

/// Does the work in a task of its own that ends when the receiver is dropped.
pub fn streamed<F>(work: impl FnOnce(EventSender) -> F) -> mpsc::Receiver<Result<QueryEvent, EditorError>>
where
    F: Future<Output = Result<QueryOutcome, EditorError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(BUFFER);
    let work = work(sender.clone());
    tokio::spawn(async move {
        let last = tokio::select! {
            outcome = work => outcome.map(|o| QueryEvent::Done(Box::new(o))),
            () = sender.closed() => return,
        };
        // A reader that has gone in the meantime is no error.
        sender.send(last).await.ok();
    });
    receiver
}
