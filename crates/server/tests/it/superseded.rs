//! Of corrections of the same picture and question the newest stands, the older ones come back when it is
//! reverted.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::CodebookName;
use reasonedit_editor::EmbeddingChoice;
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::common::{delete, get, post, post_json};
use crate::model::{picture, server_on, service};
use crate::openai::{CHAT, chat, image as shown, text, user};

const GREEN: [u8; 3] = [40, 150, 70];
const QUESTION: &str = "What stands in the corner?";

fn image() -> Value {
    json!({"data": STANDARD.encode(picture(GREEN))})
}

async fn edit(router: &Router, question: &str, answer: &str, statement: &str) -> Value {
    let body = json!({
        "image": image(), "question": question, "answer": answer, "author": "kim",
        "reasoning": [{"statement": statement, "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]}],
    });
    let made = post_json(router, "/edits?verify=false", &body).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    made.json()
}

fn id(edit: &Value) -> &str {
    edit["id"].as_str().unwrap()
}

async fn stored(router: &Router, edit: &Value) -> Value {
    get(router, &format!("/edits/{}", id(edit))).await.json()
}

/// As it is named by others.
fn named(edit: &Value) -> Value {
    json!({"edit_id": edit["id"], "answer": edit["answer"], "author": "kim", "created_at": edit["created_at"]})
}

async fn asked(router: &Router, codebook: &str, more: &Value) -> Value {
    let mut body = json!({"image": image(), "question": QUESTION, "choices": ["a square", "a circle"],
        "retrieval": {"k": 10}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = post_json(router, &format!("/query?codebook={codebook}"), &body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()
}

/// Values of what was put in front, and of what was withheld because it doesn't stand any more.
fn told(retrieval: &Value) -> (Vec<&str>, Vec<&str>) {
    let values = |list: &'static str, reason: Option<&str>| {
        let list = retrieval[list].as_array().into_iter().flatten();
        let of_reason = list.filter(move |one| reason.is_none_or(|reason| one["reason"] == reason));
        of_reason.map(|one| one["value"].as_str().unwrap()).collect()
    };
    (values("facts", None), values("withheld", Some("superseded")))
}

fn said(answer: &str) -> String {
    format!("The answer to '{QUESTION}' about the image is {answer}.")
}

/// Checks that the second answer stands and the first does not, by `newest`.
fn assert_newest(retrieval: &Value, newest: &str) {
    let (front, gone) = told(retrieval);
    assert!(front.contains(&&*said("a circle")) && front.contains(&"It is round."), "{retrieval}");
    assert!(!front.contains(&&*said("a square")) && !front.contains(&"It has corners."), "{retrieval}");
    assert_eq!(gone.len(), 2, "{retrieval}");
    for withheld in retrieval["withheld"].as_array().unwrap() {
        if withheld["reason"] == "superseded" {
            assert_eq!(withheld["superseded_by"], json!([newest]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_correction_stands_until_it_is_reverted() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let old = edit(router, QUESTION, "a square", "It has corners.").await;
    assert_eq!((&old["conflicts"], &old["superseded_by"]), (&json!([]), &Value::Null));
    let alone = asked(router, "default", &json!({})).await;
    assert!(told(&alone["retrieval"]).0.contains(&&*said("a square")));
    let keys = service.editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical();

    let new = edit(router, QUESTION, "a circle", "It is round.").await;
    assert_eq!((&new["conflicts"], &new["superseded_by"]), (&json!([named(&old)]), &Value::Null));
    assert_eq!(stored(router, &new).await, new);
    assert_eq!(stored(router, &old).await["superseded_by"], named(&new));
    let listed = get(router, "/edits").await.json();
    assert_eq!(listed["edits"][1]["superseded_by"], named(&new));

    for more in [
        json!({}),
        json!({"compare": true}),
        json!({"retrieval": {"k": 10, "verify": true}}),
        json!({"choices": []}),
    ] {
        assert_newest(&asked(router, "default", &more).await["retrieval"], id(&new));
    }
    let body = json!({"image": image(), "question": QUESTION, "retrieval": {"k": 10}, "stream": true});
    let stream = post_json(router, "/query", &body).await.text();
    let first = stream.split("\n\n").next().unwrap().strip_prefix("event: retrieval\ndata: ").unwrap();
    assert_newest(&serde_json::from_str(first).unwrap(), id(&new));
    let own = json!({"reasonedit": {"retrieval": {"k": 10}}});
    let body = chat(&[user(vec![shown(GREEN), text(QUESTION)])], &own);
    let reply = post_json(router, CHAT, &body).await.json();
    assert_newest(&reply["reasonedit"]["retrieval"], id(&new));

    assert_eq!(delete(router, &format!("/edits/{}", id(&new))).await.code(), 204);
    let again = stored(router, &old).await;
    assert_eq!((&again["superseded_by"], &again["conflicts"]), (&Value::Null, &json!([])));
    let back = asked(router, "default", &json!({})).await;
    for field in ["choices", "retrieval", "answer"] {
        assert_eq!(back[field], alone[field], "as if it had never been made");
    }
    assert_eq!(service.editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical(), keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_in_another_form_is_no_conflict() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let first = edit(router, QUESTION, "a square", "It has corners.").await;
    for (question, answer) in [
        (QUESTION, "a square"),
        ("What  stands in the corner? ", "a\u{A0}square"),
        ("What colour is it?", "green"),
    ] {
        let made = edit(router, question, answer, "It is green.").await;
        assert_eq!((&made["conflicts"], &made["superseded_by"]), (&json!([]), &Value::Null), "{answer}");
    }
    assert_eq!(stored(router, &first).await["superseded_by"], Value::Null);
    let other = edit(router, &format!("\u{200B}{QUESTION}"), "a circle", "It is round.").await;
    assert_eq!(other["conflicts"].as_array().unwrap().len(), 3);
    let retrieval = &asked(router, "default", &json!({})).await["retrieval"];
    let (front, gone) = told(retrieval);
    assert!(gone.contains(&&*said("a square")) && gone.contains(&"It has corners."), "{retrieval}");
    // Said by the edit about the colour too, which stands.
    assert!(front.contains(&"It is green."), "{retrieval}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_stands_after_restarts_imports_and_with_another_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    let router = server.router();
    let old = edit(&router, QUESTION, "a square", "It has corners.").await;
    let older = get(&router, "/codebook/export").await.body;
    let new = edit(&router, QUESTION, "a circle", "It is round.").await;
    let both = get(&router, "/codebook/export").await.body;
    // A codebook that has the newer one alone.
    let import = |codebook: &'static str, archive| {
        let router = router.clone();
        async move {
            let uri = format!("/codebook/import?codebook={codebook}");
            let imported = post(&router, &uri, "application/x-tar", archive).await;
            assert_eq!(imported.code(), 200, "{}", imported.text());
        }
    };
    import("aside", both).await;
    assert_eq!(delete(&router, &format!("/edits/{}?codebook=aside", id(&old))).await.code(), 204);
    let newer = get(&router, "/codebook/export?codebook=aside").await.body;
    import("copy", newer).await;
    let only = asked(&router, "copy", &json!({})).await;
    assert!(told(&only["retrieval"]).1.is_empty());
    // The older one comes later, and is older all the same.
    import("copy", older).await;
    assert_newest(&asked(&router, "copy", &json!({})).await["retrieval"], id(&new));
    drop((server, router));
    editor.shutdown().await;
    drop(editor);

    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    let router = server.router();
    assert_newest(&asked(&router, "default", &json!({})).await["retrieval"], id(&new));
    let choice = EmbeddingChoice {
        tap: "vision.0".to_owned(),
        pooling: reasonedit_inference::Pooling::Last,
        lambda: 3.0,
    };
    let name = CodebookName::default();
    editor.reembed(&name, &choice, |_| {}, std::future::pending()).await.unwrap();
    assert_newest(&asked(&router, "default", &json!({})).await["retrieval"], id(&new));
}
