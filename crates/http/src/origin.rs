//! Which web pages may call the service.
//!
//! A form of another site can be sent to a service on the same machine without asking first (no preflight),
//! so a missing CORS header alone would not keep such a page from making edits: requests that change
//! something must come from the service's own pages, from an allowed origin, or from no page at all.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::problem::{Problem, ProblemKind};
use crate::request_id::REQUEST_ID;

/// The origins that are allowed besides the service's own.
#[derive(Clone, Debug)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// These.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
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
        // Of web pages alone: an app's own scheme says nothing of where it came from.
        let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some() && of_origin.map(without_default_port) == host.map(without_default_port)
    }
}

/// Why a text is not an origin as browsers send it in the header of that name, if it is none. Beside those of
/// web pages there are those of apps that have a scheme of their own, and `null`.
pub fn fault(origin: &str) -> Option<String> {
    let fault = |reason: &str| {
        let examples = "https://labels.example.org, tauri://localhost or chrome-extension://ID";
        Some(format!("`{origin}` is not an origin such as {examples}: {reason}"))
    };
    if matches!(origin, "null" | "file://") {
        return None;
    }
    if origin == "*" {
        return fault("every page of the web would be let in; name those that may call the service");
    }
    let Some((scheme, host)) = origin.split_once("://") else { return fault("it has no scheme") };
    let of_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(of_scheme) {
        return fault("its scheme is not of small letters and digits");
    }
    if matches!(scheme, "http" | "https") {
        let Ok(url) = reqwest::Url::parse(origin) else { return fault("its host can't be read") };
        let written = url.origin().ascii_serialization();
        return if written == origin { None } else { fault(&format!("browsers send {written}")) };
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    };
    let of_host =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'[' | b']' | b':');
    if host.is_empty() || !host.bytes().all(of_host) {
        return fault("after the scheme there is a host or an id, and nothing else");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => fault("its port is not a number"),
        _ => None,
    }
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// Refuses requests that change something and come from pages of other origins.
pub async fn require_own_origin(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if origins.accept(request.method(), request.uri(), request.headers()) {
        next.run(request).await
    } else {
        Problem::new(ProblemKind::Forbidden, "Pages of this origin may not call the service.").into_response()
    }
}

/// CORS headers for the allowed origins; `None` if there are none.
pub fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            // Whatever such a page sends: clients of its own making (`OpenAI`'s, say) send headers of their
            // own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, REQUEST_ID])
            .max_age(std::time::Duration::from_mins(10)),
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
    fn origins_of_pages_apps_and_extensions_can_be_named() {
        for origin in [
            "https://labels.example.org",
            "http://localhost:5173",
            "https://[2001:db8::1]:8443",
            "tauri://localhost",
            "https://tauri.localhost",
            "app://obsidian.md",
            "app://-",
            "capacitor://localhost",
            "ionic://localhost",
            "chrome-extension://jfgfiigpkhlkbnfnbobbkinehhfdhndo",
            "moz-extension://7f3a2b1c-0d4e-4f5a-8b6c-9d0e1f2a3b4c",
            "safari-web-extension://1B2C3D4E-5F60-7182-93A4-B5C6D7E8F901",
            "vscode-webview://0k3v7u1r2e9qd5l8",
            "vscode-file://vscode-app",
            "com.example.app+x://host:8080",
            "file://",
            "null",
        ] {
            assert_eq!(fault(origin), None, "{origin}");
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:8080".parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            let accept = |named: &[String]| {
                Origins::new(named).accept(&Method::POST, &"/edits".parse().unwrap(), &headers)
            };
            assert!(accept(&[origin.to_owned()]) && !accept(&[]), "{origin}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_not_an_origin() {
        for (origin, reason) in [
            ("", "no scheme"),
            ("*", "every page"),
            ("localhost", "no scheme"),
            ("tauri:localhost", "no scheme"),
            ("https://a.example/", "browsers send https://a.example"),
            ("https://A.example", "browsers send https://a.example"),
            ("https://a.example:443", "browsers send https://a.example"),
            ("https://a.example/page", "browsers send https://a.example"),
            ("https://user@a.example", "browsers send https://a.example"),
            ("https://", "host"),
            ("Tauri://localhost", "small letters"),
            ("1app://host", "small letters"),
            ("tauri://", "nothing else"),
            ("tauri://localhost/", "nothing else"),
            ("app://obsidian.md/index.html", "nothing else"),
            ("app://user@host", "nothing else"),
            ("app://*", "nothing else"),
            ("app://host?x", "nothing else"),
            ("app://host:x", "port"),
            ("app://a b", "nothing else"),
        ] {
            assert!(fault(origin).is_some_and(|said| said.contains(reason)), "{origin}: {:?}", fault(origin));
        }
    }

    #[test]
    fn an_app_is_not_the_service_because_its_host_is_called_the_same() {
        for host in ["localhost", "127.0.0.1:8080"] {
            let origin = format!("tauri://{host}");
            assert!(!accepted(&Method::POST, &[("host", host), ("origin", &origin)]));
        }
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
