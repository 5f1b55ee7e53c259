//! What is only looked at: evidence before an edit is made, keys, how often an edit was used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::common::{delete, get, post, post_json};
use crate::jobs::edit;
use crate::model::{Service, picture, server_on, service};

fn image(colour: [u8; 3]) -> Value {
    json!({"data": STANDARD.encode(picture(colour))})
}

async fn made(service: &Service, number: usize) -> Value {
    let answer =
        post(&service.router, "/edits?verify=false", "application/json", edit(number).to_string()).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_looked_for_without_an_edit() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let statements = ["The corner has a square.", "The square is red."];
    let body = json!({"image": image([200, 40, 40]), "statements": statements});
    let found = post_json(router, "/evidence", &body).await;
    assert_eq!(found.code(), 200, "{}", found.text());
    let found = found.json();
    assert_eq!((&found["image"]["width"], &found["image"]["height"]), (&json!(96), &json!(80)));
    assert_eq!(found["statements"].as_array().unwrap().len(), 2);

    // An edit of the same finds the same, and only an edit keeps the picture.
    get(router, &format!("/images/{}", found["image"]["id"].as_str().unwrap())).await.problem(404);
    let edit = json!({"image": image([200, 40, 40]), "question": "What is it?", "answer": "a square", "reasoning": statements});
    let edit = post_json(router, "/edits?verify=false", &edit).await.json();
    for (one, stored) in
        found["statements"].as_array().unwrap().iter().zip(edit["reasoning"].as_array().unwrap())
    {
        assert_eq!(
            (&one["statement"], &one["evidence"], &one["p_yes"]),
            (&stored["statement"], &stored["evidence"], &stored["p_yes"])
        );
        let candidates = one["candidates"].as_array().unwrap();
        assert!(candidates.len() > 9, "{candidates:?}");
        for candidate in candidates {
            let p = candidate["p_yes"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&p), "{candidate}");
            assert_eq!(
                candidate["log_likelihood"].is_number(),
                p > 0.5,
                "described where it is seen: {candidate}"
            );
        }
    }
    // By id now, and as a form.
    let by_id = json!({"image": {"id": edit["image"]["id"]}, "statements": statements});
    let again = post_json(router, "/evidence", &by_id).await.json();
    assert_eq!(again["statements"], found["statements"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_statements_are_named() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let with = |statements: Value| json!({"image": image([1, 2, 3]), "statements": statements});
    for (statements, pointer) in [
        (json!([]), "/statements"),
        (json!(["It is red.", " "]), "/statements/1"),
        (json!(["x".repeat(100_000)]), "/statements/0"),
        (json!(vec!["It is red."; 1000]), "/statements"),
    ] {
        let refused = post_json(router, "/evidence", &with(statements)).await;
        assert_eq!(refused.problem(422).pointers(), [pointer]);
    }
    let unknown = json!({"image": {"id": "0".repeat(64)}, "statements": ["It is red."]});
    post_json(router, "/evidence", &unknown).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_by_its_id_until_it_is_reverted() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let edit = made(&service, 1).await;
    let listed = get(router, "/codebook/entries").await.json();
    for key in listed["entries"].as_array().unwrap() {
        let path = format!("/codebook/entries/{}", key["id"].as_str().unwrap());
        assert_eq!(&get(router, &path).await.json(), key);
        get(router, &format!("{path}?codebook=another")).await.problem(404);
    }
    get(router, "/codebook/entries/nonsense").await.problem(404);
    delete(router, &format!("/edits/{}", edit["id"].as_str().unwrap())).await;
    let gone = listed["entries"][0]["id"].as_str().unwrap();
    get(router, &format!("/codebook/entries/{gone}")).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edit_was_used_for_is_counted_and_outlives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(data.path(), ServerConfig::default()).await;
    let router = server.router();
    let body =
        json!({"image": image([200, 40, 40]), "question": "What is in the corner?", "answer": "square"});
    let edit = post_json(&router, "/edits", &body).await.json();
    assert_eq!(edit["fired"], json!({"queries": 0, "last_at": null}), "asking before and after is no use");
    let path = format!("/edits/{}", edit["id"].as_str().unwrap());

    let ask = |enabled: bool| {
        json!({"image": {"id": edit["image"]["id"]}, "question": "What is in the corner?", "choices": ["circle", "square"],
            "retrieval": {"enabled": enabled}})
    };
    for enabled in [true, false, true] {
        let answer = post_json(&router, "/query", &ask(enabled)).await.json();
        assert_eq!(answer["retrieval"]["facts"].as_array().unwrap().is_empty(), !enabled);
    }
    let used = get(&router, &path).await.json();
    assert_eq!(used["fired"]["queries"], 2);
    assert!(used["fired"]["last_at"].as_str().unwrap() >= edit["created_at"].as_str().unwrap());

    drop((server, router, editor));
    let (server, _editor) = server_on(data.path(), ServerConfig::default()).await;
    let after = get(&server.router(), &path).await.json();
    assert_eq!(after, used, "the answer after the edit and the rest are kept beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn codebooks_are_listed_with_their_size() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let none = get(router, "/codebooks").await.json();
    assert_eq!(none, json!({"codebooks": [{"name": "default", "edits": 0, "keys": 0}], "next_cursor": null}));
    for (number, codebook) in ["ward-3", "skin", "ward-3"].into_iter().enumerate() {
        let uri = format!("/edits?verify=false&codebook={codebook}");
        assert_eq!(post(router, &uri, "application/json", edit(number).to_string()).await.code(), 201);
    }
    let first = get(router, "/codebooks?limit=2").await.json();
    let names = |page: &Value| -> Vec<String> {
        page["codebooks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names(&first), &first["next_cursor"]),
        (vec!["default".to_owned(), "skin".to_owned()], &json!("skin"))
    );
    let rest = get(router, "/codebooks?limit=2&cursor=skin").await.json();
    assert_eq!((names(&rest), &rest["next_cursor"]), (vec!["ward-3".to_owned()], &Value::Null));
    let stats = get(router, "/codebook?codebook=ward-3").await.json();
    assert_eq!((&rest["codebooks"][0]["edits"], &rest["codebooks"][0]["keys"]), (&json!(2), &stats["keys"]));
    // One that was only asked about has not begun.
    get(router, "/codebook?codebook=another").await;
    assert_eq!(names(&get(router, "/codebooks").await.json()).len(), 3);
    assert_eq!(get(router, "/codebooks?limit=0").await.problem(422).pointers(), ["/limit"]);
    assert_eq!(get(router, "/codebooks?cursor=No").await.problem(422).pointers(), ["/cursor"]);
}
