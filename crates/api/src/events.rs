//! Events of a query that is worked on, one after the other within its time.

use reasonedit_editor::{EditorError, QueryEvent};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use tokio::sync::mpsc::Receiver;
use tracing::Span;

/// Events of a query that is worked on.
pub type Events = Receiver<Result<QueryEvent, EditorError>>;

/// The first event.
///
/// # Errors
/// Why there is none.
pub async fn first_event(events: &mut Events) -> Result<QueryEvent> {
    match events.recv().await {
        Some(first) => Ok(first?),
        None => Err(EditorError::Cancelled.into()),
    }
}

/// The next event; `span` is the request's, for what is logged.
///
/// # Errors
/// What ended the query before its answer was whole.
pub async fn next_event(
    events: &mut Events,
    deadline: tokio::time::Instant,
    span: &Span,
) -> Result<QueryEvent> {
    match tokio::time::timeout_at(deadline, events.recv()).await {
        Ok(Some(Ok(event))) => Ok(event),
        Ok(Some(Err(error))) => Err(span.in_scope(|| Problem::from(error))),
        // The editor ends with `Done` or an error; anything else means that it was stopped.
        Ok(None) => Err(EditorError::Cancelled.into()),
        Err(_) => Err(Problem::new(ProblemKind::DeadlineExceeded, "The answer was not complete in time.")),
    }
}
