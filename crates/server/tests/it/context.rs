//! What was retrieved fits into the model's context, and what does not is told; a question that doesn't fit
//! is refused before anything begins.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{get, post, post_json};
use crate::model::{picture, service};
use crate::openai::{CHAT, chat, image as shown, text, user};

const GREEN: [u8; 3] = [40, 150, 70];
const QUESTION: &str = "What stands in the corner?";
/// Positions of the tiny checkpoint.
const LIMIT: u64 = 512;

fn image() -> Value {
    json!({"data": STANDARD.encode(picture(GREEN))})
}

/// One sentence of at least `length` characters, as laboratories write them: several fit, all of them don't.
fn report(number: usize, length: usize) -> String {
    let mut text = format!("Panel {number} of the corner says");
    for value in 0.. {
        if text.len() >= length {
            break;
        }
        text.extend([" value ", &((value * 7 + number * 13) % 90).to_string(), " is high,"]);
    }
    format!("{}.", text.trim_end_matches(','))
}

fn long_edit() -> Value {
    let boxed = |text: String| json!({"statement": text, "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]});
    let mut reasoning: Vec<Value> = (0..4).map(|n| boxed(report(n, 330))).collect();
    reasoning.push(json!(report(4, 330)));
    json!({"image": image(), "question": QUESTION, "answer": "a square", "reasoning": reasoning})
}

fn asked(more: &Value) -> Value {
    let mut body = json!({"image": image(), "question": QUESTION, "retrieval": {"k": 20}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn values(facts: &Value) -> Vec<String> {
    facts.as_array().unwrap().iter().map(|fact| fact["value"].as_str().unwrap().to_owned()).collect()
}

/// Data of a query's events by name, in order.
fn events(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter_map(|block| block.strip_prefix("event: ")?.split_once("\ndata: "));
    blocks.map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap())).collect()
}

/// Makes the edit, and answers what a query retrieves where everything fits: nothing left out, each sentence
/// once.
async fn made(router: &Router) -> Value {
    let answer = post_json(router, "/edits", &long_edit()).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_that_do_not_fit_are_left_out_and_named() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let edit = made(router).await;
    for moment in ["before", "after"] {
        assert!(edit[moment]["answer"].is_string(), "{edit}");
        assert!(edit.get(format!("{moment}_absent")).is_none());
    }
    assert!(edit["reasoning"].as_array().unwrap().iter().all(|s| s["p_yes"].is_number()));
    assert_eq!(edit["warnings"], json!([]), "each fits by itself");

    let mut all: Vec<String> = values(&edit["entries"]);
    all.sort();
    all.dedup();
    let choices = json!(["a square", "a circle"]);
    for (more, room) in [
        (json!({}), 64),
        (json!({"choices": choices}), 1),
        (json!({"max_tokens": 100, "compare": true}), 100),
        (json!({"retrieval": {"k": 20, "verify": true}}), 64),
    ] {
        let answer = post_json(router, "/query", &asked(&more)).await;
        assert_eq!(answer.code(), 200, "{more}: {}", answer.text());
        let answer = answer.json();
        let retrieval = &answer["retrieval"];
        let (facts, omitted) = (values(&retrieval["facts"]), values(&retrieval["omitted"]));
        assert!(!facts.is_empty() && !omitted.is_empty(), "{more}: {retrieval}");
        assert!(retrieval["omitted"].as_array().unwrap().iter().all(|one| one["reason"] == "context_full"));
        assert_eq!(facts[0], all[all.len() - 1], "the answer is short and nearest");
        let mut both = [facts, omitted.clone()].concat();
        both.sort();
        assert_eq!(both, all, "{more}");
        let used = answer["usage"]["prompt_tokens"].as_u64().unwrap();
        assert!(used + room <= LIMIT, "{used} tokens and {room} for the answer");
        // The nearest of those that were left out would not have fitted: a report has more than half as many
        // tokens as characters.
        assert!(used + room + 330 / 2 > LIMIT, "{used} tokens and {room} for the answer leave room");

        let mut streamed = asked(&more);
        streamed["stream"] = json!(true);
        let stream = post_json(router, "/query", &streamed).await;
        assert_eq!(stream.code(), 200);
        let events = events(&stream.text());
        let (first, last) = (&events[0], &events[events.len() - 1]);
        assert_eq!((first.0.as_str(), last.0.as_str()), ("retrieval", "done"), "{}", stream.text());
        assert_eq!(&first.1, retrieval);
        assert_eq!((&last.1["retrieval"], &last.1["answer"]), (retrieval, &answer["answer"]));
    }
    // Beside the one without facts, which has room enough.
    let both =
        post_json(router, "/query", &asked(&json!({"choices": choices, "compare": true}))).await.json();
    assert!(both["unedited"]["answer"].is_string() && !values(&both["retrieval"]["omitted"]).is_empty());
    let few = post_json(router, "/query", &asked(&json!({"retrieval": {"k": 1}}))).await.json();
    assert_eq!(few["retrieval"]["omitted"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_leaves_less_room() {
    let service = service(|_| {}).await;
    let router = &service.router;
    made(router).await;
    let last = user(vec![shown(GREEN), text(QUESTION)]);
    let before = [user(report(7, 200)), json!({"role": "assistant", "content": report(8, 200)})];
    let own = json!({"reasonedit": {"retrieval": {"k": 20}}});
    let mut counts = Vec::new();
    for messages in [vec![last.clone()], [&before[..], &[last]].concat()] {
        let answer = post_json(router, CHAT, &chat(&messages, &own)).await;
        assert_eq!(answer.code(), 200, "{}", answer.text());
        let answer = answer.json();
        let retrieval = &answer["reasonedit"]["retrieval"];
        assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() + 12 <= LIMIT);
        assert!(!values(&retrieval["omitted"]).is_empty());
        counts.push(values(&retrieval["facts"]).len());

        let mut streamed = chat(&messages, &own);
        streamed["stream"] = json!(true);
        let stream = post_json(router, CHAT, &streamed).await;
        assert!(stream.text().trim_end().ends_with("data: [DONE]"), "{}", stream.text());
        let first = stream.text();
        let first = first.split("\n\n").next().unwrap().trim_start_matches("data: ").to_owned();
        let first: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(&first["reasonedit"]["retrieval"], retrieval);
    }
    assert!(counts[1] < counts[0] && counts[1] > 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_does_not_fit_is_refused_before_anything_begins() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let long = report(1, 3900);
    for stream in [false, true] {
        let body = json!({"image": image(), "question": long, "stream": stream});
        let refused = post_json(router, "/query", &body).await;
        assert_eq!(refused.problem(422).pointers(), ["/question"], "{}", refused.text());
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("this model takes 512 in all"), "{detail}");
        // Fits, but not with what is to be chosen from.
        let body = json!({"image": image(), "question": report(1, 200), "stream": stream, "choices": ["yes", report(2, 900)]});
        assert_eq!(post_json(router, "/query", &body).await.problem(422).pointers(), ["/choices"]);

        let body = chat(&[user(vec![shown(GREEN), text(&long)])], &json!({"stream": stream}));
        let refused = post_json(router, CHAT, &body).await;
        assert!((400..500).contains(&refused.code()), "{}", refused.text());
    }
    let mut edit = long_edit();
    edit["question"] = json!(long);
    assert_eq!(post_json(router, "/edits", &edit).await.problem(422).pointers(), ["/question"]);
    assert_eq!(get(router, "/edits").await.json()["edits"], json!([]));
    let id = blake3::hash(&picture(GREEN)).to_hex().to_string();
    get(router, &format!("/images/{id}")).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_never_fits_is_kept_and_told() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let statement = report(1, 1900);
    let body = json!({"image": image(), "question": QUESTION, "answer": "a square",
        "reasoning": [statement, "The corner has a square."]});
    let made = post_json(router, "/edits", &body).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let edit = made.json();
    let warning = &edit["warnings"][0];
    assert_eq!(
        (&warning["code"], &warning["pointer"]),
        (&json!("context_full"), &json!("/reasoning/0/statement"))
    );
    assert_eq!(edit["warnings"].as_array().unwrap().len(), 1);
    let told = &edit["reasoning"];
    assert_eq!((&told[0]["evidence"], told[0].get("p_yes")), (&json!([]), None), "it could not be judged");
    assert!(told[1]["p_yes"].is_number() && edit["after"]["answer"].is_string());
    let id = edit["id"].as_str().unwrap();
    assert_eq!(get(router, &format!("/edits/{id}")).await.json(), edit);

    for verify in [false, true] {
        let more = json!({"retrieval": {"k": 20, "verify": verify}});
        let answer = post_json(router, "/query", &asked(&more)).await.json();
        assert_eq!(values(&answer["retrieval"]["omitted"]), std::slice::from_ref(&statement), "{answer}");
        assert_eq!(answer["retrieval"]["facts"].as_array().unwrap().len(), 2);
    }
    let evidence = json!({"image": image(), "statements": ["It is green.", statement]});
    assert_eq!(post_json(router, "/evidence", &evidence).await.problem(422).pointers(), ["/statements/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_there_has_its_reason() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let body = json!({"image": image(), "question": QUESTION, "answer": "a square", "reasoning": []});
    let unasked = post_json(router, "/edits?verify=false", &body).await.json();
    for moment in ["before", "after"] {
        assert_eq!(unasked[moment], Value::Null);
        assert_eq!(unasked[format!("{moment}_absent")]["reason"], "not_asked");
    }
    let id = unasked["id"].as_str().unwrap();
    assert_eq!(get(router, &format!("/edits/{id}")).await.json(), unasked);

    // An archive holds what was said before the edit, and not what became of it.
    let asked = post_json(router, "/edits?codebook=source", &body).await.json();
    let tar = get(router, "/codebook/export?codebook=source").await.body;
    let imported = post(router, "/codebook/import?codebook=target", "application/x-tar", tar).await;
    assert_eq!(imported.code(), 200, "{}", imported.text());
    let id = asked["id"].as_str().unwrap();
    let kept = get(router, &format!("/edits/{id}?codebook=target")).await.json();
    assert_eq!((&kept["before"], kept.get("before_absent")), (&asked["before"], None));
    assert_eq!((&kept["after"], &kept["after_absent"]["reason"]), (&Value::Null, &json!("not_kept")));
}
