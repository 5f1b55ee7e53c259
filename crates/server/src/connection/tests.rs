use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::exchanges::AnswerTimes;

const FIRST: Duration = Duration::from_millis(150);
const STALLED: Duration = Duration::from_millis(200);

fn pair() -> (tokio::io::DuplexStream, TimedStream<tokio::io::DuplexStream>) {
    let (client, server) = duplex(64);
    (client, TimedStream::new(server, FIRST, STALLED, exchanges()))
}

fn exchanges() -> Exchanges {
    Exchanges::new(AnswerTimes { whole: STALLED, piece: STALLED })
}

#[tokio::test]
async fn a_client_that_says_too_little_is_given_up() {
    for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let (mut client, mut server) = pair();
        client.write_all(sent).await.unwrap();
        let began = Instant::now();
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((error.kind(), all.as_slice()), (io::ErrorKind::TimedOut, sent));
        assert!(began.elapsed() >= FIRST);
    }
}

#[tokio::test]
async fn what_comes_after_the_first_bytes_is_others_business() {
    let (mut client, mut server) = pair();
    client.write_all(&[b'a'; PREFACE]).await.unwrap();
    let mut bytes = [0; PREFACE];
    server.read_exact(&mut bytes).await.unwrap();
    assert!(tokio::time::timeout(4 * FIRST, server.read_u8()).await.is_err(), "it waits");
    // A short request that was answered has said enough.
    let (mut client, mut server) = pair();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut bytes = [0; 18];
    server.read_exact(&mut bytes).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    assert!(tokio::time::timeout(4 * FIRST, server.read_u8()).await.is_err(), "it waits");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let (client, mut server) = pair();
    let began = Instant::now();
    let error = server.write_all(&[0; 1000]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() >= STALLED);
    drop(client);
    let (mut client, mut server) = pair();
    let reader = async {
        let mut read = 0;
        while read < 1000 {
            tokio::time::sleep(STALLED / 4).await;
            read += client.read(&mut [0; 50]).await.unwrap();
        }
    };
    let (written, ()) = tokio::join!(server.write_all(&[0; 1000]), reader);
    assert!(written.is_ok());
}

#[tokio::test]
async fn refusals_of_hyper_get_their_document_and_what_looks_alike_does_not() {
    let empty = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let exchanges = exchanges();
    let said = async |busy: bool| {
        let (mut client, server) = duplex(64);
        let mut server = TimedStream::new(server, FIRST, STALLED, exchanges.clone());
        let _exchange = busy.then(|| exchanges.begin());
        let mut told = String::new();
        let writing = async {
            server.write_all(empty).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(writing, client.read_to_string(&mut told));
        read.unwrap();
        told
    };
    assert!(said(false).await.ends_with('}'));
    assert_eq!(said(true).await.as_bytes(), empty);
}

#[tokio::test]
async fn what_a_refused_client_still_sends_is_thrown_away() {
    let exchanges = exchanges();
    let (mut client, server) = duplex(64);
    let mut server = TimedStream::new(server, FIRST, STALLED, exchanges.clone());
    exchanges.left_unread();
    let refused = async {
        server.write_all(b"refused").await.unwrap();
        server.shutdown().await.unwrap();
    };
    let sending = async {
        client.write_all(&[0; 10_000]).await.unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        drop(client);
        told
    };
    assert_eq!(tokio::join!(refused, sending).1, "refused");
}

#[tokio::test]
async fn a_refused_client_that_does_not_end_is_left() {
    let exchanges = exchanges();
    let (_client, server) = duplex(64);
    let mut server = TimedStream::new(server, FIRST, STALLED, exchanges.clone());
    exchanges.left_unread();
    let began = Instant::now();
    server.shutdown().await.unwrap();
    assert!(began.elapsed() >= STALLED);
}
