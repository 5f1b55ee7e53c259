//! Edits that contradict each other: told, listed and decided.

use serde_json::{Value, json};

use crate::common::{delete, get, post_json};
use crate::model::service;
use crate::standing::{GREEN, asked, body, id, image, in_front, keys, made, reverted, stored};
use crate::versions::patch;

const LEFT: &str = "The mass lies on the left.";
const RIGHT: &str = "The mass lies on the right.";

/// Another question about the same picture.
fn other(statement: &str) -> Value {
    json!({"image": image(GREEN), "question": "Where is it?", "answer": "there",
        "reasoning": [{"statement": statement, "evidence": [{"x": 1, "y": 1, "width": 30, "height": 30}]}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_one_picture_and_differs_in_a_side_is_told_listed_and_decided() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let first = made(router, &body(GREEN, "a square", LEFT, &json!({}))).await;
    assert_eq!(first["conflicts"], json!([]));
    let fine = made(router, &other("The picture is green.")).await;
    let alone = keys(&service);
    let second = made(router, &other(RIGHT)).await;
    let told = &second["conflicts"][0];
    assert_eq!(told["edit_id"], first["id"]);
    let found = &told["contradiction"];
    assert_eq!((&found["reason"], &found["resolution"]), (&json!("side"), &Value::Null));
    assert_eq!((&found["says"], &found["other_says"]), (&json!(RIGHT), &json!(LEFT)));
    // The other one is told of it too.
    let seen = &stored(router, id(&first)).await["conflicts"][0];
    assert_eq!((&seen["edit_id"], &seen["contradiction"]["says"]), (&second["id"], &json!(LEFT)));
    assert_eq!(stored(router, id(&fine)).await["conflicts"], json!([]));

    let list = |query: &'static str| async move {
        let page = get(router, &format!("/conflicts{query}")).await;
        assert_eq!(page.code(), 200, "{}", page.text());
        page.json()["conflicts"].as_array().unwrap().clone()
    };
    let pair = list("?open=true").await.remove(0);
    let address = format!("/conflicts/{}", pair["id"].as_str().unwrap());
    assert_eq!(pair["id"], found["id"]);
    assert_eq!(pair["edits"][0]["edit_id"], first["id"], "the one that was there first");
    assert_eq!(get(router, &address).await.json(), pair);
    assert!(list("?open=false").await.is_empty() && list("?codebook=ward-3").await.is_empty());

    // What can't be decided so leaves nothing behind.
    let resolve = |body: Value| {
        let address = format!("{address}/resolve");
        async move { post_json(router, &address, &body).await }
    };
    for (body, place) in [
        (json!({"decision": "keep_both"}), "/note"),
        (json!({"decision": "keep_both", "note": "n".repeat(2001)}), "/note"),
        (json!({"decision": "keep"}), "/keep"),
        (json!({"decision": "keep", "keep": fine["id"]}), "/keep"),
        (json!({"decision": "ask", "keep": first["id"]}), "/keep"),
    ] {
        assert_eq!(resolve(body).await.problem(422).pointers(), [place]);
    }
    assert_eq!(get(router, &address).await.json()["history"], json!([]));
    let nowhere = "/conflicts/01ARZ3NDEKTSV4RRFFQ69G5FAV/resolve";
    post_json(router, nowhere, &json!({"decision": "ask"})).await.problem(404);

    // Asking leaves it open, keeping both closes it, and it can be opened again.
    let asked_for = resolve(json!({"decision": "ask", "note": "Dr. Ada"})).await.json();
    assert_eq!((&asked_for["open"], &asked_for["resolution"]["note"]), (&json!(true), &json!("Dr. Ada")));
    let both = resolve(json!({"decision": "keep_both", "note": "two masses"})).await.json();
    assert_eq!((&both["open"], &both["resolution"]["decision"]), (&json!(false), &json!("keep_both")));
    assert_eq!(list("?open=false").await, [both]);
    assert!(in_front(&asked(router, GREEN).await).contains(&RIGHT));
    let again = resolve(json!({"decision": "reopen"})).await.json();
    assert_eq!((&again["open"], &again["resolution"]), (&json!(true), &Value::Null));
    assert_eq!(again["history"].as_array().unwrap().len(), 3);

    // Who is kept stands in the place of the other, until that is undone.
    let before = keys(&service);
    let kept = resolve(json!({"decision": "keep", "keep": first["id"]})).await;
    assert_eq!(kept.code(), 200, "{}", kept.text());
    let kept = kept.json();
    assert_eq!((&kept["open"], &kept["resolution"]["keep"]), (&json!(false), &first["id"]));
    assert_eq!(stored(router, id(&second)).await["superseded_by"]["edit_id"], first["id"]);
    let answer = asked(router, GREEN).await;
    assert!(in_front(&answer).contains(&LEFT) && !in_front(&answer).contains(&RIGHT), "{answer}");
    let version = stored(router, id(&first)).await["version"].as_u64().unwrap();
    assert_eq!(stored(router, id(&first)).await["author"], "kim", "whoever decides");
    assert_eq!(version, 2);
    let undone = delete(router, &format!("/edits/{}/versions/2", id(&first))).await;
    assert_eq!(undone.code(), 200, "{}", undone.text());
    assert_eq!(keys(&service), before);
    assert_eq!(list("?open=true").await.len(), 1, "both stand again");

    // Of an edit that says something else by now, or is gone, it is none any more.
    let same = json!({"reasoning": [{"statement": LEFT, "evidence": []}]});
    assert_eq!(patch(router, id(&second), &same, &[]).await.code(), 200);
    assert!(list("").await.is_empty());
    get(router, &address).await.problem(404);
    assert_eq!(delete(router, &format!("/edits/{}/versions/2", id(&second))).await.code(), 200);
    assert_eq!(list("?open=true").await.len(), 1, "it says that again");
    reverted(router, id(&second)).await;
    assert!(list("").await.is_empty());
    assert_eq!(keys(&service), alone);
}
