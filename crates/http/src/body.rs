//! Reading request bodies within bounds: bytes of one body, bytes of all bodies in memory, time between two
//! pieces.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use reasonedit_resilience::{MemoryBudget, MemoryPermit, blocking};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::coding::{Incoming, Interrupted, decoded, interruption};
use crate::problem::{Problem, ProblemKind, Result};
use crate::room::{Room, no_room};

/// What a body takes, in bodies: beside it there is what is made of it, as the text of its JSON beside the
/// picture that this is the base64 of.
pub const COPIES: u64 = 2;
/// Bytes that a body of unknown length begins with.
const FIRST_BYTES: usize = 16 << 10;
/// Part of the time between two pieces for which the memory of a body is kept that doesn't come: a whole
/// picture comes within it, and who only announces keeps nobody else away.
const SET_ASIDE: u32 = 4;
/// Bodies above this many bytes are parsed beside the async threads.
const LONG_TO_PARSE: usize = 64 << 10;

/// Memory for request bodies, shared by all requests.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    memory: MemoryBudget,
    body_bytes: usize,
    idle: Duration,
    /// Large bodies that are parsed at a time: as many as there are cores, so that others get a turn.
    parsing: Arc<Semaphore>,
}

/// A whole request body; its memory counts until it is dropped.
#[derive(Debug)]
pub struct WholeBody {
    /// All of it.
    pub bytes: Bytes,
    /// Kept with whatever was parsed from the body.
    pub held: Option<MemoryPermit>,
}

impl BodyBudget {
    /// `memory` for all bodies, `body_bytes` for one, `idle` between two pieces of one.
    pub fn new(memory: MemoryBudget, body_bytes: usize, idle: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { memory, body_bytes, idle, parsing: Arc::new(Semaphore::new(cores)) }
    }

    /// The same memory for all, and no more than this for one.
    #[must_use]
    pub(crate) fn at_most(self, bytes: usize) -> Self {
        Self { body_bytes: self.body_bytes.min(bytes), ..self }
    }

    /// The same out of a part of the memory.
    #[must_use]
    pub(crate) fn within(self, memory: MemoryBudget) -> Self {
        Self { memory, ..self }
    }

    /// Memory for so many bytes of a body and for what is made of them.
    fn take(&self, bytes: usize) -> Result<MemoryPermit> {
        self.memory.take_now((bytes as u64).saturating_mul(COPIES)).map_err(no_room)
    }

    /// Reads a body to its end, without its codings. Memory for what the head announces is taken before
    /// anything is read, so that who has to be refused is refused at once.
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
        let announced = pieces.announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut held = announced.map(|length| self.take(length)).transpose()?;
        // What nobody has written to takes no memory yet.
        let mut bytes = BytesMut::with_capacity(announced.unwrap_or_default());
        let mut room = bytes.capacity();
        let set_aside = Instant::now() + self.idle / SET_ASIDE;
        let mut waiting = held.is_some();
        loop {
            let piece = if waiting {
                let Ok(piece) = tokio::time::timeout_at(set_aside, pieces.next()).await else {
                    waiting = false;
                    room = bytes.len();
                    if let Some(held) = &mut held {
                        held.shrink_to((room as u64).saturating_mul(COPIES));
                    }
                    continue;
                };
                piece?
            } else {
                pieces.next().await?
            };
            let Some(piece) = piece else { break };
            let length = bytes.len() + piece.len();
            if length > room {
                // From here on as it arrives; where no length is known twice as much as there was, so that
                // it is seldom moved.
                let wanted = if announced.is_some() { length } else { length.max(2 * room).max(FIRST_BYTES) };
                let more = self.take(wanted.min(self.body_bytes.max(length)) - room)?;
                room += usize::try_from(more.bytes() / COPIES).unwrap_or(usize::MAX);
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
                if announced.is_none() {
                    bytes.reserve(room - bytes.len());
                }
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(WholeBody { bytes: bytes.freeze(), held })
    }

    /// Makes something of a whole body; where that takes long, beside the async threads, and no more at a
    /// time than there are cores. The body's memory counts meanwhile whatever becomes of the request, and
    /// what is made of it as far as that is more than its bytes.
    ///
    /// # Errors
    /// What `parse` says, and [`Room::weigh`] to it; 500 when it panics.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        body: WholeBody,
        parse: impl FnOnce(Bytes, &mut Room<'_>) -> Result<T> + Send + 'static,
    ) -> Result<(T, Option<MemoryPermit>)> {
        let WholeBody { bytes, mut held } = body;
        let length = bytes.len();
        let memory = self.memory.clone();
        let parse = move || {
            let mut room = Room::of(&memory, bytes.len());
            let value = parse(bytes, &mut room)?;
            match (&mut held, room.into_permit()) {
                (Some(held), Some(more)) => held.merge(more),
                (held, more) => *held = held.take().or(more),
            }
            Ok((value, held))
        };
        if length < LONG_TO_PARSE {
            return parse();
        }
        // Never closed, so a turn always comes.
        let turn = Arc::clone(&self.parsing).acquire_owned().await.ok();
        blocking(move || {
            let _turn = turn;
            parse()
        })
        .await
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
        Ok(Pieces { body, idle: self.idle, limit, received: 0, window, announced })
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
    /// The length that the head announces, if it is that of what is read.
    announced: Option<u64>,
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
                        let or = match coding {
                            "zstd" => ", or asks for a window of more than 8 MiB (--long, --ultra)",
                            _ => "",
                        };
                        let detail =
                            format!("The body is not the whole {coding} that its Content-Encoding says{or}.");
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
    use futures::{StreamExt as _, stream};

    use super::*;

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<std::io::Result<Bytes>> =
            sizes.iter().map(|&size| Ok(Bytes::from(vec![b'x'; size]))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    const UNIT: usize = 4096;

    fn budget(total: usize, body_bytes: usize, idle: Duration) -> BodyBudget {
        BodyBudget::new(MemoryBudget::new(total as u64, Duration::ZERO), body_bytes, idle)
    }

    fn announcing(length: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers
    }

    fn stalled() -> Body {
        Body::from_stream(stream::pending::<std::io::Result<Bytes>>())
    }

    fn status(result: Result<WholeBody>) -> u16 {
        result.err().map_or(200, |problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn one_body_is_bounded_with_and_without_a_length() {
        let budget = budget(1 << 20, 10_000, Duration::from_secs(5));
        let headers = HeaderMap::new();
        assert_eq!(status(budget.read(&headers, pieces(&[5_000, 5_000])).await), 200);
        assert_eq!(status(budget.read(&headers, pieces(&[5_000, 5_001])).await), 413);
        assert_eq!(status(budget.read(&announcing(10_001), stalled()).await), 413);
    }

    #[tokio::test]
    async fn memory_is_shared_and_given_back() {
        let budget = budget(16 * UNIT, 8 * UNIT, Duration::from_secs(5));
        let free = || budget.memory.free() / UNIT as u64;
        // Where no length is known room for more is made than comes.
        for (headers, left) in [(HeaderMap::new(), 0), (announcing(5 * UNIT), 6)] {
            let first = budget.read(&headers, pieces(&[UNIT, 4 * UNIT])).await.unwrap();
            assert_eq!((first.bytes.len(), free()), (5 * UNIT, left));
            assert_eq!(status(budget.read(&HeaderMap::new(), pieces(&[4 * UNIT])).await), 503);
            assert_eq!(free(), left, "a refused body gives back what it had");
            drop(first);
            assert_eq!(status(budget.read(&headers, pieces(&[4 * UNIT, UNIT])).await), 200);
            assert_eq!(free(), 16);
        }
    }

    #[tokio::test]
    async fn who_announces_too_much_is_refused_before_anything_is_read() {
        let budget = budget(16 * UNIT, 8 * UNIT, Duration::from_hours(1));
        let _held = budget.read(&HeaderMap::new(), pieces(&[UNIT])).await.unwrap();
        assert_eq!(status(budget.read(&announcing(8 * UNIT), stalled()).await), 503);
    }

    #[tokio::test]
    async fn what_is_announced_and_does_not_come_is_given_to_others() {
        let budget = budget(16 * UNIT, 8 * UNIT, Duration::from_secs(2));
        let first = stream::iter([std::io::Result::Ok(Bytes::from(vec![b'x'; UNIT]))]);
        let slow = Body::from_stream(first.chain(stream::pending()));
        let headers = announcing(8 * UNIT);
        let mut slow = Box::pin(budget.read(&headers, slow));
        assert!(futures::poll!(&mut slow).is_pending());
        assert_eq!(budget.memory.free(), 0);
        while budget.memory.free() == 0 {
            let more = tokio::time::timeout(Duration::from_millis(20), &mut slow).await;
            assert!(more.is_err(), "it has ended: {more:?}");
        }
        assert_eq!(budget.memory.free(), 14 * UNIT as u64);
        assert_eq!(status(budget.read(&announcing(7 * UNIT), pieces(&[7 * UNIT])).await), 200);
        assert_eq!(status(slow.await), 408);
    }

    #[tokio::test]
    async fn large_bodies_are_parsed_with_their_memory_held() {
        let budget = budget(1 << 20, 1 << 20, Duration::from_secs(5));
        for size in [10, LONG_TO_PARSE] {
            let body = budget.read(&announcing(size), pieces(&[size])).await.unwrap();
            let (length, held) = budget.parse(body, |bytes, _| Ok(bytes.len())).await.unwrap();
            assert!(length == size && held.is_some_and(|held| held.bytes() >= COPIES * size as u64));
            assert_eq!(budget.memory.free(), 1 << 20);
        }
        let body = budget.read(&announcing(LONG_TO_PARSE), pieces(&[LONG_TO_PARSE])).await.unwrap();
        let lost = budget.parse(body, |_, _| -> Result<()> { panic!("no") }).await.unwrap_err();
        assert_eq!((lost.status().as_u16(), budget.memory.free()), (500, 1 << 20));
    }

    #[tokio::test]
    async fn a_stalled_body_is_408() {
        let budget = budget(1 << 20, 1 << 20, Duration::from_millis(20));
        assert_eq!(status(budget.read(&HeaderMap::new(), stalled()).await), 408);
    }

    #[tokio::test]
    async fn a_broken_body_is_400() {
        let budget = budget(1 << 20, 1 << 20, Duration::from_secs(5));
        let body = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]));
        assert_eq!(status(budget.read(&HeaderMap::new(), body).await), 400);
    }
}
