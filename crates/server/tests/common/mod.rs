//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use reasonedit_server::{EditorSlot, Server, ServerConfig};
use serde_json::Value;
use tower::ServiceExt as _;

/// A service without an editor.
pub fn bare(change: impl FnOnce(&mut ServerConfig)) -> (Router, EditorSlot) {
    let mut config = ServerConfig::default();
    change(&mut config);
    let (server, slot) = Server::new(config).expect("a usable configuration");
    (server.router(), slot)
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn code(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Pointers of the `errors` of a problem.
    pub fn pointers(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| e["pointer"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Checks that it is a problem document of this status.
    pub fn problem(&self, status: u16) -> &Self {
        assert_eq!(self.code(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(json[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {json}");
        }
        self
    }
}

/// Sends a request without a connection.
pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router never fails");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    Answer { status: parts.status, headers: parts.headers, body }
}

pub fn request(method: Method, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).expect("a request")
}

pub async fn get(router: &Router, uri: &str) -> Answer {
    send(router, request(Method::GET, uri)).await
}

pub async fn delete(router: &Router, uri: &str) -> Answer {
    send(router, request(Method::DELETE, uri)).await
}

pub async fn post(router: &Router, uri: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request =
        Request::post(uri).header(header::CONTENT_TYPE, content_type).body(body.into()).expect("a request");
    send(router, request).await
}

pub async fn post_json(router: &Router, uri: &str, body: &Value) -> Answer {
    post(router, uri, "application/json", body.to_string()).await
}
