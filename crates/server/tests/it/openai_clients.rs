//! What chat clients send as they are: whole conversations with all their pictures, turns without words,
//! answers that were begun, forms, samplers.

use axum::Router;
use reasonedit_openai::OlderPictures;
use serde_json::{Value, json};

use crate::common::post_json;
use crate::model::{Service, service};
use crate::openai::{
    CHAT, QUESTION, RED, chat, chunks, content, edit, image, question, refusal, text, told, user,
};

fn assistant(content: impl Into<Value>) -> Value {
    json!({"role": "assistant", "content": content.into()})
}

/// As many turns with a picture each, answered, and a last one.
fn long(turns: usize, last: &Value) -> Vec<Value> {
    let mut messages = Vec::new();
    for turn in 0..turns {
        let colour = [turn as u8 * 20, 40, 200];
        messages.push(user(vec![image(colour), text("And this?")]));
        messages.push(assistant("A corner."));
    }
    messages.push(last.clone());
    messages
}

fn pictures(answer: &Value) -> usize {
    answer["reasonedit"]["prompt"].as_str().unwrap().matches("<|image_pad|>").count()
}

fn explained() -> Value {
    json!({"reasonedit": {"explain": true}, "max_tokens": 3})
}

/// The same answer at once and as a stream.
async fn streamed_too(router: &Router, body: &Value) -> Value {
    let answer = told(router, body).await;
    let pieces = chunks(router, body).await;
    let said: String =
        pieces.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, content(&answer));
    assert_eq!(pieces.last().unwrap()["choices"][0]["finish_reason"], answer["choices"][0]["finish_reason"]);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_too_many_pictures_are_left_out() {
    let Service { router, .. } = &service(|_| {}).await;
    let last = user(vec![image(RED), text(QUESTION)]);
    let eight = told(router, &chat(&long(7, &last), &explained())).await;
    assert_eq!((pictures(&eight), &eight["reasonedit"]["omitted_pictures"]), (8, &Value::Null));
    let answer = told(router, &chat(&long(10, &last), &explained())).await;
    let provenance = &answer["reasonedit"];
    assert_eq!(pictures(&answer), 8);
    let places = json!(["/messages/0/content/0", "/messages/2/content/0", "/messages/4/content/0"]);
    assert_eq!(provenance["omitted_pictures"], places);
    assert_eq!(provenance["warnings"][0]["code"], "pictures_omitted");
    assert_eq!(provenance["warnings"][0]["pointer"], "/messages/0/content/0");
    assert_eq!(provenance["image"], "/messages/20/content/0", "places are those of the request");
    let first = &chunks(router, &chat(&long(10, &last), &explained())).await[0];
    assert_eq!(first["reasonedit"]["omitted_pictures"], places);
    let words = told(router, &chat(&long(10, &user(QUESTION)), &explained())).await;
    assert_eq!(
        (pictures(&words), words["reasonedit"]["image"].as_str()),
        (8, Some("/messages/18/content/0"))
    );

    // Those of the last turn are what is asked about.
    let many: Vec<Value> = std::iter::repeat_n(image(RED), 8).chain([text(QUESTION)]).collect();
    let answer = told(router, &chat(&long(2, &user(many)), &explained())).await;
    assert_eq!(answer["reasonedit"]["omitted_pictures"].as_array().unwrap().len(), 2);
    let more: Vec<Value> = std::iter::repeat_n(image(RED), 9).chain([text(QUESTION)]).collect();
    let too_many = (422, "invalid_value".to_owned(), json!("messages"));
    assert_eq!(refusal(router, &chat(&[user(more)], &json!({}))).await, too_many);
    // What is left out is neither fetched nor looked at.
    let mut unreadable = long(10, &last);
    unreadable[0]["content"][0]["image_url"]["url"] = json!("https://nowhere.example/x.png");
    assert_eq!(pictures(&told(router, &chat(&unreadable, &explained())).await), 8);

    let strict = service(|config| config.openai.older_pictures = OlderPictures::Refuse).await;
    assert_eq!(refusal(&strict.router, &chat(&long(10, &last), &json!({}))).await, too_many);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_without_words_are_taken() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let router = &service.router;
    for content in [vec![image(RED)], vec![image(RED), text("")], vec![text(" \n"), image(RED)]] {
        let answer = streamed_too(router, &chat(&[user(content)], &json!({}))).await;
        assert_eq!(answer["reasonedit"]["skipped"], "no_text");
        assert_eq!(answer["reasonedit"]["image"].as_str().map(str::len), Some("/messages/0/content/0".len()));
    }
    // The question came before its picture, as in many a chat.
    let messages = [user(QUESTION), assistant("Show it to me."), user(vec![image(RED)])];
    let answer = told(router, &chat(&messages, &explained())).await;
    let fact = answer["reasonedit"]["retrieval"]["facts"][0]["value"].as_str().unwrap();
    let prompt = answer["reasonedit"]["prompt"].as_str().unwrap();
    assert!(prompt.find(fact) > prompt.find("<|image_pad|>"), "{prompt}");

    for silent in [
        assistant(Value::Null),
        assistant(""),
        assistant(json!([])),
        json!({"role": "assistant"}),
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [], "function_call": null, "audio": null}),
    ] {
        let messages = [user(vec![image(RED), text("Hello")]), silent, user(QUESTION)];
        told(router, &chat(&messages, &json!({}))).await;
    }
    let refused = json!({"role": "assistant", "content": null, "refusal": "I would rather not."});
    let answer = told(router, &chat(&[user("Hello"), refused, user(QUESTION)], &explained())).await;
    assert!(answer["reasonedit"]["prompt"].as_str().unwrap().contains("I would rather not."));
    let nothing = (422, "invalid_value".to_owned(), json!("messages[0].content"));
    for empty in [json!(""), json!([]), json!([text("")]), json!(null)] {
        assert_eq!(refusal(router, &chat(&[user(empty)], &json!({}))).await, nothing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_too_long_is_told_as_openai_does() {
    let Service { router, .. } = &service(|_| {}).await;
    let words = "A corner with a square. ".repeat(100);
    let many: Vec<Value> =
        (0..20).flat_map(|_| [user(words.as_str()), assistant("Yes.")]).chain([user("And?")]).collect();
    let huge: Vec<Value> = [user("y".repeat(200_000)), assistant("z"), user("x")].to_vec();
    for messages in [many, vec![user(words.as_str())], huge] {
        for stream in [false, true] {
            let answer = post_json(router, CHAT, &chat(&messages, &json!({"stream": stream}))).await;
            let error = &answer.json()["error"];
            assert_eq!((answer.code(), error["code"].as_str()), (400, Some("context_length_exceeded")));
            assert_eq!(
                (error["type"].as_str(), error["param"].as_str()),
                (Some("invalid_request_error"), Some("messages"))
            );
            let message = error["message"].as_str().unwrap();
            assert!(
                message.starts_with(
                    "This model's maximum context length is 512 tokens. However, your messages "
                ),
                "{message}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_on_where_it_was_begun() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let router = &service.router;
    let asked = user(vec![image(RED), text(QUESTION)]);
    let own = json!({"explain": true});
    let whole = told(router, &chat(std::slice::from_ref(&asked), &json!({"reasonedit": own}))).await;
    let beginning = "The corner has";
    let begun = |more: &Value| chat(&[asked.clone(), assistant(beginning)], more);
    let answer = streamed_too(router, &begun(&json!({"reasonedit": own}))).await;
    assert!(!content(&answer).contains(beginning));
    assert_eq!(answer["reasonedit"]["retrieval"], whole["reasonedit"]["retrieval"]);
    assert_eq!(answer["reasonedit"]["image"], "/messages/0/content/0");
    for more in [
        json!({"continue_final_message": true, "add_generation_prompt": false}),
        json!({"messages": [asked, {"role": "assistant", "content": beginning, "prefix": true}]}),
        json!({"messages": [asked, {"role": "assistant", "content": [text(beginning)], "prefix": false}]}),
    ] {
        let mut body = begun(&json!({}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(content(&told(router, &body).await), content(&answer), "{more}");
    }
    // A new turn behind it is another prompt, with the facts still in the user's.
    let anew = told(router, &begun(&json!({"continue_final_message": false, "reasonedit": own}))).await;
    let tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(tokens(&anew) > tokens(&answer) && tokens(&answer) > tokens(&whole));
    let prompt = anew["reasonedit"]["prompt"].as_str().unwrap();
    let fact = anew["reasonedit"]["retrieval"]["facts"][0]["value"].as_str().unwrap();
    assert!(prompt.find(fact) < prompt.find(&format!("assistant\n{beginning}")), "{prompt}");
    // An empty beginning is none.
    let empty = told(router, &chat(&[asked.clone(), assistant("")], &json!({}))).await;
    assert_eq!(content(&empty), content(&whole));
    // A choice behind a beginning, and a form.
    let body = begun(&json!({"guided_choice": [" square", " circle"]}));
    assert_eq!(streamed_too(router, &body).await["reasonedit"]["choices"].as_array().unwrap().len(), 2);
    let body = begun(&json!({"guided_regex": " (and|or) [0-9]"}));
    let said = content(&streamed_too(router, &body).await).to_owned();
    assert!(said.starts_with(" and ") || said.starts_with(" or "), "{said:?}");
    for (messages, more, param) in [
        (vec![user("x")], json!({"continue_final_message": true}), "continue_final_message"),
        (vec![user("x")], json!({"add_generation_prompt": false}), "add_generation_prompt"),
        (vec![assistant("x")], json!({}), "messages"),
    ] {
        assert_eq!(
            refusal(router, &chat(&messages, &more)).await,
            (422, "invalid_value".into(), json!(param))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_by_any_name_is_scored_as_in_a_query() {
    let service = service(|_| {}).await;
    edit(&service, "default").await;
    let router = &service.router;
    let choices = json!(["circle", "square", "star"]);
    let expected = told(router, &question(&json!({"reasonedit": {"choices": choices}}))).await;
    for more in [
        json!({"guided_choice": choices}),
        json!({"structured_outputs": {"choice": choices}}),
        json!({"structured_outputs": {"choice": ["circle", "square", "star", "square "], "json": null}}),
    ] {
        let answer = streamed_too(router, &question(&more)).await;
        assert_eq!(content(&answer), content(&expected));
        assert_eq!(answer["reasonedit"]["choices"], expected["reasonedit"]["choices"]);
    }
    for (more, param) in [
        (json!({"guided_choice": ["a", " "]}), "guided_choice[1]"),
        (json!({"guided_choice": "a"}), "guided_choice"),
        (json!({"structured_outputs": {"choice": ["a", "b\u{1}"]}}), "structured_outputs.choice[1]"),
        (json!({"guided_choice": ["a", "b"], "reasonedit": {"choices": ["c", "d"]}}), "guided_choice"),
    ] {
        assert_eq!(
            refusal(router, &question(&more)).await,
            (422, "invalid_value".into(), json!(param)),
            "{more}"
        );
    }
    let one = told(router, &question(&json!({"guided_choice": ["round"]}))).await;
    assert_eq!((content(&one), one["reasonedit"]["probability"].as_f64()), ("round", Some(1.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_form_that_was_asked_for() {
    let Service { router, .. } = &service(|_| {}).await;
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["colour", "sure"],
        "properties": {"colour": {"enum": ["red", "blue"]}, "sure": {"type": "boolean"}},
    });
    let strict =
        json!({"type": "json_schema", "json_schema": {"name": "finding", "strict": true, "schema": schema}});
    for more in [
        json!({"response_format": strict}),
        json!({"response_format": strict, "temperature": 1.5, "seed": 3, "logprobs": true, "top_logprobs": 2}),
        json!({"guided_json": schema.to_string(), "reasonedit": {"compare": true}}),
        json!({"structured_outputs": {"json": schema}, "min_tokens": 5, "frequency_penalty": 2}),
    ] {
        let mut body = question(&more);
        body["max_tokens"] = json!(200);
        let answer = streamed_too(router, &body).await;
        let value: Value = serde_json::from_str(content(&answer)).unwrap();
        let fields = value.as_object().unwrap();
        assert!(fields.len() == 2 && fields["sure"].is_boolean(), "{value}");
        assert!(fields["colour"] == "red" || fields["colour"] == "blue", "{value}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        if more.get("logprobs").is_some() {
            // Of the model's own distribution: what is chosen need not be what is probable.
            let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
            assert!(tokens.iter().any(|token| token["top_logprobs"][0]["token"] != token["token"]));
        }
        if let Some(unedited) = answer["reasonedit"]["unedited"]["answer"].as_str() {
            assert!(serde_json::from_str::<Value>(unedited).is_ok(), "{unedited}");
        }
    }
    let open = question(&json!({"response_format": {"type": "json_object"}}));
    let answer = streamed_too(router, &open).await;
    assert!(content(&answer).starts_with('{'), "{answer}");
    let bad = json!({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}});
    for (more, status, param) in [
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": bad}}}),
            400,
            "response_format.json_schema.schema.properties.a.uniqueItems",
        ),
        (json!({"guided_json": {"not": {}}}), 400, "guided_json.not"),
        (json!({"guided_regex": "("}), 400, "guided_regex"),
        (json!({"structured_outputs": {"grammar": "root ::= \"a\""}}), 400, "structured_outputs.grammar"),
        (json!({"response_format": {"type": "yaml"}}), 400, "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), 422, "response_format.json_schema.schema"),
        (json!({"response_format": strict, "guided_regex": "a"}), 422, "guided_regex"),
    ] {
        for stream in [false, true] {
            let mut body = question(&more);
            body["stream"] = json!(stream);
            let (found, _, place) = refusal(router, &body).await;
            assert_eq!((found, place), (status, json!(param)), "{more}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samplers_change_what_is_said() {
    let Service { router, .. } = &service(|_| {}).await;
    let plain = told(router, &question(&json!({"max_tokens": 20}))).await;
    let ask = async |more: Value| {
        let mut body = question(&json!({"max_tokens": 20}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told(router, &body).await
    };
    for more in [
        json!({"top_k": 5, "min_p": 0.5, "frequency_penalty": 0, "repetition_penalty": 1, "logit_bias": {}}),
        json!({"reasoning_effort": "none", "verbosity": "medium", "stop": "", "min_tokens": 0, "tools": []}),
        json!({"temperature": 1.9, "top_k": 1, "seed": 7}),
        json!({"temperature": 1.9, "min_p": 1, "seed": 7, "user": "me", "metadata": {"a": "b"}, "stream_options": null}),
    ] {
        assert_eq!(content(&ask(more.clone()).await), content(&plain), "{more}");
    }
    for more in
        [json!({"frequency_penalty": 2}), json!({"presence_penalty": 2}), json!({"repetition_penalty": 3})]
    {
        let other = ask(more.clone()).await;
        assert_ne!(content(&other), content(&plain), "{more}");
    }
    let least = ask(json!({"min_tokens": 19, "stop": [content(&plain).chars().next().unwrap()]})).await;
    assert!(least["usage"]["completion_tokens"].as_u64().unwrap() >= 19, "{least}");
    let endless = ask(json!({"ignore_eos": true, "temperature": 1.5})).await;
    assert_eq!(
        (&endless["usage"]["completion_tokens"], &endless["choices"][0]["finish_reason"]),
        (&json!(20), &json!("length"))
    );
    let biased = ask(json!({"logit_bias": {"70": 100}, "max_tokens": 4})).await;
    let stopped = ask(json!({"logit_bias": {"70": 100}, "max_tokens": 4, "stop_token_ids": [70]})).await;
    assert_eq!(biased["usage"]["completion_tokens"], 4);
    assert_eq!((content(&stopped), &stopped["choices"][0]["finish_reason"]), ("", &json!("stop")));
    let hint = ask(json!({"verbosity": "low"})).await;
    assert_eq!(hint["reasonedit"]["warnings"][0]["pointer"], "/verbosity");
    for (more, status, param) in [
        (json!({"use_beam_search": true}), 400, "use_beam_search"),
        (json!({"bad_words": ["red"]}), 400, "bad_words"),
        (json!({"prompt_logprobs": 1}), 400, "prompt_logprobs"),
        (json!({"logit_bias": {"999999": 1}}), 422, "logit_bias[999999]"),
        (json!({"stop_token_ids": [999_999]}), 422, "stop_token_ids[0]"),
        (json!({"top_k": "many"}), 422, "top_k"),
        (json!({"min_p": 2}), 422, "min_p"),
        (json!({"verbosity": "none"}), 422, "verbosity"),
    ] {
        let (found, _, place) = refusal(router, &question(&more)).await;
        assert_eq!((found, place), (status, json!(param)), "{more}");
    }
}
