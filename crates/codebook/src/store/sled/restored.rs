//! A store made of the rows that another one was dumped as.

use std::fs;
use std::path::{Path, PathBuf};

use sled::Batch;

use super::dump::JOURNAL;
use super::{NAMES, SCHEMA, SledStore, values};
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
    /// The tree that rows come for, and those of them that are not written yet.
    pending: Option<(sled::Tree, Batch)>,
    held: usize,
    rows: u64,
}

impl std::fmt::Debug for StoreRestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreRestore").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl StoreRestore {
    /// Begins a store in a folder, for rows of this schema. The folder is made; it holds no store yet.
    ///
    /// # Errors
    /// `SchemaTooNew`, `Conflict` if there is a store already, `Store` if the disk refuses.
    pub fn begin(folder: &Path, schema: u32) -> Result<Self> {
        if schema > SCHEMA {
            return Err(CodebookError::SchemaTooNew { found: schema, supported: SCHEMA });
        }
        fs::create_dir_all(folder).map_err(|e| CodebookError::store("begin a folder", e.kind()))?;
        let store = SledStore::open(folder)?;
        if store.db.was_recovered() {
            return Err(CodebookError::Conflict("there is a store already".to_owned()));
        }
        Ok(Self { store, folder: folder.to_owned(), schema, pending: None, held: 0, rows: 0 })
    }

    /// Writes a row. All rows of a tree come one after another, each key once.
    ///
    /// # Errors
    /// `Corrupt` for a tree that is not known, `Store` if the disk refuses.
    pub fn put(&mut self, row: DumpedRow<'_>) -> Result<()> {
        let same = self.pending.as_ref().is_some_and(|(tree, _)| *tree.name() == *row.tree.as_bytes());
        if !same || self.held >= STEP_BYTES {
            self.write()?;
        }
        let batch = match &mut self.pending {
            Some((_, batch)) => batch,
            none => {
                let tree = match NAMES.iter().position(|name| *name == row.tree) {
                    Some(index) => self.store.tree(index),
                    None if row.tree == JOURNAL => self.store.journal_tree(),
                    None => return Err(CodebookError::corrupt(row.tree, "no tree is called so")),
                };
                &mut none.insert((tree.clone(), Batch::default())).1
            }
        };
        values::add(batch, row.key, row.value);
        self.held += row.value.len();
        self.rows += 1;
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        self.held = 0;
        let Some((tree, batch)) = self.pending.take() else { return Ok(()) };
        tree.apply_batch(batch).map_err(|e| CodebookError::store("restore rows", e))
    }

    /// Makes all of it durable, and reads it once more as a service does that is started on it: every value,
    /// and whether everything is there that the history speaks of.
    ///
    /// # Errors
    /// `Damaged` if a codebook isn't whole, `Corrupt`, `Store`.
    pub fn finish(mut self) -> Result<RestoredStore> {
        self.write()?;
        // Rows of an earlier schema are migrated when the folder is opened.
        self.store.set_schema(self.schema)?;
        let Self { store, folder, rows, .. } = self;
        drop(store);
        let store = SledStore::open(&folder)?;
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
        Ok(RestoredStore { codebooks: names.len(), edits, rows })
    }
}
