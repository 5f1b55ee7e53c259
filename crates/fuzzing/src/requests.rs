//! Whole requests to every route: method, path, query, head and body.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use reasonedit_http::client::Peer;
use reasonedit_server::ServerConfig;

use crate::service::Service;

/// Open, as on one's own machine.
static OPEN: LazyLock<Service> = LazyLock::new(|| Service::without_model(ServerConfig::default()));

/// Behind a proxy, with tokens.
static GUARDED: LazyLock<Service> = LazyLock::new(|| {
    Service::without_model(ServerConfig {
        auth_tokens: vec!["0123456789abcdef0123456789abcdef".to_owned()],
        trusted_proxies: vec!["10.0.0.0/8".to_owned()],
        hosts: vec!["example.org".to_owned()],
        cors_origins: vec!["https://example.org".to_owned()],
        path_prefix: "/app".to_owned(),
        ..ServerConfig::default()
    })
});

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&OPEN);
    LazyLock::force(&GUARDED);
}

/// A request as text: the method and the target, lines of the head, an empty line, the body.
pub(crate) fn any(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let (head, body) = match rest.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (rest, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let Some((method, target)) = line.split_once(' ') else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let mut request = Request::builder().method(method).uri(target);
    let mut host = false;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        host |= name.eq_ignore_ascii_case(b"host");
        request = request.header(name, value);
    }
    if !host {
        request = request.header("host", if kind & 1 == 0 { "localhost" } else { "example.org" });
    }
    let peer = if kind & 2 == 0 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(10, 0, 0, 1) };
    request = request.extension(Peer(IpAddr::V4(peer)));
    let Ok(request) = request.body(Full::new(Bytes::copy_from_slice(body))) else { return };
    let service = if kind & 1 == 0 { &OPEN } else { &GUARDED };
    let answer = service.send(request, data.len());
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains("0123456789abcdef0123456789abcdef"), "a token is told on");
}
