//! What an edit would change, canaries, and the log of what was asked.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_access::AccessRole;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::{Editor, EditorConfig, ImageId, OnBreak};
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::access::{Client, Given};
use crate::common::{Answer, delete, get, post_json, send};
use crate::model::{editor_with, picture, server_of, service_guarded};

const GREEN: [u8; 3] = [40, 150, 70];
const QUESTION: &str = "What stands in the corner?";

fn image(colour: [u8; 3]) -> Value {
    json!({"data": STANDARD.encode(picture(colour))})
}

fn edit(colour: [u8; 3], question: &str, answer: &str, statement: &str) -> Value {
    json!({
        "image": image(colour), "question": question, "answer": answer,
        "reasoning": [{"statement": statement, "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]}],
    })
}

fn question(colour: [u8; 3], question: &str) -> Value {
    // Random weights say something else to another prompt, and seldom choose otherwise.
    json!({"image": image(colour), "question": question})
}

async fn made(router: &Router, edit: &Value) -> Value {
    let made = post_json(router, "/edits?verify=false", edit).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    made.json()
}

async fn put(router: &Router, uri: &str, body: &Value) -> Answer {
    let request =
        Request::builder().method(Method::PUT).uri(uri).header(header::CONTENT_TYPE, "application/json");
    send(router, request.body(body.to_string().into()).unwrap()).await
}

/// A service on a codebook of some edits, so that its gate is one of pairs.
async fn ward(folder: &Path, change: impl FnOnce(&mut EditorConfig)) -> (Router, Editor) {
    let mut config = EditorConfig::default();
    // Everything is looked at, so that what differs is what edits say.
    config.codebook.gate.percentile = 100.0;
    change(&mut config);
    let (server, editor) = server_of(editor_with(folder, config).await, folder, ServerConfig::default());
    (server.router(), editor)
}

async fn begun(router: &Router) {
    for (colour, answer, statement) in
        [([200, 40, 40], "a star", "It has five points."), ([30, 30, 200], "a square", "It has corners.")]
    {
        made(router, &edit(colour, "Which form is it?", answer, statement)).await;
    }
}

fn revision(editor: &Editor) -> u64 {
    editor.library().get(&CodebookName::default()).unwrap().recorded()
}

fn opinion(answer: &Value) -> (Value, f64) {
    (answer["answer"].clone(), answer["probability"].as_f64().unwrap())
}

fn values(facts: &Value) -> Vec<&str> {
    facts.as_array().unwrap().iter().map(|fact| fact["value"].as_str().unwrap()).collect()
}

/// A picture about which something is said, and an edit of it that changes that: random weights flip where
/// they will.
async fn flipping(router: &Router) -> ([u8; 3], Value) {
    for colour in [[40, 150, 70], [250, 240, 10], [10, 200, 220], [120, 0, 120], [255, 255, 255], [0, 0, 0]] {
        for answer in ["a square", "a circle", "a star"] {
            let edit = edit(colour, QUESTION, answer, "It has no corner at all.");
            let body = json!({"edit": edit, "questions": [question(colour, QUESTION)]});
            let run = post_json(router, "/dry-run", &body).await;
            assert_eq!(run.code(), 200, "{}", run.text());
            let run = run.json();
            let said = |when: &str| {
                run["changes"][0][when]["answer"].as_str().is_some_and(|text| !text.trim().is_empty())
            };
            if run["flipped"] == 1 && said("before") && said("after") {
                return (colour, edit);
            }
        }
    }
    panic!("no edit changes the answer: these tests would show nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_making_the_edit_then_does() {
    let folder = tempfile::tempdir().unwrap();
    let (router, editor) = ward(folder.path(), |_| {}).await;
    begun(&router).await;
    let (events, (colour, edit)) = (revision(&editor), flipping(&router).await);
    let questions = [
        question(colour, QUESTION),
        question([200, 40, 40], "Which form is it?"),
        question([90, 90, 20], QUESTION),
    ];
    let mut before = Vec::new();
    for question in &questions {
        before.push(post_json(&router, "/query", question).await.json());
    }
    let run = post_json(&router, "/dry-run", &json!({"edit": edit, "questions": questions})).await.json();
    assert_eq!((&run["questions"], &run["revision"]), (&json!(3), &json!(events)), "{run}");
    assert_eq!(run["unchanged"].as_u64().unwrap() as usize + run["changes"].as_array().unwrap().len(), 3);

    // Nothing of it is there.
    assert_eq!(revision(&editor), events);
    assert_eq!(get(&router, "/edits").await.json()["edits"].as_array().unwrap().len(), 2);
    let id = ImageId::of(&picture(colour));
    assert_eq!(get(&router, &format!("/images/{id}")).await.code(), 404);
    for (question, before) in questions.iter().zip(&before) {
        let again = post_json(&router, "/query", question).await.json();
        assert_eq!((opinion(&again), &again["retrieval"]), (opinion(before), &before["retrieval"]));
    }

    let real = made(&router, &edit).await;
    let mut changes = run["changes"].as_array().unwrap().iter();
    let mut changed = 0;
    for (at, question) in questions.iter().enumerate() {
        let after = post_json(&router, "/query", question).await.json();
        if values(&after["retrieval"]["facts"]) == values(&before[at]["retrieval"]["facts"]) {
            continue;
        }
        changed += 1;
        let change = changes.next().unwrap();
        assert_eq!(change["index"], at);
        for (told, answer) in [("before", &before[at]), ("after", &after)] {
            let (text, probability) = opinion(answer);
            assert_eq!(values(&change[told]["facts"]), values(&answer["retrieval"]["facts"]), "{change}");
            assert_eq!(change[told]["answer"], text, "{change}");
            assert!((change[told]["probability"].as_f64().unwrap() - probability).abs() < 1e-6, "{change}");
        }
        assert_eq!(change["flips"], change["before"]["answer"] != change["after"]["answer"]);
        let tried = change["after"]["facts"].as_array().unwrap().iter().filter(|fact| fact["tried"] == true);
        let real = real["id"].as_str().unwrap();
        let ids = |fact: &Value| fact["edit_ids"].as_array().unwrap().iter().any(|id| id == real);
        let said = after["retrieval"]["facts"].as_array().unwrap().iter().filter(|fact| ids(fact));
        assert_eq!(tried.count(), said.count(), "{change}");
    }
    assert!(changed > 0 && changes.next().is_none());
    // Of the same question again another answer would supersede it, and the dry run says whose.
    let mut other = edit.clone();
    other["answer"] = json!("a door");
    let run = post_json(&router, "/edits?dry_run=true", &other).await;
    assert_eq!(run.code(), 200, "{}", run.text());
    assert_eq!(run.json()["conflicts"][0]["edit_id"], real["id"]);
    assert_eq!(revision(&editor), events + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_dry_runs_are_refused_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let (router, _editor) = ward(folder.path(), |config| config.dry_run.max_questions = 2).await;
    let whole = edit(GREEN, QUESTION, "a square", "It has corners.");
    let mut empty = whole.clone();
    empty["answer"] = json!(" ");
    let mut unknown = question(GREEN, QUESTION);
    unknown["image"] = json!({"id": "0".repeat(64)});
    for (edit, questions, status, pointer) in [
        (&empty, json!([]), 422, "/edit/answer"),
        (&whole, json!([question(GREEN, QUESTION), question(GREEN, "")]), 422, "/questions/1/question"),
        (&whole, json!(vec![question(GREEN, QUESTION); 3]), 422, "/questions"),
        (&whole, json!("all"), 422, "/questions"),
        (&whole, json!([unknown]), 404, ""),
    ] {
        let refused = post_json(&router, "/dry-run", &json!({"edit": edit, "questions": questions})).await;
        assert_eq!(refused.code(), status, "{}", refused.text());
        let expected: &[&str] = if pointer.is_empty() { &[] } else { &[pointer] };
        assert_eq!(refused.pointers(), expected, "{}", refused.text());
    }
    // Before the first edit too, of which nothing is there afterwards.
    let run =
        post_json(&router, "/dry-run", &json!({"edit": whole, "questions": [question(GREEN, QUESTION)]}))
            .await;
    assert_eq!((run.code(), &run.json()["revision"]), (200, &json!(0)), "{}", run.text());
    assert_eq!(get(&router, "/edits").await.json()["edits"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_breaks_a_canary_is_flagged_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (router, editor) = ward(folder.path(), |_| {}).await;
    begun(&router).await;
    let (colour, edit) = flipping(&router).await;
    let now = post_json(&router, "/query", &question(colour, QUESTION)).await.json();
    let canary = put(&router, "/canaries", &question(colour, QUESTION)).await;
    assert_eq!(canary.code(), 200, "{}", canary.text());
    let canary = canary.json();
    assert_eq!(canary["answer"], now["answer"]);
    // Another one, whose answer is wrong already: no edit breaks it.
    let mut wrong = question([90, 90, 20], QUESTION);
    let other = post_json(&router, "/query", &wrong).await.json();
    assert_ne!(other["answer"], "a door");
    wrong["answer"] = json!("a door");
    assert_eq!(put(&router, "/canaries", &wrong).await.code(), 200);
    let again = put(&router, "/canaries", &question(colour, QUESTION)).await.json();
    let listed = get(&router, "/canaries").await.json();
    assert_eq!(listed["canaries"].as_array().unwrap().len(), 2, "the same one stands once");
    assert_eq!(listed["canaries"][1], again);
    let run = post_json(&router, "/edits?dry_run=true", &edit).await.json();
    assert_eq!(run["broken_canaries"][0]["id"], again["id"], "{run}");
    assert_eq!(run["broken_canaries"].as_array().unwrap().len(), 1);

    let flagged = made(&router, &edit).await;
    assert_eq!(flagged["broken_canaries"][0]["id"], again["id"], "{flagged}");
    assert_eq!(flagged["broken_canaries"][0]["answer"], now["answer"]);
    assert_eq!(delete(&router, &format!("/edits/{}", flagged["id"].as_str().unwrap())).await.code(), 204);
    drop(router);
    editor.shutdown().await;
    drop(editor);

    // They outlive the process, their pictures too.
    let refuse = |config: &mut EditorConfig| config.canaries.on_break = OnBreak::Refuse;
    let (router, editor) = ward(folder.path(), refuse).await;
    let events = revision(&editor);
    let refused = post_json(&router, "/edits?verify=false", &edit).await;
    let pointer = format!("/canaries/{}", again["id"].as_str().unwrap());
    assert_eq!(refused.problem(409).pointers(), [pointer]);
    assert_eq!(revision(&editor), events, "nothing is stored");
    let harmless = self::edit([1, 2, 3], "Is it raining?", "no", "The sky is clear.");
    let body = json!({"edit": harmless, "questions": [question(colour, QUESTION)]});
    if post_json(&router, "/dry-run", &body).await.json()["flipped"] == 0 {
        made(&router, &harmless).await;
    }
    assert_eq!(delete(&router, &format!("/canaries/{}", again["id"].as_str().unwrap())).await.code(), 204);
    assert_eq!(delete(&router, &format!("/canaries/{}", again["id"].as_str().unwrap())).await.code(), 404);
    // Its picture went with it; that of the other is there, and is shown to whoever may see the codebook.
    assert_eq!(get(&router, &format!("/images/{}", ImageId::of(&picture(colour)))).await.code(), 404);
    let other = ImageId::of(&picture([90, 90, 20]));
    assert_eq!(get(&router, &format!("/images/{other}")).await.code(), 200);
    made(&router, &edit).await;
    // A picture that is erased takes its canaries along.
    assert_eq!(delete(&router, &format!("/images/{other}")).await.code(), 200);
    assert_eq!(get(&router, "/canaries").await.json()["canaries"], json!([]));
    assert_eq!(get(&router, "/canaries?codebook=ward-3").await.json()["canaries"], json!([]));
    let mut unfit = question(colour, QUESTION);
    unfit["choices"] = json!(["a square", "a circle"]);
    unfit["answer"] = json!("a door");
    assert_eq!(put(&router, "/canaries", &unfit).await.problem(422).pointers(), ["/answer"]);
}

/// The log's questions, once so many are written.
async fn logged(router: &Router, edit: &Value, wanted: usize) -> Value {
    for _ in 0..100 {
        let run = post_json(router, "/dry-run", &json!({"edit": edit, "questions": "log"})).await;
        assert_eq!(run.code(), 200, "{}", run.text());
        if run.json()["questions"] == wanted {
            return run.json();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{wanted} questions are not logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_logged_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let on = |config: &mut EditorConfig| {
        config.question_log.enabled = true;
        config.question_log.most = 3;
    };
    let (router, editor) = ward(folder.path(), on).await;
    begun(&router).await;
    let (colour, edit) = flipping(&router).await;
    let asked = [colour, [90, 90, 20], colour];
    for colour in asked {
        assert_eq!(post_json(&router, "/query", &question(colour, QUESTION)).await.code(), 200);
    }
    let mut aside = question(colour, "Who is there?");
    aside["retrieval"] = json!({"as_of": 1});
    assert_eq!(post_json(&router, "/query", &aside).await.code(), 200);
    // The same question stands once, a hypothetical one not at all.
    let run = logged(&router, &edit, 2).await;
    assert!(run["flipped"].as_u64() >= Some(1) && run["unknown"] == 0, "{run}");
    assert_eq!(post_json(&router, "/edits?dry_run=true", &edit).await.json()["questions"], 2);
    let image = ImageId::of(&picture(colour));
    assert_eq!(get(&router, &format!("/images/{image}")).await.code(), 404, "it is nobody's to look at");
    drop(router);
    editor.shutdown().await;
    drop(editor);

    let (router, editor) = ward(folder.path(), on).await;
    logged(&router, &edit, 2).await;
    for n in 0..3 {
        assert_eq!(post_json(&router, "/query", &question([n, 7, 7], QUESTION)).await.code(), 200);
    }
    logged(&router, &edit, 3).await;
    let store = |colour| editor.image(ImageId::of(&picture(colour)));
    assert!(store([2, 7, 7]).await.is_ok());
    // Erased by its picture.
    let id = ImageId::of(&picture([2, 7, 7]));
    assert_eq!(delete(&router, &format!("/images/{id}")).await.code(), 200);
    logged(&router, &edit, 2).await;
    drop(router);
    editor.shutdown().await;
    drop(editor);

    // Off again, everything of it goes.
    let (router, editor) = ward(folder.path(), |_| {}).await;
    logged(&router, &edit, 0).await;
    for colour in [colour, [90, 90, 20], [0, 7, 7], [1, 7, 7]] {
        assert!(editor.image(ImageId::of(&picture(colour))).await.is_err(), "{colour:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_for_editors() {
    let given = Given::new();
    let (writer, editor) =
        (given.token("kim", AccessRole::Contributor, &[]), given.token("lee", AccessRole::Editor, &[]));
    let service = service_guarded(&given.store).await;
    let edit = edit(GREEN, QUESTION, "a square", "It has corners.");
    for (token, questions, status) in
        [(&writer, json!([]), 200), (&writer, json!("log"), 403), (&editor, json!("log"), 200)]
    {
        let body = json!({"edit": edit, "questions": questions});
        let answer = Client(&service.router, token).post("/dry-run", body).await;
        assert_eq!(answer.code(), status, "{}", answer.text());
    }
}
