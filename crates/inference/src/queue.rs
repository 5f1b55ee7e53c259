//! The bounded queue: places, order, and which requests are taken together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use reasonedit_nn::taps::PooledTaps;

use crate::config::EngineConfig;
use crate::error::{EngineError, Result};
use crate::request::{CallOptions, EngineTimes, Priority};
use crate::stats::{Counters, count};
use crate::units::{AskOutput, AskUnit, Begin, ImageUnit, ModelCallUnit, PairUnit, SentenceUnit, Units};

/// After so many batches of interactive work in a row, waiting background work gets one: it is slow under
/// load, but never starves.
const INTERACTIVE_STREAK: u32 = 16;

/// What a request wants.
pub(super) enum Work {
    Images(Units<ImageUnit, PooledTaps>),
    Pairs(Units<PairUnit, PooledTaps>),
    Sentences(Units<SentenceUnit, Vec<f32>>),
    Asks(Units<AskUnit, AskOutput>),
    ModelCalls(Units<ModelCallUnit, ()>),
    Generate(Box<Begin>),
}

/// Kinds of work that are batched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkKind {
    Images,
    Pairs,
    Sentences,
    Asks,
    ModelCalls,
    Generate,
}

impl Work {
    pub(super) fn kind(&self) -> WorkKind {
        match self {
            Self::Images(_) => WorkKind::Images,
            Self::Pairs(_) => WorkKind::Pairs,
            Self::Sentences(_) => WorkKind::Sentences,
            Self::Asks(_) => WorkKind::Asks,
            Self::ModelCalls(_) => WorkKind::ModelCalls,
            Self::Generate(_) => WorkKind::Generate,
        }
    }

    /// Units not yet computed: from where, and the estimated tokens of each.
    fn costs(&self) -> (usize, Vec<usize>) {
        fn rest<U, O>(units: &Units<U, O>, cost: impl Fn(&U) -> usize) -> (usize, Vec<usize>) {
            let from = units.outputs.len();
            (from, units.inputs[from..].iter().map(cost).collect())
        }
        match self {
            Self::Images(units) => rest(units, |u| u.cost),
            Self::Pairs(units) => rest(units, |u| u.cost),
            // About four characters a token.
            Self::Sentences(units) => rest(units, |u| u.0.len() / 4 + 2),
            Self::Asks(units) => rest(units, |u| u.cost),
            Self::ModelCalls(units) => rest(units, |u| u.cost),
            Self::Generate(begin) => (0, vec![begin.unit.cost]),
        }
    }

    fn caller_gone(&self) -> bool {
        match self {
            Self::Images(units) => units.reply.is_closed(),
            Self::Pairs(units) => units.reply.is_closed(),
            Self::Sentences(units) => units.reply.is_closed(),
            Self::Asks(units) => units.reply.is_closed(),
            Self::ModelCalls(units) => units.reply.is_closed(),
            Self::Generate(begin) => begin.events.is_closed(),
        }
    }

    /// Answers with an error; a caller who has gone doesn't hear it.
    pub(super) fn fail(self, error: EngineError) {
        match self {
            Self::Images(units) => drop(units.reply.send(Err(error))),
            Self::Pairs(units) => drop(units.reply.send(Err(error))),
            Self::Sentences(units) => drop(units.reply.send(Err(error))),
            Self::Asks(units) => drop(units.reply.send(Err(error))),
            Self::ModelCalls(units) => drop(units.reply.send(Err(error))),
            Self::Generate(begin) => drop(begin.events.send(Err(error))),
        }
    }
}

/// A request in the queue.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) options: CallOptions,
    pub(super) submitted: Instant,
    pub(super) compute: Duration,
}

impl Request {
    pub(super) fn new(work: Work, options: CallOptions) -> Self {
        Self { work, options, submitted: Instant::now(), compute: Duration::ZERO }
    }

    /// Where its time went up to now.
    pub(super) fn times(&self) -> EngineTimes {
        times(self.submitted, self.compute)
    }
}

/// Splits the time since `submitted` into waiting and computing.
pub(super) fn times(submitted: Instant, compute: Duration) -> EngineTimes {
    let waited = submitted.elapsed().saturating_sub(compute);
    EngineTimes {
        queue_ms: waited.as_secs_f64() * 1e3,
        compute_ms: compute.as_secs_f64() * 1e3,
        prompt_tokens: 0,
    }
}

/// Part of a request that is computed in one batch.
pub(super) struct Share {
    pub(super) request: Request,
    /// Units taken, the first of them being the first that is not yet computed.
    pub(super) units: Range<usize>,
}

/// Requests of one kind that are computed together.
pub(super) struct Batch {
    pub(super) kind: WorkKind,
    pub(super) shares: Vec<Share>,
}

#[derive(Default)]
struct State {
    interactive: VecDeque<Request>,
    background: VecDeque<Request>,
    /// Places held by callers who prepare.
    reserved: usize,
    closed: bool,
    /// Nobody will take anything any more.
    dead: bool,
    /// Interactive batches taken in a row while background work waited.
    streak: u32,
}

impl State {
    fn depth(&self) -> usize {
        self.interactive.len() + self.background.len() + self.reserved
    }

    fn lane(&mut self, priority: Priority) -> &mut VecDeque<Request> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Background => &mut self.background,
        }
    }

    /// Takes out the requests nobody waits for.
    fn skip_abandoned(&mut self, counters: &Counters) {
        let now = Instant::now();
        for lane in [&mut self.interactive, &mut self.background] {
            let mut at = 0;
            while at < lane.len() {
                let request = &lane[at];
                let late = request.options.deadline.is_some_and(|d| d <= now);
                if !late && !request.work.caller_gone() {
                    at += 1;
                } else if let Some(request) = lane.remove(at) {
                    count(&counters.skipped, 1);
                    request.work.fail(EngineError::DeadlineExceeded);
                }
            }
        }
    }

    /// Takes the oldest request of a lane, and what goes together with it.
    fn take(&mut self, priority: Priority, budget: usize, generations: usize) -> Option<Batch> {
        let lane = self.lane(priority);
        let head = lane.iter().position(|r| generations > 0 || r.work.kind() != WorkKind::Generate)?;
        let kind = lane[head].work.kind();
        let (mut left, mut places) = (budget, generations);
        let mut shares = Vec::new();
        let mut at = head;
        while at < lane.len() {
            if lane[at].work.kind() != kind {
                at += 1;
                continue;
            }
            let (from, costs) = lane[at].work.costs();
            let mut taken = 0;
            for cost in costs.iter().copied() {
                // The first unit of a batch is taken whatever it costs: nothing would ever take it otherwise.
                if cost > left && !(shares.is_empty() && taken == 0) {
                    break;
                }
                left = left.saturating_sub(cost);
                taken += 1;
            }
            if kind == WorkKind::Generate {
                if places == 0 {
                    break;
                }
                places -= taken;
            }
            if taken == 0 {
                break;
            }
            let whole = taken == costs.len();
            let Some(request) = lane.remove(at) else { break };
            shares.push(Share { request, units: from..from + taken });
            if !whole {
                break;
            }
        }
        Some(Batch { kind, shares })
    }
}

/// What the worker finds.
pub(super) enum Next {
    /// Work.
    Batch(Batch),
    /// Nothing now.
    Idle,
    /// Nothing, and nothing will come.
    Closed,
}

/// The queue between all handles and the engine's thread.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
    counters: Arc<Counters>,
}

impl Queue {
    pub(super) fn new(capacity: usize, counters: Arc<Counters>) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), capacity, counters }
    }

    /// Requests waiting or being prepared.
    pub(super) fn depth(&self) -> usize {
        self.state.lock().depth()
    }

    /// Requests that wait, those not counted that are still prepared.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.depth() - state.reserved
    }

    /// Whether new requests are refused.
    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Takes a place, to be filled after preparation.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Place> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(EngineError::Closed);
        }
        if state.depth() >= self.capacity {
            state.skip_abandoned(&self.counters);
        }
        if state.depth() >= self.capacity {
            count(&self.counters.refused, 1);
            return Err(EngineError::QueueFull { retry_after: self.counters.retry_after(state.depth()) });
        }
        state.reserved += 1;
        Ok(Place { queue: Arc::clone(self), filled: false })
    }

    /// The next batch of at most about as many tokens as the configuration has for its urgency; begins at
    /// most `generations` generations.
    pub(super) fn next(&self, config: &EngineConfig, generations: usize) -> Next {
        let mut state = self.state.lock();
        state.skip_abandoned(&self.counters);
        let order = if state.streak >= INTERACTIVE_STREAK {
            [Priority::Background, Priority::Interactive]
        } else {
            [Priority::Interactive, Priority::Background]
        };
        for priority in order {
            let budget = match priority {
                Priority::Interactive => config.batch_tokens,
                Priority::Background => config.background_batch_tokens.min(config.batch_tokens),
            };
            if let Some(batch) = state.take(priority, budget, generations) {
                let waits = priority == Priority::Interactive && !state.background.is_empty();
                state.streak = if waits { state.streak + 1 } else { 0 };
                return Next::Batch(batch);
            }
        }
        if state.closed && state.depth() == 0 { Next::Closed } else { Next::Idle }
    }

    /// Waits until something has come or the queue is closed.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while state.interactive.is_empty()
            && state.background.is_empty()
            && !(state.closed && state.reserved == 0)
        {
            self.wake.wait(&mut state);
        }
    }

    /// Puts a request with units left back to where it was.
    pub(super) fn put_back(&self, request: Request) {
        let mut state = self.state.lock();
        let priority = request.options.priority;
        state.lane(priority).push_front(request);
    }

    /// Refuses all new requests; those that hold a place are still served.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    /// Closes, and fails all that waits and all that still comes: the engine's thread ends.
    pub(super) fn fail_all(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.dead = true;
        let all: Vec<Request> = state.interactive.drain(..).collect();
        let rest: Vec<Request> = state.background.drain(..).collect();
        drop(state);
        for request in all.into_iter().chain(rest) {
            request.work.fail(EngineError::Closed);
        }
    }
}

/// A place in the queue; given back when dropped.
pub(super) struct Place {
    queue: Arc<Queue>,
    /// A request took it.
    filled: bool,
}

impl Place {
    /// Puts a request into the place.
    pub(super) fn submit(mut self, request: Request) {
        let mut state = self.queue.state.lock();
        if state.dead {
            drop(state);
            request.work.fail(EngineError::Closed);
            return;
        }
        let priority = request.options.priority;
        state.lane(priority).push_back(request);
        // Under the same lock, so that the request never counts twice.
        state.reserved -= 1;
        drop(state);
        self.filled = true;
        self.queue.wake.notify_all();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.filled {
            return;
        }
        self.queue.state.lock().reserved -= 1;
        // A closed queue may be waiting for just this.
        self.queue.wake.notify_all();
    }
}
