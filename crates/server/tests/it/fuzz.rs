//! Malformed requests of many kinds: whatever comes, it is answered, and never with a fault of the service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::common::{get, post};
use crate::model::{picture, service};

/// JSON of any shape, with the names that the service knows more often than others.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "image",
            "data",
            "id",
            "url",
            "question",
            "answer",
            "reasoning",
            "statement",
            "evidence",
            "x",
            "y",
            "width",
            "height",
            "choices",
            "tags",
            "metadata",
            "verify",
            "max_tokens",
            "stream",
            "retrieval",
            "k",
            "enabled",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,30}".prop_map(Value::from),
        "[A-Za-z0-9+/_=-]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A usable body with one field replaced by anything, or removed.
fn nearly_right(field: usize, replacement: Option<Value>) -> Value {
    let mut body = json!({
        "image": {"data": STANDARD.encode(picture([1, 2, 3]))}, "question": "q?", "answer": "a", "reasoning": ["It is."],
        "choices": ["a", "b"], "author": "x", "tags": [], "metadata": {}, "verify": false,
    });
    let name = body.as_object().and_then(|o| o.keys().nth(field % o.len()).cloned()).unwrap_or_default();
    match replacement {
        Some(value) => body[&name] = value,
        None => drop(body.as_object_mut().map(|o| o.remove(&name))),
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_is_answered() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut runner = TestRunner::deterministic();
    let sample = |runner: &mut TestRunner| any_json().new_tree(runner).unwrap().current();
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for round in 0..300 {
        let (uri, kind) = (["/edits", "/query"][round % 2], "application/json");
        let body = match round % 4 {
            0 | 1 => sample(&mut runner).to_string().into_bytes(),
            2 => nearly_right(round / 4, Some(sample(&mut runner))).to_string().into_bytes(),
            _ => nearly_right(round / 4, None).to_string().into_bytes(),
        };
        let answer = post(router, uri, kind, body.clone()).await;
        *statuses.entry(answer.code()).or_default() += 1;
        assert!(answer.code() < 500, "{uri} {}: {}", String::from_utf8_lossy(&body), answer.text());
        if answer.code() >= 400 {
            answer.problem(answer.code());
        }
    }
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    for round in 0..200 {
        let noise = bytes.new_tree(&mut runner).unwrap().current();
        let (kind, body) = match round % 4 {
            0 => ("application/json", noise),
            1 => ("multipart/form-data; boundary=XX", noise),
            2 => {
                let mut form =
                    b"--XX\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n"
                        .to_vec();
                form.extend(noise);
                form.extend_from_slice(
                    b"\r\n--XX\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nq\r\n--XX--\r\n",
                );
                ("multipart/form-data; boundary=XX", form)
            }
            _ => {
                // A picture whose bytes were damaged on the way.
                let mut png = picture([9, 9, 9]);
                for (index, byte) in noise.iter().take(8).enumerate() {
                    let at = (usize::from(*byte) * 7 + index * 131) % png.len();
                    png[at] ^= byte | 1;
                }
                let body =
                    json!({"image": {"data": STANDARD.encode(png)}, "question": "q", "choices": ["a", "b"]});
                ("application/json", body.to_string().into_bytes())
            }
        };
        let answer = post(router, "/query", kind, body).await;
        *statuses.entry(answer.code()).or_default() += 1;
        assert!(answer.code() < 500, "{}", answer.text());
    }
    let text = "\\PC{0,40}";
    for _ in 0..200 {
        let noise = text.new_tree(&mut runner).unwrap().current();
        let encoded = noise.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        for uri in [
            format!("/edits/{encoded}"),
            format!("/images/{encoded}"),
            format!("/edits?cursor={encoded}"),
            format!("/edits?q={encoded}&author={encoded}&tag={encoded}"),
            format!("/codebook?codebook={encoded}"),
            format!("/codebook/entries?{encoded}"),
            format!("/jobs/{encoded}"),
            format!("/jobs/{encoded}/results?from={encoded}"),
            format!("/jobs?state={encoded}&cursor={encoded}"),
        ] {
            let answer = get(router, &uri).await;
            *statuses.entry(answer.code()).or_default() += 1;
            assert!(answer.code() < 500, "{uri}: {}", answer.text());
        }
    }
    // The kinds of failure that this is about were all reached.
    for status in [200, 400, 404, 415, 422] {
        assert!(statuses.contains_key(&status), "{statuses:?}");
    }
}
