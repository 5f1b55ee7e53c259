//! `openapi.yaml` is what the code says, and what it says is consistent.

mod additions;

use std::collections::BTreeSet;
use std::path::Path;

use reasonedit_server::{Server, ServerConfig, contract, openapi_yaml};
use serde_json::Value;

#[test]
fn openapi_yaml_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.yaml");
    let made = openapi_yaml().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == committed,
        "openapi.yaml differs from the code; UPDATE_OPENAPI=1 cargo test --release -p reasonedit-server --test it contract writes it anew"
    );
}

/// `docs/contract` keeps the contract of each release: clients of all of them are served.
#[test]
fn later_contracts_only_add() {
    let now: Value = serde_norway::from_str(&openapi_yaml().unwrap()).unwrap();
    let today = time::OffsetDateTime::now_utc().date().to_string();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contract");
    let mut compared = 0;
    for entry in std::fs::read_dir(kept).unwrap() {
        let path = entry.unwrap().path();
        let earlier: Value = serde_norway::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let lost = additions::lost(&earlier, &now, &today);
        assert!(lost.is_empty(), "taken from clients of {}:\n  {}", path.display(), lost.join("\n  "));
        compared += 1;
    }
    assert!(compared > 0, "no contract is kept");
    let unsaid = additions::without_sunset(&now);
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n"));
}

fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(object) => object.values().for_each(|v| walk(v, visit)),
        Value::Array(list) => list.iter().for_each(|v| walk(v, visit)),
        _ => {}
    }
}

#[test]
fn references_resolve_and_names_are_unique() {
    let spec = serde_json::to_value(contract()).unwrap();
    let mut references = 0;
    walk(&spec, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            references += 1;
            let target = spec.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some(), "{reference} leads nowhere");
        }
    });
    assert!(references > 50, "{references} references");
    let mut names = BTreeSet::new();
    for (path, item) in spec["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} twice");
            assert!(
                operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
                "{method} {path} has no summary"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                let is_failure = path != "/health/ready" && status.as_str() >= "400";
                // What speaks OpenAI's protocol fails in its form.
                let theirs = path.starts_with("/v1/");
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(
                    problem.is_object(),
                    is_failure && !theirs,
                    "{method} {path} {status}: {response}"
                );
                let form = &response["content"]["application/json"]["schema"]["$ref"];
                let is_openai_error = form == "#/components/schemas/OpenAiError";
                assert_eq!(is_openai_error, is_failure && theirs, "{method} {path} {status}: {response}");
            }
        }
    }
}

#[test]
fn the_contract_has_the_resources_it_promises() {
    let spec = serde_json::to_value(contract()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in spec["paths"].as_object().unwrap() {
        operations.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    operations.sort();
    insta::assert_snapshot!(operations.join("\n"));
}

#[test]
fn every_route_says_what_it_asks_of_the_layers() {
    let spec = serde_json::to_value(contract()).unwrap();
    let (server, _slot) = Server::new(ServerConfig::default()).unwrap();
    let policies = server.policies();
    for (path, item) in spec["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let head = format!("{} {path}: ", method.to_uppercase());
            assert_eq!(policies.iter().filter(|line| line.starts_with(&head)).count(), 1, "{head}");
        }
    }
    insta::assert_snapshot!(policies.join("\n"));
}
