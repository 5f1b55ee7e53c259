//! Every route that takes a body, as the contract lists them: a body that stalls, is too large, or is of a
//! type that is not read, is answered everywhere as it is anywhere.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures::{Stream, StreamExt as _, stream};
use reasonedit_server::{Server, ServerConfig, contract};
use serde_json::Value;

use crate::common::send;
use crate::model::service;

/// Bytes that any body may have.
const LIMIT: usize = 1000;
/// Milliseconds that a body may stall.
const IDLE: u64 = 150;

/// An operation that takes a body, and the types that it may be of.
struct Operation {
    method: String,
    path: String,
    types: Vec<String>,
}

impl Operation {
    fn all() -> Vec<Self> {
        let spec = serde_json::to_value(contract()).unwrap();
        let mut all = Vec::new();
        for (path, item) in spec["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(content) = operation.pointer("/requestBody/content").and_then(Value::as_object)
                else {
                    continue;
                };
                let types = content.keys().cloned().collect();
                all.push(Self { method: method.to_uppercase(), path: path.clone(), types });
            }
        }
        assert!(all.len() > 8, "{} operations take a body", all.len());
        all
    }

    fn policy(&self) -> String {
        let head = format!("{} {}: ", self.method, self.path);
        let policy = policies().into_iter().find_map(|line| line.strip_prefix(&head).map(str::to_owned));
        policy.unwrap_or_else(|| panic!("{head}no policy"))
    }

    async fn status(&self, router: &Router, kind: &str, announced: Option<usize>, body: Body) -> u16 {
        let mut request = Request::builder()
            .method(&*self.method)
            // What can't be an id is not there, whatever the body.
            .uri(self.path.replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
            .header(header::CONTENT_TYPE, kind);
        if let Some(length) = announced {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        send(router, request.body(body).unwrap()).await.code()
    }
}

fn policies() -> Vec<String> {
    Server::new(ServerConfig::default()).unwrap().0.policies()
}

fn pieces(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(pieces.map(Ok::<_, std::io::Error>))
}

/// Begins and never ends.
fn stalled() -> Body {
    pieces(stream::once(async { Bytes::from_static(b"{") }).chain(stream::pending()))
}

fn endless() -> Body {
    pieces(stream::repeat_with(|| Bytes::from(vec![b' '; 3 * LIMIT])))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_stalls_overfills_or_passes_for_another_type() {
    let service = service(|config| {
        config.limits.body_bytes = LIMIT;
        config.limits.import_bytes = LIMIT as u64;
        config.limits.batch_bytes = LIMIT as u64;
        config.timeouts.body_idle_ms = IDLE;
    })
    .await;
    let router = &service.router;
    for operation in Operation::all() {
        let name = format!("{} {}", operation.method, operation.path);
        for kind in &operation.types {
            let begun = Instant::now();
            assert_eq!(operation.status(router, kind, None, stalled()).await, 408, "{name} stalls as {kind}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{name}: {:?}", begun.elapsed());
            let announced = Some(LIMIT + 1);
            assert_eq!(operation.status(router, kind, announced, stalled()).await, 413, "{name} as {kind}");
            assert_eq!(operation.status(router, kind, None, endless()).await, 413, "{name} as {kind}");
        }
        let mistyped = operation.status(router, "text/plain", None, Body::from("x")).await;
        // Who says nothing of what it sends is read as JSON, and that is none.
        let any = operation.policy().contains("body: json of any type");
        assert_eq!(mistyped, if any { 400 } else { 415 }, "{name} takes text/plain");
    }
}

/// A tree takes ninety times its text where that says little but brackets.
#[tokio::test]
async fn no_body_makes_much_more_of_itself_than_it_is() {
    let service = service(|config| {
        config.limits.body_bytes = 100 * LIMIT;
        config.limits.fetched_image_bytes = 100 * LIMIT;
        config.limits.bodies_in_memory_bytes = 500 * LIMIT;
    })
    .await;
    let router = &service.router;
    let values = |item: &str| vec![item; 90 * LIMIT / (item.len() + 1)].join(",");
    let mut tried = 0;
    for operation in Operation::all() {
        let json = operation.types.iter().filter(|kind| *kind == "application/json");
        for (kind, item) in json.flat_map(|kind| ["{\"\":0}", "[]", "{}"].map(|item| (kind, item))) {
            let name = format!("{} {} of {item}", operation.method, operation.path);
            let body = format!("{{\"metadata\":[{}]}}", values(item));
            assert_eq!(operation.status(router, kind, Some(body.len()), body.into()).await, 413, "{name}");
            tried += 1;
        }
        let form = operation.types.iter().any(|kind| kind == "multipart/form-data");
        for (part, text) in [
            ("choices", format!("[{}]", values("\"a\""))),
            ("image", format!("{{\"data\":[{}]}}", values("[]"))),
            ("image[data]", format!("[{}]", values("{}"))),
            ("image", format!("\u{feff} {{\"id\":[{}]}}", values("[]"))),
        ]
        .into_iter()
        .filter(|_| form)
        {
            let head = format!("--XX\r\nContent-Disposition: form-data; name=\"{part}\"\r\n");
            for head in [format!("{head}\r\n"), format!("{head}Content-Type: application/json\r\n\r\n")] {
                let body = format!("{head}{text}\r\n--XX--\r\n");
                let kind = "multipart/form-data; boundary=XX";
                let status = operation.status(router, kind, Some(body.len()), body.into()).await;
                assert_eq!(status, 413, "{} {} with {part}", operation.method, operation.path);
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn policies_and_the_contract_name_the_same_bodies() {
    let taking = Operation::all();
    for operation in &taking {
        assert!(!operation.policy().contains("body: none"), "{} {}", operation.method, operation.path);
    }
    let named = policies().iter().filter(|line| !line.contains("body: none")).count();
    assert_eq!(named, taking.len());
}
