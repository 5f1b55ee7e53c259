//! What `OpenAI`'s clients are told when something is wrong.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, header};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::common::{bare, get, post, post_json, send};
use crate::fuzz::any_json;
use crate::model::service;
use crate::openai::{CHAT, MODEL, RED, chat, error, image, question, refusal, text, user};

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_done_is_refused_in_openais_form() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let assistant = |content: &str| json!({"role": "assistant", "content": content});
    let invalid = "invalid_value";
    let unsupported = "unsupported_parameter";
    let part = |part: Value| chat(&[user(vec![part, text("x")])], &json!({}));
    for (body, status, code, param) in [
        (question(&json!({"n": 2})), 400, unsupported, json!("n")),
        (question(&json!({"tools": [{"type": "function"}]})), 400, unsupported, json!("tools")),
        (question(&json!({"audio": {"voice": "x"}})), 400, unsupported, json!("audio")),
        (question(&json!({"max_tokens": 0})), 422, invalid, json!("max_tokens")),
        (question(&json!({"max_tokens": -5})), 422, invalid, json!("max_tokens")),
        (question(&json!({"temperature": "hot"})), 422, invalid, json!("temperature")),
        (question(&json!({"stop": ["a", "b".repeat(2000)]})), 422, invalid, json!("stop[1]")),
        (question(&json!({"stop": 5})), 422, invalid, json!("stop")),
        (question(&json!({"reasonedit": {"choices": ["one"]}})), 422, invalid, json!("reasonedit.choices")),
        (
            question(&json!({"reasonedit": {"retrieval": {"k": 0}}})),
            422,
            invalid,
            json!("reasonedit.retrieval.k"),
        ),
        (question(&json!({"reasonedit": {"codebook": "A"}})), 422, invalid, json!("reasonedit.codebook")),
        (question(&json!({"reasonedit": {"other": 1}})), 422, invalid, json!("reasonedit.other")),
        (
            question(&json!({"reasonedit": {"choices": ["a", "b"]}, "logprobs": true})),
            422,
            invalid,
            json!("logprobs"),
        ),
        (json!({"model": MODEL}), 422, invalid, json!("messages")),
        (json!({"messages": []}), 422, invalid, json!("model")),
        (chat(&[], &json!({})), 422, invalid, json!("messages")),
        (chat(&[user(""), user(" ")], &json!({})), 422, invalid, json!("messages[1].content")),
        (chat(&[assistant("y")], &json!({})), 422, invalid, json!("messages")),
        (
            chat(&[user("x"), json!({"role": "system", "content": "y"})], &json!({})),
            422,
            invalid,
            json!("messages[1].role"),
        ),
        (chat(&[user("x"), json!({"role": "user"})], &json!({})), 422, invalid, json!("messages[1].content")),
        (chat(&[user(5)], &json!({})), 422, invalid, json!("messages[0].content")),
        (
            chat(&[user(vec![json!({"text": "x"})])], &json!({})),
            422,
            invalid,
            json!("messages[0].content[0].type"),
        ),
        (
            chat(&[json!({"role": "robot", "content": "x"})], &json!({})),
            422,
            invalid,
            json!("messages[0].role"),
        ),
        (
            chat(&[user("x"), json!({"role": "tool", "content": "x"}), user("y")], &json!({})),
            400,
            unsupported,
            json!("messages[1].role"),
        ),
        (
            chat(
                &[json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}), user("y")],
                &json!({}),
            ),
            400,
            unsupported,
            json!("messages[0].tool_calls"),
        ),
        (
            chat(&[json!({"role": "system", "content": [image(RED)]}), user("y")], &json!({})),
            422,
            invalid,
            json!("messages[0].content[0]"),
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {}})),
            400,
            unsupported,
            json!("messages[0].content[0].type"),
        ),
        (part(json!({"type": "image_url"})), 422, invalid, json!("messages[0].content[0].image_url")),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}})),
            422,
            invalid,
            json!("messages[0].content[0].image_url.url"),
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://example.org/x.png"}})),
            422,
            invalid,
            json!("messages[0].content[0].image_url.url"),
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,R0lG"}})),
            415,
            "unsupported_media_type",
            json!("messages[0].content[0]"),
        ),
        (chat(&[user("x".repeat(200_000))], &json!({})), 400, "context_length_exceeded", json!("messages")),
        (chat(&[user("x".repeat(5_000))], &json!({})), 422, invalid, json!("messages[0].content")),
    ] {
        let shown = body.to_string().chars().take(300).collect::<String>();
        assert_eq!(refusal(router, &body).await, (status, code.to_owned(), param), "{shown}");
        let mut streamed = body.clone();
        streamed["stream"] = json!(true);
        assert_eq!(refusal(router, &streamed).await.0, status, "{shown}");
    }
    let broken = post(router, CHAT, "application/json", "{").await;
    assert_eq!(error(&broken), (400, "malformed".into(), Value::Null));
    let form = post(router, CHAT, "multipart/form-data; boundary=x", "").await;
    assert_eq!(error(&form).0, 415);
}

#[tokio::test]
async fn every_failure_under_v1_has_openais_form() {
    let (router, _slot) = bare(|config| {
        config.auth_tokens = vec!["right".to_owned()];
        config.limits.body_bytes = 100;
    });
    let with = |request: axum::http::request::Builder, body: &str| {
        let request = request.header(header::AUTHORIZATION, "Bearer right");
        request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_owned())).unwrap()
    };
    let unauthorised = get(&router, "/v1/models").await;
    assert_eq!(error(&unauthorised), (401, "invalid_api_key".into(), Value::Null));
    assert!(unauthorised.header("www-authenticate").starts_with("Bearer"));
    assert!(!unauthorised.header("x-request-id").is_empty());
    for (request, expected) in [
        (with(Request::get("/v1/models"), ""), (503, "not_ready")),
        (with(Request::get("/v1/nothing"), ""), (404, "not_found")),
        (with(Request::get(CHAT), ""), (405, "method_not_allowed")),
        (with(Request::post(CHAT), &"x".repeat(101)), (413, "too_large")),
        (with(Request::post(CHAT), r#"{"model": "m", "messages": []}"#), (503, "not_ready")),
    ] {
        let answer = send(&router, request).await;
        let (status, code, _) = error(&answer);
        assert_eq!((status, code.as_str()), expected);
        assert_eq!(!answer.header("retry-after").is_empty(), status == 503);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    // Other paths keep their own form.
    send(&router, with(Request::get("/v2/nothing"), "")).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_is_answered_in_openais_form() {
    let service = service(|_| {}).await;
    let mut runner = TestRunner::deterministic();
    let mut statuses = BTreeSet::new();
    for round in 0..200 {
        let anything = any_json().new_tree(&mut runner).unwrap().current();
        let mut body = question(
            &json!({"max_tokens": 2, "stop": "x", "temperature": 0, "reasonedit": {"explain": true}, "n": 1}),
        );
        match round % 4 {
            0 => body = anything,
            1 => {
                let name = body.as_object().and_then(|o| o.keys().nth(round % o.len()).cloned()).unwrap();
                body[&name] = anything;
            }
            2 => body["messages"][0]["content"] = anything,
            _ => body["messages"][0]["content"][round / 4 % 2] = anything,
        }
        let answer = post_json(&service.router, CHAT, &body).await;
        statuses.insert(answer.code());
        assert!(answer.code() < 500, "{body}: {}", answer.text());
        if answer.code() >= 400 {
            error(&answer);
        }
    }
    assert!(statuses.contains(&200) && statuses.contains(&422), "{statuses:?}");
}
