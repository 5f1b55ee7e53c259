//! What callers are refused, and what they learn by that.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use reasonedit_access::AccessRole;
use reasonedit_server::{Server, ServerConfig};
use serde_json::json;

use crate::access::{Client, Given};
use crate::common::send;
use crate::jobs::edit;
use crate::model::service_guarded;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_waits_and_others_do_not() {
    let given = Given::new();
    let [ada, bob] = ["Ada", "Bob"].map(|name| given.token(name, AccessRole::Reader, &[]));
    let mut config = ServerConfig::default();
    config.limits.requests_per_minute = 5;
    let (server, _slot) = Server::guarded(config, Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let [ada, bob] = [&ada, &bob].map(|token| Client(&router, token));
    for _ in 0..5 {
        assert_eq!(ada.get("/whoami").await.code(), 200);
    }
    let refused = ada.get("/whoami").await;
    assert_eq!(refused.problem(429).json()["type"], "urn:reasonedit:problem:rate-limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(bob.get("/whoami").await.code(), 200);
    assert_eq!(ada.get("/health/live").await.code(), 200, "probes are not counted");
    Client(&router, "wrong").get("/whoami").await.problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_what_they_may_not_time_and_again_waits_with_that_alone() {
    let given = Given::new();
    let [eve, bob] = ["Eve", "Bob"].map(|name| given.token(name, AccessRole::Reader, &["ward-3"]));
    let (server, _slot) = Server::guarded(ServerConfig::default(), Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let [eve, bob] = [&eve, &bob].map(|token| Client(&router, token));
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..100 {
        let refused = eve.get("/tokens").await;
        if refused.code() == 429 {
            assert_eq!(refused.problem(429).json()["type"], "urn:reasonedit:problem:too-many-attempts");
            assert!(refused.header("retry-after").parse::<u64>().is_ok());
        }
        *seen.entry(refused.code()).or_insert(0) += 1;
    }
    // A few more than sixty where the test takes some seconds.
    assert!(seen.keys().eq(&[403, 429]) && seen[&429] > 20, "{seen:?}");
    // A handler's refusal is one too, and what she may do goes on.
    eve.get("/codebook?codebook=ward-4").await.problem(429);
    for _ in 0..5 {
        assert_eq!(eve.get("/whoami").await.code(), 200);
    }
    bob.get("/tokens").await.problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_codebook_stands_in_the_way_without_a_name() {
    let given = Given::new();
    let ada = given.token("Ada", AccessRole::Editor, &["ward-3"]);
    let bob = given.token("Bob", AccessRole::Editor, &["ward-4"]);
    let service = service_guarded(&given.store).await;
    let [ada, bob] = [&ada, &bob].map(|token| Client(&service.router, token));
    for (who, ward) in [(ada, "ward-3"), (bob, "ward-4")] {
        assert_eq!(who.post(&format!("/edits?verify=false&codebook={ward}"), edit(1)).await.code(), 201);
    }
    // Long enough to be there while it is asked for a second time.
    let asked = json!({"source": "squares", "samples": 64});
    let accepted = ada.post("/modularity?codebook=ward-3", asked.clone()).await;
    assert_eq!(accepted.code(), 202, "{}", accepted.text());
    let job = accepted.json()["id"].as_str().unwrap().to_owned();
    let refused = bob.post("/modularity?codebook=ward-4", asked.clone()).await;
    assert_eq!(refused.problem(409).json().get("job"), None, "{}", refused.text());
    assert!(!refused.text().contains(&job) && refused.text().contains("modularity"), "{}", refused.text());
    let own = ada.post("/modularity?codebook=ward-3", asked).await;
    assert_eq!(own.problem(409).json()["job"], json!(job), "who may know of it is told which");
    ada.ask("DELETE", &format!("/jobs/{job}"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_whose_file_has_gone_is_damaged_and_heals() {
    let given = Given::new();
    let ada = given.token("Ada", AccessRole::Contributor, &["ward-3"]);
    let bob = given.token("Bob", AccessRole::Contributor, &["ward-4"]);
    let service = service_guarded(&given.store).await;
    let [ada, bob] = [&ada, &bob].map(|token| Client(&service.router, token));
    let made = ada.post("/edits?verify=false&codebook=ward-3", edit(1)).await.json();
    let id = made["image"]["id"].as_str().unwrap().to_owned();
    let file = service.data().join("images").join(&id[..2]).join(&id);
    std::fs::remove_file(&file).unwrap();
    let path = format!("/images/{id}");
    let question = json!({"image": {"id": id}, "question": "What is it?"});
    let correction = json!({"image": {"id": id}, "question": "What is it?", "answer": "a square"});
    for answer in [
        ada.get(&path).await,
        ada.get(&format!("{path}?codebook=ward-3&x=0&y=0&width=8&height=8")).await,
        ada.post("/query?codebook=ward-3", question.clone()).await,
        ada.post("/edits?codebook=ward-3", correction).await,
    ] {
        let problem = answer.problem(503).json();
        assert_eq!(problem["type"], "urn:reasonedit:problem:damaged", "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&id), "{problem}");
    }
    bob.get(&path).await.problem(404);
    // The same file again, with another question.
    let mut again = edit(1);
    again["question"] = json!("What else is it?");
    assert_eq!(ada.post("/edits?verify=false&codebook=ward-3", again).await.code(), 201);
    assert_eq!(ada.get(&path).await.code(), 200);
    assert_eq!(ada.post("/query?codebook=ward-3", question).await.code(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_token_that_is_given_meanwhile_opens_the_names_of_the_service() {
    let given = Given::new();
    let (server, _slot) = Server::guarded(ServerConfig::default(), Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let named = |token: Option<&str>| {
        let mut request = Request::get("/whoami").header(header::HOST, "edits.hospital.example");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Body::empty()).unwrap()
    };
    send(&router, named(None)).await.problem(403);
    let eve = given.token("Eve", AccessRole::Reader, &[]);
    assert_eq!(send(&router, named(Some(&eve))).await.code(), 200);
    send(&router, named(None)).await.problem(401);
}
