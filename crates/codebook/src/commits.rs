//! What happened to a codebook, as others follow it: by number, and told when there is more.
//!
//! Whoever has to act on every event exactly in order (an outbox, a replica) keeps the number of the next one
//! and reads from there. The history is written with the change itself, so nothing that was acknowledged is
//! missing from it; and nothing shows here before it is on disk, so nobody is told of what a crash could
//! still take back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;
use reasonedit_keyring::Erasure;

use crate::book::Codebook;
use crate::ids::EditId;
use crate::records::EditRecord;
use crate::store::{Event, LoggedEvent};
use crate::{CodebookError, Result};

type Listener = Box<dyn Fn() + Send + Sync>;

/// Who is told that something was committed.
#[derive(Default)]
pub(crate) struct Listeners(RwLock<Vec<Listener>>);

impl Listeners {
    pub(crate) fn add(&self, listener: Listener) {
        self.0.write().push(listener);
    }

    pub(crate) fn tell(&self) {
        self.0.read().iter().for_each(|listener| listener());
    }
}

impl Codebook {
    /// How many events are on disk: the number of the next one.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Acquire)
    }

    /// At most `limit` events from number `from` on, oldest first; those that are on disk.
    ///
    /// # Errors
    /// `Store` or `Corrupt`.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<LoggedEvent>> {
        let there = usize::try_from(self.recorded().saturating_sub(from)).unwrap_or(usize::MAX);
        match limit.min(there) {
            0 => Ok(Vec::new()),
            limit => self.store.history(&self.name, from, limit),
        }
    }

    /// Why there is no edit of this id.
    pub(crate) fn unknown(&self, edit: EditId) -> CodebookError {
        match self.erased(edit) {
            Some(Erasure { at, by }) => CodebookError::Erased { edit, at, by },
            None => CodebookError::UnknownEdit(edit),
        }
    }

    /// Everything that happened, oldest first.
    ///
    /// # Errors
    /// `Store` or `Corrupt`.
    pub fn history(&self) -> Result<Vec<Event>> {
        Ok(self.events(0, usize::MAX)?.into_iter().map(|logged| logged.event).collect())
    }

    /// The record of an edit, live or reverted.
    ///
    /// # Errors
    /// `UnknownEdit` if it was never made, `Erased`, `Store` or `Corrupt`.
    pub fn record(&self, edit: EditId) -> Result<Arc<EditRecord>> {
        if let Some(live) = self.snapshot().edit(edit) {
            return Ok(Arc::clone(live));
        }
        let stored = self.store.record(&self.name, edit)?;
        stored.map(Arc::new).ok_or_else(|| self.unknown(edit))
    }
}

#[cfg(test)]
mod tests;
