//! Answers as they are made: server-sent events of `chat.completion.chunk`s, then `[DONE]`; or an `error`
//! event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use reasonedit_api::events::{Events, first_event, next_event};
use reasonedit_api::put_in_front;
use reasonedit_editor::QueryEvent;
use reasonedit_http::audit::Audited;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_http::sse::unbuffered;
use serde::Serialize;
use tracing::Span;

use super::errors::{ErrorBody, placed};
use super::output::{
    ChunkDto, CompletionUsageDto, DeltaDto, Head, LogprobsDto, ProvenanceDto, RequestSummary,
};

/// Answers with the chunks. Dropping the answer (the client has gone) drops the receiver, which cancels the
/// work.
///
/// # Errors
/// A failure before the first event is answered with its own status instead of a stream.
pub(super) async fn answer(
    mut events: Events,
    context: ReplyContext,
    audited: &Audited,
    deadline: Instant,
    keep_alive: Duration,
) -> Result<Response> {
    let first = first_event(&mut events).await?;
    // Before anything is sent: what was retrieved is the first event.
    if let QueryEvent::Retrieval(report, _) = &first {
        put_in_front(audited, report);
    }
    let mut progress = Progress {
        context,
        events,
        pending: VecDeque::new(),
        ended: false,
        deadline: deadline.into(),
        span: Span::current(),
    };
    progress.take(first);
    let stream = stream::unfold(progress, async |mut progress| {
        while progress.pending.is_empty() && !progress.ended {
            let span = progress.span.clone();
            match next_event(&mut progress.events, progress.deadline, &span).await {
                Ok(event) => progress.take(event),
                Err(problem) => {
                    let problem = placed(problem, &progress.context.choices_at);
                    progress.fail(&problem);
                }
            }
        }
        progress.pending.pop_front().map(|event| (Ok::<_, Infallible>(event), progress))
    });
    let sse = Sse::new(stream.fuse()).keep_alive(KeepAlive::new().interval(keep_alive));
    Ok(unbuffered(sse.into_response()))
}

/// What the chunks say beside the answer.
pub(super) struct ReplyContext {
    pub(super) head: Head,
    pub(super) summary: RequestSummary,
    /// JSON pointer to the choices, if there are any.
    pub(super) choices_at: String,
    pub(super) logprobs: bool,
    pub(super) usage: bool,
}

struct Progress {
    context: ReplyContext,
    events: Events,
    pending: VecDeque<Event>,
    ended: bool,
    deadline: tokio::time::Instant,
    span: Span,
}

impl Progress {
    fn take(&mut self, event: QueryEvent) {
        let head = &self.context.head;
        match event {
            QueryEvent::Retrieval(report, verification) => {
                let delta =
                    DeltaDto { role: Some("assistant"), content: Some(String::new()), ..DeltaDto::default() };
                let grounds = self.context.summary.grounds(&report, verification.as_ref());
                let chunk = ChunkDto { reasonedit: Some(grounds), ..ChunkDto::of(head, delta, None) };
                self.send(&chunk);
            }
            QueryEvent::Thinking(text) => {
                let delta = DeltaDto { reasoning_content: Some(text), ..DeltaDto::default() };
                let chunk = ChunkDto::of(head, delta, None);
                self.send(&chunk);
            }
            QueryEvent::Token { text, tokens, .. } => {
                let delta = DeltaDto { content: Some(text), ..DeltaDto::default() };
                let mut chunk = ChunkDto::of(head, delta, None);
                if self.context.logprobs
                    && let Some(choice) = chunk.choices.first_mut()
                {
                    choice.logprobs = Some(LogprobsDto::new(&tokens));
                }
                self.send(&chunk);
            }
            QueryEvent::Done(outcome) => {
                let usage = CompletionUsageDto::new(outcome.usage, outcome.reasoning.as_ref());
                let last = ChunkDto::of(head, DeltaDto::default(), Some(outcome.finish.into()));
                let figures = self.context.summary.figures(*outcome, ProvenanceDto::default());
                let count =
                    self.context.usage.then(|| ChunkDto { usage: Some(usage), ..ChunkDto::new(head) });
                self.send(&ChunkDto { reasonedit: Some(figures), ..last });
                if let Some(count) = count {
                    self.send(&count);
                }
                self.pending.push_back(Event::default().data("[DONE]"));
                self.ended = true;
            }
        }
    }

    fn send<T: Serialize>(&mut self, chunk: &T) {
        match Event::default().json_data(chunk) {
            Ok(event) => self.pending.push_back(event),
            Err(error) => self.fail(&Problem::internal(&error)),
        }
    }

    fn fail(&mut self, problem: &Problem) {
        self.ended = true;
        let body = serde_json::to_string(&ErrorBody::from(problem)).unwrap_or_default();
        self.pending.push_back(Event::default().event("error").data(body));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reasonedit_editor::{
        EditorError, EngineError, FinishReason, QueryOutcome, Retrieval, ScoredToken, TokenChoice, Usage,
    };
    use tokio::sync::mpsc;

    use super::*;

    fn retrieval() -> Box<Retrieval> {
        Box::new(Retrieval { rejected: true, k: 5, ..Retrieval::default() })
    }

    fn outcome() -> Box<QueryOutcome> {
        Box::new(QueryOutcome {
            revision: None,
            warnings: Vec::new(),
            answer: "It is\nred.".to_owned(),
            probability: 0.25,
            choices: None,
            retrieval: *retrieval(),
            verification: None,
            unedited: None,
            prompt: "Is it red?".to_owned(),
            generation: None,
            finish: Some(FinishReason::Length),
            reasoning: None,
            usage: Usage { prompt_tokens: 20, completion_tokens: 3 },
            timings_ms: BTreeMap::from([("total".to_owned(), 1.23456)]),
        })
    }

    fn context() -> ReplyContext {
        let head = Head {
            id: "chatcmpl-1".to_owned(),
            created: 1_760_000_000,
            model: "demo".to_owned(),
            fingerprint: "fp_0".to_owned(),
        };
        let summary = RequestSummary {
            request_id: "id-1".to_owned(),
            codebook: "default".to_owned(),
            image: None,
            omitted_pictures: Vec::new(),
            says: true,
            retrieves: true,
            explain: true,
        };
        ReplyContext {
            head,
            summary,
            choices_at: "/reasonedit/choices".to_owned(),
            logprobs: true,
            usage: true,
        }
    }

    fn token(text: &str) -> QueryEvent {
        let chosen = ScoredToken { text: text.to_owned(), log_probability: -0.5 };
        let tokens = vec![TokenChoice { alternatives: vec![chosen.clone()], chosen }];
        QueryEvent::Token { text: text.to_owned(), probability: 0.5, tokens }
    }

    async fn text(events: Vec<Result<QueryEvent, EditorError>>) -> Result<String> {
        let (sender, receiver) = mpsc::channel(16);
        for event in events {
            sender.send(event).await.unwrap();
        }
        drop(sender);
        let long = Duration::from_mins(1);
        let response = answer(receiver, context(), &Audited::default(), Instant::now() + long, long).await?;
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_whole_stream() {
        let events = vec![
            Ok(QueryEvent::Retrieval(retrieval(), None)),
            Ok(token("It is\n")),
            Ok(token("red.")),
            Ok(QueryEvent::Done(outcome())),
        ];
        insta::assert_snapshot!(text(events).await.unwrap());
    }

    #[tokio::test]
    async fn a_failure_half_way_is_an_error_event() {
        let failed = Err(EditorError::Engine(EngineError::DeadlineExceeded));
        let events = vec![Ok(QueryEvent::Retrieval(retrieval(), None)), Ok(token("It")), failed];
        let told = text(events).await.unwrap();
        insta::assert_snapshot!(told.trim_end().rsplit("\n\n").next().unwrap());
        let cut = text(vec![Ok(QueryEvent::Retrieval(retrieval(), None))]).await.unwrap();
        assert!(cut.contains("event: error") && !cut.contains("[DONE]"), "{cut}");
    }

    #[tokio::test]
    async fn a_failure_before_the_first_event_has_its_own_status() {
        let full = EngineError::QueueFull { retry_after: Duration::from_secs(1) };
        let problem = text(vec![Err(EditorError::Engine(full))]).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 429);
    }
}
