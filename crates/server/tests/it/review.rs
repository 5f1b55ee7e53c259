//! Edits that wait until somebody else has approved of them.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use reasonedit_access::AccessRole;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::{Editor, EditorConfig, OnBreak, ReviewConfig, ReviewMode};
use reasonedit_server::{Server, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::{Client, Given};
use crate::common::{Answer, send};
use crate::label_studio::{self, WHY, annotated, deleted};
use crate::model::{editor_with, sources};
use crate::standing::{GREEN, QUESTION, body, id, image, in_front};

const BLUE: [u8; 3] = [30, 60, 190];

/// People of a ward: Kim and Lee contribute, Ada and Bo look at what they say.
struct Ward {
    router: Router,
    editor: Editor,
    tokens: [String; 5],
    _data: TempDir,
}

fn config(mode: ReviewMode, approvals: usize) -> EditorConfig {
    let review = ReviewConfig { mode, approvals, ..ReviewConfig::default() };
    EditorConfig { review, ..EditorConfig::default() }
}

async fn served(data: &Path, given: &Given, config: EditorConfig) -> (Router, Editor) {
    let editor = editor_with(data, config).await;
    let server = Server::guarded(ServerConfig::default(), Arc::clone(&given.store));
    let (server, slot) = server.unwrap();
    slot.offer(sources());
    assert!(slot.fill(editor.clone(), &data.join("jobs")).unwrap());
    (server.router(), editor)
}

impl Ward {
    async fn new(config: EditorConfig) -> Self {
        let (given, data) = (Given::new(), tempfile::tempdir().unwrap());
        let tokens = [
            given.token("kim", AccessRole::Contributor, &[]),
            given.token("lee", AccessRole::Contributor, &[]),
            given.token("ada", AccessRole::Editor, &[]),
            given.token("bo", AccessRole::Editor, &[]),
            given.token("root", AccessRole::Admin, &[]),
        ];
        let (router, editor) = served(data.path(), &given, config).await;
        Self { router, editor, tokens, _data: data }
    }

    fn of(&self, n: usize) -> Client<'_> {
        Client(&self.router, &self.tokens[n])
    }

    fn kim(&self) -> Client<'_> {
        self.of(0)
    }

    fn lee(&self) -> Client<'_> {
        self.of(1)
    }

    fn ada(&self) -> Client<'_> {
        self.of(2)
    }

    fn bo(&self) -> Client<'_> {
        self.of(3)
    }

    fn root(&self) -> Client<'_> {
        self.of(4)
    }

    async fn proposed(&self, body: Value) -> Value {
        let answer = self.kim().post("/edits?verify=false", body).await;
        assert_eq!(answer.code(), 202, "{}", answer.text());
        let proposal = answer.json();
        assert_eq!(answer.header("location"), format!("/proposals/{}", id(&proposal)));
        assert_eq!((&proposal["status"], &proposal["state"]), (&json!("proposed"), &json!("waiting")));
        proposal
    }

    /// The keys of the codebook, if it has been begun.
    fn keys(&self) -> Option<Vec<u8>> {
        let book = self.editor.library().get(&CodebookName::default()).ok()?;
        assert!(book.verify().unwrap().ok());
        Some(book.snapshot().canonical())
    }
}

/// An edit's body by whoever asks.
fn said(colour: [u8; 3], answer: &str, statement: &str, more: &Value) -> Value {
    let mut body = body(colour, answer, statement, more);
    body.as_object_mut().unwrap().remove("author");
    body
}

async fn asked(client: Client<'_>, retrieval: &Value) -> Value {
    let mut settings = json!({"k": 10, "reject_percentile": 100});
    settings.as_object_mut().unwrap().extend(retrieval.as_object().unwrap().clone());
    let body = json!({"image": image(GREEN), "question": QUESTION, "choices": ["a square", "a circle"],
        "retrieval": settings});
    let answer = client.post("/query", body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    let mut answer = answer.json();
    answer.as_object_mut().unwrap().remove("timings_ms");
    answer
}

/// An answer but for when it was asked.
fn timeless(mut answer: Value) -> Value {
    for name in ["revision", "warnings", "generation"] {
        answer.as_object_mut().unwrap().remove(name);
    }
    // Keys have ids of their own in every codebook.
    for fact in answer["retrieval"]["facts"].as_array_mut().unwrap() {
        fact.as_object_mut().unwrap().remove("entry_id");
    }
    answer
}

async fn with_tag(client: Client<'_>, method: &str, path: &str, tag: &str, body: Option<Value>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", client.1))
        .header(header::IF_MATCH, tag);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    send(client.0, request.body(body).unwrap()).await
}

fn at(proposal: &Value, then: &str) -> String {
    format!("/proposals/{}{then}", id(proposal))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_changes_nothing_until_somebody_else_approves() {
    let ward = Ward::new(config(ReviewMode::Contributors, 1)).await;
    // An editor's own edit doesn't wait.
    let first =
        ward.ada().post("/edits?verify=false", said(BLUE, "a circle", "It is round.", &json!({}))).await;
    assert_eq!(first.code(), 201, "{}", first.text());
    let before = (ward.keys(), asked(ward.kim(), &json!({})).await);

    let proposal =
        ward.proposed(said(GREEN, "a square", "It has corners.", &json!({"tags": ["ward"]}))).await;
    assert_eq!((ward.keys(), asked(ward.kim(), &json!({})).await), before, "bit for bit");
    assert_eq!(ward.kim().get("/codebook").await.json()["edits"], 1);
    ward.kim().get(&format!("/edits/{}", id(&proposal))).await.problem(404);
    let listed = ward.lee().get("/proposals?state=waiting&author=kim").await.json();
    assert_eq!(listed["proposals"][0]["id"], proposal["id"]);
    assert_eq!(ward.lee().get("/proposals?author=lee").await.json()["proposals"], json!([]));
    let read = ward.lee().get(&at(&proposal, "")).await;
    assert_eq!(
        (&read.json()["by"], &read.json()["reasoning"][0]["evidence"][0]["x"]),
        (&json!("kim"), &json!(10.0))
    );
    let picture = format!("/images/{}", proposal["image_id"].as_str().unwrap());
    assert_eq!(ward.ada().get(&picture).await.code(), 200, "whoever decides sees it");

    // Tried, it answers as it will.
    let tried = asked(ward.ada(), &json!({"as_if": [id(&proposal)]})).await;
    assert!(in_front(&tried).contains(&"It has corners."), "{tried}");
    assert_eq!((ward.keys(), asked(ward.kim(), &json!({})).await), before, "trying changes nothing");

    ward.kim().ask("POST", &at(&proposal, "/approve"), None).await.problem(403);
    let approved = ward.ada().ask("POST", &at(&proposal, "/approve"), None).await;
    assert_eq!(approved.code(), 200, "{}", approved.text());
    let approved = approved.json();
    let (edit, now) = (&approved["edit"], &approved["proposal"]);
    assert_eq!(
        (&edit["id"], &edit["author"], &edit["tags"]),
        (&proposal["id"], &json!("kim"), &json!(["ward"]))
    );
    assert_eq!(
        (&now["state"], &now["edit"], &now["steps"][1]["by"]),
        (&json!("approved"), &proposal["id"], &json!("ada"))
    );
    let live = asked(ward.kim(), &json!({})).await;
    assert_eq!(timeless(live), timeless(tried), "as it was tried");

    // As if it had been made at once.
    let other = Ward::new(config(ReviewMode::Off, 1)).await;
    for (n, body) in [
        (2, said(BLUE, "a circle", "It is round.", &json!({}))),
        (0, said(GREEN, "a square", "It has corners.", &json!({"tags": ["ward"]}))),
    ] {
        assert_eq!(other.of(n).post("/edits?verify=false", body).await.code(), 201);
    }
    let (here, there) = (ward.keys().unwrap(), other.keys().unwrap());
    assert_eq!(here.len(), there.len());
    let names = |mut answer: Value| {
        for fact in answer["retrieval"]["facts"].as_array_mut().unwrap() {
            fact.as_object_mut().unwrap().remove("edit_ids");
        }
        timeless(answer)
    };
    assert_eq!(names(asked(ward.kim(), &json!({})).await), names(asked(other.kim(), &json!({})).await));
    // Decided is decided.
    ward.bo().ask("POST", &at(&proposal, "/approve"), None).await.problem(409);
    ward.bo().post(&at(&proposal, "/reject"), json!({"reason": "no"})).await.problem(409);
    ward.kim().ask("PATCH", &at(&proposal, ""), Some(json!({"answer": "a star"}))).await.problem(409);
    let idle = asked(ward.ada(), &json!({"as_if": [id(&proposal)]})).await;
    assert_eq!(idle["warnings"][0]["pointer"], "/retrieval/as_if");
    ward.ada()
        .post(
            "/query",
            json!({"image": image(GREEN), "question": QUESTION,
        "retrieval": {"as_if": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}}),
        )
        .await
        .problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn amended_rejected_withdrawn_each_by_whom_it_is_for() {
    let ward = Ward::new(config(ReviewMode::Contributors, 2)).await;
    let proposal = ward.proposed(said(GREEN, "a square", "It has corners.", &json!({}))).await;
    let first = ward.kim().get(&at(&proposal, "")).await.header("etag").to_owned();
    // One of two.
    let half = ward.ada().ask("POST", &at(&proposal, "/approve"), None).await;
    assert_eq!((half.code(), &half.json()["edit"]), (200, &Value::Null));
    ward.ada().ask("POST", &at(&proposal, "/approve"), None).await.problem(409);
    assert_eq!(half.json()["proposal"]["approvals"].as_array().unwrap().len(), 1);
    with_tag(ward.bo(), "POST", &at(&proposal, "/approve"), &first, None).await.problem(412);
    ward.lee().ask("PATCH", &at(&proposal, ""), Some(json!({"answer": "a star"}))).await.problem(403);
    for wrong in [
        json!({"answer": ""}),
        json!({"author": "lee"}),
        json!({"reasoning": [{"statement": "x.",
        "evidence": [{"x": 9000, "y": 0, "width": 1, "height": 1}]}]}),
    ] {
        ward.kim().ask("PATCH", &at(&proposal, ""), Some(wrong)).await.problem(422);
    }
    let amended = with_tag(
        ward.bo(),
        "PATCH",
        &at(&proposal, ""),
        half.header("etag"),
        Some(json!({"answer": "a star"})),
    )
    .await;
    assert_eq!(amended.code(), 200, "{}", amended.text());
    let amended = amended.json();
    assert_eq!(
        (&amended["version"], &amended["approvals"]),
        (&json!(2), &json!([])),
        "approved of is what was seen"
    );
    let read = ward.kim().get(&at(&proposal, "")).await.json();
    assert_eq!((&read["answer"], &read["earlier"][0]["answer"]), (&json!("a star"), &json!("a square")));
    assert_eq!(ward.ada().ask("POST", &at(&proposal, "/approve"), None).await.code(), 200);
    let whole = ward.bo().ask("POST", &at(&proposal, "/approve"), None).await.json();
    assert_eq!((&whole["edit"]["answer"], &whole["edit"]["author"]), (&json!("a star"), &json!("kim")));

    // Rejected: with a reason, and no edit.
    let second = ward.proposed(said(BLUE, "a circle", "It is round.", &json!({}))).await;
    for wrong in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(2001)})] {
        ward.ada().post(&at(&second, "/reject"), wrong).await.problem(422);
    }
    ward.kim().post(&at(&second, "/reject"), json!({"reason": "no"})).await.problem(403);
    let rejected = ward.ada().post(&at(&second, "/reject"), json!({"reason": " blurred "})).await;
    assert_eq!((rejected.code(), &rejected.json()["steps"][1]["reason"]), (200, &json!("blurred")));
    ward.kim().get(&format!("/edits/{}", id(&second))).await.problem(404);
    // Withdrawn: by whoever made it alone.
    let third = ward.proposed(said(BLUE, "a circle", "It is round.", &json!({}))).await;
    for other in [ward.lee(), ward.ada(), ward.root()] {
        other.ask("DELETE", &at(&third, ""), None).await.problem(403);
    }
    ward.ada().ask("DELETE", &at(&third, "?erase=true"), None).await.problem(403);
    let withdrawn = ward.kim().ask("DELETE", &at(&third, ""), None).await;
    assert_eq!((withdrawn.code(), &withdrawn.json()["state"]), (200, &json!("withdrawn")));
    // Erased: for good, with the picture that nothing else is about.
    let picture = format!("/images/{}", third["image_id"].as_str().unwrap());
    assert_eq!(ward.ada().get(&picture).await.code(), 200);
    for one in [&second, &third] {
        assert_eq!(ward.root().ask("DELETE", &at(one, "?erase=true"), None).await.code(), 204);
        ward.kim().get(&at(one, "")).await.problem(404);
    }
    assert_ne!(ward.ada().get(&picture).await.code(), 200);
    // What was rejected goes by its age, where a time is set; what waits does not.
    let fourth = ward.proposed(said(BLUE, "a circle", "It is round.", &json!({}))).await;
    let fifth = ward.proposed(said(BLUE, "a star", "It has rays.", &json!({}))).await;
    assert_eq!(ward.ada().post(&at(&fourth, "/reject"), json!({"reason": "no"})).await.code(), 200);
    let now = time::OffsetDateTime::now_utc();
    for (before, gone) in [(now - time::Duration::days(1), 0), (now + time::Duration::days(1), 1)] {
        assert_eq!(ward.editor.erase_reverted_before(before, |_| {}).await.unwrap(), gone);
    }
    ward.kim().get(&at(&fourth, "")).await.problem(404);
    assert_eq!(ward.ada().get(&picture).await.code(), 200, "another one is about it");
    assert_eq!(ward.kim().get(&at(&fifth, "")).await.json()["state"], "waiting");
    ward.root().ask("DELETE", &at(&proposal, "?erase=true"), None).await.problem(409);
    // With its edit everything goes that was said on the way.
    let edit = format!("/edits/{}?erase=true", id(&proposal));
    assert_eq!(ward.root().ask("DELETE", &edit, None).await.code(), 200);
    ward.kim().get(&at(&proposal, "")).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_and_what_supersedes_wait_too() {
    let ward = Ward::new(config(ReviewMode::All, 1)).await;
    // Here everybody's wait, and nobody approves of what is in their own words.
    let first =
        ward.ada().post("/edits?verify=false", said(GREEN, "a square", "It has corners.", &json!({}))).await;
    assert_eq!(first.code(), 202);
    let first = first.json();
    ward.ada().ask("POST", &at(&first, "/approve"), None).await.problem(403);
    assert_eq!(ward.bo().ask("PATCH", &at(&first, ""), Some(json!({"tags": ["seen"]}))).await.code(), 200);
    ward.bo().ask("POST", &at(&first, "/approve"), None).await.problem(403);
    assert_eq!(ward.root().ask("POST", &at(&first, "/approve"), None).await.code(), 200);
    let (keys, edit) = (ward.keys(), format!("/edits/{}", id(&first)));
    // An archive would come in past everybody.
    let import = |token: &str| {
        let request = Request::post("/codebook/import").header(header::CONTENT_TYPE, "application/x-tar");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        send(&ward.router, request.body(Body::from("no archive")).unwrap())
    };
    import(&ward.tokens[2]).await.problem(403);
    assert_ne!(import(&ward.tokens[4]).await.code(), 403);

    let change = json!({"answer": "a circle", "reasoning": "It is round.", "verify": false});
    ward.kim().ask("PATCH", &edit, Some(change.clone())).await.problem(403);
    let same = ward.ada().ask("PATCH", &edit, Some(json!({"tags": ["seen"]}))).await;
    assert_eq!(
        (same.code(), &same.json()["version"]),
        (200, &json!(1)),
        "what says nothing new waits for nobody"
    );
    let amendment = ward.ada().ask("PATCH", &edit, Some(change)).await;
    assert_eq!(amendment.code(), 202, "{}", amendment.text());
    let amendment = amendment.json();
    assert_eq!((&amendment["amends"], ward.keys()), (&first["id"], keys.clone()));
    let tried = asked(ward.kim(), &json!({"as_if": [id(&amendment)]})).await;
    assert!(
        in_front(&tried).contains(&"It is round.") && !in_front(&tried).contains(&"It has corners."),
        "{tried}"
    );
    // Named edits have to be live when it is approved.
    let naming = said(BLUE, "a star", "It has rays.", &json!({"supersedes": [id(&first)]}));
    let naming = ward.ada().post("/edits?verify=false", naming).await.json();
    let made = ward.bo().ask("POST", &at(&amendment, "/approve"), None).await;
    assert_eq!(made.code(), 200, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["edit"]["id"], &made["edit"]["version"], &made["proposal"]["edit"]),
        (&first["id"], &json!(2), &first["id"])
    );
    assert_eq!(ward.ada().ask("DELETE", &edit, None).await.code(), 204);
    ward.bo().ask("POST", &at(&naming, "/approve"), None).await.problem(422);
    let still = ward.bo().get(&at(&naming, "")).await.json();
    assert_eq!((&still["state"], &still["approvals"]), (&json!("waiting"), &json!([])), "it waits as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_asked_when_it_is_approved_and_keys_make_it_once() {
    let mut config = config(ReviewMode::Contributors, 1);
    config.canaries.on_break = OnBreak::Refuse;
    config.review.most = 2;
    let ward = Ward::new(config).await;
    // Random weights say something else to another prompt, and seldom choose otherwise.
    let question = json!({"image": image(GREEN), "question": QUESTION});
    let now = ward.kim().post("/query", question.clone()).await.json()["answer"].as_str().unwrap().to_owned();
    let canary = ward.ada().ask("PUT", "/canaries", Some(question)).await;
    assert_eq!((canary.code(), &canary.json()["answer"]), (200, &json!(now)));
    let send_once = async |body: &Value, key: &str| {
        let request = Request::post("/edits?verify=false")
            .header(header::AUTHORIZATION, format!("Bearer {}", ward.tokens[0]))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        send(&ward.router, request.body(Body::from(body.to_string())).unwrap()).await
    };
    let body = said(GREEN, "a door", "It has a handle.", &json!({}));
    let sent = send_once(&body, "one").await;
    let again = send_once(&body, "one").await;
    assert_eq!((sent.code(), again.code(), again.header("idempotent-replayed")), (202, 202, "true"));
    assert_eq!(sent.json()["id"], again.json()["id"]);
    send_once(&said(GREEN, "a gate", "It has a handle.", &json!({})), "one").await.problem(409);
    let proposal = sent.json();
    let keys = ward.keys();
    let refused = ward.ada().ask("POST", &at(&proposal, "/approve"), None).await;
    refused.problem(409);
    assert!(refused.text().contains(canary.json()["id"].as_str().unwrap()), "{}", refused.text());
    assert_eq!(
        (ward.keys(), &ward.kim().get(&at(&proposal, "")).await.json()["approvals"]),
        (keys, &json!([]))
    );
    let gone = format!("/canaries/{}", id(&canary.json()));
    assert_eq!(ward.ada().ask("DELETE", &gone, None).await.code(), 204);
    assert_eq!(ward.ada().ask("POST", &at(&proposal, "/approve"), None).await.code(), 200);
    // The same request is answered by what came of it, and makes nothing more.
    let edit = send_once(&body, "one").await;
    assert_eq!((edit.code(), &edit.json()["id"]), (201, &proposal["id"]));
    assert_eq!(ward.kim().get("/codebook").await.json()["edits"], 1);
    // There are no more than may wait.
    for n in 0..2 {
        ward.proposed(said([n, 9, 9], "a square", "It has corners.", &json!({}))).await;
    }
    let body = said([3, 9, 9], "a square", "It has corners.", &json!({}));
    ward.kim().post("/edits?verify=false", body).await.problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_outlasts_a_restart_and_what_was_made_is_not_made_twice() {
    let (given, data) = (Given::new(), tempfile::tempdir().unwrap());
    let tokens =
        [given.token("kim", AccessRole::Contributor, &[]), given.token("ada", AccessRole::Editor, &[])];
    let (router, editor) = served(data.path(), &given, config(ReviewMode::Contributors, 1)).await;
    let kim = Client(&router, &tokens[0]);
    let mut ids = Vec::new();
    for (colour, answer) in [(GREEN, "a square"), (BLUE, "a circle")] {
        let made = kim.post("/edits?verify=false", said(colour, answer, "It is so.", &json!({}))).await;
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let approved =
        Client(&router, &tokens[1]).ask("POST", &format!("/proposals/{}/approve", ids[0]), None).await;
    assert_eq!(approved.code(), 200, "{}", approved.text());
    let book = editor.library().get(&CodebookName::default()).unwrap();
    let keys = book.snapshot().canonical();
    // As a process leaves it that ends between the edit and what is written of the proposal: the head of
    // before stands.
    let journal = editor.library().journal("proposals");
    let proposal = ids[0].parse().unwrap();
    let head = String::from_utf8(journal.get(proposal, 0).unwrap().unwrap()).unwrap();
    let before = head.replace("\"state\":\"approved\"", "\"state\":\"waiting\"");
    assert_ne!(before, head);
    journal.put(proposal, 0, before.as_bytes()).unwrap();
    drop((router, book, journal));
    editor.shutdown().await;
    drop(editor);

    let (router, editor) = served(data.path(), &given, config(ReviewMode::Contributors, 1)).await;
    let ada = Client(&router, &tokens[1]);
    let states: Vec<Value> = ada.get("/proposals").await.json()["proposals"].as_array().unwrap().clone();
    assert_eq!((&states[1]["state"], &states[0]["state"]), (&json!("approved"), &json!("waiting")));
    ada.ask("POST", &format!("/proposals/{}/approve", ids[0]), None).await.problem(409);
    assert_eq!(editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical(), keys);
    let second = ada.ask("POST", &format!("/proposals/{}/approve", ids[1]), None).await;
    assert_eq!((second.code(), second.json()["edit"]["id"].as_str()), (200, Some(&*ids[1])));
}

/// What became of Label Studio's annotations, newest first, once none waits.
async fn annotations(ward: &Ward) -> Vec<Value> {
    for _ in 0..6000 {
        let found = ward.ada().get(&label_studio::at("annotations")).await.json();
        if found["waiting"] == 0 {
            return found["ended"].as_array().cloned().unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("annotations still wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_of_a_contributors_token_wait_and_say_what_became_of_them() {
    let ward = Ward::new(config(ReviewMode::Contributors, 1)).await;
    let webhook = label_studio::at("webhook");
    let send = async |event: Value| {
        let answer = ward.kim().post(&webhook, event).await;
        assert_eq!(answer.code(), 201, "{}", answer.text());
        annotations(&ward).await[0].clone()
    };
    let (made, updated) = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED");
    let picture = label_studio::data_url(GREEN);
    let first = send(annotated(made, 7, 1, &picture, WHY)).await;
    assert_eq!((&first["outcome"], &first["edit"]), (&json!("proposed"), &Value::Null), "{first}");
    assert_eq!(first["review"]["state"], "waiting");
    // Said again it is the same, said otherwise it is amended.
    let again = send(annotated(updated, 7, 2, &picture, WHY)).await;
    assert_eq!(again["proposal"], first["proposal"]);
    let other = send(annotated(updated, 7, 3, &picture, &["It has four corners."])).await;
    assert_eq!((&other["outcome"], &other["proposal"]), (&json!("proposed"), &first["proposal"]));
    let path = format!("/proposals/{}", first["proposal"].as_str().unwrap());
    let read = ward.ada().get(&path).await.json();
    assert_eq!((&read["version"], &read["author"]), (&json!(2), &json!("label-studio:1")), "{read}");
    assert!(ward.keys().unwrap_or_default().is_empty());
    let approved = ward.ada().ask("POST", &format!("{path}/approve"), None).await;
    assert_eq!(approved.code(), 200, "{}", approved.text());
    assert_eq!(annotations(&ward).await[0]["review"]["state"], "approved");
    // An update of what is live waits as a new version of it.
    let amends = send(annotated(updated, 7, 4, &picture, &["All sides are equal."])).await;
    let amendment = format!("/proposals/{}", amends["proposal"].as_str().unwrap());
    assert_eq!(ward.ada().get(&amendment).await.json()["amends"], first["proposal"], "{amends}");
    // Deleted, nothing of it waits or stands.
    let gone = send(deleted(7)).await;
    assert_eq!((&gone["outcome"], &gone["reverted"]), (&json!("reverted"), &json!([first["proposal"]])));
    assert_eq!(ward.ada().get(&amendment).await.json()["state"], "withdrawn");
    let second = send(annotated(made, 8, 5, &picture, WHY)).await;
    let rejection = json!({"reason": "blurred"});
    let path = format!("/proposals/{}/reject", second["proposal"].as_str().unwrap());
    assert_eq!(ward.ada().post(&path, rejection).await.code(), 200);
    let told = annotations(&ward).await[0].clone();
    assert_eq!(
        (&told["review"]["state"], &told["review"]["reason"]),
        (&json!("rejected"), &json!("blurred"))
    );
    let third = send(annotated(made, 10, 6, &picture, WHY)).await;
    let gone = send(deleted(10)).await;
    assert_eq!((&gone["outcome"], &gone["proposal"]), (&json!("reverted"), &third["proposal"]));
    assert_eq!(gone["review"]["state"], "withdrawn");
    // An editor's token is one of those whose edits don't wait.
    let direct = ward.ada().post(&webhook, annotated(made, 9, 6, &picture, WHY)).await;
    assert_eq!(direct.code(), 201);
    assert_eq!(annotations(&ward).await[0]["outcome"], "edited");
}
