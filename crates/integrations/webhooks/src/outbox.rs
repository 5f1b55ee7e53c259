//! How far each receiver has been told: for each codebook the number of the next event, kept in the journal
//! beside the codebooks.
//!
//! The history itself is the outbox. It is written in the transaction of the edit, so what was acknowledged
//! is in it; and a place moves on only once its event was taken. Whatever happens in between, the event is
//! sent again.
//!
//! A receiver that is new, or is told about a codebook for the first time, begins at the present. A codebook
//! that begins later is told from its first event. Receivers that are no longer configured are forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reasonedit_editor::storage::{Codebook, Journal};
use reasonedit_editor::{CodebookError, CodebookName, Library};
use reasonedit_resilience::WorkLost;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use super::config::EndpointConfig;
use super::event::{Message, about, message, wanted};

const TABLE: &str = "webhooks";
/// Events that are looked at in one go.
const AT_ONCE: usize = 128;

/// Why places can't be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The disk or the database refused, or a row is damaged.
    #[error(transparent)]
    Store(#[from] CodebookError),
    /// A row that this version can't read.
    #[error("how far a receiver was told can't be read: {0}")]
    Row(#[from] serde_json::Error),
    /// Reading or writing came to no end.
    #[error(transparent)]
    Lost(#[from] WorkLost),
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
enum Row {
    Receiver(Receiver),
    Place(Place),
}

/// What is known of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receiver {
    endpoint: String,
    /// What it was told about when places were last set: others begin at the present.
    codebooks: Vec<CodebookName>,
    /// BLAKE3 of its address. Another one is another receiver, as far as its wishes go.
    address: String,
    /// When it said that it wants no more.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<OffsetDateTime>,
}

/// How far a receiver has been told of a codebook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    endpoint: String,
    codebook: CodebookName,
    /// Number of the next event.
    pub(super) next: u64,
    /// When it was given up.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<OffsetDateTime>,
}

impl Row {
    fn endpoint(&self) -> &str {
        match self {
            Self::Receiver(receiver) => &receiver.endpoint,
            Self::Place(place) => &place.endpoint,
        }
    }

    /// Receivers and codebooks have names; rows have ids. The endpoint's row has an empty codebook, which is
    /// no name.
    fn id(&self) -> Ulid {
        let (endpoint, codebook) = match self {
            Self::Receiver(receiver) => (&receiver.endpoint, ""),
            Self::Place(place) => (&place.endpoint, place.codebook.as_str()),
        };
        let hash = blake3::hash(&[endpoint.as_bytes(), &[0], codebook.as_bytes()].concat());
        Ulid::from_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16]))
    }
}

/// The places of one receiver.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    journal: Journal,
    endpoint: String,
}

/// What a receiver is to be told next of one codebook.
pub(super) enum Next {
    /// This, which has this number.
    Message(u64, Message),
    /// Nothing before this number.
    Nothing(u64),
}

impl Outbox {
    pub(super) fn place(&self, codebook: &CodebookName, next: u64) -> Place {
        let (endpoint, codebook) = (self.endpoint.clone(), codebook.clone());
        Place { endpoint, codebook, next, paused: None }
    }

    pub(super) fn keep(&self, place: &Place) -> Result<(), OutboxError> {
        put(&self.journal, &Row::Place(place.clone()))
    }

    pub(super) fn keep_receiver(&self, receiver: &Receiver) -> Result<(), OutboxError> {
        put(&self.journal, &Row::Receiver(receiver.clone()))
    }
}

fn put(journal: &Journal, row: &Row) -> Result<(), OutboxError> {
    Ok(journal.put(row.id(), 0, &serde_json::to_vec(row)?)?)
}

/// The first event from number `from` on that the receiver is to be told of.
pub(super) fn look(book: &Codebook, endpoint: &EndpointConfig, mut from: u64) -> Result<Next, CodebookError> {
    loop {
        let events = book.events(from, AT_ONCE)?;
        if events.is_empty() {
            return Ok(Next::Nothing(from));
        }
        for logged in &events {
            if wanted(endpoint, logged) {
                return Ok(Next::Message(from, message(book, from, logged, endpoint.texts)?));
            }
            from += 1;
        }
    }
}

/// One receiver as it was left, brought in line with the configuration.
pub(super) struct Kept {
    pub(super) outbox: Outbox,
    pub(super) receiver: Receiver,
    pub(super) places: BTreeMap<CodebookName, Place>,
}

/// Takes up the places of all receivers. To be called before the first edit is accepted: those that begin at
/// the present begin here.
///
/// # Errors
/// [`OutboxError`]; the places are then as they were, or of some receivers brought in line.
pub(super) fn take_up(
    library: &Arc<Library>,
    endpoints: &BTreeMap<String, EndpointConfig>,
) -> Result<BTreeMap<String, Kept>, OutboxError> {
    let journal = library.journal(TABLE);
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (key, bytes) in journal.all()? {
        let row: Row = serde_json::from_slice(&bytes)?;
        if endpoints.contains_key(row.endpoint()) {
            rows.entry(row.endpoint().to_owned()).or_default().push(row);
        } else {
            journal.remove(key.id)?;
        }
    }
    let mut kept = BTreeMap::new();
    for (name, config) in endpoints {
        let rows = rows.remove(name).unwrap_or_default();
        kept.insert(name.clone(), bring_in_line(library, &journal, name, config, rows)?);
    }
    Ok(kept)
}

fn bring_in_line(
    library: &Arc<Library>,
    journal: &Journal,
    name: &str,
    config: &EndpointConfig,
    rows: Vec<Row>,
) -> Result<Kept, OutboxError> {
    let outbox = Outbox { journal: journal.clone(), endpoint: name.to_owned() };
    let (mut before, mut left) = (None, BTreeMap::new());
    for row in rows {
        match row {
            Row::Receiver(receiver) => before = Some(receiver),
            Row::Place(place) => {
                left.insert(place.codebook.clone(), place);
            }
        }
    }
    let mut places = BTreeMap::new();
    for book in library.books() {
        let codebook = book.name();
        if !about(&config.codebooks, codebook) {
            continue;
        }
        let known = before.as_ref().is_some_and(|receiver| about(&receiver.codebooks, codebook));
        let place = match left.remove(codebook).filter(|_| known) {
            // Only data that somebody put back to an earlier state ends before it.
            Some(place) if place.next <= book.recorded() => place,
            None if known => continue,
            _ => {
                let place = outbox.place(codebook, book.recorded());
                outbox.keep(&place)?;
                place
            }
        };
        places.insert(codebook.clone(), place);
    }
    // A codebook that is set aside is told of again from its place once it can be read.
    let aside: BTreeSet<CodebookName> = library.damaged().into_iter().map(|(name, _)| name).collect();
    for place in left.into_values().filter(|place| !aside.contains(&place.codebook)) {
        journal.remove(Row::Place(place).id())?;
    }
    let address = blake3::hash(config.url.as_bytes()).to_hex().to_string();
    let gone =
        before.as_ref().filter(|receiver| receiver.address == address).and_then(|receiver| receiver.gone);
    let codebooks: BTreeSet<CodebookName> = config.codebooks.iter().cloned().collect();
    let receiver =
        Receiver { endpoint: name.to_owned(), codebooks: codebooks.into_iter().collect(), address, gone };
    // Last: until it is there, all begins at the present again.
    if before.as_ref() != Some(&receiver) {
        outbox.keep_receiver(&receiver)?;
    }
    Ok(Kept { outbox, receiver, places })
}

#[cfg(test)]
mod tests;
