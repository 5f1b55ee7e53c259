//! Many edits taken back in one step, seen before it is done, and undone.

use axum::Router;
use reasonedit_access::AccessRole;
use reasonedit_codebook::CodebookName;
use serde_json::{Value, json};

use crate::access::{Client, Given};
use crate::common::{Answer, delete, get, post, post_json};
use crate::jobs::{edit, followed};
use crate::model::{service, service_guarded};
use crate::standing::{GREEN, asked, body, id, keys, made};

async fn revert(router: &Router, body: Value) -> Answer {
    post_json(router, "/reverts", &body).await
}

fn by(number: usize, author: &str, tags: &[&str]) -> Value {
    let mut body = edit(number);
    body["author"] = json!(author);
    body["tags"] = json!(tags);
    body
}

async fn listed(router: &Router) -> Vec<Value> {
    let mut edits = get(router, "/edits").await.json()["edits"].as_array().unwrap().clone();
    for edit in &mut edits {
        // It depends on when it is looked at.
        edit.as_object_mut().unwrap().remove("fired");
    }
    edits
}

fn ids_of(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_said_is_seen_taken_back_and_undone_to_the_last_bit() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut of_eve = Vec::new();
    for number in 1..=6 {
        let author = if number % 2 == 0 { "Eve" } else { "Ada" };
        let tags: &[&str] = if number < 5 { &["day"] } else { &["night"] };
        let edit = made(router, &by(number, author, tags)).await;
        if number % 2 == 0 {
            of_eve.push(id(&edit).to_owned());
        }
    }
    let before = (keys(&service), listed(router).await, asked(router, GREEN).await);

    let seen = revert(router, json!({"author": "Eve", "dry_run": true})).await;
    let told = seen.json();
    assert_eq!((seen.code(), &told["id"], &told["count"]), (200, &Value::Null, &json!(3)));
    assert_eq!(ids_of(&told["edits"]), of_eve);
    assert_eq!(told["effects"], Value::Null);
    let and = revert(router, json!({"author": "Eve", "tag": "day", "dry_run": true})).await.json();
    assert_eq!(ids_of(&and["edits"]), of_eve[..2]);
    assert_eq!(
        (keys(&service), listed(router).await),
        (before.0.clone(), before.1.clone()),
        "looking changes nothing"
    );

    let done = revert(router, json!({"author": "Eve"})).await;
    let step = done.json();
    assert_eq!((done.code(), ids_of(&step["edits"])), (201, of_eve.iter().map(String::as_str).collect()));
    let location = done.header("location").to_owned();
    assert!(location.starts_with(&format!("/reverts/{}", step["id"].as_str().unwrap())));
    assert_eq!(listed(router).await.len(), 3);
    for gone in &of_eve {
        get(router, &format!("/edits/{gone}")).await.problem(404);
    }
    let kept = get(router, &location).await.json();
    assert_eq!((&kept["count"], &kept["undone"]), (&json!(3), &json!(false)));
    let page = get(router, "/reverts").await.json();
    assert_eq!((&page["reverts"][0], &page["next_cursor"]), (&kept, &Value::Null));
    // Nothing more of hers is there.
    let nothing = revert(router, json!({"author": "Eve"})).await;
    assert_eq!((nothing.code(), &nothing.json()["id"]), (200, &Value::Null));

    let undone = delete(router, &location).await;
    assert_eq!(
        (undone.code(), &undone.json()["count"], &undone.json()["erased"]),
        (200, &json!(3), &json!([]))
    );
    assert_eq!((keys(&service), listed(router).await, asked(router, GREEN).await), before);
    delete(router, &location).await.problem(409);
    assert_eq!(get(router, &location).await.json()["undone"], true);
    delete(router, "/reverts/01ARZ3NDEKTSV4RRFFQ69G5FAV").await.problem(404);
    delete(router, "/reverts/one").await.problem(404);

    for (wrong, code) in [
        (json!({}), 422),
        (json!({"dry_run": true}), 422),
        (json!({"author": "Eve", "questions": "log"}), 422),
        (json!({"from": "yesterday"}), 422),
        (json!({"edits": ["one"]}), 422),
        (json!({"everything": true}), 422),
        (json!({"edits": [of_eve[0], "01ARZ3NDEKTSV4RRFFQ69G5FAV"]}), 404),
        (json!({"job": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}), 404),
    ] {
        revert(router, wrong).await.problem(code);
    }
    assert_eq!((keys(&service), listed(router).await.len()), (before.0, 6), "and nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_would_become_is_told_and_an_older_edit_stands_again() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let older = made(router, &body(GREEN, "a square", "It has corners.", &json!({"author": "Ada"}))).await;
    made(router, &body(GREEN, "a circle", "It is round.", &json!({"author": "Eve"}))).await;
    let question = body(GREEN, "", "", &json!({}));
    let questions = json!([{"image": question["image"], "question": question["question"]}]);
    let told = revert(router, json!({"author": "Eve", "dry_run": true, "questions": questions})).await;
    assert_eq!(told.code(), 200, "{}", told.text());
    let told = told.json();
    assert_eq!(told["standing"], json!([id(&older)]));
    let change = &told["effects"]["changes"][0];
    let statements = |side: &str| -> String { change[side]["facts"].to_string() };
    assert!(
        statements("before").contains("It is round.") && !statements("before").contains("It has corners.")
    );
    assert!(statements("after").contains("It has corners.") && !statements("after").contains("It is round."));
    let done = revert(router, json!({"author": "Eve"})).await.json();
    assert_eq!(done["standing"], json!([id(&older)]));
    let stands = get(router, &format!("/edits/{}", id(&older))).await.json();
    assert_eq!(stands["superseded_by"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_or_an_import_made_goes_by_its_job() {
    let service = service(|_| {}).await;
    let router = &service.router;
    made(router, &edit(1)).await;
    let bodies: Vec<Value> = (2..=4).map(edit).collect();
    let lines = bodies.iter().fold(String::new(), |text, body| text + &body.to_string() + "\n");
    let accepted = post(router, "/edits/batch?verify=false", "application/x-ndjson", lines).await;
    let (batch, _) = followed(&service, &accepted).await;
    let archive = get(router, "/codebook/export").await.body;
    let done = revert(router, json!({"job": batch["id"]})).await;
    assert_eq!((done.code(), &done.json()["count"]), (201, &json!(3)));
    assert_eq!(listed(router).await.len(), 1);

    post_json(router, "/edits?verify=false&codebook=copy", &edit(7)).await;
    let accepted =
        post(router, "/codebook/import?background=true&codebook=copy", "application/x-tar", archive).await;
    let (import, _) = followed(&service, &accepted).await;
    assert_eq!(import["state"], "done", "{import}");
    // Of another codebook.
    revert(router, json!({"job": import["id"]})).await.problem(404);
    let done = post_json(router, "/reverts?codebook=copy", &json!({"job": import["id"]})).await;
    assert_eq!((done.code(), &done.json()["count"]), (201, &json!(4)));
    let left = get(router, "/edits?codebook=copy").await.json();
    assert_eq!(left["edits"].as_array().unwrap().len(), 1);
    let book = service.editor.library().get(&"copy".parse::<CodebookName>().unwrap()).unwrap();
    assert!(book.verify().unwrap().ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn contributors_take_back_their_own_and_editors_anybodys() {
    let given = Given::new();
    let tokens =
        [("Ada", AccessRole::Contributor), ("Eve", AccessRole::Contributor), ("Bob", AccessRole::Editor)];
    let [ada, eve, bob] = tokens.map(|(name, role)| given.token(name, role, &[]));
    let reader = given.token("Kim", AccessRole::Reader, &[]);
    let service = service_guarded(&given.store).await;
    let [ada, eve, bob, reader] = [&ada, &eve, &bob, &reader].map(|token| Client(&service.router, token));
    for (number, who) in [(1, ada), (2, eve), (3, eve)] {
        let made = who.ask("POST", "/edits?verify=false", Some(tagged(number))).await;
        assert_eq!(made.code(), 201, "{}", made.text());
    }
    let all = json!({"tag": "ward"});
    reader.ask("POST", "/reverts", Some(all.clone())).await.problem(403);
    eve.ask("POST", "/reverts", Some(all.clone())).await.problem(403);
    eve.ask("POST", "/reverts", Some(json!({"author": "Ada", "dry_run": true}))).await.problem(403);
    let log = json!({"author": "Eve", "dry_run": true, "questions": "log"});
    eve.ask("POST", "/reverts", Some(log)).await.problem(403);
    let own = eve.ask("POST", "/reverts", Some(json!({"tag": "ward", "author": "Eve"}))).await;
    assert_eq!((own.code(), &own.json()["count"]), (201, &json!(2)));
    let step = format!("/reverts/{}", own.json()["id"].as_str().unwrap());
    ada.ask("DELETE", &step, None).await.problem(403);
    assert_eq!(reader.ask("GET", &step, None).await.json()["by"], "Eve");
    assert_eq!(eve.ask("DELETE", &step, None).await.code(), 200);
    let anybodys = bob.ask("POST", "/reverts", Some(all)).await;
    assert_eq!((anybodys.code(), &anybodys.json()["count"]), (201, &json!(3)));
    let step = format!("/reverts/{}", anybodys.json()["id"].as_str().unwrap());
    eve.ask("DELETE", &step, None).await.problem(403);
    assert_eq!(bob.ask("DELETE", &step, None).await.json()["count"], 3);
}

fn tagged(number: usize) -> Value {
    let mut body = edit(number);
    body["tags"] = json!(["ward"]);
    body
}
