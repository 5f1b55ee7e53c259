//! Replies of a given form: whatever the model would say by itself, what it says is of the form.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};

use reasonedit_inference::constrain::ReplyForm;
use reasonedit_inference::{
    CallOptions, Conversation, Engine, EngineConfig, EngineError, EngineHandle, FinishReason,
    GenerateRequest, Models, Sampling,
};
use reasonedit_models::{LoadOptions, load};
use serde_json::{Value, json};

/// Byte-level, byte-level with a space ahead of every reply, byte fallback with and without one.
const MODELS: [&str; 4] = [
    "../models/tests/goldens/qwen3_vl-1",
    "../../models/demo/vlm",
    "../models/tests/goldens/llava-1",
    "../models/tests/goldens/llava-2",
];

fn engine(model: &'static str) -> EngineHandle {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    let load = move || Ok(Models::writer(load(&folder.to_string_lossy(), &LoadOptions::default())?));
    Engine::start(load, EngineConfig::default()).unwrap()
}

/// Schemas that no reply of a few hundred letters is too short for.
fn schemas() -> Vec<Value> {
    let text = json!({"type": "string", "maxLength": 6});
    let point = json!({
        "type": "object", "additionalProperties": false, "required": ["x", "y"],
        "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}, "y": {"type": "integer", "minimum": -9, "maximum": 9}},
    });
    vec![
        json!({"type": "boolean"}),
        json!({"type": "null"}),
        json!({"enum": ["benign", "malignant", 3, null, true]}),
        json!({"const": {"fixed": ["a", 1.5, {"b": "\"quoted\" \\ and\nbroken"}]}}),
        json!({"const": "Größe: ≤ 5 µm — 大 🎃"}),
        json!({"enum": ["ä", "日本", "🎃🎃", "e\u{301}"]}),
        json!({"type": "integer", "minimum": -5, "maximum": 17}),
        json!({"type": "integer", "exclusiveMinimum": 100, "exclusiveMaximum": 1000}),
        json!({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25}),
        json!({"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 7}),
        json!({"type": "string", "minLength": 3, "maxLength": 5}),
        json!({"type": "string", "minLength": 2, "maxLength": 2}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
        json!({"type": "string", "pattern": "^(left|right) (upper|lower) lobe$"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "string", "format": "ipv4"}),
        json!({"type": "string", "format": "binary", "maxLength": 4}),
        json!({"type": ["string", "null"], "maxLength": 4}),
        json!({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 2, "maxItems": 4}),
        json!({"type": "array", "prefixItems": [{"type": "boolean"}, {"const": "x"}], "items": false, "minItems": 2}),
        json!({"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3, "uniqueItems": false}),
        json!({"type": "array", "maxItems": 0}),
        point.clone(),
        json!({"type": "object", "properties": {"a": text, "b": {"type": "boolean"}, "c": {"type": "null"}}, "required": ["b"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"optional": {"enum": [1]}}, "additionalProperties": false}),
        json!({"type": "object", "additionalProperties": false}),
        json!({
            "type": "object", "additionalProperties": false, "required": ["finding"],
            "properties": {"finding": {
                "type": "object", "additionalProperties": false, "required": ["where", "size"],
                "properties": {"where": {"type": "array", "items": point, "minItems": 1, "maxItems": 2}, "size": {"anyOf": [{"type": "null"}, {"enum": [1, 2, 3]}]}},
            }},
        }),
        json!({"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1, "maximum": 3}, {"const": "none"}]}),
        json!({"oneOf": [{"type": "boolean"}, {"enum": ["a", "b"]}]}),
        json!({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 7}]}),
        json!({
            "$defs": {"side": {"enum": ["left", "right"]}, "lobe": {"type": "object", "properties": {"side": {"$ref": "#/$defs/side"}}, "required": ["side"], "additionalProperties": false}},
            "type": "array", "items": {"$ref": "#/$defs/lobe"}, "minItems": 1, "maxItems": 2,
        }),
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"grade": {"type": "integer", "minimum": 1, "maximum": 4}},
            "type": "object", "properties": {"grade": {"$ref": "#/definitions/grade"}}, "required": ["grade"], "additionalProperties": false,
        }),
        json!({
            "$defs": {"tree": {"type": "object", "properties": {"leaf": {"const": 1}}, "required": ["leaf"], "additionalProperties": false}},
            "anyOf": [{"$ref": "#/$defs/tree"}, {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1}],
        }),
        json!({"type": "object", "patternProperties": {"^k[0-9]$": {"type": "boolean"}}, "additionalProperties": false, "maxProperties": 2}),
        json!({"type": "object", "properties": {"größe": {"enum": ["5 µm"]}, "a/b~c": {"const": "\u{7f}"}}, "required": ["größe", "a/b~c"], "additionalProperties": false}),
    ]
}

async fn said(
    engine: &EngineHandle,
    form: ReplyForm,
    sampling: Sampling,
    begun: &str,
) -> (String, FinishReason) {
    let prompt = Conversation { begun: begun.into(), ..Conversation::question(None, "Describe 12 stripes") };
    let form = engine.form(form, !begun.is_empty()).await.unwrap();
    let request = GenerateRequest { sampling, form: Some(form), ..GenerateRequest::greedy(prompt, 300) };
    let (reply, _) = engine.generate_text(request, CallOptions::default()).await.unwrap();
    (reply.text, reply.reason)
}

fn drawn(seed: u64) -> Sampling {
    Sampling::TopP { temperature: 1.5, top_p: 1.0, seed }
}

#[tokio::test]
async fn a_schema_holds_for_every_reply() {
    let schemas = schemas();
    assert!(schemas.len() >= 30);
    for model in MODELS {
        let engine = engine(model);
        for schema in &schemas {
            let mut compiled = boon::Schemas::new();
            let mut compiler = boon::Compiler::new();
            compiler.enable_format_assertions();
            compiler.add_resource("schema.json", schema.clone()).unwrap();
            let index = compiler.compile("schema.json", &mut compiled).unwrap();
            for sampling in [Sampling::Greedy, drawn(1), drawn(2)] {
                let (text, reason) = said(&engine, ReplyForm::Json(schema.clone()), sampling, "").await;
                assert_eq!(reason, FinishReason::Stop, "{model}, {schema}: {text}");
                let value: Value =
                    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{model}, {schema}: {text}: {e}"));
                assert!(compiled.validate(&value, index).is_ok(), "{model}, {schema}: {text}");
            }
        }
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn replies_match_expressions_and_grammars_as_a_whole() {
    for model in MODELS {
        let engine = engine(model);
        for (pattern, holds) in [
            ("[a-c]{2,3}x", (|text| matches!(text.len(), 3 | 4) && text.ends_with('x')) as fn(&str) -> bool),
            ("^ (yes|no)$", |text| text == " yes" || text == " no"),
            ("äß|→", |text| text == "äß" || text == "→"),
            (r"\$[0-9]\$", |text| text.len() == 3 && text.starts_with('$')),
        ] {
            for sampling in [Sampling::Greedy, drawn(3)] {
                let (text, reason) = said(&engine, ReplyForm::Regex(pattern.into()), sampling, "").await;
                assert!(reason == FinishReason::Stop && holds(&text), "{model}, {pattern}: {text:?}");
            }
        }
        let grammar = "start: word (\" \" word)~1..2\nword: \"big\" | \"red\"";
        let (text, _) = said(&engine, ReplyForm::Lark(grammar.into()), drawn(4), "").await;
        let words: Vec<&str> = text.split(' ').collect();
        assert!(
            matches!(words.len(), 2 | 3) && words.iter().all(|w| matches!(*w, "big" | "red")),
            "{model}: {text:?}"
        );
        // Behind a beginning the rest alone is held to the form, a space at its beginning too.
        let (text, _) =
            said(&engine, ReplyForm::Regex(" and (a|b)".into()), Sampling::Greedy, "It is red").await;
        assert!(text == " and a" || text == " and b", "{model}: {text:?}");
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_is_the_beginning_of_one() {
    let engine = engine(MODELS[0]);
    let form = engine
        .form(ReplyForm::Json(json!({"type": "array", "items": {"type": "integer"}, "minItems": 50})), false);
    let prompt = Conversation::question(None, "Describe 12 stripes");
    let request = GenerateRequest { form: Some(form.await.unwrap()), ..GenerateRequest::greedy(prompt, 8) };
    let (reply, _) = engine.generate_text(request, CallOptions::default()).await.unwrap();
    assert_eq!((reply.reason, reply.completion_tokens), (FinishReason::Length, 8));
    assert!(reply.text.starts_with('['), "{}", reply.text);
}

#[tokio::test]
async fn what_replies_cant_be_held_to_is_refused_and_costs_little() {
    let engine = engine(MODELS[1]);
    let nested = |depth: usize| {
        (0..depth).fold(json!({"type": "string"}), |inner, _| json!({"anyOf": [inner, {"type": "null"}]}))
    };
    let wide: serde_json::Map<String, Value> = (0..9_000)
        .map(|at| (format!("name{at}"), json!({"type": "string", "pattern": format!("[a-z]{{1,{at}}}")})))
        .collect();
    for (form, pointer) in [
        (ReplyForm::Json(json!({"properties": {"a": {"not": {}}}})), "/properties/a/not"),
        (ReplyForm::Json(json!({"type": "string", "minLength": 5, "maxLength": 2})), ""),
        (ReplyForm::Json(json!(false)), ""),
        (ReplyForm::Json(json!({"$ref": "#/$defs/missing"})), ""),
        (ReplyForm::Json(json!({"$ref": "#"})), ""),
        (ReplyForm::Json(json!({"type": "strange"})), ""),
        (ReplyForm::Json(json!({"type": "string", "pattern": "(?=a)b"})), ""),
        (ReplyForm::Json(json!({"oneOf": [{"type": "integer"}, {"minimum": 3}]})), ""),
        (ReplyForm::Json(nested(200)), "/anyOf"),
        (ReplyForm::Json(json!({"properties": wide})), ""),
        (ReplyForm::Regex("(".into()), ""),
        (ReplyForm::Regex("x".repeat(1 << 20)), ""),
        (ReplyForm::Lark("start: missing".into()), ""),
        (ReplyForm::Lark("root ::= \"a\"".into()), ""),
        (ReplyForm::Lark("start: start".into()), ""),
    ] {
        let shown: String = format!("{form:?}").chars().take(120).collect();
        match engine.form(form, false).await {
            Err(EngineError::Form { pointer: found, detail }) => {
                assert!(found.starts_with(pointer), "{shown}: {found}");
                assert!(detail.ends_with('.') && detail.len() < 120, "{shown}: {detail}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
}
