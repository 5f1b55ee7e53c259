//! What the integration tests share.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use reasonedit_server::{EditorSlot, Server, ServerConfig};
use serde_json::Value;
use tower::ServiceExt as _;

/// A service without an editor.
pub(crate) fn bare(change: impl FnOnce(&mut ServerConfig)) -> (Router, EditorSlot) {
    let mut config = ServerConfig::default();
    change(&mut config);
    let (server, slot) = Server::new(config).expect("a usable configuration");
    (server.router(), slot)
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Pointers of the `errors` of a problem.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| e["pointer"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Checks that it is a problem document of this status.
    pub(crate) fn problem(&self, status: u16) -> &Self {
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
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router never fails");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) fn request(method: Method, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).expect("a request")
}

pub(crate) async fn get(router: &Router, uri: &str) -> Answer {
    send(router, request(Method::GET, uri)).await
}

pub(crate) async fn delete(router: &Router, uri: &str) -> Answer {
    send(router, request(Method::DELETE, uri)).await
}

pub(crate) async fn post(router: &Router, uri: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request =
        Request::post(uri).header(header::CONTENT_TYPE, content_type).body(body.into()).expect("a request");
    send(router, request).await
}

pub(crate) async fn post_json(router: &Router, uri: &str, body: &Value) -> Answer {
    post(router, uri, "application/json", body.to_string()).await
}
