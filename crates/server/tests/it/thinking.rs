//! Reasoning models: what they think is told beside their answer, within its budget, and never scored.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Answer, post_json};
use crate::model::{Service, picture, service, service_with};
use crate::openai::{CHAT, refusal};
use crate::reasoner::{self, BESIDE, BLUE, ENDLESS, MODEL, NAME, RED, TWICE};

fn asked(question: &str, colour: [u8; 3], more: &Value) -> Value {
    let mut body = json!({"image": {"data": STANDARD.encode(picture(colour))}, "question": question});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn query(router: &Router, body: &Value) -> Value {
    let answer = post_json(router, "/query", body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()
}

/// Names and data of a stream's events.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let events = text.split("\n\n").filter_map(|event| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    });
    events.collect()
}

fn joined(events: &[(String, Value)], name: &str) -> String {
    events.iter().filter(|(own, _)| own == name).filter_map(|(_, data)| data["text"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thought_stands_beside_the_answer_and_comes_before_it() {
    let Service { router, .. } = &service_with(reasoner::load).await;
    for (colour, thinking, answer) in [(RED, "red", "pumpkin"), (BLUE, "blue", "square")] {
        let body = asked(NAME, colour, &json!({"compare": true}));
        let told = query(router, &body).await;
        assert_eq!(told["answer"], answer, "{told}");
        let thought = told["thinking"].as_str().unwrap();
        assert_eq!(thought.replace(' ', ""), format!("thecolourofthisobjectis{thinking}."));
        assert_eq!((&told["format"], &told["thinking_finish_reason"]), (&json!("ok"), &json!("stop")));
        assert_eq!((&told["format_fault"], &told["raw_reply"]), (&Value::Null, &Value::Null));
        assert_eq!((&told["finish_reason"], &told["unedited"]["answer"]), (&json!("stop"), &json!(answer)));
        assert!(told["probability"].as_f64().unwrap() > 0.5, "{told}");
        let usage = &told["usage"];
        let thinking_tokens = usage["thinking_tokens"].as_u64().unwrap();
        assert!(
            thinking_tokens > 5 && usage["completion_tokens"].as_u64().unwrap() > thinking_tokens,
            "{usage}"
        );

        let stream = post_json(router, "/query", &asked(NAME, colour, &json!({"stream": true}))).await;
        let events = events(&stream);
        let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        assert_eq!(names, ["retrieval", "thinking", "token", "done"]);
        assert_eq!(joined(&events, "thinking"), thought);
        assert_eq!(joined(&events, "token"), answer);
        assert_eq!(events.last().unwrap().1["thinking"], thought);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_stand_behind_what_was_thought() {
    let Service { router, .. } = &service_with(reasoner::load).await;
    let choices = json!(["square", "pumpkin", "dahlia"]);
    let told = query(router, &asked(NAME, RED, &json!({"choices": choices, "compare": true}))).await;
    assert_eq!((&told["answer"], &told["format"]), (&json!("pumpkin"), &json!("ok")), "{told}");
    assert!(told["thinking"].as_str().unwrap().contains("red"));
    assert_eq!(told["finish_reason"], Value::Null);
    // In the place of an answer it is what the model says; in that of a thought nothing begins so.
    let best = &told["choices"][1];
    assert!(best["log_probability"].as_f64().unwrap() > -0.5, "{told}");
    let events = events(
        &post_json(router, "/query", &asked(NAME, RED, &json!({"choices": choices, "stream": true}))).await,
    );
    assert_eq!(joined(&events, "thinking"), told["thinking"].as_str().unwrap());
    assert_eq!(joined(&events, "token"), "pumpkin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_without_the_form_is_told_and_not_guessed_at() {
    let Service { router, .. } = &service_with(reasoner::load).await;
    for (question, fault, answered) in [
        (TWICE, "several_answers", true),
        (BESIDE, "text_outside", true),
        (ENDLESS, "unclosed_thinking", false),
    ] {
        let told = query(router, &asked(question, RED, &json!({}))).await;
        assert_eq!((&told["format"], &told["format_fault"]), (&json!("broken"), &json!(fault)), "{told}");
        assert_eq!((&told["answer"], &told["finish_reason"]), (&json!(""), &json!("stop")));
        assert_ne!(told["thinking"], "");
        let raw = told["raw_reply"].as_str().unwrap();
        assert!(raw.starts_with("<think>") && raw.contains("<answer>") == answered, "{raw}");
        let body = json!({"model": MODEL, "messages": [message(question, RED)]});
        let reply = chat(router, &body).await;
        assert_eq!(reply["choices"][0]["message"]["content"], "");
        assert_eq!(reply["reasonedit"]["format_fault"], fault);
    }
    // A choice is made all the same, behind thinking that was closed by force.
    let told = query(router, &asked(ENDLESS, RED, &json!({"choices": ["red", "blue"]}))).await;
    assert_eq!((&told["format"], told["choices"].as_array().unwrap().len()), (&json!("broken"), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn thinking_is_closed_when_its_budget_is_used_up() {
    for load in [reasoner::load, reasoner::load_untrained] {
        let Service { router, .. } = &service_with(load).await;
        for (budget, reason) in [(3, json!("length")), (0, Value::Null)] {
            let more = json!({"max_thinking_tokens": budget, "max_tokens": 6});
            let told = query(router, &asked(NAME, RED, &more)).await;
            assert_eq!(told["thinking_finish_reason"], reason, "{told}");
            assert_eq!(told["usage"]["thinking_tokens"], budget);
            assert_eq!(told["thinking"] == "", budget == 0);
            let chosen = json!({"max_thinking_tokens": budget, "choices": ["pumpkin", "square"]});
            let chosen = query(router, &asked(NAME, RED, &chosen)).await;
            assert_eq!((&chosen["thinking"], &chosen["format"]), (&told["thinking"], &json!("ok")));
        }
        let refused =
            post_json(router, "/query", &asked(NAME, RED, &json!({"max_thinking_tokens": 8193}))).await;
        assert_eq!(refused.problem(422).pointers(), ["/max_thinking_tokens"]);
    }
}

fn message(question: &str, colour: [u8; 3]) -> Value {
    let url = format!("data:image/png;base64,{}", STANDARD.encode(picture(colour)));
    json!({"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]})
}

async fn chat(router: &Router, body: &Value) -> Value {
    let answer = post_json(router, CHAT, body).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_clients_have_it_as_reasoning_content() {
    let Service { router, .. } = &service_with(reasoner::load).await;
    let with = |more: Value| {
        let mut body = json!({"model": MODEL, "messages": [message(NAME, RED)]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let told = chat(router, &with(json!({}))).await;
    let message = &told["choices"][0]["message"];
    assert_eq!(message["content"], "pumpkin");
    assert!(message["reasoning_content"].as_str().unwrap().contains("red"), "{told}");
    assert_eq!(told["reasonedit"]["format"], "ok");
    assert!(told["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 5);

    let mut body = with(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let stream = post_json(router, CHAT, &body).await.text();
    let chunks: Vec<Value> = stream
        .split("\n\n")
        .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
        .collect();
    let deltas = |name: &str| -> Vec<(usize, &str)> {
        let said = |(at, chunk)| Some((at, Value::as_str(&Value::get(chunk, "choices")?[0]["delta"][name])?));
        chunks.iter().enumerate().filter_map(said).filter(|(_, text)| !text.is_empty()).collect()
    };
    let text = |name: &str| deltas(name).iter().map(|(_, text)| *text).collect::<String>();
    assert_eq!(text("reasoning_content"), message["reasoning_content"].as_str().unwrap());
    assert_eq!(text("content"), "pumpkin");
    assert!(deltas("reasoning_content").last().unwrap().0 < deltas("content")[0].0);
    assert!(chunks.last().unwrap()["usage"]["completion_tokens_details"].is_object());

    let none = chat(router, &with(json!({"reasoning_effort": "none"}))).await;
    assert_eq!(none["choices"][0]["message"]["reasoning_content"], "");
    assert_eq!(none["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
    // The bound that a client gives is of both together.
    let few = chat(router, &with(json!({"max_completion_tokens": 8}))).await;
    assert!(few["usage"]["completion_tokens"].as_u64().unwrap() <= 8, "{few}");
    assert_eq!(few["reasonedit"]["thinking_finish_reason"], "length");
    // A form is the answer's.
    let form = json!({"guided_regex": "(pumpkin|square)s"});
    let formed = chat(router, &with(form)).await;
    let content = formed["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(["pumpkins", "squares"].contains(&content), "{formed}");
    assert_eq!(formed["choices"][0]["message"]["reasoning_content"], message["reasoning_content"]);
    body = with(json!({"reasoning_effort": "most"}));
    assert_eq!(refusal(router, &body).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_think_answers_as_ever() {
    let Service { router, .. } = &service(|_| {}).await;
    let plain = query(router, &asked(NAME, RED, &json!({"max_tokens": 6}))).await;
    for field in ["thinking", "thinking_finish_reason", "format", "format_fault", "raw_reply"] {
        assert!(plain.get(field).is_none(), "{plain}");
    }
    assert!(plain["usage"].get("thinking_tokens").is_none());
    let more = json!({"max_tokens": 6, "max_thinking_tokens": 50});
    let told = query(router, &asked(NAME, RED, &more)).await;
    assert_eq!((&told["answer"], &told["probability"]), (&plain["answer"], &plain["probability"]));
    assert_eq!(told["warnings"][0]["code"], "no_effect");
    assert_eq!(told["warnings"][0]["pointer"], "/max_thinking_tokens");
    let body = |effort: &str| json!({"model": "qwen3_vl-1", "messages": [message(NAME, RED)], "max_tokens": 3, "reasoning_effort": effort});
    let answer = chat(router, &body("none")).await;
    assert!(answer["choices"][0]["message"].get("reasoning_content").is_none());
    assert_eq!(refusal(router, &body("high")).await.0, 400);
}
