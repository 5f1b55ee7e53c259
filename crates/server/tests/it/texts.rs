//! Texts as people send them: lists, other forms of the same text, control characters; over HTTP, with a real
//! model.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Answer, get, post_json, send};
use crate::model::{picture, service};

fn edit_with(field: &str, value: Value) -> Value {
    let mut edit = json!({
        "image": {"data": STANDARD.encode(picture([200, 40, 40]))},
        "question": "What is it?", "answer": "a square", "verify": false,
    });
    edit[field] = value;
    edit
}

fn statements(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let said = body["reasoning"].as_array().unwrap();
    said.iter().map(|statement| statement["statement"].as_str().unwrap().to_owned()).collect()
}

/// Code and place of each warning.
fn warned(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let text = |warning: &Value, field: &str| warning[field].as_str().unwrap().to_owned();
    body["warnings"].as_array().unwrap().iter().map(|w| (text(w, "code"), text(w, "pointer"))).collect()
}

async fn made(router: &Router, edit: &Value) -> Answer {
    let answer = post_json(router, "/edits", edit).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_one_text_becomes_its_items() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let told = |pointer: &str| vec![("list_marks_left_out".to_owned(), pointer.to_owned())];
    let listed =
        made(router, &edit_with("reasoning", json!("1. It has four sides. 2. All are equal."))).await;
    assert_eq!(statements(&listed), ["It has four sides.", "All are equal."]);
    assert_eq!(warned(&listed), told("/reasoning"));
    // It is told again when the edit is looked at.
    let id = listed.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(warned(&get(router, &format!("/edits/{id}")).await), told("/reasoning"));

    let plain = made(router, &edit_with("reasoning", json!("Vgl. Abb. 2 vom 29. Juli. Es ist rot."))).await;
    assert_eq!(
        (statements(&plain), warned(&plain)),
        (vec!["Vgl. Abb. 2 vom 29. Juli.".to_owned(), "Es ist rot.".to_owned()], vec![])
    );
    // What comes as a list is taken as it is.
    let list = made(router, &edit_with("reasoning", json!(["1. It has four sides. All are equal."]))).await;
    assert_eq!(
        (statements(&list), warned(&list)),
        (vec!["1. It has four sides. All are equal.".to_owned()], vec![])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_are_read_or_named() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let pasted =
        made(router, &edit_with("reasoning", json!(["Four sides.\u{b}All are equal.", "It\u{92}s red."])))
            .await;
    assert_eq!(statements(&pasted), ["Four sides.\nAll are equal.", "It’s red."]);
    assert_eq!(
        warned(&pasted),
        [
            ("line_break_read".to_owned(), "/reasoning/0/statement".to_owned()),
            ("windows_1252_read".to_owned(), "/reasoning/1/statement".to_owned())
        ]
    );
    let text = made(router, &edit_with("reasoning", json!("Four sides\u{c}all equal"))).await;
    assert_eq!(statements(&text), ["Four sides", "all equal"]);
    assert_eq!(warned(&text), [("line_break_read".to_owned(), "/reasoning".to_owned())]);

    let refused = post_json(router, "/edits", &edit_with("answer", json!("a squ\u{1}are"))).await;
    assert_eq!(refused.problem(422).pointers(), ["/answer"]);
    assert!(refused.text().contains("U+0001 at character 6"), "{}", refused.text());
    let refused =
        post_json(router, "/edits", &edit_with("question", json!("\u{200b}\u{3164}\u{fe0f}"))).await;
    assert_eq!(refused.problem(422).pointers(), ["/question"]);

    let asked = json!({"image": {"data": STANDARD.encode(picture([200, 40, 40]))}, "question": "What\u{2028}is it?", "choices": ["a", "b"]});
    let answer = post_json(router, "/query", &asked).await;
    assert_eq!(
        (answer.code(), warned(&answer)),
        (200, vec![("line_break_read".to_owned(), "/question".to_owned())])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_in_several_forms_is_one() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut edit = edit_with("choices", json!(["na\u{ef}f", "5\u{a0}mm"]));
    edit["answer"] = json!("\u{feff}5 mm\u{200b}");
    edit["author"] = json!("Jose\u{301}");
    edit["tags"] = json!(["gru\u{308}n"]);
    let keyed = |body: &Value| {
        Request::post("/edits")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "forms")
            .body(Body::from(body.to_string()))
            .unwrap()
    };
    let first = send(router, keyed(&edit)).await;
    assert_eq!((first.code(), &first.json()["answer"]), (201, &json!("5\u{a0}mm")), "{}", first.text());
    edit["author"] = json!("Jos\u{e9}");
    edit["answer"] = json!("5 mm");
    edit["question"] = json!("What\u{a0}is it?");
    let again = send(router, keyed(&edit)).await;
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", first.json()));
    edit["question"] = json!("What isit?");
    send(router, keyed(&edit)).await.problem(409);

    let id = &first.json()["id"];
    for filter in ["author=Jos%C3%A9", "tag=gr%C3%BCn%E2%80%8B", "q=what%C2%A0IS"] {
        let found = get(router, &format!("/edits?{filter}")).await.json();
        assert_eq!(found["edits"][0]["id"], *id, "{filter}");
    }
    assert_eq!(get(router, "/edits?author=Jose").await.json()["edits"], json!([]));

    edit["choices"] = json!(["5 mm", "5\u{202f}mm"]);
    let twice = post_json(router, "/edits", &edit).await;
    assert_eq!(twice.problem(422).pointers(), ["/choices/1"]);
    // Joiners between letters are text.
    edit["choices"] = json!(["5 mm", "\u{645}\u{6cc}\u{200c}\u{62e}", "\u{645}\u{6cc}\u{62e}"]);
    assert_eq!(post_json(router, "/edits", &edit).await.code(), 201);
}
