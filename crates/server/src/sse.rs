//! Server-sent events: of a query `retrieval`, `thinking`…, `token`…, `done`, or `error` with a problem
//! document; of a job `progress`…, `done` or `failed`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use reasonedit_api::events::{Events, first_event, next_event};
use reasonedit_api::put_in_front;
use reasonedit_editor::QueryEvent;
use reasonedit_http::audit::Audited;
use reasonedit_http::problem::Result;
use reasonedit_jobs::{JobRecord, JobState};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use utoipa::ToSchema;

use crate::dto::job::JobDto;
use crate::dto::query::AnswerDto;
use crate::dto::retrieval::RetrievalDto;
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
    let stream = stream::unfold((record, true), move |(mut record, first)| {
        let stopping = stopping.clone();
        async move {
            if !first {
                if record.borrow().state().ended() {
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
            let (name, job) = {
                let record = record.borrow_and_update();
                let name = match record.state() {
                    JobState::Queued | JobState::Running => "progress",
                    JobState::Done => "done",
                    JobState::Failed | JobState::Cancelled => "failed",
                };
                (name, JobDto::from(record.view()))
            };
            Some((Ok::<_, Infallible>(event(name, &job)), (record, false)))
        }
    });
    unbuffered(Sse::new(stream.fuse()).keep_alive(KeepAlive::new().interval(keep_alive)).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reasonedit_editor::{EditorError, EngineError, FinishReason, QueryOutcome, Retrieval, Usage};
    use tokio::sync::mpsc;

    use super::*;

    fn retrieval() -> Retrieval {
        Retrieval { rejected: true, k: 5, ..Retrieval::default() }
    }

    fn outcome() -> QueryOutcome {
        QueryOutcome {
            warnings: Vec::new(),
            answer: "It is\nred.".to_owned(),
            probability: 0.25,
            choices: None,
            retrieval: retrieval(),
            verification: None,
            unedited: None,
            prompt: "Is it red?".to_owned(),
            generation: None,
            finish: Some(FinishReason::Stop),
            reasoning: None,
            usage: Usage { prompt_tokens: 20, completion_tokens: 3 },
            timings_ms: BTreeMap::from([("total".to_owned(), 1.23456)]),
        }
    }

    async fn text(events: Vec<Result<QueryEvent, EditorError>>, deadline: Duration) -> Result<String> {
        let (sender, receiver) = mpsc::channel(16);
        for event in events {
            sender.send(event).await.unwrap();
        }
        // Kept open when the deadline is what ends the stream.
        let _open = deadline.is_zero().then_some(sender);
        let deadline = Instant::now() + deadline;
        let response = answer(receiver, &Audited::default(), true, deadline, Duration::from_mins(1)).await?;
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_whole_stream() {
        let events = vec![
            Ok(QueryEvent::Retrieval(Box::new(retrieval()), None)),
            Ok(QueryEvent::Token { text: "It is\n".to_owned(), probability: 0.75, tokens: Vec::new() }),
            Ok(QueryEvent::Token { text: "red.".to_owned(), probability: 0.5, tokens: Vec::new() }),
            Ok(QueryEvent::Done(Box::new(outcome()))),
        ];
        insta::assert_snapshot!(text(events, LONG).await.unwrap());
    }

    #[tokio::test]
    async fn a_failure_half_way_is_an_event() {
        let events = vec![
            Ok(QueryEvent::Retrieval(Box::new(retrieval()), None)),
            Err(EditorError::Engine(EngineError::DeadlineExceeded)),
        ];
        insta::assert_snapshot!(text(events, LONG).await.unwrap());
    }

    #[tokio::test]
    async fn a_failure_before_the_first_event_has_its_own_status() {
        let full = EngineError::QueueFull { retry_after: Duration::from_secs(1) };
        let problem = text(vec![Err(EditorError::Engine(full))], LONG).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 429);
        assert_eq!(text(vec![], LONG).await.unwrap_err().status().as_u16(), 503);
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_says_so() {
        let cut = text(vec![Ok(QueryEvent::Retrieval(Box::new(retrieval()), None))], LONG).await.unwrap();
        assert!(cut.contains("event: error") && cut.contains("\"status\":503"), "{cut}");
        let late =
            text(vec![Ok(QueryEvent::Retrieval(Box::new(retrieval()), None))], Duration::ZERO).await.unwrap();
        assert!(late.contains("event: error") && late.contains("\"status\":504"), "{late}");
    }

    #[tokio::test]
    async fn dropping_the_answer_cancels() {
        let (sender, receiver) = mpsc::channel(16);
        sender.send(Ok(QueryEvent::Retrieval(Box::new(retrieval()), None))).await.unwrap();
        let response =
            answer(receiver, &Audited::default(), false, Instant::now() + LONG, LONG).await.unwrap();
        assert!(!sender.is_closed());
        drop(response);
        assert!(sender.is_closed());
    }
}
