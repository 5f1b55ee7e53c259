//! A client's connection, held to deadlines at its ends: what it sends first, and what it takes.
//!
//! Between these hyper keeps the time of a request's head, and the layers that of the rest. Before hyper
//! knows the protocol, and while an answer waits for its reader, nobody else does.
//!
//! Two more things that only who has the bytes can do: hyper's own refusals get their documents here, and
//! what a refused client is still sending is read and thrown away, since to close on it would reset the
//! connection and take the refusal away from the client.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::exchanges::Exchanges;
use crate::refusal;

/// Bytes after which the protocol is known: the preface of HTTP/2.
const PREFACE: usize = 24;

/// How long a refused client may go on sending, at most.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes that are thrown away at a time.
const DISCARDED: usize = 16 << 10;

/// A refusal in place of one that hyper writes.
#[derive(Debug)]
struct InPlace {
    rest: Bytes,
    /// Bytes of hyper's own.
    length: usize,
}

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
    exchanges: Exchanges,
    in_place: Option<InPlace>,
    /// Until when what the client sends is thrown away; once nothing more is written to it.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    /// A stream on which the protocol must be known after `first`, and which may stall for `stalled`.
    pub(crate) fn new(stream: S, first: Duration, stalled: Duration, exchanges: Exchanges) -> Self {
        let first = Some(Box::pin(tokio::time::sleep(first)));
        let (write, in_place, lingering) = (None, None, None);
        Self { stream, read: 0, first, stalled, write, exchanges, in_place, lingering }
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

impl<S: AsyncWrite + Unpin> TimedStream<S> {
    /// Writes a problem document where these bytes are one of hyper's own refusals; `None` where they are
    /// not.
    fn poll_in_place(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.in_place.is_none() && self.exchanges.none() {
            let rest = refusal::in_place_of(bytes)?;
            // Of what it refuses hyper reads nothing more.
            self.exchanges.left_unread();
            self.in_place = Some(InPlace { rest, length: bytes.len() });
        }
        let InPlace { rest, length } = self.in_place.as_mut()?;
        while !rest.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => drop(rest.split_to(written)),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        let length = *length;
        self.in_place = None;
        Some(Poll::Ready(Ok(length)))
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.poll_in_place(cx, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        };
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // hyper's own refusals are one piece.
        let alone = if let [only] = pieces { self.poll_in_place(cx, only) } else { None };
        let written = match alone {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, pieces),
        };
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.exchanges.has_unread() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER.min(self.stalled))));
        }
        let mut discarded = [MaybeUninit::uninit(); DISCARDED];
        loop {
            let over = self.lingering.as_mut().is_none_or(|until| until.as_mut().poll(cx).is_ready());
            let mut discarded = ReadBuf::uninit(&mut discarded);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut discarded);
            match read {
                Poll::Ready(Ok(())) if !over && !discarded.filled().is_empty() => {}
                Poll::Pending if !over => return Poll::Pending,
                // It has gone, or has had its time.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
