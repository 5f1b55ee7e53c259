//! A real socket: requests that stall, requests that run while the service stops.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reasonedit_server::{Server, ServerConfig, ServerError};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::get;
use crate::model::server_on;

pub(crate) async fn start(
    change: impl FnOnce(&mut ServerConfig),
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<bool>) {
    let mut config =
        ServerConfig { bind: SocketAddr::from(([127, 0, 0, 1], 0)).into(), ..ServerConfig::default() };
    change(&mut config);
    let (server, slot) = Server::new(config).unwrap();
    let listener = server.bind().await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let _slot = slot;
        server.serve(listener, async { drop(stopped.await) }).await
    });
    (address, stop, serving)
}

pub(crate) async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (address, _stop, _serving) = start(|_| {}).await;
    let (second, _slot) =
        Server::new(ServerConfig { bind: address.into(), ..ServerConfig::default() }).unwrap();
    let error = second.bind().await.unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_running_request_ends_before_the_service_does() {
    let (address, stop, serving) = start(|_| {}).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The head is in, the body is not: the request is being worked on.
    let head = "POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    stop.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = exchange(&mut stream, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    assert!(serving.await.unwrap(), "everything ended in time");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let (address, stop, serving) = start(|config| config.timeouts.shutdown_grace_ms = 50).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    stop.send(()).unwrap();
    assert!(!serving.await.unwrap());
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let (address, stop, serving) = start(|_| {}).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stop.send(()).unwrap();
    assert!(serving.await.unwrap());
}

#[tokio::test]
async fn slow_heads_and_bodies_are_not_waited_for() {
    let (address, _stop, _serving) = start(|config| {
        config.timeouts.header_ms = 100;
        config.timeouts.body_idle_ms = 100;
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, "GET /health/live HTTP/1.1\r\nhost:").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /edits HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\
                connection: close\r\n\r\n{";
    let answer = exchange(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json"));
}

#[tokio::test]
async fn a_request_past_its_deadline_is_answered_504() {
    let (address, _stop, _serving) = start(|config| config.timeouts.request_ms = 100).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /edits HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\
                connection: close\r\n\r\n{";
    let answer = exchange(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once() {
    let (address, _stop, _serving) = start(|config| config.limits.requests = 1).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let head = "POST /edits HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                expect: 100-continue\r\nconnection: close\r\n\r\n";
    first.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    first.read_exact(&mut go_on).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let answer =
        exchange(&mut second, "GET /edits HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    let mut probe = TcpStream::connect(address).await.unwrap();
    let answer =
        exchange(&mut probe, "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "probes are answered all the same: {answer}");
    assert!(exchange(&mut first, "{}").await.starts_with("HTTP/1.1 422"));
}

#[tokio::test]
async fn without_tokens_other_machines_are_let_in_only_on_request() {
    let config = ServerConfig { bind: "0.0.0.0:0".parse().unwrap(), ..ServerConfig::default() };
    let (open, _slot) = Server::new(config.clone()).unwrap();
    let error = open.bind().await.unwrap_err();
    assert!(matches!(error, ServerError::Open { .. }));
    for word in ["server.auth_tokens", "--insecure-no-auth", "127.0.0.1"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    for allowed in [
        ServerConfig { auth_tokens: vec!["t".to_owned()], ..config.clone() },
        ServerConfig { insecure_no_auth: true, ..config },
    ] {
        let (server, _slot) = Server::new(allowed).unwrap();
        assert!(server.bind().await.is_ok());
    }
}

#[tokio::test]
async fn silent_connections_take_the_place_of_others_for_a_while_only() {
    let (address, _stop, _serving) = start(|config| {
        config.timeouts.header_ms = 200;
        config.limits.connections = 4;
    })
    .await;
    let mut silent = Vec::new();
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    let mut probe = TcpStream::connect(address).await.unwrap();
    let asked =
        exchange(&mut probe, "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for stream in &mut silent {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let (address, _stop, _serving) = start(|_| {}).await;
    for (head, code) in [
        ("GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health/live HTTP/1.0\r\n\r\n", "200"),
        ("GET http://evil.example/edits HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "403"),
    ] {
        let answer = exchange(&mut TcpStream::connect(address).await.unwrap(), head).await;
        assert_eq!(answer.get(9..12), Some(code), "{head}{answer}");
        assert_eq!(answer.contains("application/problem+json"), code != "200", "{answer}");
    }
}

#[tokio::test]
async fn who_guesses_tokens_has_to_wait_and_others_beside_do_not() {
    let (address, _stop, _serving) = start(|config| {
        config.auth_tokens = vec!["ward".to_owned(), "other".to_owned()];
        config.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    let ask = async |client: &str, token: &str| {
        let head = format!(
            "GET /edits HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n\
             authorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        exchange(&mut TcpStream::connect(address).await.unwrap(), &head).await
    };
    // Without an editor yet a right token finds the service not ready.
    assert!(ask("192.0.2.1", "ward").await.starts_with("HTTP/1.1 503"));
    for guess in 0..10 {
        assert!(ask("192.0.2.1", &format!("guess{guess}")).await.starts_with("HTTP/1.1 401"));
    }
    let refused = ask("192.0.2.1", "other").await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("too-many-attempts"), "{refused}");
    assert!(ask("192.0.2.1", "ward").await.starts_with("HTTP/1.1 503"), "it was right before");
    assert!(ask("192.0.2.2", "other").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn probes_have_an_address_of_their_own_where_nothing_else_is_answered() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig { bind: any.into(), health_bind: Some(any.into()), ..ServerConfig::default() };
    let (server, _slot) = Server::new(config).unwrap();
    let probes = server.probes().await.unwrap().unwrap();
    let address = probes.address();
    let ask = async |method: &str, path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        exchange(&mut stream, &format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
            .await
    };
    let live = ask("GET", "/health/live").await;
    assert!(live.starts_with("HTTP/1.1 200") && live.contains("live"), "{live}");
    assert!(ask("GET", "/health/ready").await.starts_with("HTTP/1.1 503"), "there is no model");
    for (method, path) in [("GET", "/edits"), ("GET", "/"), ("POST", "/query"), ("POST", "/health/live")] {
        let refused = ask(method, path).await;
        assert!(refused.starts_with("HTTP/1.1 404") && refused.contains("urn:reasonedit"), "{refused}");
    }
    // A monitor that is stuck keeps no other one away, and the end waits for none.
    let mut stuck = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health/live HT").await.unwrap();
        stuck.push(stream);
    }
    let answered = tokio::time::timeout(Duration::from_secs(5), ask("GET", "/health/live")).await;
    assert!(answered.unwrap().starts_with("HTTP/1.1 200"));
    let config = ServerConfig { health_bind: Some(address.into()), ..ServerConfig::default() };
    assert!(
        matches!(Server::new(config).unwrap().0.probes().await, Err(ServerError::Bind { .. })),
        "it is taken"
    );
    tokio::task::spawn_blocking(move || drop(probes)).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let (silent, _slot) = Server::new(ServerConfig::default()).unwrap();
    assert!(silent.probes().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_that_the_service_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    let router = server.router();
    assert_eq!(get(&router, "/health/ready").await.code(), 200);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    assert!(server.serve(listener, async {}).await);
    let ready = get(&router, "/health/ready").await;
    assert_eq!((ready.code(), &ready.json()["status"]), (503, &json!("stopping")));
    assert_eq!(get(&router, "/health/live").await.code(), 200);
    editor.shutdown().await;
}
