use serde_json::json;

use super::*;

/// A contract with one operation that takes and gives `Thing`, changed by `change`.
fn contract(change: impl FnOnce(&mut Value)) -> Value {
    let mut contract = json!({
        "paths": {"/things": {
            "post": {
                "parameters": [
                    {"name": "q", "in": "query", "required": false, "schema": {"type": "string", "maxLength": 9}},
                    {"name": "old", "in": "query", "deprecated": true, "x-sunset": "2027-01-31", "schema": {"type": "string"}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                "responses": {
                    "200": {
                        "headers": {"ETag": {}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "404": {},
                },
            },
            "get": {"deprecated": true, "x-sunset": "2027-01-31", "responses": {}},
        }},
        "components": {"schemas": {
            "Thing": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": ["string", "null"], "pattern": "a+"},
                    "count": {"type": "integer", "minimum": 1, "maximum": 5},
                    "kind": {"$ref": "#/components/schemas/Kind"},
                    "inner": {"$ref": "#/components/schemas/Thing"},
                    "form": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"text": {"type": "string"}}}]},
                    "extra": {"allOf": [{"$ref": "#/components/schemas/Extra"}]},
                },
            },
            "Kind": {"type": "string", "enum": ["a", "b"]},
            "Extra": {"type": "object", "properties": {"note": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        }},
    });
    change(&mut contract);
    contract
}

#[track_caller]
fn assert_lost(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let found = lost(&contract(|_| {}), &contract(change), "2027-01-30");
    assert_eq!(found, expected);
}

fn thing(contract: &mut Value) -> &mut Value {
    &mut contract["components"]["schemas"]["Thing"]
}

fn post(contract: &mut Value) -> &mut Value {
    &mut contract["paths"]["/things"]["post"]
}

fn remove(value: &mut Value, name: &str) {
    assert!(value.as_object_mut().unwrap().shift_remove(name).is_some(), "{name}");
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

#[test]
fn the_same_and_more_take_nothing() {
    assert_lost(|_| {}, &[]);
    assert_lost(
        |contract| {
            contract["paths"]["/others"] = json!({"get": {}});
            contract["paths"]["/things"]["delete"] = json!({});
            push(
                &mut post(contract)["parameters"],
                json!({"name": "new", "in": "query", "schema": {"type": "string"}}),
            );
            post(contract)["parameters"][0]["schema"]["maxLength"] = json!(10);
            post(contract)["responses"]["409"] = json!({});
            post(contract)["responses"]["200"]["headers"]["Link"] = json!({});
            thing(contract)["properties"]["more"] = json!({"type": "string"});
            push(&mut contract["components"]["schemas"]["Kind"]["enum"], json!("c"));
            contract["components"]["schemas"]["Extra"]["properties"]["other"] = json!({"type": "string"});
            push(&mut thing(contract)["properties"]["form"]["oneOf"], json!({"type": "array"}));
        },
        &[],
    );
}

#[test]
fn what_is_gone_is_seen() {
    assert_lost(|contract| remove(&mut contract["paths"]["/things"], "post"), &["POST /things: gone"]);
    assert_lost(
        |contract| remove(&mut contract["paths"], "/things"),
        &["POST /things: gone", "GET /things: gone"],
    );
    assert_lost(|contract| remove(&mut post(contract)["responses"], "404"), &["POST /things 404: gone"]);
    assert_lost(
        |contract| remove(&mut post(contract)["responses"]["200"]["headers"], "ETag"),
        &["POST /things 200: header ETag gone"],
    );
    assert_lost(
        |contract| remove(&mut thing(contract)["properties"], "count"),
        &["POST /things body/count: gone", "POST /things 200/count: gone"],
    );
    assert_lost(
        |contract| {
            post(contract)["parameters"].as_array_mut().unwrap().remove(0);
        },
        &["POST /things parameter q: gone"],
    );
    assert_lost(
        |contract| contract["components"]["schemas"]["Kind"]["enum"] = json!(["a"]),
        &["POST /things body/kind: value \"b\" gone", "POST /things 200/kind: value \"b\" gone"],
    );
    assert_lost(
        |contract| remove(&mut contract["components"]["schemas"]["Extra"]["properties"], "note"),
        &["POST /things body/extra/note: gone", "POST /things 200/extra/note: gone"],
    );
    assert_lost(
        |contract| {
            thing(contract)["properties"]["form"]["oneOf"].as_array_mut().unwrap().remove(1);
        },
        &[
            "POST /things body/form: form 2 gone or narrower",
            "POST /things 200/form: form 2 gone or narrower",
        ],
    );
    let other = json!({"content": {"text/plain": {}}, "headers": {"ETag": {}}});
    assert_lost(
        |contract| post(contract)["responses"]["200"] = other,
        &["POST /things 200: application/json gone"],
    );
}

#[test]
fn a_request_that_is_asked_for_more_is_seen() {
    let narrower = "POST /things parameter q: maxLength is 8, was 9";
    assert_lost(|contract| post(contract)["parameters"][0]["schema"]["maxLength"] = json!(8), &[narrower]);
    assert_lost(
        |contract| post(contract)["parameters"][0]["required"] = json!(true),
        &["POST /things parameter q: has to be given now"],
    );
    assert_lost(
        |contract| {
            push(&mut post(contract)["parameters"], json!({"name": "new", "in": "query", "required": true}));
        },
        &["POST /things: parameter \"new\" is new and has to be given"],
    );
    assert_lost(
        |contract| post(contract)["requestBody"]["required"] = json!(true),
        &["POST /things: asks for a body now"],
    );
    assert_lost(
        |contract| thing(contract)["required"] = json!(["name", "count"]),
        &["POST /things body/count: has to be given now"],
    );
    assert_lost(
        |contract| contract["security"] = json!([{"bearer": []}]),
        &["POST /things: asks for credentials now", "GET /things: asks for credentials now"],
    );
    assert_lost(
        |contract| contract["components"]["schemas"]["Extra"]["additionalProperties"] = json!(false),
        &["POST /things body/extra: additionalProperties: nothing more is taken"],
    );
    assert_lost(
        |contract| thing(contract)["properties"]["count"]["type"] = json!("number"),
        &["POST /things 200/count: of type {\"number\"}, was {\"integer\"}"],
    );
}

#[test]
fn an_answer_of_less_or_other_is_seen() {
    assert_lost(
        |contract| thing(contract)["required"] = json!([]),
        &["POST /things 200/name: is not always there any more"],
    );
    assert_lost(
        |contract| thing(contract)["properties"]["name"]["type"] = json!("string"),
        &["POST /things body/name: of type {\"string\"}, was {\"null\", \"string\"}"],
    );
    assert_lost(
        |contract| thing(contract)["properties"]["count"]["maximum"] = json!(6),
        &["POST /things 200/count: maximum is 6, was 5"],
    );
    assert_lost(
        |contract| remove(&mut thing(contract)["properties"]["name"], "pattern"),
        &["POST /things 200/name: pattern is null, was \"a+\""],
    );
}

#[test]
fn what_was_said_to_go_may_go_from_its_day_on() {
    let without = contract(|contract| {
        remove(&mut contract["paths"]["/things"], "get");
        post(contract)["parameters"].as_array_mut().unwrap().remove(1);
    });
    let before = lost(&contract(|_| {}), &without, "2027-01-30");
    assert_eq!(before, ["POST /things parameter old: gone", "GET /things: gone"]);
    assert!(lost(&contract(|_| {}), &without, "2027-01-31").is_empty());
}

#[test]
fn what_is_to_go_says_when() {
    assert!(without_sunset(&contract(|_| {})).is_empty());
    let unsaid = contract(|contract| {
        remove(&mut contract["paths"]["/things"]["get"], "x-sunset");
        thing(contract)["properties"]["count"]["deprecated"] = json!(true);
        thing(contract)["properties"]["count"]["x-sunset"] = json!("soon");
    });
    let expected = [
        "/paths/~get: deprecated without a day in x-sunset",
        "/components/schemas/Thing/properties/count: deprecated without a day in x-sunset",
    ]
    .map(|place| place.replace('~', "/things/"));
    assert_eq!(without_sunset(&unsaid), expected);
}
