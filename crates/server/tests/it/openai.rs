//! What `OpenAI`'s clients see.

use std::collections::BTreeSet;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reasonedit_codebook::{CodebookName, CodebookStore as _, EditId, EventOrigin, MemberId};
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::common::{Answer, get, post_json};
use crate::editing::shape;
use crate::model::{Service, picture, server_on, service, stores};

pub(crate) const CHAT: &str = "/v1/chat/completions";
/// What the tiny checkpoint is called.
pub(crate) const MODEL: &str = "qwen3_vl-1";
pub(crate) const RED: [u8; 3] = [200, 40, 40];
const BLUE: [u8; 3] = [40, 60, 200];
pub(crate) const QUESTION: &str = "What is in the corner?";

pub(crate) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

pub(crate) fn image(colour: [u8; 3]) -> Value {
    let url = format!("data:image/png;base64,{}", STANDARD.encode(picture(colour)));
    json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
}

pub(crate) fn user(content: impl Into<Value>) -> Value {
    json!({"role": "user", "content": content.into()})
}

/// A request with more fields.
pub(crate) fn chat(messages: &[Value], more: &Value) -> Value {
    let mut body = json!({"model": MODEL, "messages": messages, "max_tokens": 12});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) fn question(more: &Value) -> Value {
    chat(&[user(vec![text(QUESTION), image(RED)])], more)
}

pub(crate) async fn told(router: &Router, body: &Value) -> Value {
    let answer = post_json(router, CHAT, body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

pub(crate) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// Status, code and place of a failure in `OpenAI`'s form.
pub(crate) fn error(answer: &Answer) -> (u16, String, Value) {
    assert_eq!(answer.header("content-type"), "application/json", "{}", answer.text());
    let body = answer.json();
    let error = &body["error"];
    for field in ["message", "type", "code"] {
        assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {body}");
    }
    (answer.code(), error["code"].as_str().unwrap().to_owned(), error["param"].clone())
}

pub(crate) async fn refusal(router: &Router, body: &Value) -> (u16, String, Value) {
    error(&post_json(router, CHAT, body).await)
}

/// Data of a stream's events, comments left out.
fn events(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let text = answer.text();
    let data = text.split("\n\n").filter(|event| !event.is_empty());
    data.map(|event| event.strip_prefix("data: ").expect(event).to_owned()).collect()
}

/// Chunks of a stream that ends well.
pub(crate) async fn chunks(router: &Router, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = json!(true);
    let answer = post_json(router, CHAT, &body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    let mut events = events(&answer);
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

pub(crate) async fn edit(service: &Service, codebook: &str) -> String {
    let body = json!({
        "image": {"data": STANDARD.encode(picture(RED))}, "question": QUESTION, "answer": "square",
        "reasoning": [{"statement": "The corner has a square.", "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]}],
    });
    let uri = format!("/edits?codebook={codebook}");
    let answer = post_json(&service.router, &uri, &body).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_and_a_stream_have_openais_shape() {
    let service = service(|_| {}).await;
    let id = edit(&service, "default").await;
    let own = json!({"compare": true, "explain": true});
    let body = question(&json!({"reasonedit": own}));
    let answer = told(&service.router, &body).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], MODEL);
    let facts = answer["reasonedit"]["retrieval"]["facts"].as_array().unwrap();
    assert!(facts.iter().any(|fact| fact["edit_ids"][0] == json!(id)), "{answer}");
    assert_eq!(answer["reasonedit"]["image"], "/messages/0/content/1");
    let usage = &answer["usage"];
    let count = |field: &str| usage[field].as_u64().unwrap();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    insta::assert_snapshot!("completion", shape(&answer));

    let body = question(&json!({"reasonedit": own, "stream_options": {"include_usage": true}}));
    let chunks = chunks(&service.router, &body).await;
    let (first, last) = (chunks.first().unwrap(), chunks.last().unwrap());
    assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(first["reasonedit"]["retrieval"], answer["reasonedit"]["retrieval"]);
    let said: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, content(&answer), "a stream brings the same");
    assert_eq!(last["usage"], answer["usage"]);
    assert_eq!(last["choices"], json!([]));
    let end = &chunks[chunks.len() - 2];
    assert_eq!(end["choices"][0]["finish_reason"], answer["choices"][0]["finish_reason"]);
    assert_eq!(end["reasonedit"]["unedited"], answer["reasonedit"]["unedited"]);
    let ids: BTreeSet<&str> = chunks.iter().map(|chunk| chunk["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    let shapes: Vec<String> = [first, &chunks[1], end, last].into_iter().map(shape).collect();
    insta::assert_snapshot!("chunks", shapes.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_turn_is_a_query() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let asked =
        json!({"image": {"data": STANDARD.encode(picture(RED))}, "question": QUESTION, "max_tokens": 12});
    let query = post_json(&service.router, "/query", &asked).await.json();
    let answer = told(&service.router, &question(&json!({}))).await;
    assert_eq!(content(&answer).trim(), query["answer"].as_str().unwrap());
    assert_eq!(answer["reasonedit"]["retrieval"], query["retrieval"]);
    assert_eq!(answer["usage"]["prompt_tokens"], query["usage"]["prompt_tokens"]);

    let choices = json!(["circle", "square", "star"]);
    let mut asked = asked.clone();
    asked["choices"] = choices.clone();
    let query = post_json(&service.router, "/query", &asked).await.json();
    let body = question(&json!({"reasonedit": {"choices": choices, "compare": true}, "temperature": 1}));
    let answer = told(&service.router, &body).await;
    assert_eq!(content(&answer), query["answer"].as_str().unwrap());
    assert_eq!(answer["reasonedit"]["choices"], query["choices"]);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let streamed = chunks(&service.router, &body).await;
    assert_eq!(streamed[1]["choices"][0]["delta"]["content"], query["answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_before_reach_the_model_and_facts_stand_in_the_last_one() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let messages = [
        json!({"role": "developer", "content": "Answer briefly. <|im_end|>"}),
        json!({"role": "system", "content": [text("In English.")]}),
        user(vec![image(RED), text("Hello there.")]),
        json!({"role": "assistant", "content": "Hello to you."}),
        user(QUESTION),
    ];
    let explain = json!({"reasonedit": {"explain": true}});
    let answer = told(&service.router, &chat(&messages, &explain)).await;
    let provenance = &answer["reasonedit"];
    assert_eq!(provenance["image"], "/messages/2/content/0", "the picture of an earlier turn");
    let fact = provenance["retrieval"]["facts"][0]["value"].as_str().unwrap();
    let prompt = provenance["prompt"].as_str().unwrap();
    let mut at = 0;
    for part in [
        "Answer briefly. <|im_end|>\n\nIn English.",
        "<|image_pad|>",
        "Hello there.",
        "Hello to you.",
        fact,
        QUESTION,
        "assistant",
    ] {
        at += prompt[at..].find(part).unwrap_or_else(|| panic!("{part} comes too late in {prompt}"))
            + part.len();
    }
    assert_eq!(prompt.matches(fact).count(), 1);
    // What was said before changes what the model makes of the question.
    let probability = |answer: &Value| answer["reasonedit"]["probability"].as_f64().unwrap();
    for (at, other) in [(0, json!("Another instruction.")), (3, json!("Something else."))] {
        let mut changed = messages.clone();
        changed[at]["content"] = other;
        let changed = told(&service.router, &chat(&changed, &explain)).await;
        assert_ne!(probability(&changed).to_bits(), probability(&answer).to_bits(), "message {at}");
    }
    let again = told(&service.router, &chat(&messages, &explain)).await;
    assert_eq!(content(&again), content(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_pictures_and_none() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let router = &service.router;
    let explain = json!({"reasonedit": {"explain": true}});
    let two = chat(
        &[user(vec![text("First:"), image(BLUE), text("second:"), image(RED), text(QUESTION)])],
        &explain,
    );
    let answer = told(router, &two).await;
    assert_eq!(answer["reasonedit"]["image"], "/messages/0/content/3");
    assert_eq!(answer["reasonedit"]["prompt"].as_str().unwrap().matches("<|image_pad|>").count(), 2);
    let swapped = chat(
        &[user(vec![text("First:"), image(RED), text("second:"), image(BLUE), text(QUESTION)])],
        &explain,
    );
    let other = told(router, &swapped).await;
    let tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    let one = told(router, &question(&json!({"reasonedit": {"retrieval": {"enabled": false}}}))).await;
    assert!(tokens(&other) > tokens(&one));
    assert_eq!(one["reasonedit"]["skipped"], "retrieval_off");
    let many = chat(
        &[user(std::iter::repeat_n(image(RED), 9).chain([text(QUESTION)]).collect::<Vec<_>>())],
        &json!({}),
    );
    assert_eq!(refusal(router, &many).await, (422, "invalid_value".into(), json!("messages")));

    let without = told(router, &chat(&[user(QUESTION)], &explain)).await;
    let provenance = &without["reasonedit"];
    assert_eq!(provenance["skipped"], "no_image");
    assert_eq!(provenance["retrieval"]["facts"], json!([]));
    assert!(provenance.get("image").is_none());
    assert!(!provenance["prompt"].as_str().unwrap().contains("<|image_pad|>"));
    let chosen = json!({"reasonedit": {"choices": ["circle", "square"]}});
    let chosen = told(router, &chat(&[user(QUESTION)], &chosen)).await;
    assert_eq!(chosen["reasonedit"]["choices"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_in_every_habit() {
    let service = service(|_| {}).await;
    let bytes = picture(RED);
    let mut said = BTreeSet::new();
    for url in [
        format!("data:image/png;base64,{}", STANDARD.encode(&bytes)),
        format!("data:image/png;base64,{}", STANDARD_NO_PAD.encode(&bytes)),
        format!("data:image/jpeg;base64,{}", URL_SAFE_NO_PAD.encode(&bytes)),
        STANDARD.encode(&bytes),
    ] {
        for part in [
            json!({"type": "image_url", "image_url": {"url": url}}),
            json!({"type": "image_url", "image_url": url}),
        ] {
            let body = chat(&[user(vec![part, text(QUESTION)])], &json!({}));
            said.insert(content(&told(&service.router, &body).await).to_owned());
        }
    }
    assert_eq!(said.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_text_ends_the_answer_in_front_of_itself() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let long = json!({"max_tokens": 24});
    let whole = told(router, &question(&long)).await;
    let said = content(&whole).to_owned();
    let characters: Vec<char> = said.chars().collect();
    assert!(characters.len() > 6, "{said}");
    // Borders of tokens lie anywhere: every stretch of three characters is a stop text once.
    for at in 1..characters.len() - 3 {
        let stop: String = characters[at..at + 3].iter().collect();
        let expected = said.split(&stop).next().unwrap();
        let mut body = question(&long);
        body["stop"] = if at % 2 == 0 { json!(stop) } else { json!(["\u{1F600}", stop]) };
        let cut = told(router, &body).await;
        assert_eq!(content(&cut), expected, "{stop:?}");
        assert_eq!(cut["choices"][0]["finish_reason"], "stop");
        assert!(cut["usage"]["completion_tokens"].as_u64() <= whole["usage"]["completion_tokens"].as_u64());
        assert_eq!(cut["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"]);
        if at % 4 == 0 {
            let chunks = chunks(router, &body).await;
            let streamed: String =
                chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(streamed, expected);
        }
    }
    let mut never = question(&long);
    never["stop"] = json!(["\u{1F600}\u{1F600}"]);
    assert_eq!(content(&told(router, &never).await), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_told_with_what_else_was_probable() {
    let service = service(|_| {}).await;
    let body = question(&json!({"logprobs": true, "top_logprobs": 3}));
    let answer = told(&service.router, &body).await;
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(json!(tokens.len()), answer["usage"]["completion_tokens"]);
    for token in tokens {
        assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 3);
        assert_eq!(token["top_logprobs"][0]["token"], token["token"], "greedy");
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
    }
    let streamed: Vec<Value> = chunks(&service.router, &body)
        .await
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(&streamed, tokens);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_repeats_what_a_temperature_draws() {
    let service = service(|_| {}).await;
    let draw = |seed: i64| question(&json!({"temperature": 1.5, "top_p": 0.99, "seed": seed}));
    let mut said = BTreeSet::new();
    for seed in [1, 1, 2, 3] {
        said.insert(content(&told(&service.router, &draw(seed)).await).to_owned());
    }
    assert_eq!(said.len(), 3, "{said:?}");
    let cold = told(&service.router, &question(&json!({"temperature": 1e-30}))).await;
    let greedy = told(&service.router, &question(&json!({"max_tokens": 1_000_000, "stop": []}))).await;
    assert!(content(&greedy).starts_with(content(&cold)), "more tokens than allowed are as many as allowed");
    assert!(greedy["usage"]["completion_tokens"].as_u64().unwrap() <= 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_codebooks() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let ids = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    let list = get(router, "/v1/models").await.json();
    assert_eq!(ids(&list), [MODEL]);
    edit(&service, "a-ward").await;
    let list = get(router, "/v1/models").await.json();
    let ward = format!("{MODEL}@a-ward");
    assert_eq!(ids(&list), [MODEL.to_owned(), ward.clone()], "the default codebook's first");
    let one = get(router, &format!("/v1/models/{ward}")).await.json();
    assert_eq!(one, list["data"][1]);
    assert_eq!(
        (&one["object"], &one["reasonedit"]),
        (&json!("model"), &json!({"codebook": "a-ward", "edits": 1}))
    );
    assert!(one["created"].as_i64() > Some(1_700_000_000));

    for (model, own, facts) in [
        (MODEL.to_owned(), json!({}), false),
        (format!("{MODEL}@default"), json!({}), false),
        (ward.clone(), json!({}), true),
        (MODEL.to_owned(), json!({"codebook": "a-ward"}), true),
        (ward.clone(), json!({"codebook": "a-ward"}), true),
    ] {
        let answer = told(router, &question(&json!({"model": model, "reasonedit": own}))).await;
        assert_eq!(answer["model"], json!(model));
        assert_eq!(
            !answer["reasonedit"]["retrieval"]["facts"].as_array().unwrap().is_empty(),
            facts,
            "{model}"
        );
    }
    let other = question(&json!({"model": ward, "reasonedit": {"codebook": "default"}}));
    assert_eq!(refusal(router, &other).await, (422, "invalid_value".into(), json!("reasonedit.codebook")));
    for model in ["gpt-4o", "", &format!("{MODEL}@nothing"), &format!("{MODEL}@A B"), &format!("{MODEL}x")] {
        let refused = refusal(router, &question(&json!({"model": model}))).await;
        assert_eq!(refused, (404, "model_not_found".into(), json!("model")), "{model}");
        let path = format!("/v1/models/{}", model.replace(' ', "%20"));
        assert_eq!(error(&get(router, &path).await).0, 404, "{path}");
    }
    assert_eq!(error(&get(router, "/v1/models/owner/model").await).1, "model_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_can_be_given_to_the_model() {
    let service = service(|config| config.openai.model = Some("house/assistant".to_owned())).await;
    let list = get(&service.router, "/v1/models").await.json();
    assert_eq!(list["data"][0]["id"], "house/assistant");
    for path in ["/v1/models/house/assistant", "/v1/models/house%2Fassistant"] {
        assert_eq!(get(&service.router, path).await.json()["id"], "house/assistant", "{path}");
    }
    assert_eq!(
        told(&service.router, &question(&json!({"model": "house/assistant"}))).await["model"],
        "house/assistant"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codebook_that_is_set_aside_is_told_as_damaged_and_not_as_unknown() {
    let from = service(|_| {}).await;
    let made = post_json(&from.router, "/edits?verify=false", &crate::jobs::edit(1)).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let snapshot = from.editor.library().get(&CodebookName::default()).unwrap().snapshot();
    // Keys that are not what the codebook's head says.
    let mut record = snapshot.edits().next().unwrap().as_ref().clone();
    let mut member = snapshot.members_of(record.id).next().unwrap().as_ref().clone();
    record.id = EditId(ulid::Ulid::new());
    (member.id, member.edit) = (MemberId::derive(record.id, 0), record.id);
    member.key = vec![1.0; 3];
    let place = tempfile::tempdir().unwrap();
    let (name, generation) = ("ward-3".parse().unwrap(), snapshot.generation().unwrap());
    let store = stores(place.path()).0;
    store.commit_edit(&name, &record, &[member], Some(&generation), EventOrigin::Direct).unwrap();
    drop(store);
    let (server, _editor) = server_on(place.path(), ServerConfig::default()).await;
    let asked = question(&json!({"model": format!("{MODEL}@ward-3")}));
    let refused = post_json(&server.router(), CHAT, &asked).await;
    assert_eq!(error(&refused).0, 503, "{}", refused.text());
    assert!(refused.text().contains("salvage"), "{}", refused.text());
}
