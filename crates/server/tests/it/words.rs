//! What clients are told of bodies and parameters that don't fit: in words of this API, with the place.
//! Driven by the contract itself: every field of every body is given every wrong kind of value.

use axum::http::Method;
use reasonedit_server::contract;
use serde_json::{Value, json};

use crate::common::{Answer, bare, post, post_json, request, send};

/// Words of Rust and of the libraries that read bodies.
const FOREIGN: [&str; 24] = [
    "usize",
    "isize",
    "u8",
    "u32",
    "u64",
    "i32",
    "i64",
    "f32",
    "f64",
    "struct",
    "enum",
    "expected",
    "sequence",
    "map",
    "variant",
    "tuple",
    "unit",
    "serde",
    "EOF",
    "ident",
    "boolean",
    "deserialize",
    "untagged",
    "integer",
];

/// Bodies that are read leniently: what the other side sends is its business.
const LENIENT: [&str; 3] = [
    "/integrations/label-studio/setup",
    "/integrations/label-studio/predict",
    "/integrations/label-studio/webhook",
];

struct Spec(Value);

impl Spec {
    /// The schema behind references.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.resolved(self.0.pointer(reference.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    /// The alternatives of a schema, itself if it has none.
    fn ways<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolved(schema);
        for key in ["oneOf", "anyOf"] {
            if let Some(list) = schema[key].as_array() {
                return list.iter().flat_map(|way| self.ways(way)).collect();
            }
        }
        vec![schema]
    }

    fn takes(&self, schema: &Value, value: &Value) -> bool {
        self.ways(schema).into_iter().any(|way| {
            let types = match &way["type"] {
                Value::String(one) => vec![one.as_str()],
                Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
                _ => return true,
            };
            let fits = |kind: &str| match kind {
                "null" => value.is_null(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value
                    .as_f64()
                    .is_some_and(|n| n.fract() == 0.0 && n >= way["minimum"].as_f64().unwrap_or(f64::MIN)),
                "string" => {
                    value.is_string() && way["enum"].as_array().is_none_or(|words| words.contains(value))
                }
                "array" => value
                    .as_array()
                    .is_some_and(|items| items.iter().all(|item| self.takes(&way["items"], item))),
                "object" => value.as_object().is_some_and(|fields| {
                    let required = way["required"].as_array().cloned().unwrap_or_default();
                    required.iter().all(|name| fields.contains_key(name.as_str().unwrap_or_default()))
                        && (way["additionalProperties"] != false
                            || fields.keys().all(|name| way["properties"].get(name).is_some()))
                }),
                other => panic!("{other} is no type"),
            };
            types.into_iter().any(fits)
        })
    }

    /// A value that the schema takes, with every field.
    fn example(&self, name: &str, schema: &Value) -> Value {
        let way = self.ways(schema).into_iter().find(|way| way["type"] != "null").unwrap();
        // The richest way to write a statement.
        let objects = self.ways(schema).into_iter().find(|way| way["properties"].is_object());
        let lists = self.ways(schema).into_iter().find(|way| way["type"] == "array");
        let way = objects.or(lists).unwrap_or(way);
        let kind = match &way["type"] {
            Value::Array(several) => several[0].clone(),
            one => one.clone(),
        };
        if let Some(words) = way["enum"].as_array() {
            return words[0].clone();
        }
        match kind.as_str() {
            Some("object") => {
                let fields = way["properties"].as_object().cloned().unwrap_or_default();
                fields.iter().map(|(name, field)| (name.clone(), self.example(name, field))).collect()
            }
            Some("array") => json!([self.example(name, &way["items"])]),
            Some("boolean") => json!(false),
            Some("integer" | "number") => json!(1),
            _ => match name {
                "url" => json!("https://example.org/a.png"),
                "source" => json!("codebook"),
                // A project of Label Studio: its id, and the second it was made in.
                "project" => json!("1.1764000000"),
                "from" | "to" => json!("2026-11-20T08:00:00Z"),
                // An edit.
                "without" | "supersedes" | "as_if" | "keep" | "edits" => json!("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
                _ => json!("default"),
            },
        }
    }

    /// Every place of a value with the schema of what may stand there.
    fn places<'a>(&'a self, at: &str, schema: &'a Value, value: &Value, out: &mut Vec<(String, &'a Value)>) {
        out.push((at.to_owned(), schema));
        for way in self.ways(schema) {
            match value {
                Value::Object(fields) => {
                    for (name, field) in fields {
                        if let Some(schema) = way["properties"].get(name) {
                            self.places(&format!("{at}/{name}"), schema, field, out);
                        }
                    }
                }
                Value::Array(items) if way["items"].is_object() => {
                    for (index, item) in items.iter().enumerate() {
                        self.places(&format!("{at}/{index}"), &way["items"], item, out);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What is said and where, in either form of errors.
fn told(answer: &Answer) -> (String, Vec<String>) {
    let json = answer.json();
    if let Some(error) = json["error"].as_object() {
        let place = error["param"].as_str().unwrap_or_default().replace('[', ".").replace(']', "");
        let pointer = if place.is_empty() { String::new() } else { format!("/{}", place.replace('.', "/")) };
        return (error["message"].as_str().unwrap().to_owned(), vec![pointer]);
    }
    (json["detail"].as_str().unwrap().to_owned(), answer.pointers())
}

fn assert_own_words(said: &str, of: &str) {
    let mut words = said.split(|c: char| !c.is_alphanumeric());
    let foreign = words.find(|word| FOREIGN.contains(word));
    assert_eq!(foreign, None, "{of}: {said}");
    for phrase in [
        "invalid type",
        "invalid value",
        "invalid length",
        "missing field",
        "unknown field",
        "duplicate field",
        "component",
    ] {
        assert!(!said.contains(phrase), "{of}: {said}");
    }
}

#[tokio::test]
async fn every_field_of_every_body_is_refused_in_words_of_the_api() {
    let (router, _slot) = bare(|_| {});
    let spec = Spec(serde_json::to_value(contract()).unwrap());
    let wrong = [
        Value::Null,
        json!(true),
        json!(7),
        json!(1.5),
        json!(-3),
        json!(1e300),
        json!("text"),
        json!([]),
        json!([[1, 2], "x"]),
        json!(["default", "default", "default", null, [], {}]),
        json!({}),
        json!({"made_up": [1]}),
    ];
    let (mut bodies, mut refused) = (0, 0);
    for (path, item) in spec.0["paths"].as_object().unwrap() {
        let schema = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        bodies += 1;
        let uri = path
            .replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
            .replace("{report}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let example = spec.example("", schema);
        let mut places = Vec::new();
        spec.places("", schema, &example, &mut places);
        for (at, schema) in places {
            for value in wrong.iter().filter(|value| !spec.takes(schema, value)) {
                let mut body = example.clone();
                *body.pointer_mut(&at).unwrap() = value.clone();
                let answer = post_json(&router, &uri, &body).await;
                let of = format!("{path} {at} = {value}: {}", answer.text());
                // `null` stands for what is left out; what OpenAI's clients send is judged when the model is
                // there.
                let lenient = LENIENT.contains(&path.as_str()) || value.is_null() || path.starts_with("/v1/");
                assert!(lenient || (400..500).contains(&answer.code()), "{of}");
                if !(400..500).contains(&answer.code()) {
                    continue;
                }
                refused += 1;
                let (said, pointers) = told(&answer);
                assert_own_words(&said, &of);
                let leads_there =
                    |pointer: &String| pointer.starts_with(&at) || at.starts_with(pointer.as_str());
                // Another protocol's bodies have more to be right than what was made wrong here.
                let elsewhere = LENIENT.contains(&path.as_str());
                assert!(elsewhere || pointers.iter().any(leads_there), "{of}");
            }
        }
    }
    assert!(bodies >= 7 && refused > 300, "{bodies} bodies, {refused} refusals");
}

#[tokio::test]
async fn what_is_no_json_is_told_in_words_of_the_api() {
    let (router, _slot) = bare(|_| {});
    for path in [
        "/edits",
        "/query",
        "/evidence",
        "/modularity",
        "/v1/chat/completions",
        "/integrations/label-studio/webhook",
    ] {
        for text in [
            "{",
            "nul",
            "{\"a\" 1}",
            "{'a': 1}",
            "[1,]",
            "{\"a\": NaN}",
            "\u{feff}x",
            "{\"a\": \"\u{1}\"}",
            "{\"a\": \"\\ud800\"}",
        ] {
            let answer = post(&router, path, "application/json", text).await;
            let of = format!("{path} {text:?}: {}", answer.text());
            assert!((400..500).contains(&answer.code()), "{of}");
            assert_own_words(&told(&answer).0, &of);
        }
        let nested = format!("{{\"a\": {}", "[".repeat(100_000));
        let answer = post(&router, path, "application/json", nested).await;
        assert!((400..500).contains(&answer.code()), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn every_parameter_is_refused_in_words_of_the_api() {
    let (router, _slot) = bare(|_| {});
    let spec = Spec(serde_json::to_value(contract()).unwrap());
    let mut refused = 0;
    for (path, item) in spec.0["paths"].as_object().unwrap() {
        let uri = ["{id}", "{report}"]
            .iter()
            .fold(path.clone(), |uri, name| uri.replace(name, "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        for (method, operation) in item.as_object().unwrap() {
            for parameter in
                operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query")
            {
                let name = parameter["name"].as_str().unwrap();
                let kinds = parameter["schema"]["type"].to_string();
                let wrong: &[&str] = if kinds.contains("integer") {
                    &["x", "", "-1", "1.5", "1e99", "nan", "99999999999999999999999"]
                } else if kinds.contains("boolean") {
                    &["maybe", "", "2", "yes"]
                } else {
                    continue;
                };
                for value in wrong {
                    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                    let answer = send(&router, request(method, &format!("{uri}?{name}={value}"))).await;
                    let of = format!("{path} {name}={value}: {}", answer.text());
                    assert_eq!(answer.code(), 422, "{of}");
                    let (said, pointers) = told(&answer);
                    assert_own_words(&said, &of);
                    assert_eq!(pointers, [format!("/{name}")], "{of}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}
