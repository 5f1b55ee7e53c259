//! Annotations that wait to become edits, durably: what was acknowledged survives a crash.
//!
//! Label Studio waits one second for a webhook's answer and does not send it again, and an edit may take
//! longer than that; so an event is written down, acknowledged, and worked on after that. What an annotation
//! says last is what counts: events of one annotation that wait together are one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use reasonedit_editor::Library;
use reasonedit_editor::storage::{Journal, MAX_ROW_BYTES, RowKey, StorageResult};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_resilience::Backoff;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Notify;
use ulid::Ulid;

use super::dto::OutcomeDto;
use super::events::{Change, Event, parse_time};

/// What became of this many annotations is kept.
const KEPT: usize = 200;
/// Rows read at a time at the start.
const PAGE: usize = 64;
/// The longest that is waited before an annotation is tried again.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// When an annotation is tried again.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), LONGEST_WAIT);

/// An event that waits, without what it says.
#[derive(Clone, Debug)]
struct Waiting {
    annotation: (String, u64),
    /// Nothing comes after that.
    deleted: bool,
    updated_at: Option<OffsetDateTime>,
    received_at: OffsetDateTime,
    tries: u32,
    not_before: Instant,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(flatten)]
    event: Event,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Ulid, Waiting>,
    ended: VecDeque<(Ulid, OutcomeDto)>,
    ids: ulid::Generator,
}

/// The next thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This event. `outdated`: another of the same annotation says more.
    Work { id: Ulid, outdated: bool },
    /// Nothing until then, or until something comes.
    Idle(Option<Instant>),
}

/// How often and since when an event has been tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) tries: u32,
    pub(super) received_at: OffsetDateTime,
}

/// The queue.
pub(super) struct Queue {
    events: Journal,
    outcomes: Journal,
    limit: usize,
    state: Mutex<State>,
    wake: Notify,
}

impl Queue {
    /// The queue of a library, with what waited when it was left. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn open(library: &Library, limit: usize) -> StorageResult<Self> {
        let queue = Self {
            events: library.journal("label-studio-events"),
            outcomes: library.journal("label-studio-outcomes"),
            limit,
            state: Mutex::default(),
            wake: Notify::new(),
        };
        let mut state = queue.lock();
        let now = Instant::now();
        scan(&queue.events, |id, bytes| match serde_json::from_slice::<Row>(&bytes) {
            Ok(row) => {
                state.waiting.insert(id, waiting(&row.event, row.received_at, now));
            }
            // Perhaps of a later version; it stays where it is.
            Err(error) => tracing::error!(event = %id, %error, "an annotation that waits can't be read"),
        })?;
        scan(&queue.outcomes, |id, bytes| match serde_json::from_slice(&bytes) {
            Ok(outcome) => state.ended.push_back((id, outcome)),
            Err(error) => tracing::error!(event = %id, %error, "what became of an annotation can't be read"),
        })?;
        if !state.waiting.is_empty() {
            tracing::info!(annotations = state.waiting.len(), "annotations wait to become edits");
        }
        drop(state);
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Takes events up: all of them are durable when this returns. Blocks.
    ///
    /// # Errors
    /// 503 when too many wait, 413 for one that is too large, 500 when the disk refuses. What was taken up
    /// before is worked on nevertheless, which repeating it does no harm to.
    pub(super) fn push(&self, events: Vec<Event>) -> Result<()> {
        for event in events {
            if self.lock().waiting.len() >= self.limit {
                return Err(Problem::new(
                    ProblemKind::Overloaded,
                    "Too many annotations wait to become edits.",
                ));
            }
            let received_at = OffsetDateTime::now_utc();
            let row = Row { received_at, event };
            let bytes = serde_json::to_vec(&row).map_err(|error| Problem::internal(&error))?;
            if bytes.len() > MAX_ROW_BYTES {
                return Err(Problem::new(
                    ProblemKind::TooLarge,
                    "The annotation with its task is larger than a megabyte: upload pictures to Label Studio instead of writing them into tasks.",
                ));
            }
            // The generator fails only after 2^80 ids within one millisecond.
            let id = self.lock().ids.generate().unwrap_or_else(|_| Ulid::new());
            self.events.put(id, 0, &bytes)?;
            self.lock().waiting.insert(id, waiting(&row.event, received_at, Instant::now()));
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What is to be done now.
    pub(super) fn next(&self, now: Instant) -> Next {
        let state = self.lock();
        let mut soonest: Option<Instant> = None;
        for (id, event) in &state.waiting {
            let of_same = || state.waiting.iter().filter(|(_, other)| other.annotation == event.annotation);
            // Webhooks may overtake one another.
            let last = of_same()
                .max_by_key(|(id, event)| (event.deleted, event.updated_at, **id))
                .map(|(id, _)| *id);
            if let Some((id, _)) = of_same().find(|(id, other)| Some(**id) != last && other.not_before <= now)
            {
                return Next::Work { id: *id, outdated: true };
            }
            if event.not_before <= now {
                return Next::Work { id: *id, outdated: false };
            }
            soonest = Some(soonest.map_or(event.not_before, |at| at.min(event.not_before)));
        }
        Next::Idle(soonest)
    }

    /// Waits until something new is to be done, or `until` then.
    pub(super) async fn wait(&self, until: Option<Instant>) {
        match until {
            None => self.wake.notified().await,
            Some(until) => {
                let _ = tokio::time::timeout_at(until.into(), self.wake.notified()).await;
            }
        }
    }

    /// An event that waits. Blocks.
    ///
    /// # Errors
    /// 500 when it can't be read.
    pub(super) fn read(&self, id: Ulid) -> Result<Event> {
        let bytes =
            self.events.get(id, 0)?.ok_or_else(|| Problem::internal(&"an annotation that waits is gone"))?;
        let row: Row = serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))?;
        Ok(row.event)
    }

    /// How often and since when an event has been tried, this time not counted.
    pub(super) fn patience(&self, id: Ulid) -> Option<Patience> {
        self.lock()
            .waiting
            .get(&id)
            .map(|event| Patience { tries: event.tries, received_at: event.received_at })
    }

    /// Puts an event off: the next try comes after twice the time that the last one came after. Returns how
    /// long.
    pub(super) fn put_off(&self, id: Ulid, now: Instant) -> Duration {
        let mut state = self.lock();
        let Some(event) = state.waiting.get_mut(&id) else { return Duration::ZERO };
        event.tries = event.tries.saturating_add(1);
        let wait = BACKOFF.wait(event.tries, None);
        event.not_before = now + wait;
        wait
    }

    /// Ends an event: what became of it is kept first, so that it is not lost between the two. Blocks.
    ///
    /// # Errors
    /// 500 when the disk refuses; the event is worked on again then, which does no harm.
    pub(super) fn end(&self, id: Ulid, outcome: Option<OutcomeDto>) -> Result<()> {
        if let Some(outcome) = &outcome {
            let bytes = serde_json::to_vec(outcome).map_err(|error| Problem::internal(&error))?;
            self.outcomes.put(id, 0, &bytes)?;
        }
        self.events.remove(id)?;
        let forgotten = {
            let mut state = self.lock();
            state.waiting.remove(&id);
            if let Some(outcome) = outcome {
                state.ended.retain(|(other, _)| *other != id);
                state.ended.push_back((id, outcome));
            }
            if state.ended.len() > KEPT { state.ended.pop_front() } else { None }
        };
        if let Some((old, _)) = forgotten {
            self.outcomes.remove(old)?;
        }
        Ok(())
    }

    /// How many wait, and what became of the last ones, newest first.
    pub(super) fn look(&self) -> (usize, Vec<OutcomeDto>) {
        let state = self.lock();
        (state.waiting.len(), state.ended.iter().rev().map(|(_, outcome)| outcome.clone()).collect())
    }

    /// Whether more was heard of an annotation already than what it said at that time: webhooks may overtake
    /// one another, and the ids of deleted annotations are not used again.
    pub(super) fn heard_more(&self, event: &Event) -> bool {
        let at = event.change.updated_at().and_then(parse_time);
        let state = self.lock();
        let mut of = state
            .ended
            .iter()
            .map(|(_, outcome)| outcome)
            .filter(|outcome| outcome.annotation == event.annotation && outcome.project == event.project);
        of.any(|outcome| {
            outcome.deleted
                || outcome.updated_at.as_deref().and_then(parse_time).is_some_and(|other| Some(other) > at)
        })
    }
}

fn waiting(event: &Event, received_at: OffsetDateTime, now: Instant) -> Waiting {
    Waiting {
        annotation: (event.project.clone(), event.annotation),
        deleted: event.change == Change::Deleted,
        updated_at: event.change.updated_at().and_then(parse_time),
        received_at,
        tries: 0,
        not_before: now,
    }
}

/// Every row of a table, a page at a time: together they may be large.
fn scan(journal: &Journal, mut each: impl FnMut(Ulid, Vec<u8>)) -> StorageResult<()> {
    let last = RowKey { id: Ulid::from_bytes([0xFF; 16]), number: u64::MAX };
    let mut from = RowKey { id: Ulid::from_bytes([0; 16]), number: 0 };
    loop {
        let rows = journal.scan(from..=last, PAGE)?;
        let Some((key, _)) = rows.last() else { return Ok(()) };
        from = RowKey { id: key.id, number: key.number.saturating_add(1) };
        for (key, bytes) in rows {
            each(key.id, bytes);
        }
    }
}

#[cfg(test)]
mod tests;
