//! Where edits last: the store trait, and its implementations.
//!
//! The record of a codebook is append-only: an edit is an event, its reverting is another. Keys belong to a
//! generation; there is a live one, the one before it as long as it is kept, and a draft while the next is
//! made.
//!
//! Another store is another file or folder here that implements [`CodebookStore`] and [`JournalStore`] and
//! lets `conformance` run on it, and its lines in this file: its module, its [`StoreKind`], and how
//! [`open`] opens it.

use std::path::Path;
use std::sync::Arc;

use reasonedit_keyring::Keyring;

use crate::Result;

#[cfg(test)]
mod conformance;
mod contract;
mod dump;
mod journal;
mod memory;
mod reopening;
mod reserve;
mod sled;

pub use self::contract::{
    CodebookStore, Event, EventOrigin, LoggedEvent, Reverting, SharedEdit, StoredCodebook,
};
pub use self::dump::{DumpReport, DumpedRow, RestoredStore};
pub use self::journal::{JournalStore, ReadRow, RowKey};
pub use self::memory::MemoryStore;
use self::sled::own_keys;
pub use self::sled::restored::StoreRestore;
pub use self::sled::{SCHEMA, SalvagedBook, SalvagedStore, SledStore};

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreKind {
    /// A folder on disk.
    #[default]
    Sled,
    /// Nothing outlasts the process.
    Memory,
}

/// Saves what can be saved from the damaged folder of a store into a new one, both sealed by these keys.
/// Nothing is written to the first.
///
/// # Errors
/// `Locked` if a process has the folder open, `Store` if the disk refuses.
pub fn salvage(from: &Path, into: &Path, keys: Arc<Keyring>) -> Result<SalvagedStore> {
    self::sled::salvage(from, into, keys)
}

/// Whether there is a store in this folder that can't be read without its keys. Reads its log.
///
/// # Errors
/// `Store` if the disk refuses.
pub fn is_sealed(folder: &Path) -> Result<bool> {
    self::sled::is_sealed(folder)
}

/// Where the disk of a store's folder is full, gives up what the store keeps there for a start. Opening does
/// the same; this is for whoever has to write on that disk before.
pub fn make_room(folder: &Path) {
    reopening::make_room(folder);
}

/// Opens a store in a folder, which is made if missing, with keys of its own in it; one that keeps nothing
/// doesn't look at it.
///
/// # Errors
/// A folder that can't be used, or that another process has open; a form of a later version.
pub fn open(kind: StoreKind, folder: &Path) -> Result<Arc<dyn CodebookStore>> {
    Ok(match kind {
        StoreKind::Sled => Arc::new(reopening::ReopeningStore::open(folder, own_keys(folder)?)?),
        StoreKind::Memory => Arc::new(MemoryStore::new()),
    })
}

/// Opens a store on disk whose keys lie elsewhere, as those of a data folder do.
///
/// # Errors
/// As [`open`]; `Keys` if it is sealed by others.
pub fn open_with(folder: &Path, keys: Arc<Keyring>) -> Result<Arc<dyn CodebookStore>> {
    Ok(Arc::new(reopening::ReopeningStore::open(folder, keys)?))
}
