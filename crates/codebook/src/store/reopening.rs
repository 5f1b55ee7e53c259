//! A store that is opened anew when it has failed. sled keeps to its first error: once the disk was full, it
//! refuses every write of the process for good, and the same is true of what else a disk may answer.

use std::fs;
use std::io::{self, Write as _};
use std::ops::{ControlFlow, RangeInclusive};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use reasonedit_keyring::{Erasure, Keyring};
use ulid::Ulid;

use super::contract::{CodebookStore, EventOrigin, LoggedEvent, Reverting, SharedEdit, StoredCodebook};
use super::dump::{DumpReport, DumpedRow};
use super::journal::{JournalStore, ReadRow, RowKey};
use super::reserve::{self, Reserve};
use super::sled::SledStore;
use crate::error::Unwritable;
use crate::ids::{CodebookName, EditId, GenerationId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Embedding, Generation, RevertedEdit};
use crate::{CodebookError, Result};

/// The store's file that tells whether the folder is the one that was opened.
const DATABASE: &str = "db";
/// What is written to see whether there is room again: more than an edit takes.
const PROBE_BYTES: usize = 1 << 20;
/// How long nothing is tried after a try that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module's description. Every call holds the store that it began with; one that is opened anew waits
/// for them.
pub(super) struct ReopeningStore {
    folder: PathBuf,
    keys: Arc<Keyring>,
    opened: RwLock<Option<Opened>>,
    trouble: Mutex<Option<Trouble>>,
    /// What is kept for a start on a full disk, and whether all of it is there.
    reserve: Reserve,
    reserved: AtomicBool,
}

struct Opened {
    store: SledStore,
    /// Device and number of the file that it writes to.
    database: (u64, u64),
}

/// Why nothing can be written.
struct Trouble {
    why: Unwritable,
    tried: Instant,
}

impl Opened {
    fn new(folder: &Path, keys: &Arc<Keyring>) -> Result<Self> {
        let store = SledStore::open_with(folder, Arc::clone(keys))?;
        let database = identity(folder).map_err(|error| CodebookError::of_disk("open the data", &error))?;
        Ok(Self { store, database })
    }
}

impl ReopeningStore {
    /// Opens the folder, and creates what has to be there. On a full disk it can be read alone, until there
    /// is room.
    ///
    /// # Errors
    /// As [`SledStore::open`].
    pub(super) fn open(folder: &Path, keys: Arc<Keyring>) -> Result<Self> {
        make_room(folder);
        let opened = RwLock::new(Some(Opened::new(folder, &keys)?));
        let (reserve, reserved) = (Reserve::of(folder), AtomicBool::new(false));
        let store =
            Self { folder: folder.to_owned(), keys, opened, trouble: Mutex::new(None), reserve, reserved };
        if let Err(why) = store.reserved() {
            tracing::error!(%why, "the store can be read alone until there is room");
        }
        Ok(store)
    }

    /// Sees to it that there is room for the next start.
    fn reserved(&self) -> Result<(), Unwritable> {
        if self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.reserve.fill() {
            Ok(true) => {
                self.reserved.store(true, Ordering::Release);
                Ok(())
            }
            Ok(false) => Err(Unwritable::Full),
            Err(error) => Err(Unwritable::of(&error).unwrap_or(Unwritable::Failed)),
        }
    }

    fn reading<T>(&self, read: impl Fn(&SledStore) -> Result<T>) -> Result<T> {
        match self.read_once(&read) {
            // After its first error sled may refuse to read, too.
            Err(CodebookError::Store { .. }) if self.trouble.lock().is_some() => {
                self.reopened()?;
                self.read_once(&read)
            }
            read => read,
        }
    }

    fn read_once<T>(&self, read: impl FnOnce(&SledStore) -> Result<T>) -> Result<T> {
        let opened = self.opened.read();
        read(&opened.as_ref().ok_or(CodebookError::Unwritable(Unwritable::Failed))?.store)
    }

    /// Writes, unless it is known that it can't be; a failure of the disk is remembered.
    fn writing<T>(&self, write: impl FnOnce(&SledStore) -> Result<T>) -> Result<T> {
        if let Some(trouble) = &*self.trouble.lock() {
            return Err(CodebookError::Unwritable(trouble.why));
        }
        self.reserved().map_err(CodebookError::Unwritable)?;
        let opened = self.opened.read();
        let Some(opened) = &*opened else { return Err(CodebookError::Unwritable(Unwritable::Failed)) };
        // A folder that was moved away goes on being written to where it is now.
        if identity(&self.folder).ok() != Some(opened.database) {
            return Err(CodebookError::Unwritable(Unwritable::Moved));
        }
        write(&opened.store).map_err(|error| {
            let CodebookError::Store { .. } = &error else { return error };
            let why = self.room().err().unwrap_or(Unwritable::Failed);
            tracing::error!(%error, "the store failed; it is opened anew before anything else is written");
            *self.trouble.lock() = Some(Trouble { why, tried: Instant::now() });
            CodebookError::Unwritable(why)
        })
    }

    /// Whether something can be written to the folder, and kept.
    fn room(&self) -> Result<(), Unwritable> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::tempfile_in(&self.folder)?;
            file.write_all(&vec![0x5A; PROBE_BYTES])?;
            file.sync_all()
        };
        write().map_err(|error| Unwritable::of(&error).unwrap_or(Unwritable::Failed))
    }

    /// Opens it anew if it has failed and the reason is gone.
    fn reopened(&self) -> Result<()> {
        let Some(why) = self.due()? else { return Ok(()) };
        if let Err(still) = self.room() {
            self.failed_again(still);
            return Err(CodebookError::Unwritable(still));
        }
        let mut opened = self.opened.write();
        if self.trouble.lock().is_none() {
            // Somebody else has done it meanwhile.
            return Ok(());
        }
        // Closed first: its lock on the folder is its own.
        *opened = None;
        match Opened::new(&self.folder, &self.keys) {
            Ok(anew) => {
                *opened = Some(anew);
                *self.trouble.lock() = None;
                tracing::info!("the store was opened anew");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the store could not be opened anew");
                self.failed_again(why);
                Err(CodebookError::Unwritable(why))
            }
        }
    }

    /// Why it has to be opened anew, if it has to and it is time to try.
    fn due(&self) -> Result<Option<Unwritable>> {
        let trouble = self.trouble.lock();
        let Some(trouble) = &*trouble else { return Ok(None) };
        if trouble.tried.elapsed() < PAUSE {
            return Err(CodebookError::Unwritable(trouble.why));
        }
        Ok(Some(trouble.why))
    }

    fn failed_again(&self, why: Unwritable) {
        *self.trouble.lock() = Some(Trouble { why, tried: Instant::now() });
    }
}

/// Gives up what is kept for a start where the disk is full. Whoever writes on that disk before the store is
/// opened has room by it, too.
pub(super) fn make_room(folder: &Path) {
    reserve::give_up(folder, PROBE_BYTES as u64);
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(folder.join(DATABASE))?;
    Ok((found.dev(), found.ino()))
}

impl CodebookStore for ReopeningStore {
    fn journal(&self) -> &dyn JournalStore {
        self
    }

    fn recover(&self) -> Result<()> {
        self.reopened()?;
        self.reserved().map_err(CodebookError::Unwritable)?;
        // What is full is so before the first write fails.
        if reserve::left(&self.folder).is_some_and(|bytes| bytes < PROBE_BYTES as u64) {
            return Err(CodebookError::Unwritable(Unwritable::Full));
        }
        // As long as it isn't written to, nobody has noticed that it is gone.
        self.writing(|_| Ok(()))
    }

    fn names(&self) -> Result<Vec<CodebookName>> {
        self.reading(CodebookStore::names)
    }

    fn examine(&self, name: &CodebookName) -> Vec<CodebookError> {
        self.reading(|store| Ok(store.examine(name))).unwrap_or_else(|error| vec![error])
    }

    fn faults(&self) -> Vec<String> {
        self.reading(|store| Ok(store.faults())).unwrap_or_default()
    }

    fn keys(&self) -> Option<Arc<Keyring>> {
        Some(Arc::clone(&self.keys))
    }

    fn unsealed_copies(&self) -> Vec<String> {
        self.reading(|store| Ok(store.unsealed_copies())).unwrap_or_default()
    }

    fn dump(&self, take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>) -> Result<Option<DumpReport>> {
        self.reopened()?;
        self.read_once(|store| store.dump(take))
    }

    fn load(&self, name: &CodebookName) -> Result<StoredCodebook> {
        self.reading(|store| store.load(name))
    }

    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()> {
        self.writing(|store| store.commit_edit(name, record, members, first, origin))
    }

    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        self.writing(|store| store.commit_edits(name, edits, first, import))
    }

    fn commit_reverts(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()> {
        self.writing(|store| store.commit_reverts(name, reverting))
    }

    fn commit_restores(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()> {
        self.writing(|store| store.commit_restores(name, restoring))
    }

    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft> {
        self.writing(|store| store.begin_draft(name, draft))
    }

    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        self.reading(|store| store.members(name, embedding))
    }

    fn kept_edits(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>> {
        self.reading(|store| store.kept_edits(name, edits, embedding))
    }

    fn put_keys(&self, name: &CodebookName, generation: GenerationId, members: &[Member]) -> Result<()> {
        self.writing(|store| store.put_keys(name, generation, members))
    }

    fn swap(&self, name: &CodebookName, to: &Generation) -> Result<()> {
        self.writing(|store| store.swap(name, to))
    }

    fn discard_draft(&self, name: &CodebookName) -> Result<()> {
        self.writing(|store| store.discard_draft(name))
    }

    fn sweep(&self, name: &CodebookName) -> Result<()> {
        self.writing(|store| store.sweep(name))
    }

    fn history(&self, name: &CodebookName, from: u64, limit: usize) -> Result<Vec<LoggedEvent>> {
        self.reading(|store| store.history(name, from, limit))
    }

    fn events(&self, name: &CodebookName) -> Result<u64> {
        self.reading(|store| store.events(name))
    }

    fn record(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>> {
        self.reading(|store| store.record(name, edit))
    }

    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()> {
        self.writing(|store| store.put_outcome(name, edit, outcome))
    }

    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>> {
        self.reading(|store| store.outcome(name, edit))
    }

    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        // What a failed write left in memory alone is not to be taken for what is stored.
        self.reopened()?;
        self.reading(|store| store.idempotency(name, key))
    }

    fn erase(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        self.writing(|store| store.erase(name, edit, by))
    }

    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<Erasure> {
        self.reading(|store| Ok(store.erased(name, edit))).ok().flatten()
    }

    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>> {
        self.reading(|store| store.reverted_edits(name))
    }
}

impl JournalStore for ReopeningStore {
    fn put_row(&self, table: &str, key: RowKey, value: &[u8]) -> Result<()> {
        // Whoever writes in the background tries again by itself.
        drop(self.reopened());
        self.writing(|store| store.put_row(table, key, value))
    }

    fn row(&self, table: &str, key: RowKey) -> Result<Option<Vec<u8>>> {
        self.reading(|store| store.row(table, key))
    }

    fn rows(&self, table: &str, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<ReadRow>> {
        self.reading(|store| store.rows(table, keys.clone(), limit))
    }

    fn rows_reached(&self, table: &str) -> Result<Vec<ReadRow>> {
        self.reading(|store| store.rows_reached(table))
    }

    fn remove_rows(&self, table: &str, id: Ulid) -> Result<()> {
        drop(self.reopened());
        self.writing(|store| store.remove_rows(table, id))
    }
}

#[cfg(test)]
mod tests;
