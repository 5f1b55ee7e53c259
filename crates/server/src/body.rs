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
pub(crate) struct BodyBudget {
    units: Arc<Semaphore>,
    body_bytes: usize,
    idle: Duration,
}

/// A whole request body; its memory counts until it is dropped.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    /// Kept with whatever was parsed from the body.
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// `total` bytes for all bodies, `body_bytes` for one, `idle` between two pieces of one.
    pub(crate) fn new(total: usize, body_bytes: usize, idle: Duration) -> Self {
        let units = total.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), body_bytes, idle }
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
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<WholeBody> {
        let limit = self.body_bytes as u64;
        let Incoming { mut body, announced, window } = decoded(headers, body, limit)?;
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        // Only while it is decoded.
        let _window = if window > 0 { Some(self.take(window.min(self.body_bytes))?) } else { None };
        // Memory is taken as bytes arrive: a client that announces much and sends nothing blocks no one.
        let mut held: Option<OwnedSemaphorePermit> = None;
        let mut room = 0;
        let mut bytes = BytesMut::new();
        while let Some(piece) = next_piece(&mut body, self.idle, limit).await? {
            let length = bytes.len() + piece.len();
            if length as u64 > limit {
                return Err(too_large(limit));
            }
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
pub(crate) fn too_large(limit: u64) -> Problem {
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
