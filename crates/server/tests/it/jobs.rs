//! Background jobs over HTTP, with a real model.

use axum::body::Body;
use axum::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_http::client::Peer;
use serde_json::{Value, json};

use crate::common::{Answer, delete, get, post, request, send};
use crate::model::{Service, picture, service};

const LINES: &str = "application/x-ndjson";
const TAR: &str = "application/x-tar";

/// A body of `POST /edits` that is soon made: its evidence is given.
pub(crate) fn edit(number: usize) -> Value {
    let shade = (number * 37 % 200) as u8;
    json!({
        "image": {"data": STANDARD.encode(picture([shade, 40, 200 - shade]))},
        "question": format!("What is in corner {number}?"),
        "answer": "square",
        "reasoning": [{
            "statement": format!("The corner {number} has a square."),
            "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}],
        }],
    })
}

fn lines(bodies: &[Value]) -> String {
    bodies.iter().fold(String::new(), |text, body| text + &body.to_string() + "\n")
}

/// What was accepted, once it has ended: followed by its events as a client does.
pub(crate) async fn followed(service: &Service, accepted: &Answer) -> (Value, Vec<(String, Value)>) {
    assert_eq!(accepted.code(), 202, "{}", accepted.text());
    let location = accepted.header("location").to_owned();
    assert_eq!(location, format!("/jobs/{}", accepted.json()["id"].as_str().unwrap()));
    let stream = get(&service.router, &format!("{location}/events")).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    let events = events(&stream.text());
    (get(&service.router, &location).await.json(), events)
}

fn events(text: &str) -> Vec<(String, Value)> {
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    text.split("\n\n")
        .filter(|event| event.contains("event:"))
        .map(|event| {
            (field(event, "event:"), serde_json::from_str(&field(event, "data:")).unwrap_or_default())
        })
        .collect()
}

fn rows(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_good_and_bad_lines_has_a_result_for_each_in_order() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut unusable = edit(3);
    unusable["question"] = json!(" ");
    let mut outside = edit(4);
    outside["reasoning"][0]["evidence"][0]["x"] = json!(500);
    let text = format!(
        "{}\n\n{{\"question\": 5}}\nnot json\n{unusable}\n{outside}\n{}",
        edit(1),
        lines(&[edit(2)]).trim_end()
    );
    let accepted = post(router, "/edits/batch?verify=false&codebook=ward", LINES, text).await;
    let (job, events) = followed(&service, &accepted).await;

    let mut shown = job.clone();
    shown["id"] = json!("ULID");
    for time in ["created_at", "started_at", "ended_at"] {
        shown[time] = json!("RFC 3339");
    }
    insta::assert_json_snapshot!("batch_job", shown);
    let (last, before) = events.split_last().unwrap();
    assert_eq!((&*last.0, &last.1), ("done", &job));
    assert!(before.iter().all(|(name, _)| name == "progress"), "{events:?}");
    let done: Vec<u64> = events.iter().map(|(_, job)| job["progress"]["done"].as_u64().unwrap()).collect();
    assert!(done.is_sorted(), "{done:?}");

    let path = format!("/jobs/{}/results", job["id"].as_str().unwrap());
    let answer = get(router, &path).await;
    assert_eq!(answer.header("content-type"), LINES);
    let rows = rows(&answer);
    let summary: Vec<(u64, u64)> =
        rows.iter().map(|row| (row["line"].as_u64().unwrap(), row["status"].as_u64().unwrap())).collect();
    assert_eq!(summary, [(1, 201), (3, 422), (4, 400), (5, 422), (6, 422), (7, 201)]);
    assert_eq!(rows[4]["problem"]["errors"][0]["pointer"], "/reasoning/0/evidence/0");
    for (row, question) in [(&rows[0], "What is in corner 1?"), (&rows[5], "What is in corner 2?")] {
        let made = get(router, &format!("/edits/{}?codebook=ward", row["edit"].as_str().unwrap())).await;
        assert_eq!(made.json()["question"], question);
        assert_eq!(made.json()["before"], Value::Null, "not asked");
    }
    assert_eq!(get(router, "/codebook?codebook=ward").await.json()["edits"], 2);
    let page = get(router, &format!("{path}?from=4&limit=2")).await;
    let numbers: Vec<u64> = self::rows(&page).iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 5]);
    let mut packed = request(Method::GET, &path);
    packed.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
    let packed = send(router, packed).await;
    assert_eq!((packed.code(), packed.header("content-encoding")), (200, "gzip"));
    assert!(!packed.body.is_empty());

    // Listed, found by what it is, and not by what it isn't.
    for (query, count) in [
        ("", 1),
        ("?kind=batch&state=done&codebook=ward", 1),
        ("?state=running", 0),
        ("?kind=import", 0),
        ("?codebook=default", 0),
    ] {
        let page = get(router, &format!("/jobs{query}")).await.json();
        assert_eq!(page["jobs"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(page["next_cursor"], Value::Null);
    }
    assert_eq!(get(router, "/jobs").await.json()["jobs"][0], job);
    delete(router, &format!("/jobs/{}", job["id"].as_str().unwrap())).await.problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tar_of_native_records_is_a_batch_too() {
    let service = service(|_| {}).await;
    let record = |image: &str| {
        json!({
            "uid": "r1", "image": image, "question": "What is it?", "answer": "square", "choices": ["square", "disc"],
            "reasoning": ["The corner has a square.", "A shape with four equal sides is a square."],
            "evidence": [[{"x": 10, "y": 12, "width": 30, "height": 30}], []], "paraphrases": [], "contrast": [],
        })
    };
    let records = lines(&[record("images/a.png"), record("images/b.png")]);
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in
        [("world/edits.jsonl", records.into_bytes()), ("world/images/a.png", picture([200, 40, 40]))]
    {
        let mut head = tar::Header::new_ustar();
        head.set_size(bytes.len() as u64);
        head.set_cksum();
        tar.append_data(&mut head, path, &*bytes).unwrap();
    }
    let accepted = post(&service.router, "/edits/batch?verify=false", TAR, tar.into_inner().unwrap()).await;
    let (job, _) = followed(&service, &accepted).await;
    assert_eq!(job["result"], json!({"lines": 2, "made": 1, "proposed": 0, "failed": 1}));
    let answer = get(&service.router, &format!("/jobs/{}/results", job["id"].as_str().unwrap())).await;
    let rows = rows(&answer);
    let path = format!("/edits/{}", rows[0]["edit"].as_str().unwrap());
    let made = get(&service.router, &path).await.json();
    assert_eq!((&made["metadata"], &made["choices"]), (&json!({"uid": "r1"}), &json!(["square", "disc"])));
    assert_eq!(made["reasoning"][0]["evidence"][0]["source"], "user");
    assert_eq!(rows[1]["problem"]["errors"][0]["pointer"], "/image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_batch_can_be_cancelled() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let bodies: Vec<Value> = (0..300).map(edit).collect();
    let accepted = post(router, "/edits/batch?verify=false", LINES, lines(&bodies)).await;
    let location = accepted.header("location").to_owned();
    while get(router, &location).await.json()["progress"]["done"].as_u64() < Some(2) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for _ in 0..2 {
        let cancelled = delete(router, &location).await;
        assert_eq!((cancelled.code(), &cancelled.json()["state"]), (200, &json!("cancelled")));
    }
    let stream = get(router, &format!("{location}/events")).await;
    let ended = events(&stream.text());
    assert_eq!((ended.len(), &*ended[0].0, &ended[0].1["state"]), (1, "failed", &json!("cancelled")));
    // What was made stays, and every edit that has a result is there.
    let made = rows(&get(router, &format!("{location}/results")).await);
    assert!((2..300).contains(&made.len()), "{}", made.len());
    for row in &made {
        assert_eq!(get(router, &format!("/edits/{}", row["edit"].as_str().unwrap())).await.code(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_cannot_be_used_are_refused_and_leave_nothing() {
    let service = service(|config| {
        config.limits.batch_bytes = 2000;
        config.limits.batch_lines = 3;
        config.limits.body_bytes = 1000;
    })
    .await;
    let router = &service.router;
    for (kind, body, status) in [
        (LINES, String::new(), 422),
        (LINES, "\n \n".to_owned(), 422),
        (LINES, "{}\n".repeat(4), 413),
        (LINES, format!("{{}}\n{}", "x".repeat(1001)), 413),
        (LINES, "x".repeat(2001), 413),
        (TAR, "this is no tar".to_owned(), 422),
        ("application/json", "{}".to_owned(), 415),
        ("", "{}".to_owned(), 415),
    ] {
        let answer = post(router, "/edits/batch", kind, body.clone()).await;
        assert_eq!(answer.code(), status, "{kind} {body}: {}", answer.text());
        answer.problem(status);
    }
    post(router, "/edits/batch?verify=maybe", LINES, "{}").await.problem(422);
    post(router, "/edits/batch?codebook=A", LINES, "{}").await.problem(422);
    let broken = Body::from_stream(futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"{}\n")),
        Err(std::io::Error::other("reset")),
    ]));
    post(router, "/edits/batch", LINES, broken).await.problem(400);
    assert_eq!(get(router, "/jobs").await.json()["jobs"], json!([]));
    assert_eq!(std::fs::read_dir(service.data().join("jobs")).unwrap().count(), 0);
    for path in
        ["/jobs/nonsense", "/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/events"]
    {
        get(router, path).await.problem(404);
    }
    get(router, "/jobs?state=lost").await.problem(422);
    get(router, "/jobs?cursor=x").await.problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_under_the_same_key_is_the_same_job() {
    let service = service(|_| {}).await;
    let submit = async |body: String| {
        let request = Request::post("/edits/batch?verify=false")
            .header(header::CONTENT_TYPE, LINES)
            .header("idempotency-key", "upload 7")
            .body(Body::from(body))
            .unwrap();
        send(&service.router, request).await
    };
    let first = submit(lines(&[edit(1)])).await;
    let (job, _) = followed(&service, &first).await;
    let again = submit(lines(&[edit(1)])).await;
    assert_eq!((again.code(), &again.json()["id"]), (202, &job["id"]));
    submit(lines(&[edit(2)])).await.problem(409);
    assert_eq!(get(&service.router, "/codebook").await.json()["edits"], 1);
}

/// Whoever submits most leaves places for others, and is told which limit that is.
#[tokio::test(flavor = "multi_thread")]
async fn one_caller_does_not_take_all_places_of_jobs() {
    let service = service(|config| config.limits.jobs_queued = 5).await;
    let submit = async |from: &str, number: usize, lines: &str| {
        let request = Request::post("/edits/batch?verify=false").header(header::CONTENT_TYPE, LINES);
        let request = request.header(header::HOST, "localhost");
        let mut request = request.body(Body::from(lines.replace("NUMBER", &number.to_string()))).unwrap();
        request.extensions_mut().insert(Peer(from.parse().unwrap()));
        send(&service.router, request).await
    };
    let long = lines(&(0..300).map(edit).collect::<Vec<_>>());
    let first = submit("192.0.2.1", 0, &long).await;
    assert_eq!(first.code(), 202, "{}", first.text());
    let first = first.header("location").to_owned();
    while get(&service.router, &first).await.json()["state"] != "running" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let short = r#"{"question": "NUMBER"}"#;
    // Half of five, rounded up.
    for number in 0..3 {
        assert_eq!(submit("192.0.2.1", number, short).await.code(), 202);
    }
    let refused = submit("192.0.2.1", 3, short).await;
    let detail = refused.problem(429).json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("server.limits.caller_percent"), "{detail}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    for number in 0..2 {
        assert_eq!(submit("192.0.2.2", number, short).await.code(), 202, "others have the rest");
    }
    let full = submit("192.0.2.3", 0, short).await;
    let detail = full.problem(429).json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("server.limits.jobs_queued") && !detail.contains("caller"), "{detail}");
    delete(&service.router, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_can_go_on_in_the_background() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let accepted = post(router, "/edits/batch?verify=false", LINES, lines(&[edit(1), edit(2)])).await;
    followed(&service, &accepted).await;
    let archive = get(router, "/codebook/export").await.body;
    let import = async |body: bytes::Bytes| {
        let accepted = post(router, "/codebook/import?background=true&codebook=copy", TAR, body).await;
        followed(&service, &accepted).await.0
    };
    let job = import(archive.clone()).await;
    assert_eq!(
        (&job["kind"], &job["state"], &job["codebook"]),
        (&json!("import"), &json!("done"), &json!("copy"))
    );
    assert_eq!(job["result"], json!({"edits": 2, "images": 2, "skipped": 0, "reembedded": 0}));
    assert_eq!(job["progress"]["total"], archive.len());
    assert_eq!(get(router, "/codebook?codebook=copy").await.json()["edits"], 2);
    assert_eq!(import(archive.clone()).await["result"]["skipped"], 2);
    let failed = import(archive.slice(..archive.len() / 2)).await;
    assert_eq!((&failed["state"], &failed["error"]["status"]), (&json!("failed"), &json!(422)));
    assert_eq!(std::fs::read_dir(service.data().join("jobs")).unwrap().count(), 0, "no archive is left");
    let none = import(bytes::Bytes::from_static(b"no tar")).await;
    assert_eq!((&none["state"], &none["error"]["status"]), (&json!("failed"), &json!(422)));
    post(router, "/codebook/import?background=true", LINES, "{}").await.problem(415);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted() {
    let service = service(|_| {}).await;
    let text = get(&service.router, "/metrics").await.text();
    let line = "reasonedit_jobs{kind=\"batch\",state=\"running\"} 0";
    assert!(text.lines().any(|l| l == line), "{text}");
}
