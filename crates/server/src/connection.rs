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
mod tests;
