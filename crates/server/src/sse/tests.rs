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
        revision: Some(3),
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
    let response = answer(receiver, &Audited::default(), false, Instant::now() + LONG, LONG).await.unwrap();
    assert!(!sender.is_closed());
    drop(response);
    assert!(sender.is_closed());
}

/// A job's record, of which the tests need the state alone.
fn record(state: &str) -> JobRecord {
    let record = serde_json::json!({
        "id": "01K00000000000000000000000", "kind": "modularity", "codebook": "default", "state": state,
        "input": {}, "checkpoint": null, "attempts": 1, "result": null, "error": null, "idempotency": null,
        "progress": {"stage": "", "done": 0, "total": 1, "remaining_ms": null},
        "created_at": "2026-01-01T00:00:00Z", "started_at": null, "ended_at": null,
    });
    serde_json::from_value(record).unwrap()
}

/// The names of events in what is sent of a stream until it pauses or ends.
async fn names(body: &mut axum::body::BodyDataStream) -> Vec<String> {
    let mut text = String::new();
    while let Ok(Some(piece)) = tokio::time::timeout(JOB_SPACING * 3, body.next()).await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_end_of_a_job_is_told_whenever_it_comes() {
    for (state, name) in [("done", "done"), ("failed", "failed"), ("cancelled", "failed")] {
        // Already ended.
        let stream = |record| job(record, CancellationToken::new(), LONG).into_body().into_data_stream();
        let sender = watch::Sender::new(record(state));
        assert_eq!(names(&mut stream(sender.subscribe())).await, [name]);
        // Ended before whoever follows asks for the event after the first.
        let sender = watch::Sender::new(record("running"));
        let mut body = stream(sender.subscribe());
        let first = body.next().await.unwrap().unwrap();
        assert!(first.starts_with(b"event: progress"), "{first:?}");
        sender.send_replace(record(state));
        assert_eq!(names(&mut body).await, [name]);
        assert!(body.next().await.is_none());
        // Ended while it is waited for.
        let sender = watch::Sender::new(record("queued"));
        let mut body = stream(sender.subscribe());
        assert_eq!(names(&mut body).await, ["progress"]);
        sender.send_replace(record("running"));
        assert_eq!(names(&mut body).await, ["progress"]);
        sender.send_replace(record(state));
        assert_eq!(names(&mut body).await, [name]);
    }
}
