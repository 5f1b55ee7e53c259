//! What is under way on a connection: requests, and answers that the client has not taken.
//!
//! hyper asks a body for nothing while the client has no room for it, above all over HTTP/2: no timer within
//! a body would run out then. So each piece of an answer says how long it may take, and who watches over the
//! connection asks whether one has taken longer.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use reasonedit_http::answers::AnswerPermit;
use tokio::time::Instant;

/// How long clients may take over what they are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerTimes {
    /// Over an answer.
    pub(crate) whole: Duration,
    /// Over a piece of one that is made as it is sent.
    pub(crate) piece: Duration,
}

/// Requests and answers of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Exchanges {
    state: Arc<Mutex<State>>,
    times: AnswerTimes,
}

#[derive(Debug)]
struct State {
    /// Requests whose answers have not been taken.
    open: usize,
    /// Since when there is none.
    quiet_since: Instant,
    /// Until when what has been handed out must have been taken.
    due: BTreeSet<(Instant, u64)>,
    /// Numbers of these, since two may be due at one time.
    next: u64,
    /// Whether some request's body was not read to its end.
    unread: bool,
}

/// A request until its answer has been taken.
#[derive(Debug)]
pub(crate) struct Exchange(Arc<Mutex<State>>);

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open -= 1;
        state.quiet_since = Instant::now();
    }
}

/// Something that was handed out, until it has been taken.
#[derive(Debug)]
struct Due {
    state: Arc<Mutex<State>>,
    at: (Instant, u64),
}

impl Drop for Due {
    fn drop(&mut self) {
        self.state.lock().due.remove(&self.at);
    }
}

impl Exchanges {
    /// None yet.
    pub(crate) fn new(times: AnswerTimes) -> Self {
        let state =
            State { open: 0, quiet_since: Instant::now(), due: BTreeSet::new(), next: 0, unread: false };
        Self { state: Arc::new(Mutex::new(state)), times }
    }

    /// A request has come.
    pub(crate) fn begin(&self) -> Exchange {
        self.state.lock().open += 1;
        Exchange(Arc::clone(&self.state))
    }

    /// The body of a request is of no more interest, though it has not come to its end.
    pub(crate) fn left_unread(&self) {
        self.state.lock().unread = true;
    }

    /// Whether clients may still be sending what nobody reads.
    pub(crate) fn has_unread(&self) -> bool {
        self.state.lock().unread
    }

    /// Whether nothing is under way.
    pub(crate) fn none(&self) -> bool {
        self.state.lock().open == 0
    }

    /// Whether the client has not taken in time what it was sent.
    pub(crate) fn overdue(&self, now: Instant) -> bool {
        self.state.lock().due.first().is_some_and(|(at, _)| *at <= now)
    }

    /// How long nothing has been under way.
    pub(crate) fn quiet(&self, now: Instant) -> Duration {
        let state = self.state.lock();
        if state.open > 0 { Duration::ZERO } else { now.saturating_duration_since(state.quiet_since) }
    }

    fn due(&self, after: Duration) -> Due {
        let mut state = self.state.lock();
        let at = (Instant::now() + after, state.next);
        state.next += 1;
        state.due.insert(at);
        Due { state: Arc::clone(&self.state), at }
    }

    /// The answer to a request, held to its time from now on; its memory is kept until it has been taken.
    pub(crate) fn answer(&self, exchange: Exchange, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        let permit: Option<AnswerPermit> = parts.extensions.remove();
        // Those with memory of their own are whole, even if they are compressed while they are sent.
        let whole = permit.is_some() || body.size_hint().exact().is_some();
        let held =
            Held { _exchange: exchange, _permit: permit, _due: whole.then(|| self.due(self.times.whole)) };
        let body = TimedBody { body, held: Arc::new(held), exchanges: self.clone(), whole };
        Response::from_parts(parts, Body::new(body))
    }
}

/// What lasts as long as an answer.
#[derive(Debug)]
struct Held {
    _exchange: Exchange,
    _permit: Option<AnswerPermit>,
    _due: Option<Due>,
}

/// A piece with what lasts as long as it does: hyper drops it once it has been written.
struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
    _due: Option<Due>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body whose pieces are held to their times.
struct TimedBody {
    body: Body,
    held: Arc<Held>,
    exchanges: Exchanges,
    whole: bool,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        Pin::new(&mut this.body).poll_frame(cx).map_ok(|frame| {
            frame.map_data(|bytes| {
                let due = (!this.whole).then(|| this.exchanges.due(this.exchanges.times.piece));
                Bytes::from_owner(Piece { bytes, _held: Arc::clone(&this.held), _due: due })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use futures::stream;
    use reasonedit_http::answers::AnswerMemory;
    use reasonedit_resilience::MemoryBudget;

    use super::*;

    const TIMES: AnswerTimes =
        AnswerTimes { whole: Duration::from_secs(100), piece: Duration::from_secs(10) };

    async fn frame(response: &mut Response) -> Option<Bytes> {
        let body = response.body_mut();
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_whole_answer_has_a_time_and_its_memory_until_the_last_byte_is_taken() {
        let budget = MemoryBudget::new(1 << 20, Duration::ZERO);
        let exchanges = Exchanges::new(TIMES);
        let mut response = "answer".into_response();
        response.extensions_mut().insert(AnswerMemory::new(budget.clone()).take(1 << 19).unwrap());
        let mut response = exchanges.answer(exchanges.begin(), response);
        let mut piece = frame(&mut response).await.unwrap();
        drop(response);
        assert!(!exchanges.overdue(after(50)) && exchanges.quiet(after(50)).is_zero());
        let rest = piece.split_off(3);
        drop(piece);
        assert_eq!((exchanges.overdue(after(100)), budget.free()), (true, 1 << 19));
        drop(rest);
        assert_eq!((exchanges.overdue(after(100)), budget.free()), (false, 1 << 20));
        assert!(exchanges.none() && exchanges.quiet(after(5)) >= Duration::from_secs(5));
    }

    #[tokio::test]
    async fn each_piece_of_a_stream_has_a_time_and_the_stream_has_none() {
        let exchanges = Exchanges::new(TIMES);
        let pieces = stream::iter(["a", "b"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece))));
        let response = Body::from_stream(pieces).into_response();
        let mut response = exchanges.answer(exchanges.begin(), response);
        assert!(!exchanges.overdue(after(1000)), "nothing was handed out");
        let first = frame(&mut response).await.unwrap();
        assert!(!exchanges.overdue(after(5)) && exchanges.overdue(after(10)));
        drop(first);
        assert!(!exchanges.overdue(after(1000)), "it has been taken");
        let second = frame(&mut response).await.unwrap();
        assert!(exchanges.overdue(after(10)));
        drop(second);
        assert!(frame(&mut response).await.is_none());
        assert!(exchanges.quiet(after(1000)).is_zero());
        drop(response);
        assert!(exchanges.none());
    }
}
