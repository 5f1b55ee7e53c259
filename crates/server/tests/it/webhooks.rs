//! Webhooks from a real service to a real receiver.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Method;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::{Editor, EmbeddingChoice};
use reasonedit_inference::Pooling;
use reasonedit_server::{Server, ServerConfig};
use reasonedit_webhooks::WebhooksConfig;
use serde_json::{Value, json};

use crate::common::{bare, delete, get, post, request, send};
use crate::jobs::edit;
use crate::kill::Process;
use crate::model::{server_on, service};
use crate::receiver::{Receiver, Reply, SECRET, Seen};

/// A test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// Settings with these receivers, which are tried again soon.
fn settings(endpoints: &Value) -> Value {
    json!({"webhooks": {"retry_first_ms": 5, "retry_longest_ms": 20, "endpoints": endpoints}})
}

fn config(endpoints: &Value) -> ServerConfig {
    serde_json::from_value(settings(endpoints)).unwrap()
}

fn with(endpoints: &Value) -> impl FnOnce(&mut ServerConfig) {
    let config = config(endpoints);
    move |given| *given = config
}

/// Makes an edit and gives its id.
async fn made(router: &Router, number: usize, codebook: &str) -> String {
    let uri = format!("/edits?verify=false&codebook={codebook}");
    let answer = post(router, &uri, "application/json", edit(number).to_string()).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn of(router: &Router, name: &str) -> Value {
    let list = get(router, "/webhooks").await.json();
    let found = list["webhooks"].as_array().unwrap().iter().find(|hook| hook["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("{list}"))
}

async fn resume(router: &Router, name: &str, search: &str) -> Value {
    send(router, request(Method::POST, &format!("/webhooks/{name}/resume{search}"))).await.json()
}

/// Waits until a receiver is as asked for: it shows a moment after it answered.
async fn until(router: &Router, name: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let hook = of(router, name).await;
        if enough(&hook) {
            return hook;
        }
        assert!(began.elapsed() < PATIENCE, "{hook}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn figure(router: &Router, name: &str) -> f64 {
    let text = get(router, "/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("reasonedit_webhook_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Ends a service as a restart does.
async fn ended(parts: (Server, Editor)) {
    let (server, editor) = parts;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(server.serve(listener, async {}).await, "it stops in time");
    editor.engine().shutdown().await;
}

fn edits(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::edit).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_signed_and_in_order() {
    let receiver = Receiver::start().await;
    let service = service(with(&json!({"audit": receiver.endpoint()}))).await;
    let (router, name) = (&service.router, CodebookName::default());
    let mut body = edit(1);
    (body["author"], body["tags"]) = (json!("dermatology-2"), json!(["dermoscopy"]));
    body["metadata"] = json!({"case": "A-117"});
    let first = post(router, "/edits?verify=false", "application/json", body.to_string()).await.json();
    let second = made(router, 2, "default").await;
    delete(router, &format!("/edits/{}", first["id"].as_str().unwrap())).await;
    let choice = EmbeddingChoice { tap: "vision.0".to_owned(), pooling: Pooling::Mean, lambda: 2.0 };
    let never = std::future::pending;
    let generation = service.editor.reembed(&name, &choice, |_| {}, never()).await.unwrap();
    service.editor.rollback(&name, None, |_| {}, never()).await.unwrap();

    let seen = receiver.took(5).await;
    let kinds: Vec<_> = seen.iter().map(|seen| seen.verify().kind()).collect();
    let [created, reverted, applied] = ["edit.created", "edit.reverted", "selection.applied"];
    assert_eq!(kinds, [created, created, reverted, applied, applied]);
    let data: Vec<Value> = seen.iter().map(|seen| seen.json()["data"].clone()).collect();
    for (number, data) in data.iter().enumerate() {
        assert_eq!((&data["codebook"], &data["sequence"]), (&json!("default"), &json!(number)));
    }
    assert_eq!((&data[0]["edit"]["id"], &data[1]["edit"]["id"]), (&first["id"], &json!(second)));
    // The reverted edit is told as it was.
    assert_eq!(data[2]["edit"], data[0]["edit"]);
    assert_eq!(data[3]["selection"]["id"], json!(generation));
    let selections: Vec<_> =
        data[3..].iter().map(|d| (&d["selection"]["tap"], &d["selection"]["rolled_back"])).collect();
    assert_eq!(selections[0], (&json!("vision.0"), &json!(false)));
    assert_eq!(selections[1].1, &json!(true));
    assert_ne!(selections[1].0, &json!("vision.0"));
    let ids: BTreeSet<&str> = seen.iter().map(Seen::id).collect();
    assert_eq!(ids.len(), 5);
    let times: Vec<Value> = seen.iter().map(|seen| seen.json()["timestamp"].clone()).collect();
    assert!(times.iter().all(Value::is_string), "{times:?}");
    assert_eq!(seen[0].headers["content-type"], "application/json");

    // Nothing that was said about a picture, and no picture.
    for message in &seen {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        for said in ["corner", "square", "A-117", first["image"]["id"].as_str().unwrap()] {
            assert!(!text.contains(said), "{text}");
        }
    }
    let mut shape = seen[0].json();
    for (pointer, placeholder) in
        [("/timestamp", "TIME"), ("/data/edit/id", "ID"), ("/data/edit/created_at", "TIME")]
    {
        *shape.pointer_mut(pointer).unwrap() = json!(placeholder);
    }
    insta::assert_json_snapshot!("webhook_edit_created", shape);
    let mut shape = seen[3].json();
    for (pointer, placeholder) in [("/timestamp", "TIME"), ("/data/selection/id", "ID")] {
        *shape.pointer_mut(pointer).unwrap() = json!(placeholder);
    }
    insta::assert_json_snapshot!("webhook_selection_applied", shape);

    let hook = until(router, "audit", |hook| hook["delivered"] == 5).await;
    assert_eq!(
        (&hook["state"], &hook["pending"], &hook["host"]),
        (&json!("delivering"), &json!(0), &json!("127.0.0.1"))
    );
    assert_eq!((&hook["last_failure"], &hook["oldest_pending_at"]), (&Value::Null, &Value::Null));
    assert!(!hook.to_string().contains("/hook"), "no more of the address than the host: {hook}");
    assert_eq!(figure(router, "deliveries_total{endpoint=\"audit\"}").await, 5.0);
    assert_eq!(figure(router, "pending_events{endpoint=\"audit\"}").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_before_anything_later() {
    let receiver = Receiver::start().await;
    let service = service(with(&json!({"audit": receiver.endpoint()}))).await;
    receiver.answer([500, 404, 302].map(Reply::Status));
    let mut ids = vec![made(&service.router, 1, "default").await];
    ids.push(made(&service.router, 2, "default").await);
    receiver.took(2).await;
    let seen = receiver.seen();
    assert_eq!(edits(&seen), [&ids[0], &ids[0], &ids[0], &ids[0], &ids[1]].map(Clone::clone));
    // It is the same message for who wants to drop repeats, and signed anew for who looks at the time.
    let same: BTreeSet<_> =
        seen[..4].iter().map(|seen| (seen.verify().id().to_owned(), seen.body.clone())).collect();
    assert_eq!(same.len(), 1);
    let hook = until(&service.router, "audit", |hook| hook["delivered"] == 2).await;
    assert_eq!((&hook["failed"], &hook["state"]), (&json!(3), &json!("delivering")));
    assert_eq!(hook["last_failure"]["reason"], "it answered 302");
    assert_eq!(figure(&service.router, "failures_total{endpoint=\"audit\"}").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_is_left_alone() {
    let receiver = Receiver::start().await;
    let service = service(with(&json!({"audit": receiver.endpoint()}))).await;
    receiver.answer([Reply::Later(3600)]);
    made(&service.router, 1, "default").await;
    let hook = until(&service.router, "audit", |hook| hook["failed"] == 1).await;
    assert_eq!((&hook["state"], &hook["pending"]), (&json!("failing"), &json!(1)));
    assert!(hook["next_attempt_ms"].as_u64().unwrap() > 3_000_000, "{hook}");
    assert!(figure(&service.router, "lag_seconds{endpoint=\"audit\"}").await > 0.0);
    // Somebody knows better.
    made(&service.router, 2, "default").await;
    resume(&service.router, "audit", "").await;
    assert_eq!(receiver.took(2).await.len(), 2);
    assert_eq!(receiver.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_delays_nobody() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    let service = service(with(&json!({"a-slow": slow.endpoint(), "quick": quick.endpoint()}))).await;
    slow.answer([Reply::Held]);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(made(&service.router, number, "default").await);
    }
    // All of it while the first message to the slow one is still unanswered.
    assert_eq!(edits(&quick.took(3).await), ids);
    slow.wait(|seen| seen.len() == 1).await;
    assert_eq!(of(&service.router, "a-slow").await["pending"], 3);
    slow.release();
    assert_eq!(edits(&slow.took(3).await), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_a_failure() {
    let receiver = Receiver::start().await;
    let mut config = config(&json!({"audit": receiver.endpoint()}));
    config.webhooks = WebhooksConfig { timeout_ms: 50, ..config.webhooks };
    let service = service(|given| *given = config).await;
    receiver.answer([Reply::Held]);
    let id = made(&service.router, 0, "default").await;
    until(&service.router, "audit", |hook| hook["last_failure"]["reason"] == "it took too long").await;
    receiver.release();
    assert_eq!(edits(&receiver.took(1).await), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_though_a_receiver_does_not_answer_and_tells_it_after_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let endpoints = json!({"audit": receiver.endpoint()});
    let parts = server_on(data.path(), config(&endpoints)).await;
    receiver.answer([Reply::Held]);
    let ids = [made(&parts.0.router(), 0, "default").await, made(&parts.0.router(), 1, "default").await];
    receiver.wait(|seen| seen.len() == 1).await;
    ended(parts).await;
    let parts = server_on(data.path(), config(&endpoints)).await;
    assert_eq!(edits(&receiver.took(2).await), ids);
    ended(parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_followed_and_not_read_to_its_end() {
    let receiver = Receiver::start().await;
    let service = service(with(&json!({"audit": receiver.endpoint()}))).await;
    receiver.answer([Reply::Redirect, Reply::Endless, Reply::Silent]);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(made(&service.router, number, "default").await);
    }
    assert_eq!(edits(&receiver.took(3).await), ids);
    let paths: BTreeSet<String> = receiver.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, BTreeSet::from(["/hook".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_receiver_begins_at_the_present_and_a_new_codebook_at_its_beginning() {
    let data = tempfile::tempdir().unwrap();
    let (early, late, ward) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let parts = server_on(data.path(), config(&json!({"early": early.endpoint()}))).await;
    let mut ids = vec![made(&parts.0.router(), 0, "default").await];
    early.took(1).await;
    ended(parts).await;

    let with_filter = |codebooks: Value| {
        let mut endpoint = ward.endpoint();
        endpoint["codebooks"] = codebooks;
        json!({"early": early.endpoint(), "late": late.endpoint(), "ward": endpoint})
    };
    let parts = server_on(data.path(), config(&with_filter(json!(["ward-3"])))).await;
    ids.push(made(&parts.0.router(), 1, "default").await);
    ids.push(made(&parts.0.router(), 2, "ward-3").await);
    assert_eq!(edits(&late.took(2).await), ids[1..]);
    assert_eq!(edits(&early.took(3).await), ids);
    assert_eq!(edits(&ward.took(1).await), ids[2..]);
    ended(parts).await;

    // Told about another codebook from now on; `late` is forgotten and comes back as a new one.
    let mut without = with_filter(json!(["default", "ward-3"]));
    without.as_object_mut().unwrap().remove("late");
    let parts = server_on(data.path(), config(&without)).await;
    ids.push(made(&parts.0.router(), 3, "default").await);
    assert_eq!(edits(&ward.took(2).await), ids[2..]);
    ended(parts).await;
    let parts = server_on(data.path(), config(&with_filter(json!([])))).await;
    ids.push(made(&parts.0.router(), 4, "ward-3").await);
    assert_eq!(edits(&late.took(3).await), [ids[1].clone(), ids[2].clone(), ids[4].clone()]);
    assert_eq!(edits(&early.took(5).await), ids);
    assert_eq!(edits(&ward.took(3).await), ids[2..]);
    for receiver in [&early, &late, &ward] {
        assert_eq!(receiver.seen().len(), receiver.taken().len(), "nothing twice in orderly times");
    }
    ended(parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_more_is_told_no_more_until_resumed() {
    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let endpoints = json!({"audit": receiver.endpoint()});
    let parts = server_on(data.path(), config(&endpoints)).await;
    receiver.answer([Reply::Status(410)]);
    made(&parts.0.router(), 0, "default").await;
    let hook = until(&parts.0.router(), "audit", |hook| hook["state"] == "paused").await;
    assert_eq!((&hook["pending"], &hook["next_attempt_ms"]), (&json!(1), &Value::Null));
    ended(parts).await;

    // Also after a restart.
    let parts = server_on(data.path(), config(&endpoints)).await;
    let router = parts.0.router();
    made(&router, 1, "default").await;
    assert_eq!(of(&router, "audit").await["state"], "paused");
    assert_eq!(figure(&router, "paused{endpoint=\"audit\"}").await, 1.0);
    let skipped = resume(&router, "audit", "?skip_missed=true").await;
    assert_eq!((&skipped["state"], &skipped["pending"]), (&json!("delivering"), &json!(0)));
    let id = made(&router, 2, "default").await;
    assert_eq!(edits(&receiver.took(1).await), [id]);
    assert_eq!(receiver.seen().len(), 2);
    send(&router, request(Method::POST, "/webhooks/nobody/resume")).await.problem(404);
    send(&router, request(Method::POST, "/webhooks/audit/resume?skip=yes")).await.problem(422);
    ended(parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_kept_and_holds_up_its_codebook_only() {
    let receiver = Receiver::start().await;
    let mut config = config(&json!({"audit": receiver.endpoint()}));
    config.webhooks = WebhooksConfig { give_up_ms: 1, ..config.webhooks };
    let service = service(|given| *given = config).await;
    let router = &service.router;
    receiver.answer(vec![Reply::Status(500); 40]);
    let first = made(router, 0, "default").await;
    let hook = until(router, "audit", |hook| hook["state"] == "paused").await;
    assert_eq!(hook["paused_codebooks"], json!(["default"]));
    let tried = receiver.seen().len();
    let second = made(router, 1, "default").await;
    receiver.replies_clear();
    // Another codebook goes on.
    let other = made(router, 2, "ward-3").await;
    assert_eq!(edits(&receiver.took(1).await), std::slice::from_ref(&other));
    assert_eq!(receiver.seen().len(), tried + 1);
    until(router, "audit", |hook| hook["pending"] == 2).await;
    resume(router, "audit", "").await;
    assert_eq!(edits(&receiver.took(3).await), [other, first, second]);
    until(router, "audit", |hook| hook["state"] == "delivering" && hook["pending"] == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_told_as_such_or_not_at_all() {
    let (all, own) = (Receiver::start().await, Receiver::start().await);
    let mut without = own.endpoint();
    (without["imports"], without["texts"], without["events"]) =
        (json!(false), json!(true), json!(["edit.created"]));
    let service = service(with(&json!({"all": all.endpoint(), "own": without}))).await;
    let router = &service.router;
    let ids = [made(router, 0, "default").await, made(router, 1, "default").await];
    delete(router, &format!("/edits/{}", ids[0])).await;
    let archive = get(router, "/codebook/export").await.body;
    let imported = post(router, "/codebook/import?codebook=copy", "application/x-tar", archive.clone()).await;
    assert_eq!(imported.json()["edits"], 1, "{}", imported.text());
    // Skipped the second time, so nothing happens and nothing is told.
    post(router, "/codebook/import?codebook=copy", "application/x-tar", archive).await;
    let last = made(router, 2, "copy").await;
    let seen = all.took(5).await;
    let told: Vec<_> = seen
        .iter()
        .filter(|seen| seen.kind() == "edit.created")
        .map(|seen| {
            (
                seen.json()["data"]["codebook"].as_str().unwrap().to_owned(),
                seen.edit(),
                seen.json()["data"]["edit"]["imported"].clone(),
            )
        })
        .collect();
    let expected = |book: &str, id: &str, imported: bool| (book.to_owned(), id.to_owned(), json!(imported));
    // In order of each codebook; between codebooks there is none.
    let of = |book: &str| told.iter().filter(|(b, ..)| b == book).cloned().collect::<Vec<_>>();
    assert_eq!(of("default"), [expected("default", &ids[0], false), expected("default", &ids[1], false)]);
    assert_eq!(of("copy"), [expected("copy", &ids[1], true), expected("copy", &last, false)]);
    let seen = own.took(3).await;
    assert_eq!(
        edits(&seen).into_iter().collect::<BTreeSet<_>>(),
        [ids[0].clone(), ids[1].clone(), last].into()
    );
    let first = seen.iter().find(|seen| seen.edit() == ids[0]).unwrap().json();
    let texts = &first["data"]["edit"]["texts"];
    assert_eq!(texts["question"], "What is in corner 0?");
    assert_eq!(
        (&texts["answer"], &texts["reasoning"]),
        (&json!("square"), &json!(["The corner 0 has a square."]))
    );
    assert_eq!((all.seen().len(), own.seen().len()), (5, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_the_house_is_not_asked_unless_the_operator_says_so() {
    let receiver = Receiver::start().await;
    let url = receiver.url.replace("http://127.0.0.1", "https://localhost");
    let service = service(with(&json!({"audit": {"url": url, "secret": SECRET}}))).await;
    made(&service.router, 0, "default").await;
    let hook = until(&service.router, "audit", |hook| hook["failed"].as_u64() >= Some(2)).await;
    assert_eq!(hook["last_failure"]["reason"], "it could not be connected to");
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn webhooks_are_looked_at_by_those_with_a_token_once_the_model_is_there() {
    let (router, _) = bare(|config| config.auth_tokens = vec!["secret".to_owned()]);
    get(&router, "/webhooks").await.problem(401);
    send(&router, request(Method::POST, "/webhooks/audit/resume")).await.problem(401);
    let (router, _) = bare(|_| {});
    get(&router, "/webhooks").await.problem(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missed_however_often_the_service_is_killed() {
    const ROUNDS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let config = settings(&json!({"audit": receiver.endpoint()}));
    let client = reqwest::Client::new();
    let (mut ids, mut reverted, mut random) = (Vec::new(), Vec::new(), 0x9E37_79B9_7F4A_7C15_u64);
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // What comes is held, so that the kill falls between the edit and its delivery; or refused, or taken
        // at once.
        match round % 4 {
            0 => receiver.answer([Reply::Held]),
            1 => receiver.answer([Reply::Status(500), Reply::Status(503)]),
            2 => receiver.answer([Reply::Status(204), Reply::Held]),
            _ => {}
        }
        let process = Process::start(folder.path(), &config);
        for number in 0..=random % 4 {
            let made = client
                .post(format!("{}/edits?verify=false", process.url))
                .header("content-type", "application/json")
                .body(edit(round * 10 + number as usize).to_string())
                .send()
                .await
                .unwrap();
            assert_eq!(made.status().as_u16(), 201);
            let made: Value = serde_json::from_slice(&made.bytes().await.unwrap()).unwrap();
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        if round % 3 == 2 {
            let id = ids[ids.len() - 1].clone();
            let gone = client.delete(format!("{}/edits/{id}", process.url)).send().await.unwrap();
            assert_eq!(gone.status().as_u16(), 204);
            reverted.push(id);
        }
        tokio::time::sleep(Duration::from_micros(random >> 32 & 0x3FFF)).await;
        process.kill();
    }
    receiver.release();
    receiver.replies_clear();
    let process = Process::start(folder.path(), &config);
    let total = ids.len() + reverted.len();
    let sequences = |seen: &[Seen]| -> BTreeSet<u64> {
        seen.iter().filter(|s| s.taken).map(|s| s.json()["data"]["sequence"].as_u64().unwrap()).collect()
    };
    receiver.wait(|seen| sequences(seen).len() == total).await;
    process.stop();

    // Without repeats, which bear the same id, it is the history and in its order.
    let mut known = BTreeSet::new();
    let taken: Vec<Seen> =
        receiver.taken().into_iter().filter(|seen| known.insert(seen.verify().id().to_owned())).collect();
    let numbers: Vec<u64> = taken.iter().map(|s| s.json()["data"]["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..total as u64).collect::<Vec<_>>());
    let of = |kind: &str| -> Vec<String> {
        taken.iter().filter(|seen| seen.kind() == kind).map(Seen::edit).collect()
    };
    assert_eq!((of("edit.created"), of("edit.reverted")), (ids, reverted));
}
