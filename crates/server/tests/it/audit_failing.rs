//! A trail that can't be written: requests are served and that is told, or they are refused.

use std::fs;
use std::time::{Duration, Instant};

use reasonedit_access::AccessRole;
use reasonedit_audit::{AuditConfig, AuditFailurePolicy, AuditReader, AuditTrail};
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::access::{Client, Given};
use crate::common::get;
use crate::jobs::edit;
use crate::model::{Service, service_audited};

async fn audited(on_failure: AuditFailurePolicy) -> (Service, AuditTrail, Given, String) {
    let given = Given::new();
    let admin = given.token("ops", AccessRole::Admin, &[]);
    let audit = AuditConfig { on_failure, ..AuditConfig::default() };
    let (service, trail) = service_audited(&given.store, ServerConfig::default(), &audit).await;
    (service, trail, given, admin)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn served_requests_wait_in_memory_and_readiness_tells() {
    let (service, trail, _given, admin) = audited(AuditFailurePolicy::Serve).await;
    let client = Client(&service.router, &admin);
    let (folder, away) = (service.data().join("audit"), service.data().join("away"));
    fs::rename(&folder, &away).unwrap();
    let made = client.post("/edits?verify=false", edit(1)).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    assert_eq!(client.get("/edits").await.code(), 200);
    let ready = get(&service.router, "/health/ready").await;
    assert_eq!((ready.code(), &ready.json()["audit"]), (200, &json!({"writable": false, "lost": 0})));
    let metrics = client.get("/metrics").await.text();
    assert!(metrics.contains("reasonedit_audit_writable 0"), "{metrics}");
    fs::rename(&away, &folder).unwrap();
    until("it is written again", async || trail.state().failing.is_none()).await;
    let ready = get(&service.router, "/health/ready").await;
    assert_eq!((ready.code(), ready.json().get("audit")), (200, None));
    trail.flush().unwrap();
    let edit = made.json()["id"].as_str().unwrap().to_owned();
    let page = client.get(&format!("/audit?edit={edit}")).await.json();
    assert_eq!(page["lines"].as_array().unwrap().len(), 2, "{page}");
    assert_eq!(AuditReader::new(&folder).verify(None).unwrap().faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_nothing_is_answered_that_is_not_in_it() {
    let (service, trail, _given, admin) = audited(AuditFailurePolicy::Refuse).await;
    let client = Client(&service.router, &admin);
    assert_eq!(client.post("/edits?verify=false", edit(1)).await.code(), 201);
    let (folder, away) = (service.data().join("audit"), service.data().join("away"));
    fs::rename(&folder, &away).unwrap();
    // The first finds out, the others are not begun.
    for (method, path, body) in [
        ("GET", "/edits", None),
        ("POST", "/edits?verify=false", Some(edit(2))),
        ("POST", "/query", Some(json!({"image": edit(1)["image"], "question": "What?"}))),
        ("GET", "/codebook/export", None),
    ] {
        let refused = client.ask(method, path, body).await;
        let told: Value = refused.problem(503).json();
        assert_eq!(told["type"], "urn:reasonedit:problem:unwritable", "{method} {path}");
        assert!(told["detail"].as_str().unwrap().contains("audit trail"), "{told}");
        assert!(!refused.header("retry-after").is_empty());
    }
    assert_eq!(client.get("/whoami").await.code(), 200, "which tells nothing");
    let ready = get(&service.router, "/health/ready").await;
    assert_eq!((ready.code(), &ready.json()["status"]), (503, &json!("unwritable")));
    fs::rename(&away, &folder).unwrap();
    until("it is written again", async || trail.ready().is_ok()).await;
    let edits = client.get("/edits").await.json();
    assert_eq!(edits["edits"].as_array().unwrap().len(), 1, "the second was not begun");
    assert_eq!(AuditReader::new(&folder).verify(None).unwrap().faults, []);
}
