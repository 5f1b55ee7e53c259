//! More than there is room for, on a real socket: what is refused is told so, and nobody keeps others away.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::serve::{exchange, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A problem document as the answer of a connection that ends with it.
fn problem(answer: &str, status: u16, kind: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["type"], &body["status"]),
        (&format!("urn:reasonedit:problem:{kind}").into(), &status.into())
    );
}

fn post(client: &str, length: usize) -> String {
    format!(
        "POST /query HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
    )
}

/// A request whose head was read and whose body is waited for.
async fn begun(address: SocketAddr, client: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(post(client, length).as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    stream
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Until the service ends the connection.
async fn end_of(mut stream: TcpStream) {
    let mut all = Vec::new();
    let ended = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut all)).await;
    assert!(ended.is_ok(), "it is still open");
}

type Started = (SocketAddr, oneshot::Sender<()>, JoinHandle<bool>);

#[tokio::test]
async fn what_hyper_refuses_has_a_document() {
    let (address, _stop, _serving) = start(|_| {}).await;
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    problem(&exchange(&mut connect(address).await, &large).await, 431, "head-too-large");
    for head in
        ["GET / HTTP/1.1\r\nhost localhost\r\n\r\n", "G@T / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02 TLS\r\n\r\n"]
    {
        problem(&exchange(&mut connect(address).await, head).await, 400, "malformed");
    }
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_hears_of_it() {
    let (address, _stop, _serving) = start(|config| config.limits.body_bytes = 1000).await;
    let (mut reading, mut writing) = connect(address).await.into_split();
    let head = post("192.0.2.1", 8 << 20).replace("expect: 100-continue\r\n", "");
    writing.write_all(head.as_bytes()).await.unwrap();
    // As clients do that read nothing before everything is sent.
    writing.write_all(&vec![b' '; 8 << 20]).await.unwrap();
    let mut answer = String::new();
    reading.read_to_string(&mut answer).await.unwrap();
    problem(&answer, 413, "too-large");
}

#[tokio::test]
async fn bodies_without_memory_are_refused_from_the_head() {
    let (address, _stop, _serving) = start(|config| {
        config.limits.body_bytes = 1 << 20;
        config.limits.fetched_image_bytes = 1 << 20;
        config.limits.bodies_in_memory_bytes = 2 << 20;
    })
    .await;
    let _first = begun(address, "192.0.2.1", 1 << 19).await;
    let refused = exchange(&mut connect(address).await, &post("192.0.2.2", 1 << 20)).await;
    problem(&refused, 503, "overloaded");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    begun(address, "192.0.2.2", 1 << 19).await;
}

#[tokio::test]
async fn one_caller_leaves_room_for_another() {
    let (address, _stop, _serving) = start(|config| {
        config.limits.requests = 2;
        config.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    let mut first = begun(address, "192.0.2.1", 2).await;
    let refused = exchange(&mut connect(address).await, &post("192.0.2.1", 2)).await;
    problem(&refused, 429, "rate-limited");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    let mut other = begun(address, "192.0.2.2", 2).await;
    problem(&exchange(&mut other, "{}").await, 422, "invalid");
    problem(&exchange(&mut first, "{}").await, 422, "invalid");
}

#[tokio::test]
async fn one_address_leaves_connections_for_others() {
    let (address, _stop, _serving) = start(|config| config.limits.connections_per_address = 2).await;
    let probe = "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut held = [connect(address).await, connect(address).await];
    let mut refused = String::new();
    connect(address).await.read_to_string(&mut refused).await.unwrap();
    problem(&refused, 503, "overloaded");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(exchange(&mut held[0], probe).await.starts_with("HTTP/1.1 200"));
    // Its place is free once the service has noticed that it has ended.
    loop {
        let mut stream = connect(address).await;
        let mut answer = Vec::new();
        if stream.write_all(probe.as_bytes()).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
        {
            break;
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_trusted_has_all_connections() {
    let (address, _stop, _serving): Started = start(|config| {
        config.limits.connections_per_address = 1;
        config.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    let probe = "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut held = [connect(address).await, connect(address).await, connect(address).await];
    for stream in &mut held {
        assert!(exchange(stream, probe).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_over_http2_ends_its_connection() {
    let (address, stop, serving) = start(|config| config.timeouts.answer_ms = 200).await;
    let mut stream = connect(address).await;
    // `GET /openapi.json`, more than the window that a client begins with, which this one never widens.
    let mut head = b"\x82\x86\x04\x0d/openapi.json\x01\x09localhost".to_vec();
    let mut frame = vec![0, 0, head.len() as u8, 1, 5, 0, 0, 0, 1];
    frame.append(&mut head);
    stream.write_all(&[PREFACE, &frame].concat()).await.unwrap();
    end_of(stream).await;
    stop.send(()).unwrap();
    assert!(serving.await.unwrap(), "nothing is left of it");
}

#[tokio::test]
async fn a_connection_of_http2_that_asks_nothing_is_ended() {
    let (address, _stop, _serving) = start(|config| config.timeouts.header_ms = 100).await;
    let mut stream = connect(address).await;
    stream.write_all(PREFACE).await.unwrap();
    end_of(stream).await;
}
