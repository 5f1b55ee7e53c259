//! Reading request bodies within bounds: bytes of one body, bytes of all bodies in memory, time between two
//! pieces.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::coding::{Incoming, Interrupted, decoded, interruption};
use crate::problem::{Problem, ProblemKind, Result};

/// Memory is counted in units of this many bytes, so that the count fits a semaphore.
const UNIT: usize = 4096;

/// Memory for request bodies, shared by all requests.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    units: Arc<Semaphore>,
    body_bytes: usize,
    idle: Duration,
}

/// A whole request body; its memory counts until it is dropped.
#[derive(Debug)]
pub struct WholeBody {
    /// All of it.
    pub bytes: Bytes,
    /// Kept with whatever was parsed from the body.
    pub held: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// `total` bytes for all bodies, `body_bytes` for one, `idle` between two pieces of one.
    pub fn new(total: usize, body_bytes: usize, idle: Duration) -> Self {
        let units = total.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), body_bytes, idle }
    }

    /// The same memory for all, and no more than this for one.
    #[must_use]
    pub(crate) fn at_most(self, bytes: usize) -> Self {
        Self { body_bytes: self.body_bytes.min(bytes), ..self }
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| {
            Problem::new(ProblemKind::Overloaded, "Too many large requests at a time; try again in a moment.")
        })
    }

    /// Reads a body to its end, without its codings.
    ///
    /// # Errors
    /// 413 above the limit (before reading, where the length is announced), 415 for a coding that is not
    /// decoded, 503 when no memory is left for it, 408 when it stalls, 400 when the connection breaks or the
    /// body is not what its coding says.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<WholeBody> {
        let mut pieces = self.pieces(headers, body, self.body_bytes as u64)?;
        // Only while it is decoded.
        let window = pieces.window.min(self.body_bytes);
        let _window = if window > 0 { Some(self.take(window)?) } else { None };
        // Memory is taken as bytes arrive: a client that announces much and sends nothing blocks no one.
        let mut held: Option<OwnedSemaphorePermit> = None;
        let mut room = 0;
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.next().await? {
            let length = bytes.len() + piece.len();
            if length > room {
                let more = self.take(length - room)?;
                room += more.num_permits() * UNIT;
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(WholeBody { bytes: bytes.freeze(), held })
    }

    /// The pieces of a body of at most `limit` bytes, without its codings: for one that is never held.
    ///
    /// # Errors
    /// 413 where a longer one is announced, 415 for a coding that is not decoded.
    pub fn pieces(&self, headers: &HeaderMap, body: Body, limit: u64) -> Result<Pieces> {
        let Incoming { body, announced, window } = decoded(headers, body, limit)?;
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Pieces { body, idle: self.idle, limit, received: 0, window })
    }
}

/// A body as it arrives, within its bounds.
#[derive(Debug)]
pub struct Pieces {
    body: Body,
    idle: Duration,
    limit: u64,
    received: u64,
    /// Memory in bytes that decoding takes beside what comes out of it.
    window: usize,
}

impl Pieces {
    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// 413 above the limit, 408 when the body stalls, 400 when the connection breaks or the body is not what
    /// its coding says.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = next_piece(&mut self.body, self.idle, self.limit).await?;
        self.received += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.received > self.limit { Err(too_large(self.limit)) } else { Ok(piece) }
    }
}

/// The next piece of a body of at most `limit` bytes, `None` at its end.
///
/// # Errors
/// 408 when it stalls, 400 when the connection breaks or the body is not what its coding says, 413 when more
/// arrives than a body of this limit can be.
pub(crate) async fn next_piece(body: &mut Body, idle: Duration, limit: u64) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame())
            .await
            .map_err(|_| Problem::new(ProblemKind::RequestTimeout, "The request body stopped coming."))?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
                // Trailers hold nothing of use here.
            }
            Some(Err(error)) => {
                return Err(match interruption(&error) {
                    Interrupted::Broken => {
                        let detail = "The request body could not be read to its end.";
                        Problem::new(ProblemKind::Malformed, detail)
                    }
                    Interrupted::Undecodable(coding) => {
                        let detail =
                            format!("The body is not the whole {coding} that its Content-Encoding says.");
                        Problem::new(ProblemKind::Malformed, detail)
                    }
                    Interrupted::TooLarge => too_large(limit),
                });
            }
        }
    }
}

/// The answer to a body above the limit.
fn too_large(limit: u64) -> Problem {
    Problem::new(ProblemKind::TooLarge, format!("The request body is larger than the {limit} bytes allowed."))
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use futures::stream;

    use super::*;

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<std::io::Result<Bytes>> =
            sizes.iter().map(|&size| Ok(Bytes::from(vec![b'x'; size]))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    fn status(result: Result<WholeBody>) -> u16 {
        result.err().map_or(200, |problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn one_body_is_bounded_with_and_without_a_length() {
        let budget = BodyBudget::new(1 << 20, 10_000, Duration::from_secs(5));
        let headers = HeaderMap::new();
        assert_eq!(status(budget.read(&headers, pieces(&[5_000, 5_000])).await), 200);
        assert_eq!(status(budget.read(&headers, pieces(&[5_000, 5_001])).await), 413);
        let mut announced = HeaderMap::new();
        announced.insert(header::CONTENT_LENGTH, "10001".parse().unwrap());
        assert_eq!(
            status(
                budget.read(&announced, Body::from_stream(stream::pending::<std::io::Result<Bytes>>())).await
            ),
            413
        );
    }

    #[tokio::test]
    async fn memory_is_shared_and_given_back() {
        let budget = BodyBudget::new(8 * UNIT, 8 * UNIT, Duration::from_secs(5));
        let headers = HeaderMap::new();
        let first = budget.read(&headers, pieces(&[UNIT, 4 * UNIT])).await.unwrap();
        assert_eq!(first.bytes.len(), 5 * UNIT);
        assert_eq!(status(budget.read(&headers, pieces(&[4 * UNIT])).await), 503);
        assert_eq!(budget.units.available_permits(), 3, "a refused body gives back what it had");
        drop(first);
        assert_eq!(status(budget.read(&headers, pieces(&[8 * UNIT])).await), 200);
        assert_eq!(budget.units.available_permits(), 8);
    }

    #[tokio::test]
    async fn a_stalled_body_is_408() {
        let budget = BodyBudget::new(1 << 20, 1 << 20, Duration::from_millis(20));
        let body = Body::from_stream(stream::pending::<std::io::Result<Bytes>>());
        assert_eq!(status(budget.read(&HeaderMap::new(), body).await), 408);
    }

    #[tokio::test]
    async fn a_broken_body_is_400() {
        let budget = BodyBudget::new(1 << 20, 1 << 20, Duration::from_secs(5));
        let body = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]));
        assert_eq!(status(budget.read(&HeaderMap::new(), body).await), 400);
    }
}
