//! A client's connection, held to deadlines at its ends: what it sends first, and what it takes.
//!
//! Between these hyper keeps the time of a request's head, and the layers that of the rest. Before hyper
//! knows the protocol, and while an answer waits for its reader, nobody else does.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes after which the protocol is known: the preface of HTTP/2.
const PREFACE: usize = 24;

/// A stream whose client has to say something, and to take what it is sent.
#[derive(Debug)]
pub(crate) struct TimedStream<S> {
    stream: S,
    /// Bytes read, up to those of the preface.
    read: usize,
    /// Until when these must have come; `None` once they have, or something was answered.
    first: Option<Pin<Box<Sleep>>>,
    /// How long the client may take nothing.
    stalled: Duration,
    /// Until when it must take something; only while it doesn't.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    /// A stream on which the protocol must be known after `first`, and which may stall for `stalled`.
    pub(crate) fn new(stream: S, first: Duration, stalled: Duration) -> Self {
        Self { stream, read: 0, first: Some(Box::pin(tokio::time::sleep(first))), stalled, write: None }
    }

    /// What writing came to; a client that takes nothing for too long is given up.
    fn timed<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            (self.write, self.first) = (None, None);
            return written;
        }
        let until = Instant::now() + self.stalled;
        let deadline = self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = read {
            self.read = (self.read + buffer.filled().len() - before).min(PREFACE);
            if self.read == PREFACE {
                self.first = None;
            }
        }
        match (&mut self.first, read) {
            (Some(deadline), Poll::Pending) => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")))
            }
            (_, read) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const FIRST: Duration = Duration::from_millis(150);
    const STALLED: Duration = Duration::from_millis(200);

    fn pair() -> (tokio::io::DuplexStream, TimedStream<tokio::io::DuplexStream>) {
        let (client, server) = duplex(64);
        (client, TimedStream::new(server, FIRST, STALLED))
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
}
