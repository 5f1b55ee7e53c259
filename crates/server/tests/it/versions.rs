//! Versions of edits: made, seen, undone, taken back and erased together.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use reasonedit_access::AccessRole;
use reasonedit_codebook::CodebookName;
use serde_json::{Value, json};

use crate::access::{Client, Given};
use crate::common::{Answer, delete, get, post, post_json, send};
use crate::model::{server_on, service, service_guarded};
use crate::standing::{GREEN, asked, body, id, in_front, keys, made, stored};

pub(crate) async fn patch(router: &Router, id: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(Method::PATCH).uri(format!("/edits/{id}"));
    request = request.header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn amended(router: &Router, id: &str, body: &Value) -> Value {
    let amended = patch(router, id, body, &[]).await;
    assert_eq!(amended.code(), 200, "{}", amended.text());
    amended.json()
}

async fn undone(router: &Router, id: &str, version: u32) -> Answer {
    delete(router, &format!("/edits/{id}/versions/{version}")).await
}

/// What of an edit doesn't depend on when it is looked at.
fn settled(edit: &Value) -> Value {
    let mut edit = edit.clone();
    edit.as_object_mut().unwrap().remove("fired");
    edit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_takes_the_place_of_the_one_before_and_gives_it_back() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let edit = made(router, &body(GREEN, "a square", "It has corners.", &json!({"tags": ["first"]}))).await;
    assert_eq!((&edit["version"], edit["versions"].as_array().unwrap().len()), (&json!(1), 1));
    let first = (settled(&stored(router, id(&edit)).await), keys(&service), asked(router, GREEN).await);

    let tagged = amended(router, id(&edit), &json!({"tags": ["second"], "verify": false})).await;
    assert_eq!((&tagged["id"], &tagged["version"]), (&edit["id"], &json!(2)));
    assert_eq!((&tagged["answer"], &tagged["reasoning"]), (&edit["answer"], &edit["reasoning"]));
    assert_eq!(tagged["created_at"], edit["created_at"]);
    assert_eq!(tagged["versions"][1]["changed"], json!(["tags"]));
    assert_eq!(keys(&service), first.1, "nothing new is said");
    let second = (settled(&stored(router, id(&edit)).await), asked(router, GREEN).await);
    assert_eq!(in_front(&second.1), in_front(&first.2));

    let statements =
        json!([{"statement": "It is round.", "evidence": [{"x": 1, "y": 2, "width": 30, "height": 30}]}]);
    let change = json!({"answer": "a circle", "reasoning": statements, "author": "lee", "verify": false});
    let third = amended(router, id(&edit), &change).await;
    assert_eq!((&third["version"], &third["author"]), (&json!(3), &json!("lee")));
    assert_eq!(third["versions"][2]["changed"], json!(["answer", "reasoning", "evidence"]));
    assert_eq!((&third["conflicts"], &third["near_duplicates"]), (&json!([]), &json!([])), "none of its own");
    assert_eq!((&third["question"], &third["image"]), (&edit["question"], &edit["image"]));
    assert_eq!(settled(&stored(router, id(&edit)).await), settled(&third));
    let answer = asked(router, GREEN).await;
    assert!(
        in_front(&answer).contains(&"It is round.") && !in_front(&answer).contains(&"It has corners."),
        "{answer}"
    );
    for fact in answer["retrieval"]["facts"].as_array().unwrap() {
        assert_eq!(fact["edit_ids"], json!([id(&edit)]), "as people know it");
    }
    for withheld in answer["retrieval"]["withheld"].as_array().unwrap() {
        assert_eq!(
            (&withheld["edit_ids"], &withheld["superseded_by"]),
            (&json!([id(&edit)]), &json!([id(&edit)]))
        );
    }
    let listed = get(router, "/edits").await.json();
    assert_eq!(listed["edits"].as_array().unwrap().len(), 1);
    assert_eq!((&listed["edits"][0]["id"], &listed["edits"][0]["version"]), (&edit["id"], &json!(3)));
    assert_eq!(get(router, "/edits?tag=first").await.json()["edits"], json!([]));
    assert_eq!(get(router, "/codebook").await.json()["edits"], 1);

    for (version, code) in [(2, 409), (1, 409), (4, 409)] {
        undone(router, id(&edit), version).await.problem(code);
    }
    undone(router, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 2).await.problem(404);
    delete(router, &format!("/edits/{}/versions/two", id(&edit))).await.problem(404);
    let back = undone(router, id(&edit), 3).await;
    assert_eq!((back.code(), settled(&back.json())), (200, second.0));
    assert_eq!(asked(router, GREEN).await, second.1);
    assert_eq!(undone(router, id(&edit), 2).await.code(), 200);
    assert_eq!((settled(&stored(router, id(&edit)).await), keys(&service)), (first.0, first.1));
    assert_eq!(in_front(&asked(router, GREEN).await), in_front(&first.2));
    undone(router, id(&edit), 1).await.problem(409);
    // What says nothing new, and what can't be said.
    let same = json!({"answer": " a\u{A0}square", "tags": ["first"], "reasoning": edit_reasoning(&edit)});
    assert_eq!(amended(router, id(&edit), &same).await["version"], 1);
    for (wrong, code) in [
        (json!({"question": "What else?"}), 422),
        (json!({"answer": ""}), 422),
        (
            json!({"reasoning": [{"statement": "It is so.", "evidence": [{"x": 9000, "y": 0, "width": 1, "height": 1}]}]}),
            422,
        ),
        (json!([]), 422),
    ] {
        let refused = patch(router, id(&edit), &wrong, &[]).await;
        assert!([400, code].contains(&refused.code()), "{}", refused.text());
    }
    patch(router, "01ARZ3NDEKTSV4RRFFQ69G5FAV", &json!({"answer": "x"}), &[]).await.problem(404);
}

/// The reasoning as it was sent.
fn edit_reasoning(edit: &Value) -> Value {
    let statement = |said: &Value| {
        let boxes: Vec<Value> = said["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .map(|area| json!({"x": area["x"], "y": area["y"], "width": area["width"], "height": area["height"]}))
            .collect();
        json!({"statement": said["statement"], "evidence": boxes})
    };
    edit["reasoning"].as_array().unwrap().iter().map(statement).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slower_is_told_so() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let created =
        post_json(router, "/edits?verify=false", &body(GREEN, "a square", "It has corners.", &json!({})))
            .await;
    let edit = created.json();
    let tag = get(router, &format!("/edits/{}", id(&edit))).await.header("etag").to_owned();
    assert_eq!(created.header("etag"), tag);
    let change = |answer: &str| json!({"answer": answer, "verify": false});
    let faster = patch(router, id(&edit), &change("a circle"), &[("if-match", &tag)]).await;
    assert_eq!(faster.code(), 200, "{}", faster.text());
    let newer = faster.header("etag").to_owned();
    assert_ne!(newer, tag);
    for stale in [tag.as_str(), "\"nothing\"", &format!("W/{newer}")] {
        let slower = patch(router, id(&edit), &change("a star"), &[("if-match", stale)]).await;
        assert_eq!(slower.problem(412).json()["type"], "urn:reasonedit:problem:other-version");
        let request = Request::delete(format!("/edits/{}", id(&edit))).header(header::IF_MATCH, stale);
        send(router, request.body(Body::empty()).unwrap()).await.problem(412);
        let request =
            Request::delete(format!("/edits/{}/versions/2", id(&edit))).header(header::IF_MATCH, stale);
        send(router, request.body(Body::empty()).unwrap()).await.problem(412);
    }
    assert_eq!(stored(router, id(&edit)).await["answer"], "a circle");
    let several = format!("\"nothing\", {newer}");
    assert_eq!(patch(router, id(&edit), &change("a star"), &[("if-match", &several)]).await.code(), 200);
    assert_eq!(patch(router, id(&edit), &change("a sun"), &[("if-match", "*")]).await.code(), 200);
    // The same request again, by its key, whatever version there is by now.
    let keyed = [("idempotency-key", "case 7"), ("if-match", "*")];
    let once = patch(router, id(&edit), &change("a moon"), &keyed).await;
    let again = patch(router, id(&edit), &change("a moon"), &keyed).await;
    assert_eq!((once.code(), again.header("idempotent-replayed")), (200, "true"));
    assert_eq!((&again.json()["version"], again.header("etag")), (&json!(5), once.header("etag")));
    patch(router, id(&edit), &change("a comet"), &keyed).await.problem(409);
    assert_eq!(undone(router, id(&edit), 5).await.code(), 200);
    patch(router, id(&edit), &change("a moon"), &keyed).await.problem(409);
    let newest = get(router, &format!("/edits/{}", id(&edit))).await.header("etag").to_owned();
    let request = Request::delete(format!("/edits/{}", id(&edit))).header(header::IF_MATCH, &newest);
    assert_eq!(send(router, request.body(Body::empty()).unwrap()).await.code(), 204);
    assert_eq!(get(router, "/edits").await.json()["edits"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_go_together_and_archives_have_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(folder.path(), reasonedit_server::ServerConfig::default()).await;
    let router = server.router();
    let book = |name: &str| editor.library().get(&name.parse().unwrap()).unwrap();
    let other = made(&router, &body(GREEN, "a star", "It has rays.", &json!({}))).await;
    let before = book("default").snapshot().canonical();
    let edit = made(&router, &body(GREEN, "a square", "It has corners.", &json!({}))).await;
    for answer in ["a circle", "a moon"] {
        amended(&router, id(&edit), &json!({"answer": answer, "verify": false})).await;
    }
    assert_eq!(stored(&router, id(&other)).await["superseded_by"]["edit_id"], edit["id"]);
    let archive = get(&router, "/codebook/export").await.body;
    let imported =
        post(&router, "/codebook/import?codebook=copy", "application/x-tar", archive.clone()).await;
    assert_eq!(imported.code(), 200, "{}", imported.text());
    assert_eq!(book("copy").snapshot().canonical(), book("default").snapshot().canonical());
    let copied = get(&router, &format!("/edits/{}?codebook=copy", id(&edit))).await.json();
    let here = stored(&router, id(&edit)).await;
    for field in ["version", "versions", "answer", "created_at", "conflicts"] {
        assert_eq!(copied[field], here[field], "{field}");
    }
    // One transaction takes back all of them.
    let events = book("default").recorded();
    assert_eq!(delete(&router, &format!("/edits/{}", id(&edit))).await.code(), 204);
    assert_eq!(book("default").snapshot().canonical(), before);
    assert_eq!(book("default").recorded(), events + 3);
    delete(&router, &format!("/edits/{}", id(&edit))).await.problem(404);
    let erased = delete(&router, &format!("/edits/{}?codebook=copy&erase=true", id(&edit))).await;
    assert_eq!((erased.code(), erased.json()["edits"].as_array().unwrap().len()), (200, 1));
    get(&router, &format!("/edits/{}?codebook=copy", id(&edit))).await.problem(410);
    assert_eq!(book("copy").snapshot().edit_count(), 1);
    // No version comes back by the archive of before.
    let again = post(&router, "/codebook/import?codebook=copy", "application/x-tar", archive).await;
    assert_eq!((again.code(), &again.json()["edits"]), (200, &json!(0)), "{}", again.text());
    // Erased after it was taken back: every version of it.
    let erased = delete(&router, &format!("/edits/{}?erase=true", id(&edit))).await;
    assert_eq!(erased.code(), 200, "{}", erased.text());
    let left = book("default").history().unwrap();
    let count = |text: &str| left.iter().filter(|event| format!("{event:?}").starts_with(text)).count();
    assert_eq!((count("Erased"), count("Edited")), (3, 4));
    assert!(book(CodebookName::default().as_str()).verify().unwrap().ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn contributors_amend_their_own_edits_and_editors_anybodys() {
    let given = Given::new();
    let token = |name: &str, role| given.token(name, role, &[]);
    let (ada, bob, eve) = (
        token("ada", AccessRole::Contributor),
        token("bob", AccessRole::Contributor),
        token("eve", AccessRole::Editor),
    );
    let service = service_guarded(&given.store).await;
    let [ada, bob, eve] = [&ada, &bob, &eve].map(|token| Client(&service.router, token));
    let mut said = body(GREEN, "a square", "It has corners.", &json!({}));
    said.as_object_mut().unwrap().remove("author");
    let edit = ada.post("/edits?verify=false", said).await.json();
    let uri = format!("/edits/{}", id(&edit));
    let change = |answer: &str| Some(json!({"answer": answer, "verify": false}));
    bob.ask("PATCH", &uri, change("a circle")).await.problem(403);
    let by_eve = eve.ask("PATCH", &uri, change("a circle")).await.json();
    assert_eq!((&by_eve["author"], &by_eve["versions"][0]["author"]), (&json!("eve"), &json!("ada")));
    bob.ask("DELETE", &format!("{uri}/versions/2"), None).await.problem(403);
    // It stays the edit of who made it.
    assert_eq!(ada.ask("PATCH", &uri, change("a moon")).await.code(), 200);
    assert_eq!(ada.ask("DELETE", &format!("{uri}/versions/3"), None).await.code(), 200);
    ada.ask("PATCH", &uri, Some(json!({"answer": "a moon", "author": "eve"}))).await.problem(403);
    assert_eq!(ada.ask("DELETE", &uri, None).await.code(), 204);
}
