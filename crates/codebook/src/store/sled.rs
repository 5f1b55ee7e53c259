//! The store on disk, over sled 0.34.
//!
//! Trees: `schema` (one value, the version), `codebooks` (name → [`Head`]), and under name, a zero byte and
//! then `edits` (edit → record), `members` (edit → its members without keys), `vectors` (generation, edit →
//! radii and keys), `events` (sequence number → [`LoggedEvent`]), `reverts` (edit → sequence number),
//! `outcomes` (edit → the caller's bytes), `idempotency` (BLAKE3 of the key → body hash and edit), `staged`
//! (edit → generation: see [`edits`]). Beside them `journal` (see [`journal`]). All values are cut and
//! checked as [`values`] says.
//!
//! Beside them the file `sealed` says how much was acknowledged (see [`seal`]). What a damaged folder is
//! opened by, and what of a codebook has to be there, say [`open`] and [`whole`]; a backup's rows come from
//! [`dump`] and go into a new folder by [`restored`].
//!
//! sled's own flushing in the background is off, because it can stop unnoticed: every write flushes before it
//! returns.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use reasonedit_imaging::PixelBox;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional, TransactionalTree};
use sled::{Batch, Db, Tree};

use super::contract::{CodebookStore, EventOrigin, LoggedEvent, SharedEdit, StoredCodebook};
use super::dump::{DumpReport, DumpedRow};
use super::journal::JournalStore;
use crate::ids::{CodebookName, EditId, GenerationId, ImageId};
use crate::member::{EntryKind, Member};
use crate::records::{Draft, EditRecord, Embedding, Generation};
use crate::{CodebookError, Result};

mod dump;
mod edits;
mod generations;
mod journal;
mod open;
pub(super) mod restored;
mod salvage;
mod seal;
mod values;
mod whole;

pub(super) use salvage::salvage;
pub use salvage::{SalvagedBook, SalvagedStore};
use seal::Seal;
use values::Abort;

/// The schema that this program writes.
pub const SCHEMA: u32 = 1;
/// `MIGRATIONS[i]` brings data of schema `i + 1` to schema `i + 2`; see `migrations/README.md`.
const MIGRATIONS: [fn(&SledStore) -> Result<()>; SCHEMA as usize - 1] = [];
/// How long a folder that another process has open is tried again, and how often.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// See the module's description. One process at a time may have a folder open.
pub struct SledStore {
    db: Db,
    schema: Tree,
    trees: [Tree; NAMES.len()],
    journal: Tree,
    seal: Seal,
    /// Taken to read by whatever writes, to write by a dump: what it reads is of one moment.
    writing: RwLock<()>,
    /// Codebooks that had events before it was opened.
    sealed_names: BTreeSet<CodebookName>,
    /// What was found when it was opened.
    faults: Vec<String>,
}

// Places of the trees, in `SledStore::trees` as in a transaction's view of them.
const CODEBOOKS: usize = 0;
const EDITS: usize = 1;
const MEMBERS: usize = 2;
const VECTORS: usize = 3;
const EVENTS: usize = 4;
const REVERTS: usize = 5;
const OUTCOMES: usize = 6;
const IDEMPOTENCY: usize = 7;
const STAGED: usize = 8;
const NAMES: [&str; 9] =
    ["codebooks", "edits", "members", "vectors", "events", "reverts", "outcomes", "idempotency", "staged"];

/// What stands at the head of a codebook: which generations of vectors are in use. Fields that came after the
/// first version are left out where they say nothing.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The live one.
    embedding: Embedding,
    next_event: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chosen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Generation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<Draft>,
}

/// A member without what depends on the embedding.
#[derive(Serialize, Deserialize)]
struct MemberRow {
    kind: EntryKind,
    statement: Option<u32>,
    image: ImageId,
    area: Option<PixelBox>,
    sentence: String,
}

impl SledStore {
    /// Opens the folder, and creates or migrates what is in it. A folder that is in use is tried for a
    /// moment: the lock of a process that was killed may outlive it a little, and whoever starts it again
    /// should not have to wait on that.
    ///
    /// # Errors
    /// `Locked` if another process keeps it open, `SchemaTooNew` if a newer version wrote it, `Corrupt` or
    /// `Store` if it can't be read.
    pub fn open(path: &Path) -> Result<Self> {
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
        let found = match values::get(&schema, b"version") {
            Ok(Some(bytes)) => Some(parse::<u32>(&schema, b"version", &bytes)?),
            Ok(None) if fresh || schema_may_begin(&db) => None,
            // There has been one schema only, and the file beside the store came with it.
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
        let mut store = Self { db, schema, trees, journal, seal, writing, sealed_names, faults };
        match found {
            None => store.set_schema(SCHEMA)?,
            Some(found) => {
                for (step, migrate) in MIGRATIONS.iter().enumerate().skip(found.saturating_sub(1) as usize) {
                    tracing::info!(from = step + 1, to = step + 2, "migrating the data");
                    migrate(&store)?;
                    store.set_schema(step as u32 + 2)?;
                }
            }
        }
        // Nobody works in this folder yet, so whatever is staged is of a process that was killed.
        store.discard_staged()?;
        store.compare_with(sealed)?;
        for fault in &store.faults {
            tracing::error!(%fault, "the store is not as it was written");
        }
        Ok(store)
    }

    fn set_schema(&self, version: u32) -> Result<()> {
        let mut batch = Batch::default();
        values::add(&mut batch, b"version", version.to_string().as_bytes());
        self.schema.apply_batch(batch).map_err(|e| CodebookError::store("write the schema version", e))?;
        self.flush("write the schema version")
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
        values::get(tree, &key)?.map(|bytes| parse(tree, &key, &bytes)).transpose()
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
                live.push((edit, parse(tree, &under(name, &key), &bytes)?));
            }
        }
        Ok(live)
    }
}

/// A crash between creating the folder and writing the version leaves trees without anything in them.
fn schema_may_begin(db: &Db) -> bool {
    db.tree_names().iter().all(|name| db.open_tree(name).is_ok_and(|tree| tree.is_empty()))
}

fn open_trees(db: &Db) -> Result<[Tree; NAMES.len()]> {
    let mut trees = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        trees.push(db.open_tree(name).map_err(|e| CodebookError::store("open a tree", e))?);
    }
    trees.try_into().map_err(|_| CodebookError::store("open a tree", "one is missing"))
}

/// Name, a zero byte (which no name has), rest.
fn under(name: &CodebookName, rest: &[u8]) -> Vec<u8> {
    [name.as_str().as_bytes(), &[0], rest].concat()
}

fn edit_of(tree: &Tree, key: &[u8]) -> Result<EditId> {
    <[u8; 16]>::try_from(key)
        .map(EditId::from_bytes)
        .map_err(|_| CodebookError::corrupt(values::describe(tree, key), "its key is not that of an edit"))
}

fn parse<T: DeserializeOwned>(tree: &Tree, key: &[u8], bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| CodebookError::corrupt(values::describe(tree, key), e))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Abort> {
    serde_json::to_vec(value).map_err(|e| Abort::Abort(CodebookError::store("write JSON", e)))
}

fn abort<T>(error: CodebookError) -> Result<T, Abort> {
    Err(ConflictableTransactionError::Abort(error))
}

impl From<&Member> for MemberRow {
    fn from(member: &Member) -> Self {
        Self {
            kind: member.kind,
            statement: member.statement,
            image: member.image,
            area: member.area,
            sentence: member.sentence.clone(),
        }
    }
}

/// The head that edits are appended under: the one there is, or the one that `first` begins.
fn begun(head: Option<Head>, first: Option<&Generation>) -> Result<Head> {
    match (head, first) {
        (Some(head), None) => Ok(head),
        (None, Some(first)) => Ok(Head {
            embedding: first.embedding.clone(),
            next_event: 0,
            chosen: first.chosen,
            previous: None,
            draft: None,
        }),
        _ => Err(CodebookError::Conflict(
            "the embedding is given with the first edit, and only then".to_owned(),
        )),
    }
}

/// Radius and key of each member, as little-endian f32.
fn vectors<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        bytes.extend(member.radius.to_le_bytes());
        member.key.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    }
    bytes
}

fn idempotency_key(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
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
            let bytes = values::get(tree, &key)?
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
        origin: EventOrigin,
    ) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_edits_of(name, edits, first, origin)
    }

    fn commit_revert(&self, name: &CodebookName, edit: EditId) -> Result<()> {
        let _beside = self.writing.read();
        self.commit_revert_of(name, edit)
    }

    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft> {
        let _beside = self.writing.read();
        self.begin_draft_of(name, draft)
    }

    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        self.members_of(name, embedding)
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

    fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }

    fn dump(&self, take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>) -> Result<Option<DumpReport>> {
        self.dump_to(take)
    }

    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()> {
        let _beside = self.writing.read();
        let key = under(name, &edit.to_bytes());
        self.transact("keep an outcome", |trees| {
            if !values::stands(&trees[EDITS], &key)? {
                return abort(CodebookError::UnknownEdit(edit));
            }
            Ok(values::put(&trees[OUTCOMES], &key, outcome)?)
        })
    }

    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>> {
        values::get(self.tree(OUTCOMES), &under(name, &edit.to_bytes()))
    }

    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        let tree = self.tree(IDEMPOTENCY);
        let key = under(name, &idempotency_key(key));
        values::get(tree, &key)?.map(|bytes| parse(tree, &key, &bytes)).transpose()
    }
}

#[cfg(test)]
mod decay_tests;
#[cfg(test)]
mod tests;
