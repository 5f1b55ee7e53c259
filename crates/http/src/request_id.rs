//! One id per request: taken from the client if it is sane, made otherwise; in every log line, returned with
//! the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use ulid::Ulid;

use crate::metrics::Metrics;

/// `X-Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What requests are counted under that no route matches.
const UNMATCHED: &str = "unmatched";

/// Most characters of a path that no route matches in the log.
const UNMATCHED_SHOWN: usize = 200;

/// Stands for a request whose client went away before the answer, as in other servers' logs.
const CLIENT_GONE: u16 = 499;

/// A request's id, for handlers.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

fn id_of(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        (1..=128).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if let Some(value) = headers.get(REQUEST_ID).filter(sane) {
        return value.clone();
    }
    let mut buffer = [0; ulid::ULID_LEN];
    HeaderValue::from_str(Ulid::new().array_to_str(&mut buffer))
        .unwrap_or(HeaderValue::from_static("unknown"))
}

/// Counts a request even when its handler is dropped because the client has gone.
struct Record<'a> {
    metrics: &'a Metrics,
    route: String,
    method: &'static str,
    status: u16,
    begun: Instant,
    span: tracing::Span,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let elapsed = self.begun.elapsed();
        self.metrics.ended(self.method, &self.route, self.status, elapsed);
        let ms = elapsed.as_secs_f64() * 1e3;
        // The feedback page asks for a sign of life each second; that there was one is no news.
        if is_sign_of_life(&self.route, self.status) {
            self.span.in_scope(|| tracing::debug!(status = self.status, ms, "answered"));
        } else {
            self.span.in_scope(|| tracing::info!(status = self.status, ms, "answered"));
        }
    }
}

/// Whether somebody asked only whether the service is there, and it was.
fn is_sign_of_life(route: &str, status: u16) -> bool {
    route == "/health/live" && status == StatusCode::OK
}

/// Methods by name; made-up ones under one name, so that no client can fill the metrics.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

/// Gives the request its id, its span and its place in the metrics.
pub async fn observe(
    State(metrics): State<Arc<Metrics>>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = id_of(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let unmatched =
        path.is_none().then(|| request.uri().path().chars().take(UNMATCHED_SHOWN).collect::<String>());
    // The template, not the path: ids and query strings would make endless series and put questions into the
    // log.
    let route = path.map_or_else(|| UNMATCHED.to_owned(), |path| path.as_str().to_owned());
    let method = method_name(request.method());
    let request_id = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", request_id, method, route = route.as_str());
    if let Some(path) = unmatched {
        // As `Debug` writes it, so that no line of a log is made up by a client.
        span.in_scope(|| tracing::debug!(?path, "no route"));
    }
    metrics.begun();
    let mut record = Record {
        metrics: &metrics,
        route,
        method,
        status: CLIENT_GONE,
        begun: Instant::now(),
        span: span.clone(),
    };
    let mut response = next.run(request).instrument(span).await;
    record.status = response.status().as_u16();
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        record.span.in_scope(|| tracing::error!("the request failed"));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(sent: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent.as_bytes()).unwrap());
        }
        id_of(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn sane_ids_are_kept() {
        for id in ["a", "01K-x_y.z", &"x".repeat(128)] {
            assert_eq!(answered(Some(id)), id);
        }
    }

    #[test]
    fn signs_of_life_alone_are_no_news() {
        assert!(is_sign_of_life("/health/live", 200));
        for (route, status) in [("/health/live", 503), ("/health/ready", 200), ("/query", 200)] {
            assert!(!is_sign_of_life(route, status), "{route}, {status}");
        }
    }

    #[test]
    fn others_are_replaced() {
        for id in ["", "a b", "a,b", "é", &"x".repeat(129)] {
            let made = answered(Some(id));
            assert_ne!(made, id);
            assert!(Ulid::from_string(&made).is_ok());
        }
        assert_ne!(answered(None), answered(None));
    }
}
