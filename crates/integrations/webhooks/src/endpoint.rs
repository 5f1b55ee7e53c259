//! One receiver: told one event at a time, in order for each codebook, for as long as it takes.
//!
//! A task of its own for each, so that a slow receiver delays nobody else. A failure makes it wait, longer
//! each time, whichever codebook it was about; besides, the codebook waits by its own failures, so that one
//! event that a receiver can't stomach doesn't hold up other codebooks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reasonedit_editor::storage::Codebook;
use reasonedit_editor::{CodebookName, Library};
use reasonedit_http::audit::{AuditCaller, AuditEvent, AuditOutcome, AuditRecord, AuditSink};
use reasonedit_resilience::blocking;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{EndpointConfig, WebhooksConfig};
use super::event::{Message, about};
use super::outbox::{Kept, Next, Outbox, OutboxError, Place, Receiver, look};
use super::send::{Outcome, Sender};

/// How long an attempt may go on when the service stops. What is cut off is sent again after the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A receiver and how far it is.
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) config: EndpointConfig,
    settings: WebhooksConfig,
    library: Arc<Library>,
    outbox: Outbox,
    pub(super) sender: Sender,
    audit: AuditSink,
    /// Held while a place moves and is written, never while something is sent.
    state: Mutex<State>,
    /// Somebody resumed it.
    resumed: Notify,
}

struct State {
    receiver: Receiver,
    places: BTreeMap<CodebookName, Standing>,
    /// Failures in a row, of whichever codebook.
    failures: u32,
    /// Nothing is sent before.
    due: Instant,
    stats: DeliveryStats,
}

/// A place, and what is known of it while the service runs.
struct Standing {
    place: Place,
    /// Failures of the event that is next.
    failures: u32,
    /// Since when it fails.
    since: Option<Instant>,
    due: Instant,
    /// When the event happened that is next, once it was looked at.
    head: Option<OffsetDateTime>,
    /// When it last had its turn, by count.
    turn: u64,
}

/// What came of deliveries to a receiver since the service started.
#[derive(Debug, Clone, Default)]
pub(super) struct DeliveryStats {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) last_delivered: Option<OffsetDateTime>,
    pub(super) last_failure: Option<(OffsetDateTime, String)>,
    turns: u64,
}

/// How a receiver is right now.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    /// Events that it has yet to be told of, those that turn out to be none of its business included.
    pub(super) pending: u64,
    /// When the oldest of them happened, if it was tried.
    pub(super) oldest: Option<OffsetDateTime>,
    /// Whether it wants no more.
    pub(super) gone: bool,
    /// Codebooks that were given up.
    pub(super) paused: Vec<CodebookName>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Time to the next attempt, while it is waited for.
    pub(super) wait: Option<Duration>,
    pub(super) stats: DeliveryStats,
}

/// What there is to do.
enum Step {
    Tell(Arc<Codebook>),
    Wait(Option<Instant>),
}

impl Standing {
    fn new(place: Place) -> Self {
        Self { place, failures: 0, since: None, due: Instant::now(), head: None, turn: 0 }
    }

    fn pending(&self, book: &Codebook) -> u64 {
        book.recorded().saturating_sub(self.place.next)
    }
}

impl Endpoint {
    pub(super) fn new(
        (name, config): (String, EndpointConfig),
        settings: WebhooksConfig,
        library: Arc<Library>,
        sender: Sender,
        kept: Kept,
        audit: AuditSink,
    ) -> Self {
        let places = kept.places.into_iter().map(|(name, place)| (name, Standing::new(place))).collect();
        let (due, stats) = (Instant::now(), DeliveryStats::default());
        let state = Mutex::new(State { receiver: kept.receiver, places, failures: 0, due, stats });
        let (outbox, resumed) = (kept.outbox, Notify::new());
        Self { name, config, settings, library, outbox, sender, audit, state, resumed }
    }

    /// Tells the receiver whatever there is to tell, until the service stops.
    pub(super) async fn run(self: Arc<Self>, mut commits: watch::Receiver<()>, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            // What is committed from here on wakes the wait below.
            commits.borrow_and_update();
            match self.step().await {
                Step::Tell(book) => self.tell(&book, &stopping).await,
                Step::Wait(until) => {
                    let until = async {
                        match until {
                            Some(until) => tokio::time::sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = stopping.cancelled() => {}
                        () = until => {}
                        () = self.resumed.notified() => {}
                        changed = commits.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// The codebook whose turn it is, of those that have something to tell.
    async fn step(&self) -> Step {
        let mut state = self.state.lock().await;
        if state.receiver.gone.is_some() {
            return Step::Wait(None);
        }
        let (now, due) = (Instant::now(), state.due);
        let (mut first, mut until): (Option<(u64, Arc<Codebook>)>, Option<Instant>) = (None, None);
        for book in self.library.books().into_iter().filter(|book| about(&self.config.codebooks, book.name()))
        {
            let standing = state
                .places
                .entry(book.name().clone())
                .or_insert_with(|| Standing::new(self.outbox.place(book.name(), 0)));
            if standing.place.paused.is_some() || standing.pending(&book) == 0 {
                continue;
            }
            let due = standing.due.max(due);
            if due > now {
                until = Some(until.map_or(due, |until| until.min(due)));
            } else if first.as_ref().is_none_or(|(turn, _)| standing.turn < *turn) {
                first = Some((standing.turn, book));
            }
        }
        first.map_or(Step::Wait(until), |(_, book)| Step::Tell(book))
    }

    /// Sends the next event of a codebook, if there is one, and keeps what became of it.
    async fn tell(&self, book: &Arc<Codebook>, stopping: &CancellationToken) {
        let from = {
            let mut state = self.state.lock().await;
            state.stats.turns += 1;
            let turn = state.stats.turns;
            let Some(standing) = state.places.get_mut(book.name()) else { return };
            standing.turn = turn;
            standing.place.next
        };
        let (reading, config) = (Arc::clone(book), self.config.clone());
        let looked = blocking(move || Ok::<_, OutboxError>(look(&reading, &config, from)?)).await;
        let (number, outcome) = match looked {
            Ok(Next::Nothing(next)) if next > from => {
                return self.reached(book.name(), next, false).await;
            }
            // There should have been one.
            Ok(Next::Nothing(_)) => (from, Outcome::failed("the event could not be read")),
            Ok(Next::Message(number, message)) => {
                if let Some(standing) = self.state.lock().await.places.get_mut(book.name()) {
                    standing.head = Some(message.at);
                }
                let patience = async {
                    stopping.cancelled().await;
                    tokio::time::sleep(STOP_PATIENCE).await;
                };
                let outcome = tokio::select! {
                    outcome = self.sender.send(&message) => outcome,
                    () = patience => return,
                };
                self.note(book.name(), &message, &outcome);
                (number, outcome)
            }
            Err(error) => {
                tracing::error!(webhook = %self.name, codebook = %book.name(), %error, "an event can't be read");
                (from, Outcome::failed("the event could not be read"))
            }
        };
        match outcome {
            Outcome::Delivered => self.reached(book.name(), number + 1, true).await,
            Outcome::Gone => self.left().await,
            Outcome::Failed { reason, wait } => self.failed(book.name(), number, reason, wait).await,
        }
    }

    /// Tells the audit trail whom the receiver was told about.
    fn note(&self, codebook: &CodebookName, message: &Message, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Delivered => AuditOutcome::Answered,
            Outcome::Gone => AuditOutcome::Refused,
            // What was sent may have been read all the same.
            Outcome::Failed { .. } => AuditOutcome::Failed,
        };
        self.audit.add(&AuditRecord {
            event: AuditEvent::Delivery,
            caller: Some(AuditCaller::Service),
            outcome: Some(outcome),
            codebook: Some(codebook.to_string()),
            edits: message.edit.iter().map(ToString::to_string).collect(),
            detail: Some(self.sender.host().to_owned()),
            ..AuditRecord::default()
        });
    }

    /// All before `next` is done with; the event before it was taken by the receiver, if `delivered`.
    async fn reached(&self, codebook: &CodebookName, next: u64, delivered: bool) {
        let mut state = self.state.lock().await;
        if delivered {
            if state.failures > 0 {
                tracing::info!(webhook = %self.name, failures = state.failures, "the receiver takes events again");
            }
            (state.failures, state.due) = (0, Instant::now());
            state.stats.delivered += 1;
            state.stats.last_delivered = Some(OffsetDateTime::now_utc());
        }
        let Some(standing) = state.places.get_mut(codebook) else { return };
        // Somebody may have skipped more meanwhile.
        standing.place.next = standing.place.next.max(next);
        (standing.since, standing.failures, standing.head) = (None, 0, None);
        standing.due = Instant::now();
        let place = standing.place.clone();
        self.keep(move |outbox| outbox.keep(&place)).await;
    }

    /// The receiver answered that it wants no more.
    async fn left(&self) {
        let mut state = self.state.lock().await;
        state.receiver.gone = Some(OffsetDateTime::now_utc());
        state.stats.last_failure =
            Some((OffsetDateTime::now_utc(), "it answered 410: it wants no more".to_owned()));
        tracing::error!(webhook = %self.name, "the receiver answered 410 and is told nothing more until it is resumed");
        let receiver = state.receiver.clone();
        self.keep(move |outbox| outbox.keep_receiver(&receiver)).await;
    }

    async fn failed(&self, codebook: &CodebookName, number: u64, reason: String, asked: Option<Duration>) {
        let now = OffsetDateTime::now_utc();
        let mut state = self.state.lock().await;
        state.failures = state.failures.saturating_add(1);
        state.due = Instant::now() + self.settings.backoff().wait(state.failures, asked);
        state.stats.failed += 1;
        state.stats.last_failure = Some((now, reason.clone()));
        let failures = state.failures;
        let Some(standing) = state.places.get_mut(codebook) else { return };
        standing.failures = standing.failures.saturating_add(1);
        standing.due = Instant::now() + self.settings.backoff().wait(standing.failures, None);
        // What came before it and is none of this receiver's business is not looked at again.
        let moved = standing.place.next < number;
        standing.place.next = standing.place.next.max(number);
        let since = *standing.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.settings.give_up() {
            standing.place.paused = Some(now);
            tracing::error!(webhook = %self.name, %codebook, event = number, %reason, "given up: nothing more is sent of this codebook until it is resumed");
        } else if failures == 1 {
            tracing::warn!(webhook = %self.name, %codebook, event = number, %reason, "not delivered; it is tried again");
        }
        if moved || standing.place.paused.is_some() {
            let place = standing.place.clone();
            self.keep(move |outbox| outbox.keep(&place)).await;
        }
    }

    /// Goes on with what was given up: at once, and without what was missed if `skip`.
    ///
    /// # Errors
    /// What could not be written; it holds until the service stops all the same.
    pub(super) async fn resume(&self, skip: bool) -> Result<(), OutboxError> {
        let mut state = self.state.lock().await;
        state.receiver.gone = None;
        (state.failures, state.due) = (0, Instant::now());
        let receiver = state.receiver.clone();
        let mut places = Vec::new();
        for book in self.library.books() {
            let Some(standing) = state.places.get_mut(book.name()) else { continue };
            if skip {
                standing.place.next = book.recorded();
                standing.head = None;
            }
            standing.place.paused = None;
            (standing.since, standing.failures, standing.due) = (None, 0, Instant::now());
            places.push(standing.place.clone());
        }
        let outbox = self.outbox.clone();
        let kept = blocking(move || {
            places.iter().try_for_each(|place| outbox.keep(place))?;
            outbox.keep_receiver(&receiver)
        });
        let kept = kept.await;
        drop(state);
        self.resumed.notify_one();
        tracing::info!(webhook = %self.name, skip, "resumed");
        kept
    }

    /// How it is right now.
    pub(super) async fn report(&self) -> Report {
        let state = self.state.lock().await;
        let mut report = Report {
            gone: state.receiver.gone.is_some(),
            failures: state.failures,
            stats: state.stats.clone(),
            ..Report::default()
        };
        let mut next: Option<Instant> = None;
        for book in self.library.books().into_iter().filter(|book| about(&self.config.codebooks, book.name()))
        {
            let Some(standing) = state.places.get(book.name()) else {
                report.pending += book.recorded();
                continue;
            };
            let pending = standing.pending(&book);
            report.pending += pending;
            if pending > 0 {
                report.oldest = [report.oldest, standing.head].into_iter().flatten().min();
            }
            if standing.place.paused.is_some() {
                report.paused.push(book.name().clone());
            } else if pending > 0 {
                let due = standing.due.max(state.due);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        if !report.gone && report.failures > 0 {
            report.wait = next.map(|next| next.saturating_duration_since(Instant::now()));
        }
        report
    }

    /// Writes how far it is. If that can't be written it holds until the service stops; then more is sent
    /// again than need be.
    async fn keep(&self, write: impl FnOnce(&Outbox) -> Result<(), OutboxError> + Send + 'static) {
        let outbox = self.outbox.clone();
        if let Err(error) = blocking(move || write(&outbox)).await {
            tracing::error!(webhook = %self.name, %error, "how far the receiver was told can't be written");
        }
    }
}

#[cfg(test)]
mod tests;
