//! Edits that supersede others by name, that keep or refuse those that they contradict, and that say exactly
//! what others say.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::{EditorConfig, OnConflict};
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::common::{Answer, delete, get, post, post_json};
use crate::model::{Service, editor_with, picture, server_of, service};

pub(crate) const GREEN: [u8; 3] = [40, 150, 70];
const BLUE: [u8; 3] = [30, 60, 190];
pub(crate) const QUESTION: &str = "What stands in the corner?";

pub(crate) fn image(colour: [u8; 3]) -> Value {
    json!({"data": STANDARD.encode(picture(colour))})
}

/// The body of an edit, with more or other fields.
pub(crate) fn body(colour: [u8; 3], answer: &str, statement: &str, more: &Value) -> Value {
    let mut body = json!({"image": image(colour), "question": QUESTION, "answer": answer, "author": "kim",
        "reasoning": [{"statement": statement, "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn sent(router: &Router, body: &Value) -> Answer {
    post_json(router, "/edits?verify=false", body).await
}

pub(crate) async fn made(router: &Router, body: &Value) -> Value {
    let made = sent(router, body).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    made.json()
}

pub(crate) fn id(edit: &Value) -> &str {
    edit["id"].as_str().unwrap()
}

pub(crate) async fn stored(router: &Router, id: &str) -> Value {
    get(router, &format!("/edits/{id}")).await.json()
}

pub(crate) async fn reverted(router: &Router, id: &str) {
    assert_eq!(delete(router, &format!("/edits/{id}")).await.code(), 204);
}

/// All that is retrieved for the question about a picture, and the answer.
pub(crate) async fn asked(router: &Router, colour: [u8; 3]) -> Value {
    let body = json!({"image": image(colour), "question": QUESTION, "choices": ["a square", "a circle"],
        "retrieval": {"k": 10, "reject_percentile": 100}});
    let answer = post_json(router, "/query", &body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    let mut answer = answer.json();
    // The history goes on, whatever it leads back to.
    for name in ["timings_ms", "revision"] {
        answer.as_object_mut().unwrap().remove(name);
    }
    answer
}

pub(crate) fn in_front(answer: &Value) -> Vec<&str> {
    let facts = answer["retrieval"]["facts"].as_array().unwrap();
    facts.iter().map(|fact| fact["value"].as_str().unwrap()).collect()
}

pub(crate) fn keys(service: &Service) -> Vec<u8> {
    let book = service.editor.library().get(&CodebookName::default()).unwrap();
    assert!(book.verify().unwrap().ok());
    book.snapshot().canonical()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_does_not_stand_until_the_namer_goes() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let old = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    let alone = (asked(router, GREEN).await, keys(&service));
    // About another picture.
    let naming = json!({"supersedes": [id(&old)], "on_conflict": "keep_both"});
    let new = made(router, &body(BLUE, "a circle", "It is round.", &naming)).await;
    assert_eq!((&new["supersedes"], &new["on_conflict"]), (&json!([id(&old)]), &json!("keep_both")));
    assert_eq!(new["conflicts"], json!([]));
    assert_eq!(stored(router, id(&old)).await["superseded_by"]["edit_id"], new["id"]);
    let answer = asked(router, GREEN).await;
    assert!(!in_front(&answer).contains(&"It has corners."), "{answer}");
    let withheld = answer["retrieval"]["withheld"].as_array().unwrap();
    let told = withheld.iter().find(|one| one["value"] == "It has corners.").unwrap();
    assert_eq!((&told["reason"], &told["superseded_by"]), (&json!("superseded"), &json!([id(&new)])));

    // One that is named does not stand even if the one that names it does not either.
    let last =
        made(router, &body([200, 10, 10], "a star", "It has rays.", &json!({"supersedes": [id(&new)]})))
            .await;
    assert_eq!(stored(router, id(&old)).await["superseded_by"]["edit_id"], new["id"]);
    assert!(!in_front(&asked(router, GREEN).await).contains(&"It has corners."));
    reverted(router, id(&last)).await;
    reverted(router, id(&new)).await;
    assert_eq!((asked(router, GREEN).await, keys(&service)), alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_live_edits_of_the_codebook_can_be_named() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let gone = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    reverted(router, id(&gone)).await;
    let there = made(router, &body(BLUE, "a square", "It has corners.", &json!({}))).await;
    let elsewhere = post_json(
        router,
        "/edits?verify=false&codebook=ward-3",
        &body(GREEN, "a square", "It has corners.", &json!({})),
    )
    .await
    .json();
    let before = keys(&service);
    for (named, place) in [
        (json!([id(&there), id(&gone)]), "/supersedes/1"),
        (json!([id(&elsewhere)]), "/supersedes/0"),
        (json!(["01ARZ3NDEKTSV4RRFFQ69G5FAV"]), "/supersedes/0"),
        (json!([id(&there), "no id"]), "/supersedes/1"),
        (json!(vec![id(&there); 101]), "/supersedes"),
    ] {
        let refused =
            sent(router, &body(GREEN, "a circle", "It is round.", &json!({"supersedes": named}))).await;
        assert_eq!(refused.problem(422).pointers(), [place]);
    }
    assert_eq!(get(router, "/edits").await.json()["edits"].as_array().unwrap().len(), 1);
    assert_eq!(keys(&service), before);
    let sent_twice = json!({"supersedes": [id(&there), id(&there)]});
    let made = made(router, &body(GREEN, "a circle", "It is round.", &sent_twice)).await;
    assert_eq!(made["supersedes"], json!([id(&there)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_contradict_each_other_may_both_stand_or_be_refused() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let first = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    let before = keys(&service);
    let refused =
        sent(router, &body(GREEN, "a circle", "It is round.", &json!({"on_conflict": "refuse"}))).await;
    let problem = refused.problem(409).json();
    assert_eq!(problem["type"], "urn:reasonedit:problem:contradicted");
    assert_eq!(problem["edits"], json!([id(&first)]));
    assert_eq!(keys(&service), before);
    // The same answer contradicts nothing, and what is named is not in the way.
    let same = json!({"on_conflict": "refuse"});
    let same = made(router, &body(GREEN, "a square", "It is not round.", &same)).await;
    assert_eq!(same["near_duplicates"][0]["edit_id"], first["id"]);
    reverted(router, id(&same)).await;
    let naming = json!({"on_conflict": "refuse", "supersedes": [id(&first)]});
    let named = made(router, &body(GREEN, "a circle", "It is round.", &naming)).await;
    reverted(router, id(&named)).await;

    let both =
        made(router, &body(GREEN, "a circle", "It is round.", &json!({"on_conflict": "keep_both"}))).await;
    assert_eq!(both["conflicts"][0]["edit_id"], first["id"]);
    assert_eq!(stored(router, id(&first)).await["superseded_by"], Value::Null);
    let answer = asked(router, GREEN).await;
    for statement in ["It has corners.", "It is round."] {
        assert!(in_front(&answer).contains(&statement), "{answer}");
    }
    for wrong in [json!("merge"), json!(7)] {
        let refused =
            sent(router, &body(GREEN, "a star", "It has rays.", &json!({"on_conflict": wrong}))).await;
        assert!([400, 422].contains(&refused.code()), "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_contradictions_is_a_setting_of_each_codebook() {
    let data = tempfile::tempdir().unwrap();
    let mut config = EditorConfig::default();
    config.conflicts.on_conflict = OnConflict::KeepBoth;
    config.conflicts.codebooks.insert("ward-3".parse().unwrap(), OnConflict::Refuse);
    let (server, _editor) =
        server_of(editor_with(data.path(), config).await, data.path(), ServerConfig::default());
    let router = &server.router();
    for (codebook, code, kept) in [("default", 201, "keep_both"), ("ward-3", 409, "refuse")] {
        let uri = format!("/edits?verify=false&codebook={codebook}");
        let edit = |answer: &'static str| body(GREEN, answer, "It is so.", &json!({}));
        let first = post_json(router, &uri, &edit("a square")).await;
        assert_eq!((first.code(), &first.json()["on_conflict"]), (201, &json!(kept)));
        assert_eq!(post_json(router, &uri, &edit("a circle")).await.code(), code);
        let mut wanted = edit("a circle");
        wanted["on_conflict"] = json!("supersede");
        assert_eq!(post_json(router, &uri, &wanted).await.code(), 201, "a request says otherwise");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_is_one_fact_until_the_last_is_taken_back() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let other = made(router, &body(BLUE, "a star", "It has rays.", &json!({}))).await;
    let first = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    let once = (asked(router, GREEN).await, keys(&service), get(router, "/codebook").await.json());
    let mut again = body(GREEN, "a\u{A0}square", "It has  corners.", &json!({"author": "lee"}));
    again["question"] = json!(format!(" {QUESTION}\u{200B}"));
    let second = made(router, &again).await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!((&second["duplicate_of"], &second["entries"]), (&first["id"], &json!([])));
    assert_eq!(stored(router, id(&first)).await["duplicate_of"], Value::Null);
    assert!(in_front(&once.0).contains(&"It has corners."));
    assert_eq!((asked(router, GREEN).await, keys(&service)), (once.0.clone(), once.1.clone()));
    let counts = get(router, "/codebook").await.json();
    assert_eq!((&counts["keys"], &counts["threshold"]), (&once.2["keys"], &once.2["threshold"]));

    // Another box says something else of the picture.
    let mut elsewhere = again.clone();
    elsewhere["reasoning"][0]["evidence"][0]["x"] = json!(20);
    let elsewhere = made(router, &elsewhere).await;
    assert_eq!(elsewhere["duplicate_of"], Value::Null);
    let alike: Vec<&str> = elsewhere["near_duplicates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["edit_id"].as_str().unwrap())
        .collect();
    assert_eq!(alike, [id(&second), id(&first)]);
    reverted(router, id(&elsewhere)).await;

    // The first goes: the second carries what both said, as if it had always been alone.
    reverted(router, id(&first)).await;
    let carried = stored(router, id(&second)).await;
    assert_eq!(carried["duplicate_of"], Value::Null);
    assert_eq!(carried["entries"].as_array().unwrap().len(), 3, "{carried}");
    // In the words of the one that says it now.
    assert!(in_front(&asked(router, GREEN).await).contains(&"It has  corners."));
    let archive = get(router, "/codebook/export").await.body;
    let imported = post(router, "/codebook/import?codebook=alone", "application/x-tar", archive).await;
    assert_eq!(imported.code(), 200, "{}", imported.text());
    let alone = service.editor.library().get(&"alone".parse().unwrap()).unwrap();
    assert_eq!(alone.snapshot().canonical(), keys(&service));
    reverted(router, id(&second)).await;
    let left = asked(router, GREEN).await;
    assert!(in_front(&left).iter().all(|value| !value.contains("corners")), "{left}");
    assert_eq!(get(router, "/edits").await.json()["edits"][0]["id"], other["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_keep_how_edits_stand_to_each_other() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let first = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    let twin = made(router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    let naming = json!({"supersedes": [id(&first)]});
    let namer = made(router, &body(BLUE, "a circle", "It is round.", &naming)).await;
    let both: std::collections::BTreeSet<&str> = [id(&first), id(&twin)].into();
    let named: std::collections::BTreeSet<&str> =
        namer["supersedes"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(named, both, "who names one names what it says");
    let kept = json!({"on_conflict": "keep_both"});
    made(router, &body(BLUE, "a star", "It has rays.", &kept)).await;
    let archive = get(router, "/codebook/export").await.body;
    let imported = post(router, "/codebook/import?codebook=copy", "application/x-tar", archive).await;
    assert_eq!(imported.code(), 200, "{}", imported.text());
    let copy = service.editor.library().get(&"copy".parse().unwrap()).unwrap();
    assert_eq!(copy.snapshot().canonical(), keys(&service));
    for edit in get(router, "/edits").await.json()["edits"].as_array().unwrap() {
        let there = get(router, &format!("/edits/{}?codebook=copy", id(edit))).await.json();
        for field in
            ["superseded_by", "supersedes", "conflicts", "on_conflict", "duplicate_of", "near_duplicates"]
        {
            assert_eq!(there[field], edit[field], "{field}");
        }
    }
}
