//! From schema 1 to 2, in which values are sealed: the store is written anew beside the one that is there,
//! which then stays under another name. A rewrite in place would leave in sled's log what is to be readable
//! by keys alone.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use reasonedit_keyring::{KeyId, Keyring, Lifetime};
use sled::Batch;

use super::layout::{
    EDITS, IDEMPOTENCY, JOURNAL, NAMES, OWN_KEYS, SCHEMA, edit_of, key_of_journal, key_of_row, of_keyring,
};
use super::open::beside;
use super::{SledStore, open, seal, values};
use crate::ids::EditId;
use crate::records::EditRecord;
use crate::{CodebookError, Result};

/// What is appended to the name of the folder while its successor is written, and for what it was.
const NEW: &str = ".new";
const FORMER: &str = ".schema-1";
/// The file that says that the successor is whole.
const WHOLE: &str = "whole";
/// Bytes that are written at a time.
const STEP_BYTES: usize = 4 << 20;

/// The folders beside a store that hold what it was before it was sealed: the former store, and the copy of a
/// damaged log of that time.
pub(super) fn former(folder: &Path) -> Vec<String> {
    let (former, damaged) = (beside(folder, FORMER), beside(folder, open::COPY));
    let first =
        |folder: &Path| reasonedit_sled_log::read(&folder.join("db")).is_ok_and(|rows| is_first(&rows));
    let copies = [former.is_dir().then_some(&former), first(&damaged).then_some(&damaged)];
    let name = |folder: &PathBuf| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    copies.into_iter().flatten().map(name).collect()
}

/// Whether there is a store in this folder whose values are sealed. Reads its log.
///
/// # Errors
/// `Store` if the disk refuses.
pub(in crate::store) fn is_sealed(folder: &Path) -> Result<bool> {
    let db = folder.join("db");
    if !db.is_file() {
        return Ok(false);
    }
    let rows = reasonedit_sled_log::read(&db);
    let rows = rows.map_err(|error| CodebookError::store("read the data", error.kind()))?;
    Ok(rows.trees.contains_key(&b"edits"[..]) && !is_first(&rows))
}

/// Whether the rows are of the first schema.
pub(super) fn is_first(rows: &reasonedit_sled_log::Rows) -> bool {
    let version = rows.trees.get(&b"schema"[..]).map(|pieces| values::assembled(pieces).0);
    version.is_some_and(|values| values.get(&b"version"[..]).is_some_and(|version| version == b"1"))
}

/// Does what is left of a rewriting that was interrupted.
///
/// # Errors
/// `Store` if the disk refuses.
pub(super) fn finish(folder: &Path) -> Result<()> {
    let new = beside(folder, NEW);
    if !new.is_dir() {
        return Ok(());
    }
    let finished = || -> io::Result<()> {
        if folder.is_dir() && folder.join("db").is_file() {
            // It had not taken its place.
            return fs::remove_dir_all(&new);
        }
        if new.join(WHOLE).is_file() {
            fs::rename(&new, folder)?;
            fs::remove_file(folder.join(WHOLE))?;
        }
        Ok(())
    };
    finished().map_err(|error| CodebookError::store("finish writing the data anew", error.kind()))
}

/// Writes the store of schema 1 in a folder anew; the caller has closed it.
///
/// # Errors
/// `Store` if the disk refuses; the folder is as it was then.
pub(super) fn rewrite(folder: &Path, keys: &Arc<Keyring>) -> Result<()> {
    let began = Instant::now();
    let failed = |error: io::Error| CodebookError::of_disk("write the data anew", &error);
    let bytes = fs::metadata(folder.join("db")).map_err(failed)?.len();
    tracing::warn!(
        megabytes = bytes >> 20,
        "the data is of an earlier form and is written anew, sealed; this takes about a second for each 10 MB"
    );
    let (new, former) = (beside(folder, NEW), beside(folder, FORMER));
    if former.exists() {
        return Err(CodebookError::Conflict(format!(
            "the data is to be kept as `{}`, and something is there already; remove it, or put it elsewhere",
            former.file_name().unwrap_or_default().to_string_lossy()
        )));
    }
    fs::create_dir_all(&new).map_err(failed)?;
    {
        let (db, _) = open::database(folder)?;
        let store = SledStore::open_with(&new, Arc::clone(keys))?;
        for (index, name) in NAMES.iter().map(|name| Some(*name)).chain([None]).enumerate() {
            let name = name.unwrap_or(JOURNAL);
            let from = db.open_tree(name).map_err(|e| CodebookError::store("open a tree", e))?;
            copy(&store, index, &from)?;
        }
        store.flush("write the data anew")?;
    }
    let ended = || -> io::Result<()> {
        if folder.join(seal::FILE).is_file() {
            fs::copy(folder.join(seal::FILE), new.join(seal::FILE))?;
            File::open(new.join(seal::FILE))?.sync_all()?;
        }
        // Keys of its own stay with it.
        if folder.join(OWN_KEYS).is_file() {
            fs::copy(folder.join(OWN_KEYS), new.join(OWN_KEYS))?;
            File::open(new.join(OWN_KEYS))?.sync_all()?;
            fs::remove_file(folder.join(OWN_KEYS))?;
        }
        File::create(new.join(WHOLE))?.sync_all()?;
        File::open(&new)?.sync_all()?;
        fs::rename(folder, &former)?;
        fs::rename(&new, folder)?;
        fs::remove_file(folder.join(WHOLE))?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    ended().map_err(failed)?;
    tracing::warn!(
        former = %former.file_name().unwrap_or_default().to_string_lossy(),
        ms = began.elapsed().as_millis(),
        "the data was written anew; the former stays there unsealed: remove it once you are content"
    );
    Ok(())
}

/// Copies the values of a tree; those that can't be read as they are, so that they are found to be damaged.
fn copy(store: &SledStore, index: usize, from: &sled::Tree) -> Result<()> {
    let into = if index < NAMES.len() { store.tree(index) } else { store.journal_tree() };
    let mut pending: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let (mut held, mut raw) = (0, Batch::default());
    let write = |pending: &mut Vec<(Vec<u8>, Vec<u8>)>| -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in store.sealed(index, std::mem::take(pending))? {
            values::add(&mut batch, &key, &value);
        }
        into.apply_batch(batch).map_err(|e| CodebookError::store("write the data anew", e))
    };
    let ended = values::each_or_raw(from, &mut |key, value| {
        match value {
            Ok(value) => pending.push((key.to_vec(), value.to_vec())),
            Err(whole) => values::add_raw(&mut raw, key, whole),
        }
        held += key.len() + value.unwrap_or_else(|whole| whole).len();
        if held >= STEP_BYTES {
            held = 0;
            write(&mut pending)?;
        }
        Ok(ControlFlow::Continue(()))
    });
    ended?;
    write(&mut pending)?;
    into.apply_batch(raw).map_err(|e| CodebookError::store("write the data anew", e))
}

impl SledStore {
    /// Values of schema 1 in the form of this one. The tree is one of [`NAMES`], or the one after them, the
    /// journal's.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if keys can't be kept.
    pub(super) fn sealed(
        &self,
        tree: usize,
        rows: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let owner = |key: &[u8], value: &[u8]| -> Option<KeyId> {
            match tree {
                IDEMPOTENCY => {
                    let (_, edit) = serde_json::from_slice::<([u8; 32], EditId)>(value).ok()?;
                    key_of_row(tree, key, &edit.to_bytes())
                }
                tree if tree < NAMES.len() => key_of_row(tree, key, value),
                _ => key_of_journal(key),
            }
        };
        let ids: Vec<KeyId> = rows.iter().filter_map(|(key, value)| owner(key, value)).collect();
        let lifetime = if tree < NAMES.len() { Lifetime::Lasting } else { Lifetime::Passing };
        // What was erased since has no key, and is left out.
        let standing: Vec<KeyId> = ids.into_iter().filter(|id| self.keys.erased(*id).is_none()).collect();
        self.keys.ensure_for(&standing, lifetime).map_err(of_keyring)?;
        let mut sealed = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let Some(of) = owner(&key, &value) else {
                sealed.push((key, value));
                continue;
            };
            if self.keys.erased(of).is_some() && tree != EDITS {
                continue;
            }
            let value = match tree {
                // Its key alone is needed, for what follows from the erasure.
                EDITS if self.keys.erased(of).is_some() => Vec::new(),
                IDEMPOTENCY => {
                    let (body, edit) = serde_json::from_slice::<([u8; 32], EditId)>(&value)
                        .map_err(|e| CodebookError::store("read a row", e))?;
                    [&edit.to_bytes()[..], &self.seal_value(tree, &key, of, &body)?].concat()
                }
                tree if tree < NAMES.len() => self.seal_value(tree, &key, of, &value)?,
                _ => self.seal_journal(of, &key, &value)?,
            };
            sealed.push((key, value));
        }
        Ok(sealed)
    }

    /// Which schema the rows are of, where the number is lost: records were JSON in the first.
    pub(super) fn guessed_schema(&self) -> u32 {
        let tree = self.tree(EDITS);
        let mut plain = None;
        let looked = values::each_or_raw(tree, &mut |key, value| {
            if let Ok(value) = value
                && edit_of(tree, key.last_chunk::<16>().map_or(key, |id| id)).is_ok()
            {
                plain = Some(serde_json::from_slice::<EditRecord>(value).is_ok());
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        });
        if looked.is_ok() && plain == Some(true) { 1 } else { SCHEMA }
    }
}
