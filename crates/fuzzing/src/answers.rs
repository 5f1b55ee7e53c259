//! Questions, conversations and Label Studio's payloads, on their way to an answer by a (tiny) model.

use std::sync::{LazyLock, Mutex, PoisonError};

use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::bend;
use crate::service::{self, Service};

/// After so many, a service without a model begins anew: its queue is full.
const QUEUED: usize = 900;

/// One that has an edit to answer by.
static ANSWERING: LazyLock<Service> = LazyLock::new(|| {
    let service = Service::with_model(ServerConfig::default());
    let made = service.post("/edits", service::edit().to_string().into_bytes());
    assert_eq!(made.status.as_u16(), 201, "{}", String::from_utf8_lossy(&made.body));
    service
});

const VIEW: &str = r#"<View><Image name="image" value="$image"/><Header value="$question"/>
  <Choices name="answer" toName="image"><Choice value="circle"/><Choice value="a square" alias="square"/></Choices>
  <TextArea name="rationale" toName="image"/>
  <RectangleLabels name="evidence" toName="image"><Label value="1"/><Label value="2"/></RectangleLabels></View>"#;

fn data_url() -> String {
    format!("data:image/png;base64,{}", service::picture())
}

static STUDIO: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let task =
        json!({"id": 5, "data": {"image": data_url(), "question": "What is in the corner?"}, "project": 3});
    let project =
        json!({"id": 3, "title": "p", "created_at": "2026-11-20T23:50:00.123456Z", "label_config": VIEW});
    let result = json!([
        {"id": "a", "from_name": "answer", "to_name": "image", "type": "choices", "value": {"choices": ["square"]}},
        {"id": "e", "from_name": "evidence", "to_name": "image", "type": "rectanglelabels", "original_width": 24,
            "original_height": 17, "image_rotation": 0,
            "value": {"x": 12.5, "y": 15, "width": 31.25, "height": 37.5, "rotation": 0, "rectanglelabels": ["1"]}},
        {"id": "r", "from_name": "rationale", "to_name": "image", "type": "textarea", "value": {"text": ["It has four sides."]}},
    ]);
    let annotation = json!({
        "id": 7, "task": 5, "project": 3, "completed_by": 1, "was_cancelled": false, "ground_truth": false, "result": result,
        "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:01:00.25Z", "lead_time": 3.5, "prediction": {},
    });
    vec![
        json!({"action": "ANNOTATION_CREATED", "project": project, "task": task, "annotation": annotation}),
        json!({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 7}], "project": project}),
        json!({"project": "3.1795218600", "schema": VIEW, "hostname": "http://studio.example", "access_token": "0123abcd",
            "extra_params": "{\"codebook\": \"ward-3\"}"}),
        json!({"tasks": [task], "project": "3.1795218600", "label_config": VIEW,
            "params": {"login": null, "password": null, "context": null}}),
    ]
});

/// One without a model, and how many it has taken up.
static WAITING: Mutex<Option<(Service, usize)>> = Mutex::new(None);

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&ANSWERING);
    LazyLock::force(&STUDIO);
    LazyLock::force(&CHATS);
    LazyLock::force(&QUESTIONS);
}

/// Setup, events and predictions.
pub(crate) fn label_studio(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let body = bend::body(&STUDIO, rest);
    if kind % 8 == 0 {
        ANSWERING.post("/integrations/label-studio/predict", body);
        return;
    }
    let path = if kind & 1 == 0 { "setup" } else { "webhook" };
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let (service, taken) =
        waiting.get_or_insert_with(|| (Service::without_model(ServerConfig::default()), 0));
    let answer = service.post(&format!("/integrations/label-studio/{path}"), body);
    *taken += usize::from(answer.status.is_success());
    if *taken > QUEUED {
        *waiting = None;
    }
}

static CHATS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let model = "qwen3_vl-1";
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a"]});
    let shown = json!([
        {"type": "text", "text": "What is in the corner?"},
        {"type": "image_url", "image_url": {"url": data_url(), "detail": "low"}},
    ]);
    let user = json!({"role": "user", "content": shown});
    vec![
        json!({"model": model, "messages": [user], "max_tokens": 3, "reasonedit": {"explain": true, "compare": true}}),
        json!({"model": model, "max_tokens": 2, "messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it?"},
            {"role": "assistant", "content": "Yes."}, user],
            "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 3, "stop": ["."], "logprobs": true, "top_logprobs": 2,
            "frequency_penalty": 0.1, "presence_penalty": 0.1, "logit_bias": {"5": 1.5}, "stream": true, "n": 1}),
        json!({"model": model, "max_tokens": 2, "messages": [user],
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": true}}}),
        json!({"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "a"}], "guided_regex": "[a-c]{2,5}|x+"}),
        json!({"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "a"}], "guided_grammar": "start: \"a\" b*\nb: /[0-9]+/"}),
        json!({"model": model, "max_tokens": 2, "messages": [user], "structured_outputs": {"choice": ["circle", "square"]}}),
        json!({"model": model, "max_tokens": 2, "messages": [user, {"role": "assistant", "content": "It is a"}],
            "continue_final_message": true, "add_generation_prompt": false}),
    ]
});

/// Conversations.
pub(crate) fn chat(data: &[u8]) {
    let body = bend::body(&CHATS, data);
    ANSWERING.post("/v1/chat/completions", body);
}

static QUESTIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let image = json!({"data": service::picture()});
    vec![
        json!({"image": image, "question": "What is in the corner?", "choices": ["circle", "square"], "compare": true,
            "explain": true, "retrieval": {"k": 2, "enabled": true, "reject_percentile": 90, "verify": true}}),
        json!({"image": image, "question": "What is in the corner?", "max_tokens": 2, "stream": true}),
        json!({"image": image, "statements": ["It has four sides."]}),
    ]
});

/// Questions, and evidence for statements.
pub(crate) fn question(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let path = if kind % 16 == 0 { "/evidence" } else { "/query" };
    let answer = ANSWERING.post(path, bend::body(&QUESTIONS, rest));
    if let Some(probability) = answer.json()["choices"][0]["probability"].as_f64() {
        assert!((0.0..=1.0).contains(&probability));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_good_request_is_answered() {
        let posted = |path: &str, body: &Value| {
            let answer = ANSWERING.post(path, body.to_string().into_bytes());
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status.is_success(), "{path} {body}: {} {told}", answer.status);
        };
        CHATS.iter().for_each(|body| posted("/v1/chat/completions", body));
        posted("/query", &QUESTIONS[0]);
        posted("/query", &QUESTIONS[1]);
        posted("/evidence", &QUESTIONS[2]);
        posted("/integrations/label-studio/webhook", &STUDIO[0]);
        posted("/integrations/label-studio/webhook", &STUDIO[1]);
        posted("/integrations/label-studio/setup", &STUDIO[2]);
        posted("/integrations/label-studio/predict", &STUDIO[3]);
    }
}
