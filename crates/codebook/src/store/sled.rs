//! The store on disk, over sled 0.34.
//!
//! Trees: `schema` (one value, the version), `codebooks` (name → [`Head`]), and under name, a zero byte and
//! then `edits` (edit → record), `members` (edit → its members without keys), `vectors` (generation, edit →
//! radii and keys), `events` (sequence number → [`LoggedEvent`]), `reverts` (edit → sequence number),
//! `outcomes` (edit → the caller's bytes), `idempotency` (BLAKE3 of the key → edit and body hash), `staged`
//! (edit → generation: see [`edits`]). Beside them `journal` (see [`journal`]). All values are cut and
//! checked as [`values`] says; what is stored of an edit, and rows of the journal, are sealed before
//! ([`encrypted`]).
//!
//! Beside them the file `sealed` says how much was acknowledged (see [`seal`]). What a damaged folder is
//! opened by, and what of a codebook has to be there, say [`open`] and [`whole`]; a backup's rows come from
//! [`dump`] and go into a new folder by [`restored`].
//!
//! sled's own flushing in the background is off, because it can stop unnoticed: every write flushes before it
//! returns.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use reasonedit_keyring::{Erasure, Keyring, KeyringError};
use sled::transaction::{TransactionError, Transactional, TransactionalTree};
use sled::{Batch, Db, Tree};
use ulid::Ulid;

use super::contract::{CodebookStore, EventOrigin, LoggedEvent, Reverting, SharedEdit, StoredCodebook};
use super::dump::{DumpReport, DumpedRow};
use super::journal::JournalStore;
use crate::ids::{CodebookName, EditId, GenerationId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Embedding, Generation, RevertedEdit};
use crate::{CodebookError, Result};

mod dump;
mod edits;
mod encrypted;
mod generations;
mod journal;
mod layout;
mod mend;
mod open;
pub(super) mod restored;
mod rewrite;
mod salvage;
mod seal;
mod values;
mod whole;

pub use layout::SCHEMA;
use layout::{
    CODEBOOKS, EDITS, EVENTS, Head, IDEMPOTENCY, KEYS_OF, MEMBERS, MemberRow, NAMES, OUTCOMES, OWN_KEYS,
    REVERTS, abort, edit_of, idempotency_key, json, key_of, key_of_row, open_trees, parse, under,
};
pub(super) use rewrite::is_sealed;
pub(super) use salvage::salvage;
pub use salvage::{SalvagedBook, SalvagedStore};
use seal::{Seal, Sealed};
use values::Abort;

/// How long a folder that another process has open is tried again, and how often.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// See the module's description. One process at a time may have a folder open.
pub struct SledStore {
    folder: PathBuf,
    db: Db,
    schema: Tree,
    trees: [Tree; NAMES.len()],
    journal: Tree,
    /// What its values are sealed by.
    keys: Arc<Keyring>,
    seal: Seal,
    /// Taken to read by whatever writes, to write by a dump: what it reads is of one moment.
    writing: RwLock<()>,
    /// Codebooks that had events before it was opened.
    sealed_names: BTreeSet<CodebookName>,
    /// What was found when it was opened.
    faults: Vec<String>,
}

impl SledStore {
    /// Opens a store whose keys lie in its own folder; see [`Self::open_with`].
    ///
    /// # Errors
    /// As there.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, own_keys(path)?)
    }

    /// Opens the folder, and creates what has to be in it or brings it up to date. A folder that is in use is
    /// tried for a moment: the lock of a process that was killed may outlive it a little, and whoever starts
    /// it again should not have to wait on that.
    ///
    /// # Errors
    /// `Locked` if another process keeps it open, `SchemaTooNew` if a newer version wrote it, `Keys` if it is
    /// sealed by others, `Corrupt` or `Store` if it can't be read.
    pub fn open_with(path: &Path, keys: Arc<Keyring>) -> Result<Self> {
        rewrite::finish(path)?;
        let mut opened = Self::opened(path, Arc::clone(&keys))?;
        if opened.0.is_none() {
            rewrite::rewrite(path, &keys)?;
            opened = Self::opened(path, keys)?;
        }
        let (store, sealed) = opened;
        let still = || CodebookError::corrupt("schema/version", "it is still the first");
        let mut store = store.ok_or_else(still)?;
        // Nobody works in this folder yet, so whatever is staged is of a process that was killed.
        store.discard_staged()?;
        store.compare_with(sealed)?;
        store.finish_erasures()?;
        store.mend_idempotency()?;
        let lost = store.journal_faults();
        store.faults.extend(lost);
        let damaged = store.keys.damaged();
        if damaged > 0 {
            store.faults.push(format!(
                "{damaged} records of the file of keys can't be read, and what they were the keys of is lost; put the \
                 file back from a backup, with the service stopped"
            ));
        }
        for fault in &store.faults {
            tracing::error!(%fault, "the store is not as it was written");
        }
        Ok(store)
    }

    /// Opens the files; none if they are of the first schema.
    fn opened(path: &Path, keys: Arc<Keyring>) -> Result<(Option<Self>, Option<Sealed>)> {
        let began = Instant::now();
        let (db, mut faults) = loop {
            match open::database(path) {
                Err(CodebookError::Locked) if began.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => break opened?,
            }
        };
        let fresh = !db.was_recovered();
        let (seal, sealed) = Seal::open(path)?;
        let tree = |name: &str| db.open_tree(name).map_err(|e| CodebookError::store("open a tree", e));
        let schema = tree("schema")?;
        let begins = fresh || schema_may_begin(&db);
        let found = match values::get(&schema, b"version") {
            Ok(Some(bytes)) => Some(parse::<u32>(&schema, b"version", &bytes)?),
            Ok(None) if begins => None,
            // It can be seen from the rest, and the file beside the store says that there is one.
            Ok(None) | Err(CodebookError::Corrupt { .. }) if sealed.is_some() => {
                faults.push(
                    "the version of the store's form could not be read, and was written anew".to_owned(),
                );
                None
            }
            Ok(None) => {
                return Err(CodebookError::corrupt("schema/version", "it is missing beside other data"));
            }
            Err(error) => return Err(error),
        };
        if let Some(found) = found.filter(|found| *found > SCHEMA) {
            return Err(CodebookError::SchemaTooNew { found, supported: SCHEMA });
        }
        let (trees, journal) = (open_trees(&db)?, tree("journal")?);
        let (writing, sealed_names) = (RwLock::new(()), BTreeSet::new());
        let folder = path.to_owned();
        let store = Self { folder, db, schema, trees, journal, keys, seal, writing, sealed_names, faults };
        let schema = found.unwrap_or_else(|| if begins { SCHEMA } else { store.guessed_schema() });
        if schema < SCHEMA {
            return Ok((None, sealed));
        }
        if found.is_none() {
            store.set_schema(SCHEMA)?;
        }
        store.check_keys(begins)?;
        Ok((Some(store), sealed))
    }

    fn set_schema(&self, version: u32) -> Result<()> {
        let mut batch = Batch::default();
        values::add(&mut batch, b"version", version.to_string().as_bytes());
        self.schema.apply_batch(batch).map_err(|e| CodebookError::store("write the schema version", e))?;
        self.flush("write the schema version")
    }

    /// Whether the values are sealed by these keys; of a store that begins, they are from now on.
    fn check_keys(&self, begins: bool) -> Result<()> {
        let identity = self.keys.identity();
        match values::get(&self.schema, KEYS_OF) {
            Ok(Some(found)) if found == identity => Ok(()),
            Ok(Some(_)) => Err(KeyringError::OtherFolder.into()),
            // Damage has taken it. Keys that aren't the right ones have none for what is there, and are
            // not taken for these from now on.
            Ok(None) | Err(CodebookError::Corrupt { .. }) if !begins && !self.has_keys() => {
                Err(KeyringError::OtherFolder.into())
            }
            Ok(None) | Err(CodebookError::Corrupt { .. }) => {
                let mut batch = Batch::default();
                values::add(&mut batch, KEYS_OF, &identity);
                self.schema
                    .apply_batch(batch)
                    .map_err(|e| CodebookError::store("write whose keys they are", e))?;
                self.flush("write whose keys they are")
            }
            Err(error) => Err(error),
        }
    }

    /// Whether there is a key, or that it was erased, for any edit that is there; so it is if there is none.
    fn has_keys(&self) -> bool {
        let (rows, _) = values::keys(self.tree(EDITS), &[]);
        let known = |row: &Vec<u8>| {
            let key = key_of_row(EDITS, row, &[]);
            key.is_some_and(|key| self.keys.has(key) || self.keys.erased(key).is_some())
        };
        rows.is_empty() || rows.iter().any(known)
    }

    pub(super) fn flush(&self, action: &'static str) -> Result<()> {
        self.db.flush().map(|_| ()).map_err(|error| CodebookError::store(action, error))
    }

    pub(super) fn journal_tree(&self) -> &Tree {
        &self.journal
    }

    fn tree(&self, index: usize) -> &Tree {
        &self.trees[index]
    }

    /// Runs a transaction over all trees and flushes it.
    fn transact(
        &self,
        action: &'static str,
        write: impl Fn(&[TransactionalTree]) -> Result<(), Abort>,
    ) -> Result<()> {
        self.trees[..].transaction(|trees| write(trees)).map_err(|error| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) => CodebookError::store(action, error),
        })?;
        self.flush(action)
    }

    fn head(&self, name: &CodebookName) -> Result<Option<Head>> {
        let tree = self.tree(CODEBOOKS);
        let key = name.as_str().as_bytes();
        values::get(tree, key)?.map(|bytes| parse(tree, key, &bytes)).transpose()
    }

    /// Writes an event and the head that counts it.
    fn append(
        trees: &[TransactionalTree],
        name: &CodebookName,
        mut head: Head,
        event: &LoggedEvent,
    ) -> Result<u64, Abort> {
        let sequence = head.next_event;
        head.next_event += 1;
        values::put(&trees[EVENTS], &under(name, &sequence.to_be_bytes()), &json(event)?)?;
        values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?;
        Ok(sequence)
    }

    /// The record of an edit, staged or not.
    fn record_of(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>> {
        let (tree, key) = (self.tree(EDITS), under(name, &edit.to_bytes()));
        self.read(EDITS, &key)?.map(|bytes| parse(tree, &key, &bytes)).transpose()
    }

    /// Live edits with the rows of their members, in order.
    fn live(&self, name: &CodebookName) -> Result<Vec<(EditId, Vec<MemberRow>)>> {
        let reverted: std::collections::HashSet<EditId> =
            values::scan(self.tree(REVERTS), &under(name, &[]))?
                .into_iter()
                .map(|(key, _)| edit_of(self.tree(REVERTS), &key))
                .collect::<Result<_>>()?;
        let tree = self.tree(MEMBERS);
        let rows = values::scan(tree, &under(name, &[]))?;
        // Read after the rows: what was staged when they were read still is, or is there by now.
        let staged = self.staged_in(name)?;
        let mut live = Vec::new();
        for (key, bytes) in rows {
            let edit = edit_of(tree, &key)?;
            if !reverted.contains(&edit) && !staged.contains(&edit) {
                let key = under(name, &key);
                live.push((edit, parse(tree, &key, &self.unseal_value(MEMBERS, &key, &bytes)?)?));
            }
        }
        Ok(live)
    }
}

/// The keys of a store that has its own.
///
/// # Errors
/// `Keys`, `Store` if the disk refuses.
pub(super) fn own_keys(folder: &Path) -> Result<Arc<Keyring>> {
    // Its keys may still lie beside it.
    rewrite::finish(folder)?;
    std::fs::create_dir_all(folder).map_err(|e| CodebookError::store("begin a folder", e.kind()))?;
    Ok(Keyring::open(&folder.join(OWN_KEYS), None)?)
}

/// A crash between creating the folder and writing the version leaves trees without anything in them.
fn schema_may_begin(db: &Db) -> bool {
    db.tree_names().iter().all(|name| db.open_tree(name).is_ok_and(|tree| tree.is_empty()))
}

impl CodebookStore for SledStore {
    fn journal(&self) -> &dyn JournalStore {
        self
    }

    fn names(&self) -> Result<Vec<CodebookName>> {
        self.names_of()
    }

    fn load(&self, name: &CodebookName) -> Result<StoredCodebook> {
        let Some(head) = self.head(name)? else {
            if !self.has_history(name)? && !self.sealed_names.contains(name) {
                return Ok(StoredCodebook::default());
            }
            return Err(self.head_fault(name, "it is missing"));
        };
        let live = self.live(name)?;
        self.check_complete(name, &head, &live.iter().map(|(edit, _)| *edit).collect())?;
        let mut edits = Vec::with_capacity(live.len());
        for (edit, _) in &live {
            let (tree, key) = (self.tree(EDITS), under(name, &edit.to_bytes()));
            let bytes = self
                .read(EDITS, &key)?
                .ok_or_else(|| CodebookError::corrupt(values::describe(tree, &key), "it is missing"))?;
            edits.push(parse(tree, &key, &bytes)?);
        }
        let members = self.members_in(name, live, &head.embedding, true)?;
        let generation = Generation { embedding: head.embedding, chosen: head.chosen };
        Ok(StoredCodebook { generation: Some(generation), previous: head.previous, edits, members })
    }

    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_edit_of(name, record, members, first, origin)
    }

    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_edits_of(name, edits, first, import)
    }

    fn commit_reverts(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_reverts_of(name, reverting)
    }

    fn commit_restores(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_restores_of(name, restoring)
    }

    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft> {
        let _beside = self.writing.read();
        self.begin_draft_of(name, draft)
    }

    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        self.members_of(name, embedding)
    }

    fn kept_edits(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>> {
        self.kept_edits_of(name, edits, embedding)
    }

    fn put_keys(&self, name: &CodebookName, generation: GenerationId, members: &[Member]) -> Result<()> {
        let _beside = self.writing.read();
        self.put_keys_of(name, generation, members)
    }

    fn swap(&self, name: &CodebookName, to: &Generation) -> Result<()> {
        let _beside = self.writing.read();
        self.swap_to(name, to)
    }

    fn discard_draft(&self, name: &CodebookName) -> Result<()> {
        let _beside = self.writing.read();
        self.discard_draft_of(name)
    }

    fn sweep(&self, name: &CodebookName) -> Result<()> {
        let _beside = self.writing.read();
        self.sweep_of(name)
    }

    fn history(&self, name: &CodebookName, from: u64, limit: usize) -> Result<Vec<LoggedEvent>> {
        let tree = self.tree(EVENTS);
        let (first, last) = (under(name, &from.to_be_bytes()), under(name, &u64::MAX.to_be_bytes()));
        let events = values::range(tree, &first, &last, limit)?;
        events.into_iter().map(|(key, bytes)| parse(tree, &key, &bytes)).collect()
    }

    fn events(&self, name: &CodebookName) -> Result<u64> {
        Ok(self.head(name)?.map_or(0, |head| head.next_event))
    }

    fn record(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>> {
        if self.is_staged(name, edit)? {
            return Ok(None);
        }
        self.record_of(name, edit)
    }

    fn examine(&self, name: &CodebookName) -> Vec<CodebookError> {
        self.examine_all(name)
    }

    fn keys(&self) -> Option<Arc<Keyring>> {
        Some(Arc::clone(&self.keys))
    }

    fn unsealed_copies(&self) -> Vec<String> {
        rewrite::former(&self.folder)
    }

    fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }

    fn dump(&self, take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>) -> Result<Option<DumpReport>> {
        self.dump_to(take)
    }

    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()> {
        let _beside = self.writing.read();
        let key = under(name, &edit.to_bytes());
        let edit_key = key_of(name, edit);
        if !self.keys.has(edit_key) {
            return Err(CodebookError::UnknownEdit(edit));
        }
        let sealed = self.seal_value(OUTCOMES, &key, edit_key, outcome)?;
        self.transact("keep an outcome", |trees| {
            if !values::stands(&trees[EDITS], &key)? {
                return abort(CodebookError::UnknownEdit(edit));
            }
            Ok(values::put(&trees[OUTCOMES], &key, &sealed)?)
        })
    }

    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>> {
        self.read(OUTCOMES, &under(name, &edit.to_bytes()))
    }

    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        let (tree, key) = (self.tree(IDEMPOTENCY), under(name, &idempotency_key(key)));
        let Some(stored) = values::get(tree, &key)? else { return Ok(None) };
        self.idempotent(&key, &stored).map(Some)
    }

    fn erase(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        let _beside = self.writing.read();
        self.erase_of(name, edit, by)
    }

    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<Erasure> {
        self.erasure_of(name, edit)
    }

    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>> {
        self.reverted_edits_of(name)
    }
}

#[cfg(test)]
mod decay_tests;
#[cfg(test)]
mod erase_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn_tests;
