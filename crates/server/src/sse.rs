//! Server-sent events: of a query `retrieval`, `thinking`…, `token`…, `done`, or `error` with a problem
//! document; of a job `progress`…, `done` or `failed`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use reasonedit_api::events::{Events, first_event, next_event};
use reasonedit_api::put_in_front;
use reasonedit_api::query::AnswerDto;
use reasonedit_api::retrieval::RetrievalDto;
use reasonedit_dto::job::JobDto;
use reasonedit_editor::QueryEvent;
use reasonedit_http::audit::Audited;
use reasonedit_http::problem::Result;
use reasonedit_jobs::{JobRecord, JobState};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use utoipa::ToSchema;

pub(crate) use reasonedit_http::sse::{event, unbuffered};

/// Data of a `token` event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// The next piece of the answer.
    pub(crate) text: String,
    /// Of its tokens, given what stands before them; of a choice, over the choices.
    pub(crate) probability: f64,
}

/// Data of a `thinking` event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThinkingPiece)]
pub(crate) struct ThinkingPiece {
    /// The next piece of what the model thinks.
    pub(crate) text: String,
}

/// Answers with the events of a query. Dropping the answer (the client has gone) drops the receiver, which
/// cancels the query.
///
/// # Errors
/// A failure before the first event is answered with its own status instead of a stream.
pub(crate) async fn answer(
    mut events: Events,
    audited: &Audited,
    explain: bool,
    deadline: Instant,
    keep_alive: Duration,
) -> Result<Response> {
    let first = first_event(&mut events).await?;
    // Before anything is sent: what was retrieved is the first event.
    if let QueryEvent::Retrieval(report, _) = &first {
        put_in_front(audited, report);
    }
    let stream = event_stream(first, events, explain, deadline).fuse();
    Ok(unbuffered(Sse::new(stream).keep_alive(KeepAlive::new().interval(keep_alive)).into_response()))
}

struct Progress {
    first: Option<QueryEvent>,
    events: Events,
    ended: bool,
    explain: bool,
    deadline: tokio::time::Instant,
    span: Span,
}

fn event_stream(
    first: QueryEvent,
    events: Events,
    explain: bool,
    deadline: Instant,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let progress = Progress {
        first: Some(first),
        events,
        ended: false,
        explain,
        deadline: deadline.into(),
        span: Span::current(),
    };
    stream::unfold(progress, async |mut progress| {
        if progress.ended {
            return None;
        }
        let event = progress.next().await;
        Some((Ok(event), progress))
    })
}

impl Progress {
    async fn next(&mut self) -> Event {
        let next = match self.first.take() {
            Some(first) => Ok(first),
            None => next_event(&mut self.events, self.deadline, &self.span).await,
        };
        match next {
            Ok(QueryEvent::Retrieval(report, verification)) => {
                event("retrieval", &RetrievalDto::new(&report, verification.as_ref()))
            }
            Ok(QueryEvent::Thinking(text)) => event("thinking", &ThinkingPiece { text }),
            Ok(QueryEvent::Token { text, probability, .. }) => event("token", &Token { text, probability }),
            Ok(QueryEvent::Done(outcome)) => {
                self.ended = true;
                event("done", &AnswerDto::new(*outcome, self.explain))
            }
            Err(problem) => {
                self.ended = true;
                event("error", &problem.body())
            }
        }
    }
}

/// How often a job is told of at most: bars need no more.
const JOB_SPACING: Duration = Duration::from_millis(100);

/// Answers with a job as it becomes: `progress` at once and at changes, then `done` or `failed`. Ends without
/// either when the service stops.
pub(crate) fn job(
    record: watch::Receiver<JobRecord>,
    stopping: CancellationToken,
    keep_alive: Duration,
) -> Response {
    // What was told last: a job may end between one event and the next, and its end is told all the same.
    let stream = stream::unfold((record, None), move |(mut record, told)| {
        let stopping = stopping.clone();
        async move {
            if let Some(told) = told {
                if JobState::ended(told) {
                    return None;
                }
                let changed = async {
                    tokio::time::sleep(JOB_SPACING).await;
                    record.changed().await
                };
                tokio::select! {
                    () = stopping.cancelled() => return None,
                    changed = changed => changed.ok()?,
                }
            }
            let (state, job) = {
                let record = record.borrow_and_update();
                (record.state(), JobDto::from(record.view()))
            };
            let name = match state {
                JobState::Queued | JobState::Running => "progress",
                JobState::Done => "done",
                JobState::Failed | JobState::Cancelled => "failed",
            };
            Some((Ok::<_, Infallible>(event(name, &job)), (record, Some(state))))
        }
    });
    unbuffered(Sse::new(stream.fuse()).keep_alive(KeepAlive::new().interval(keep_alive)).into_response())
}

#[cfg(test)]
mod tests;
