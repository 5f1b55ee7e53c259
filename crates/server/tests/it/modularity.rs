//! Choosing layer and weight over HTTP, with a real model on random weights: what is chosen means nothing,
//! that everything stays whole does.

use serde_json::{Value, json};

use crate::common::{Answer, get, post};
use crate::jobs::{edit, followed};
use crate::model::{Service, picture, service};

const JSON: &str = "application/json";

/// Few and small draws.
fn request() -> Value {
    json!({
        "samples": 3, "runs": 2, "weight_samples": 3, "weight_runs": 2, "mismatched": 0, "weights": [0.5, 2.0, 8.0],
        "taps": ["vision.0", "vision.1"], "apply": "never",
    })
}

fn with(field: &str, value: Value) -> String {
    let mut request = request();
    request[field] = value;
    request.to_string()
}

async fn edits(service: &Service, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let made = post(&service.router, "/edits?verify=false", JSON, edit(number).to_string()).await;
        assert_eq!(made.code(), 201, "{}", made.text());
    }
}

async fn start(service: &Service, body: String) -> Answer {
    post(&service.router, "/modularity", JSON, body).await
}

/// Asks something and returns the generation that answered.
async fn generation(service: &Service) -> String {
    use base64::Engine as _;
    let image = base64::engine::general_purpose::STANDARD.encode(picture([9, 9, 9]));
    let body = json!({"image": {"data": image}, "question": "What is it?", "choices": ["a", "b"]});
    let answer = post(&service.router, "/query", JSON, body.to_string()).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()["generation"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_reported_applied_and_taken_back() {
    let service = service(|_| {}).await;
    let router = &service.router;
    edits(&service, 1..6).await;
    let before = get(router, "/modularity").await.json();
    assert_eq!((&before["report"], &before["active"]["chosen"]), (&Value::Null, &json!(false)));
    assert_eq!(before["sources"], json!(["codebook", "squares"]));
    let first = generation(&service).await;

    // A report alone changes nothing.
    let (job, _) = followed(&service, &start(&service, request().to_string()).await).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!((&job["result"]["applied"], &job["result"]["generation"]), (&json!(false), &json!(first)));
    assert_eq!(generation(&service).await, first);
    let path = job["result"]["report"].as_str().unwrap();
    assert_eq!(path, format!("/modularity/{}", job["id"].as_str().unwrap()));
    let report = get(router, path).await.json();
    assert_eq!(report["taps"].as_array().unwrap().len(), 4);
    assert_eq!(report["weights"].as_array().unwrap().len(), 4, "those asked for, and the one in use");
    assert_eq!(report["measured_on"]["source"], "codebook default");
    assert!(report["taps"][0]["bimodal_modularity"]["standard_deviation"].is_number(), "{report}");
    assert!(get(router, &format!("{path}/report.md")).await.text().contains("vision.1"));
    for figure in ["layers", "weights", "network"] {
        let svg = get(router, &format!("{path}/{figure}.svg")).await;
        assert_eq!((svg.code(), svg.header("content-type")), (200, "image/svg+xml"));
        assert!(svg.text().contains("<svg"), "{figure}");
    }
    get(router, &format!("{path}/layers.png")).await.problem(404);
    // The same request on the same samples gives the same report.
    let (again, _) = followed(&service, &start(&service, request().to_string()).await).await;
    assert_eq!(get(router, again["result"]["report"].as_str().unwrap()).await.json(), report);

    // Applied: answers come from another generation, and edits go into it.
    let (job, events) = followed(&service, &start(&service, with("apply", json!("always"))).await).await;
    assert_eq!(job["result"]["applied"], true, "{job}");
    let second = job["result"]["generation"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert_eq!(generation(&service).await, second);
    let stages: Vec<&str> = events.iter().filter_map(|(_, job)| job["progress"]["stage"].as_str()).collect();
    assert!(stages.contains(&"weights") || stages.contains(&"swapping"), "{stages:?}");
    let active = get(router, "/modularity").await.json();
    assert_eq!(active["active"]["embedding"]["id"], second);
    assert_eq!(
        (&active["active"]["chosen"], &active["active"]["previous"]["id"]),
        (&json!(true), &json!(first))
    );
    assert_eq!(active["report"], job["id"]);
    assert_eq!(active["active"]["embedding"]["tap"], active["selection"]["tap"]["chosen"]["tap"]);
    edits(&service, 6..8).await;

    // Taken back: the old generation, with the edits made since.
    let (back, _) = followed(&service, &post(router, "/modularity/rollback", JSON, "").await).await;
    assert_eq!((&back["kind"], &back["result"]["generation"]), (&json!("reembed"), &json!(first)), "{back}");
    assert_eq!(generation(&service).await, first);
    assert_eq!(get(router, "/codebook").await.json()["edits"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codebook_without_edits_is_measured_on_other_pictures_and_not_moved() {
    let service = service(|_| {}).await;
    let mut request = request();
    request["source"] = json!("squares");
    request["apply"] = json!("always");
    let (job, _) = followed(&service, &start(&service, request.to_string()).await).await;
    assert_eq!((&job["state"], &job["result"]["applied"]), (&json!("done"), &json!(false)), "{job}");
    let report = get(&service.router, job["result"]["report"].as_str().unwrap()).await.json();
    assert_eq!(
        (&report["measured_on"]["source"], &report["measured_on"]["samples_available"]),
        (&json!("squares"), &json!(6))
    );
    assert_eq!(get(&service.router, "/modularity").await.json()["active"]["chosen"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_measured_is_refused_at_once() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let none = start(&service, request().to_string()).await;
    none.problem(422);
    assert!(none.text().contains("there are 0"), "{}", none.text());
    edits(&service, 1..3).await;
    let pointer = |answer: &Answer| answer.json()["errors"][0]["pointer"].clone();

    let few = start(&service, request().to_string()).await;
    few.problem(422);
    assert_eq!(pointer(&few), "/samples");
    assert!(few.text().contains("needs 3 samples") && few.text().contains("there are 2"), "{}", few.text());
    for (field, value, at) in [
        ("source", json!("nowhere"), "/source"),
        ("taps", json!(["vision.0", "vision.77"]), "/taps/1"),
        ("runs", json!(1), "/runs"),
        ("weights", json!([3.0, 1.0]), "/weights"),
        ("pooling", json!(["last"]), "/pooling"),
        ("samples", json!("many"), "/samples"),
        ("sample", json!(3), "/sample"),
    ] {
        let refused = start(&service, with(field, value)).await;
        refused.problem(422);
        assert_eq!(pointer(&refused), at, "{}", refused.text());
    }
    start(&service, "{".to_owned()).await.problem(400);
    post(router, "/modularity/rollback", JSON, "").await.problem(409);
    get(router, "/modularity/01KABCDEFGHJKMNPQRSTVWXYZ0").await.problem(404);
    get(router, "/modularity/nonsense/layers.svg").await.problem(404);
    get(router, "/modularity/01KABCDEFGHJKMNPQRSTVWXYZ0/secrets.txt").await.problem(404);
    assert_eq!(get(router, "/jobs").await.json()["jobs"], json!([]), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_and_a_cancelled_one_leaves_the_codebook_as_it_was() {
    let service = service(|_| {}).await;
    let router = &service.router;
    edits(&service, 1..5).await;
    let before = generation(&service).await;
    // Long enough to be caught.
    let long = with("runs", json!(100));
    let running = start(&service, long.clone()).await;
    assert_eq!(running.code(), 202, "{}", running.text());
    let id = running.json()["id"].as_str().unwrap().to_owned();
    let second = start(&service, long).await;
    second.problem(409);
    assert_eq!(second.json()["job"], id);
    let began = std::time::Instant::now();
    loop {
        let job = crate::common::delete(router, &format!("/jobs/{id}")).await;
        if job.json()["state"] == "cancelled" {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "{}", job.text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(generation(&service).await, before);
    get(router, &format!("/modularity/{id}")).await.problem(404);
}

/// A codebook of before is moved over with the layer and weight that it has; one of today is left as it is.
/// (Keys and answers of one of before: the editor's tests.)
#[tokio::test(flavor = "multi_thread")]
async fn a_codebook_moves_to_the_rules_of_pixels_of_today() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let renew = "/modularity/reembed";
    post(router, renew, JSON, "").await.problem(409);
    edits(&service, 1..3).await;
    let embedding = async || get(router, "/codebook").await.json()["embedding"].clone();
    let before = embedding().await;
    assert_eq!(before["pixels"], "declared_range");
    let (job, _) = followed(&service, &post(router, renew, JSON, "").await).await;
    assert_eq!((&job["kind"], &job["state"]), (&json!("reembed"), &json!("done")), "{job}");
    assert_eq!(job["result"]["generation"], before["id"]);
    assert_eq!(embedding().await, before);
    assert_eq!(get(router, "/modularity").await.json()["active"]["chosen"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_applied_afterwards() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let apply = |report: &str| format!("/modularity/{report}/apply");
    post(router, &apply("01KAEJ5W5M3H5C1T5P2R7Q8Y9Z"), JSON, "").await.problem(404);
    post(router, &apply("nonsense"), JSON, "").await.problem(404);

    let mut asked = request();
    asked["source"] = json!("squares");
    let (job, _) = followed(&service, &start(&service, asked.to_string()).await).await;
    let report = job["id"].as_str().unwrap();
    // Nothing to move yet.
    post(router, &apply(report), JSON, "").await.problem(409);
    edits(&service, 1..4).await;
    let first = generation(&service).await;
    let (moved, _) = followed(&service, &post(router, &apply(report), JSON, "").await).await;
    assert_eq!((&moved["kind"], &moved["state"]), (&json!("reembed"), &json!("done")), "{moved}");
    let second = generation(&service).await;
    assert_eq!(moved["result"]["generation"], second);
    assert_ne!(second, first);
    let active = get(router, "/modularity").await.json();
    assert_eq!(active["active"]["embedding"]["tap"], active["selection"]["tap"]["chosen"]["tap"]);
    assert_eq!(active["active"]["embedding"]["lambda"], active["selection"]["weight"]["chosen"]);
    // And taken back as any other.
    let (back, _) = followed(&service, &post(router, "/modularity/rollback", JSON, "").await).await;
    assert_eq!(back["result"]["generation"], first, "{back}");
}
