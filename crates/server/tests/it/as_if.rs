//! Answers by a codebook as it was, or as it would be without some of its edits.

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

fn image(colour: [u8; 3]) -> Value {
    json!({"data": STANDARD.encode(picture(colour))})
}

async fn edit(router: &Router, colour: [u8; 3], answer: &str) -> String {
    let body = json!({
        "image": image(colour), "question": QUESTION, "answer": answer,
        "reasoning": [{"statement": format!("It is {answer}."), "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]}],
    });
    let made = post_json(router, "/edits?verify=false", &body).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn asked(router: &Router, retrieval: &Value) -> Value {
    let answer = post_json(router, "/query", &question(retrieval)).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()
}

fn question(retrieval: &Value) -> Value {
    let mut settings = json!({"k": 10, "reject_percentile": 100});
    settings.as_object_mut().unwrap().extend(retrieval.as_object().unwrap().clone());
    json!({"image": image(GREEN), "question": QUESTION, "choices": ["a square", "a circle"], "retrieval": settings})
}

/// All of an answer that doesn't say when it was made.
fn timeless(mut answer: Value) -> Value {
    let fields = answer.as_object_mut().unwrap();
    for name in ["timings_ms", "warnings", "revision"] {
        assert!(fields.remove(name).is_some(), "{name}");
    }
    answer
}

fn codes(answer: &Value) -> Vec<(&str, &str)> {
    let warnings = answer["warnings"].as_array().unwrap().iter();
    warnings.map(|one| (one["code"].as_str().unwrap(), one["pointer"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_asked_again_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    let router = server.router();
    let mut states = vec![asked(&router, &json!({})).await];
    assert_eq!(states[0]["revision"], 0);
    let mut ids = Vec::new();
    for (colour, answer) in [(GREEN, "a square"), ([200, 40, 40], "a circle"), (GREEN, "a circle")] {
        ids.push(edit(&router, colour, answer).await);
        states.push(asked(&router, &json!({})).await);
    }
    assert_eq!(delete(&router, &format!("/edits/{}", ids[1])).await.code(), 204);
    states.push(asked(&router, &json!({})).await);
    assert_ne!(states[1]["choices"], states[3]["choices"], "it would show nothing");
    let again = async |router: &Router| {
        for (revision, state) in states.iter().enumerate() {
            assert_eq!(state["revision"], revision, "{state}");
            for _ in 0..2 {
                let then = asked(router, &json!({"as_of": revision})).await;
                assert_eq!((codes(&then), &then["revision"]), (vec![], &json!(revision)));
                assert_eq!(timeless(then), timeless(state.clone()), "revision {revision}");
            }
        }
    };
    again(&router).await;
    let at = |n: usize| {
        let book = editor.library().get(&CodebookName::default()).unwrap();
        let time = book.events(0, 9).unwrap()[n].at.unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let by_time = asked(&router, &json!({"as_of": at(1)})).await;
    assert_eq!(by_time["revision"], 2);
    assert_eq!(timeless(by_time), timeless(states[2].clone()));
    assert_eq!(asked(&router, &json!({"as_of": "2001-01-01T00:00:00Z"})).await["revision"], 0);
    assert_eq!(asked(&router, &json!({"as_of": "2901-01-01T00:00:00Z"})).await["revision"], 4);
    drop((server, router));
    editor.shutdown().await;
    drop(editor);

    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    again(&server.router()).await;
    editor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_left_out_as_if_they_had_never_been_made() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let first = edit(router, GREEN, "a square").await;
    let one = asked(router, &json!({})).await;
    let second = edit(router, GREEN, "a circle").await;
    let keys = service.editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical();
    let both = asked(router, &json!({})).await;

    let without = asked(router, &json!({"without": [second]})).await;
    assert_eq!((codes(&without), &without["revision"]), (vec![], &json!(2)));
    assert_eq!(timeless(without), timeless(one.clone()), "the older answer stands again");
    let nothing = asked(router, &json!({"without": [first, second]})).await;
    assert_eq!(nothing["retrieval"]["facts"], json!([]));
    let none = json!({"without": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]});
    let none = asked(router, &none).await;
    assert_eq!(codes(&none), [("no_effect", "/retrieval/without")]);
    assert_eq!(timeless(none), timeless(both.clone()));
    let mixed = asked(router, &json!({"as_of": 1, "without": [first, second]})).await;
    assert_eq!((codes(&mixed), &mixed["revision"]), (vec![("no_effect", "/retrieval/without")], &json!(1)));
    assert_eq!(mixed["retrieval"]["facts"], json!([]));

    // As a form, as a stream and in a conversation.
    let settings = json!({"k": 10, "reject_percentile": 100, "without": [second]});
    let part = |name: &str, value: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = [
        part("image", &STANDARD.encode(picture(GREEN))),
        part("question", QUESTION),
        part("choices", "a square"),
        part("choices", "a circle"),
        part("retrieval", &settings.to_string()),
        "--b--\r\n".to_owned(),
    ];
    let formed = post(router, "/query", "multipart/form-data; boundary=b", form.concat()).await.json();
    assert_eq!(timeless(formed), timeless(one.clone()));
    let mut body = question(&json!({"without": [second]}));
    body["stream"] = json!(true);
    let stream = post_json(router, "/query", &body).await.text();
    let done = stream.split("event: done\ndata: ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(timeless(serde_json::from_str(done).unwrap()), timeless(one.clone()));
    let own = json!({"reasonedit": {"retrieval": settings}});
    let reply = post_json(router, CHAT, &chat(&[user(vec![shown(GREEN), text(QUESTION)])], &own)).await;
    let told = &reply.json()["reasonedit"];
    assert_eq!((&told["retrieval"], &told["revision"]), (&one["retrieval"], &json!(2)));

    // Nothing of it is counted or kept.
    assert_eq!(service.editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical(), keys);
    assert_eq!(timeless(asked(router, &json!({})).await), timeless(both));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_said() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let erased = edit(router, GREEN, "a square").await;
    let kept = edit(router, [200, 40, 40], "a circle").await;
    let body = |retrieval: Value| question(&retrieval);
    for (retrieval, pointer) in [
        (json!({"as_of": 3}), "/retrieval/as_of"),
        (json!({"as_of": -1}), "/retrieval/as_of"),
        (json!({"as_of": "yesterday"}), "/retrieval/as_of"),
        (json!({"as_of": true}), "/retrieval/as_of"),
        (json!({"without": ["nothing"]}), "/retrieval/without/0"),
        (json!({"without": vec![&kept; 1001]}), "/retrieval/without"),
    ] {
        let refused = post_json(router, "/query", &body(retrieval.clone())).await;
        assert!([400, 422].contains(&refused.code()), "{retrieval}: {}", refused.text());
        assert_eq!(refused.pointers(), [pointer], "{retrieval}: {}", refused.text());
    }
    let elsewhere = post_json(router, "/query?codebook=nowhere", &body(json!({"as_of": 1}))).await;
    assert_eq!(elsewhere.problem(422).pointers(), ["/retrieval/as_of"]);

    // At hand when it is erased, and gone all the same.
    assert!(asked(router, &json!({"as_of": 1})).await["retrieval"]["facts"][0].is_object());
    assert_eq!(delete(router, &format!("/edits/{erased}?erase=true")).await.code(), 200);
    let then = asked(router, &json!({"as_of": 1})).await;
    assert_eq!(codes(&then), [("erased_edits", "/retrieval/as_of")]);
    assert!(then["warnings"][0]["detail"].as_str().unwrap().contains(&erased), "{then}");
    assert_eq!(then["retrieval"]["facts"], json!([]));
    assert!(!then.to_string().contains("a square."), "{then}");

    // Keys of one re-embedding ago are kept, and asked as they were; those of two are not.
    let before = asked(router, &json!({})).await;
    let revision = before["revision"].as_u64().unwrap();
    let choice = |lambda| EmbeddingChoice {
        tap: "vision.0".to_owned(),
        pooling: reasonedit_inference::Pooling::Last,
        lambda,
    };
    let name = CodebookName::default();
    let reembed = async |lambda| {
        service.editor.reembed(&name, &choice(lambda), |_| {}, std::future::pending()).await.unwrap();
    };
    reembed(3.0).await;
    let now = asked(router, &json!({})).await;
    assert_eq!(now["revision"], revision + 1);
    assert_ne!(now["generation"], before["generation"]);
    let then = asked(router, &json!({"as_of": revision})).await;
    assert_eq!(timeless(then), timeless(before));
    reembed(5.0).await;
    let lost = post_json(router, "/query", &body(json!({"as_of": revision - 1}))).await;
    assert_eq!(lost.problem(409).pointers(), ["/retrieval/as_of"]);
    let earliest = format!("that can be asked from there on is {}", revision + 1);
    assert!(lost.text().contains(&earliest), "{revision}: {}", lost.text());
    assert_eq!(timeless(asked(router, &json!({"as_of": revision + 1})).await), timeless(now));
    assert_eq!(get(router, &format!("/edits/{kept}")).await.code(), 200);
}
