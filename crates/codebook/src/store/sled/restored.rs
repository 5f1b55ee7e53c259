//! A store made of the rows that another one was dumped as.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_keyring::Keyring;
use sled::Batch;

use super::layout::{EDITS, JOURNAL, NAMES, REVERTS, SCHEMA, key_of_journal, key_of_row};
use super::{SledStore, values};
use crate::store::contract::CodebookStore as _;
use crate::store::dump::{DumpedRow, RestoredStore};
use crate::{CodebookError, Result};

/// Bytes that are written at a time.
const STEP_BYTES: usize = 4 << 20;

/// A store that is being made of the rows of another. It is one when [`Self::finish`] returns.
pub struct StoreRestore {
    store: SledStore,
    folder: PathBuf,
    schema: u32,
    /// The tree that rows come for, the journal's after all others, and those that are not written yet.
    tree: usize,
    pending: Vec<(Vec<u8>, Vec<u8>)>,
    held: usize,
    rows: u64,
    let_go: u64,
}

impl std::fmt::Debug for StoreRestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreRestore").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl StoreRestore {
    /// Begins a store in a folder, for rows of this schema, sealed by these keys. The folder is made; it
    /// holds no store yet.
    ///
    /// # Errors
    /// `SchemaTooNew`, `Conflict` if there is a store already, `Store` if the disk refuses.
    pub fn begin(folder: &Path, schema: u32, keys: Arc<Keyring>) -> Result<Self> {
        if schema > SCHEMA {
            return Err(CodebookError::SchemaTooNew { found: schema, supported: SCHEMA });
        }
        fs::create_dir_all(folder).map_err(|e| CodebookError::store("begin a folder", e.kind()))?;
        let store = SledStore::open_with(folder, keys)?;
        if store.db.was_recovered() {
            return Err(CodebookError::Conflict("there is a store already".to_owned()));
        }
        let folder = folder.to_owned();
        Ok(Self { store, folder, schema, tree: 0, pending: Vec::new(), held: 0, rows: 0, let_go: 0 })
    }

    /// Writes a row. All rows of a tree come one after another, each key once. Rows of the journal that the
    /// keys of now don't open are let go: their work was over when the keys were kept.
    ///
    /// # Errors
    /// `Corrupt` for a tree that is not known, `Store` if the disk refuses.
    pub fn put(&mut self, row: DumpedRow<'_>) -> Result<()> {
        let tree = match NAMES.iter().position(|name| *name == row.tree) {
            Some(index) => index,
            None if row.tree == JOURNAL => NAMES.len(),
            None => return Err(CodebookError::corrupt(row.tree, "no tree is called so")),
        };
        if tree != self.tree || self.held >= STEP_BYTES {
            self.write()?;
            self.tree = tree;
        }
        if tree == NAMES.len() && self.schema == SCHEMA && !self.is_of_now(&row) {
            self.let_go += 1;
            return Ok(());
        }
        self.pending.push((row.key.to_vec(), row.value.to_vec()));
        self.held += row.value.len();
        self.rows += 1;
        Ok(())
    }

    /// Whether a row of the journal is sealed by the key that its id has now: one of an earlier key is of
    /// work that was over.
    fn is_of_now(&self, row: &DumpedRow<'_>) -> bool {
        key_of_journal(row.key).is_some_and(|key| self.store.keys.has(key))
            && self.store.unseal_row(row.key, row.value).is_ok()
    }

    fn write(&mut self) -> Result<()> {
        self.held = 0;
        let rows = std::mem::take(&mut self.pending);
        let rows = if self.schema < SCHEMA { self.store.sealed(self.tree, rows)? } else { rows };
        let mut batch = Batch::default();
        for (key, value) in &rows {
            values::add(&mut batch, key, value);
        }
        let tree =
            if self.tree < NAMES.len() { self.store.tree(self.tree) } else { self.store.journal_tree() };
        tree.apply_batch(batch).map_err(|e| CodebookError::store("restore rows", e))
    }

    /// Live edits among the rows that were erased since.
    fn erased(&self) -> usize {
        let (rows, _) = values::keys(self.store.tree(EDITS), &[]);
        let reverted = |row: &[u8]| values::is_there(self.store.tree(REVERTS), row).unwrap_or(false);
        let gone = |row: &&Vec<u8>| {
            key_of_row(EDITS, row, &[]).is_some_and(|key| self.store.keys.erased(key).is_some())
        };
        rows.iter().filter(gone).filter(|row| !reverted(row)).count()
    }

    /// Makes durable what came, of rows some of which are lost: it is to be salvaged. How many codebooks and
    /// live edits there are isn't known of it.
    ///
    /// # Errors
    /// `Store`.
    pub fn finish_incomplete(mut self) -> Result<RestoredStore> {
        self.write()?;
        self.store.flush("restore rows")?;
        let erased = self.erased();
        Ok(RestoredStore { codebooks: 0, edits: 0, rows: self.rows + self.let_go, erased })
    }

    /// Makes all of it durable, and reads it once more as a service does that is started on it: every value,
    /// and whether everything is there that the history speaks of.
    ///
    /// # Errors
    /// `Damaged` if a codebook isn't whole, `Corrupt`, `Store`.
    pub fn finish(mut self) -> Result<RestoredStore> {
        self.write()?;
        self.store.flush("restore rows")?;
        let erased = self.erased();
        let Self { store, folder, rows, let_go, .. } = self;
        let keys = Arc::clone(&store.keys);
        drop(store);
        let store = SledStore::open_with(&folder, keys)?;
        let names = store.names()?;
        let mut edits = 0;
        for name in &names {
            if let Some(fault) = store.examine(name).first() {
                return Err(CodebookError::Damaged { name: name.clone(), reason: fault.to_string() });
            }
            edits += store.replay(name, None).live.len();
        }
        if let Some(fault) = store.faults().first() {
            return Err(CodebookError::corrupt("store", fault));
        }
        Ok(RestoredStore { codebooks: names.len(), edits, rows: rows + let_go, erased })
    }
}
