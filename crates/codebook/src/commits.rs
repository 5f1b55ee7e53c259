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
use crate::snapshot::Snapshot;
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

    /// The state right now, and how many events led to it. Waits for a write that is under way.
    pub fn numbered_snapshot(&self) -> (Arc<Snapshot>, u64) {
        // State and number are published one after the other, by whoever holds this.
        let _writer = self.writer.lock();
        (self.snapshot(), self.recorded())
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
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::config::CodebookConfig;
    use crate::library::Library;
    use crate::store::{EventOrigin, MemoryStore};
    use crate::testing;

    #[test]
    fn events_are_told_of_once_they_can_be_read() {
        let library =
            Arc::new(Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default()).unwrap());
        let (told, seen) = (Arc::new(AtomicUsize::new(0)), Arc::downgrade(&library));
        let counter = Arc::clone(&told);
        library.on_commit(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let recorded: u64 = seen.upgrade().unwrap().books().iter().map(|book| book.recorded()).sum();
            assert_eq!(recorded as usize, counter.load(Ordering::SeqCst));
        });
        let book = library.get_or_create(&"ward-3".parse().unwrap()).unwrap();
        for n in 1..=3 {
            let (record, members) = (testing::record(n, 2), testing::members(n, 3, 2, 0.1));
            book.apply(record, members, &testing::generation(2)).unwrap();
        }
        book.revert(testing::edit_id(2)).unwrap();
        assert!(book.revert(testing::edit_id(2)).is_err());
        let imported = (testing::record(4, 2), testing::members(4, 3, 2, 0.1));
        book.import(testing::shared([imported]), &testing::generation(2)).unwrap();
        assert_eq!((told.load(Ordering::SeqCst), book.recorded()), (5, 5));

        let (snapshot, number) = book.numbered_snapshot();
        assert_eq!((snapshot.edit_count(), number), (3, 5));

        let events = book.events(2, 2).unwrap();
        assert_eq!(events[0].event, Event::Edited(testing::edit_id(3)));
        assert_eq!((events.len(), events[1].event), (2, Event::Reverted(testing::edit_id(2))));
        let last = book.events(4, 100).unwrap();
        assert_eq!((last.len(), last[0].origin), (1, EventOrigin::Imported));
        assert!(last[0].at.unwrap() >= events[0].at.unwrap());
        assert_eq!(book.events(5, 100).unwrap(), []);
        assert_eq!(book.events(u64::MAX, 100).unwrap(), []);
        // What was reverted is still known.
        assert_eq!(*book.record(testing::edit_id(2)).unwrap(), testing::record(2, 2));
        assert!(matches!(book.record(testing::edit_id(9)), Err(CodebookError::UnknownEdit(_))));
    }
}
