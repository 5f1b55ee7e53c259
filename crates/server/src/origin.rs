//! Which web pages may call the service.
//!
//! A form of another site can be sent to a service on the same machine without asking first (no preflight), so a missing CORS header
//! alone would not keep such a page from making edits: requests that change something must come from the service's own pages, from an
//! allowed origin, or from no page at all.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::problem::{Problem, ProblemKind};
use crate::request_id::REQUEST_ID;
use crate::state::AppState;

/// The origins that are allowed besides the service's own.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.to_vec())
    }

    fn accept(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return true;
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.0.iter().any(|allowed| allowed == origin) {
            return true;
        }
        // Scripts can't forge this header; a proxy that rewrites `Host` would break the comparison below.
        if headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin") {
            return true;
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
        let of_origin = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && of_origin.map(without_default_port) == host.map(without_default_port)
    }
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// Refuses requests that change something and come from pages of other origins.
pub(crate) async fn require_own_origin(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if state.origins().accept(request.method(), request.uri(), request.headers()) {
        next.run(request).await
    } else {
        Problem::new(ProblemKind::Forbidden, "Pages of this origin may not call the service.").into_response()
    }
}

/// CORS headers for the allowed origins; `None` if there are none.
pub(crate) fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            // Whatever such a page sends: clients of its own making (`OpenAI`'s, say) send headers of their own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::LOCATION, header::RETRY_AFTER, REQUEST_ID])
            .max_age(std::time::Duration::from_secs(600)),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn accepted(method: &Method, pairs: &[(&str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Origins::new(&["https://labels.example.org".to_owned()]).accept(
            method,
            &"/edits".parse().unwrap(),
            &headers,
        )
    }

    #[test]
    fn foreign_pages_may_not_change_anything() {
        let host = ("host", "127.0.0.1:8080");
        let post = Method::POST;
        assert!(accepted(&post, &[host]), "curl and scripts send no origin");
        assert!(accepted(&post, &[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(accepted(&post, &[host, ("origin", "https://labels.example.org")]));
        assert!(accepted(&post, &[("host", "svc.example"), ("origin", "https://svc.example:443")]));
        assert!(accepted(
            &post,
            &[host, ("origin", "https://svc.example"), ("sec-fetch-site", "same-origin")]
        ));
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:8081",
            "https://labels.example.org.evil.example",
        ] {
            assert!(!accepted(&post, &[host, ("origin", origin)]), "{origin}");
            assert!(!accepted(&Method::DELETE, &[host, ("origin", origin)]), "{origin}");
            assert!(accepted(&Method::GET, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(!accepted(&post, &[("origin", "null")]));
    }
}
