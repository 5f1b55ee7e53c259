//! The bounded queue: places, and what goes first by its urgency.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::config::EngineConfig;
use crate::error::{EngineError, Result};
use crate::lane::{GenerationPlaces, Lane};
use crate::request::{CallOptions, Flow, Priority};
use crate::stats::{Counters, count};
use crate::work::{Batch, Request};

/// After so many batches of interactive work in a row, waiting background work gets one: it is slow under
/// load, but never starves.
const INTERACTIVE_STREAK: u32 = 16;
/// How long a caller counts as one who asks, after the last request: a person reads an answer before the next
/// question, but a question asks the model several times.
const ASKING: Duration = Duration::from_secs(2);
/// How long background work is held back behind interactive work: a question asks the model several times,
/// and comes back within this time. Without it each of these times would wait for a batch in the background.
const HELD_BACK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    interactive: Lane,
    background: Lane,
    /// Places held by callers who prepare.
    reserved: usize,
    closed: bool,
    /// Nobody will take anything any more.
    dead: bool,
    /// Interactive batches taken in a row while background work waited.
    streak: u32,
    /// The batch that was taken last is interactive.
    urgent: bool,
    /// Until when background work is held back.
    held_until: Option<Instant>,
    /// Who waits or waited for interactive work of late, and when they came last.
    asked: HashMap<Flow, Instant>,
}

impl State {
    fn depth(&self) -> usize {
        self.interactive.len() + self.background.len() + self.reserved
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Background => &mut self.background,
        }
    }

    /// Whether several callers ask: their batches are short then, so that none waits long for another's.
    fn is_shared(&mut self, now: Instant) -> bool {
        self.asked.retain(|_, at| now.saturating_duration_since(*at) < ASKING);
        self.asked.len() > 1
    }

    /// Notes that this batch is one that someone waits for.
    fn urgent(&mut self, batch: Batch) -> Batch {
        self.urgent = true;
        self.streak = if self.background.is_empty() { 0 } else { self.streak + 1 };
        batch
    }

    /// Takes out the requests nobody waits for.
    fn skip_abandoned(&mut self, counters: &Counters) {
        let now = Instant::now();
        let abandoned = |request: &Request| {
            request.options.deadline.is_some_and(|d| d <= now) || request.work.caller_gone()
        };
        for lane in [&mut self.interactive, &mut self.background] {
            for request in lane.remove(abandoned) {
                count(&counters.skipped, 1);
                request.work.fail(EngineError::DeadlineExceeded);
            }
        }
    }
}

/// What the worker finds.
pub(super) enum Next {
    /// Work.
    Batch(Batch),
    /// Nothing now; by then there may be, though nothing comes.
    Idle(Option<Instant>),
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

    /// The next batch of at most about as many tokens as the configuration has for its urgency; begins
    /// generations as far as there are places. `replying`: replies that someone waits for go on meanwhile.
    pub(super) fn next(&self, config: &EngineConfig, places: &mut GenerationPlaces, replying: bool) -> Next {
        let (mut state, now) = (self.state.lock(), Instant::now());
        if std::mem::take(&mut state.urgent) || replying {
            state.held_until = Some(now + HELD_BACK);
        }
        state.skip_abandoned(&self.counters);
        let background_first = state.streak >= INTERACTIVE_STREAK;
        let most = if state.is_shared(now) { config.shared_batch_tokens } else { config.batch_tokens };
        let most = most.min(config.batch_tokens);
        if !background_first && let Some(batch) = state.interactive.take(most, places) {
            return Next::Batch(state.urgent(batch));
        }
        let held_until = state.held_until.filter(|until| *until > now && !background_first);
        if !state.background.is_empty() && held_until.is_some() {
            // A step of the replies is work that goes first, as a batch is.
            state.streak += u32::from(replying);
            return Next::Idle(held_until);
        }
        let budget = config.background_batch_tokens.min(config.batch_tokens);
        if let Some(batch) = state.background.take(budget, places) {
            state.streak = 0;
            return Next::Batch(batch);
        }
        state.streak = 0;
        if let Some(batch) = state.interactive.take(most, places) {
            return Next::Batch(state.urgent(batch));
        }
        if state.closed && state.depth() == 0 { Next::Closed } else { Next::Idle(None) }
    }

    /// Waits until something has come, the queue is closed, or it is this late.
    pub(super) fn wait(&self, until: Option<Instant>) {
        let mut state = self.state.lock();
        if let Some(until) = until {
            while state.interactive.is_empty() && !(state.closed && state.reserved == 0) {
                if self.wake.wait_until(&mut state, until).timed_out() {
                    return;
                }
            }
            return;
        }
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
        state.lane(priority).put_back(request);
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
        let mut all = state.interactive.remove(|_| true);
        all.extend(state.background.remove(|_| true));
        drop(state);
        for request in all {
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
        let CallOptions { priority, flow, .. } = request.options;
        if priority == Priority::Interactive {
            state.asked.insert(flow, Instant::now());
        }
        state.lane(priority).push(request);
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
