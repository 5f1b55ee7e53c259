//! What can be saved from a damaged folder, into a new one: codebooks of which all is there as they are, and
//! of the others every edit of which record and keys are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reasonedit_keyring::Keyring;
use serde::{Serialize, Serializer};
use sled::Batch;

use super::layout::{
    CODEBOOKS, EDITS, EVENTS, Head, MEMBERS, MemberRow, NAMES, OUTCOMES, REVERTS, STAGED, VECTORS,
    members_of_row, under,
};
use super::{SledStore, open, rewrite, seal, values};
use crate::ids::{CodebookName, EditId};
use crate::records::{EditRecord, Generation};
use crate::store::contract::{CodebookStore, Event, LoggedEvent, SharedEdit};
use crate::{CodebookError, Result};

/// How long another process is waited for that has the folder open.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are written at a time.
const STEP_BYTES: usize = 4 << 20;

/// What was saved.
#[derive(Debug, Default, Serialize)]
pub struct SalvagedStore {
    /// The codebooks, in order of their names.
    pub codebooks: Vec<SalvagedBook>,
    /// What could not be read of the log.
    pub faults: Vec<String>,
}

/// What was saved of a codebook.
#[derive(Debug, Serialize)]
pub struct SalvagedBook {
    /// Its name.
    pub name: CodebookName,
    /// Whether all of it was there, with its history and the keys of every generation.
    pub whole: bool,
    /// Live edits that were saved, with their keys.
    pub edits: usize,
    /// What was damaged or missing, and edits that could not be saved.
    pub lost: Vec<String>,
    /// Records of live edits whose keys are lost: they can be made anew of picture and record. A report names
    /// them alone, since what they say is sealed wherever it lies.
    #[serde(serialize_with = "ids")]
    pub without_keys: Vec<EditRecord>,
}

fn ids<S: Serializer>(records: &[EditRecord], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_seq(records.iter().map(|record| record.id))
}

/// The values of a folder that are as they were written, by tree and key.
type Values = [values::ByKey; NAMES.len()];

/// See [`crate::store::salvage`].
pub(in crate::store) fn salvage(from: &Path, into: &Path, keys: Arc<Keyring>) -> Result<SalvagedStore> {
    let refused = |action: &'static str| move |e: std::io::Error| CodebookError::store(action, e.kind());
    let db = from.join("db");
    // As long as it is read: sled takes the same lock.
    // Threads of a store that was just closed may hold it a moment longer.
    let lock = open::locked(&db, LOCK_PATIENCE)?;
    let rows = reasonedit_sled_log::read(&db).map_err(refused("read the data"))?;
    let sealed = seal::Seal::open(from)?.1.unwrap_or_default();
    fs::create_dir_all(into).map_err(refused("begin a folder"))?;
    let store = SledStore::open_with(into, keys)?;
    let first = rewrite::is_first(&rows);
    let mut saved = SalvagedStore { faults: rows.faults, ..SalvagedStore::default() };
    let mut values: Values = Default::default();
    let mut damaged = Vec::new();
    for (tree, name) in NAMES.iter().enumerate() {
        let Some(pieces) = rows.trees.get(name.as_bytes()) else { continue };
        let (whole, broken) = values::assembled(pieces);
        damaged.extend(broken.into_iter().map(|key| (tree, key)));
        values[tree] = if first {
            store.sealed(tree, whole.into_iter().collect())?.into_iter().collect()
        } else {
            whole
        };
    }
    if let Some(pieces) = rows.trees.get(&b"journal"[..]) {
        let (rows, broken) = values::assembled(pieces);
        saved.faults.extend(broken.iter().map(|key| {
            format!(
                "{} is damaged: a row of what goes on in the background",
                values::describe(store.journal_tree(), key)
            )
        }));
        let rows = if first {
            store.sealed(NAMES.len(), rows.into_iter().collect())?.into_iter().collect()
        } else {
            rows
        };
        write(store.journal_tree(), rows.iter())?;
    }
    let named =
        |key: &Vec<u8>| String::from_utf8_lossy(key.split(|b| *b == 0).next().unwrap_or_default()).parse();
    let spoken_of = [CODEBOOKS, EDITS, EVENTS].into_iter().flat_map(|tree| values[tree].keys());
    let mut names: BTreeSet<CodebookName> =
        spoken_of.chain(damaged.iter().map(|(_, key)| key)).flat_map(named).collect();
    names.extend(sealed.events.keys().cloned());
    for name in names {
        let mut lost: Vec<String> = Vec::new();
        for (tree, key) in damaged.iter().filter(|(tree, key)| is_of(&name, *tree, key)) {
            lost.push(format!("{} is damaged", values::describe(store.tree(*tree), key)));
        }
        copy(&store, &values, &name)?;
        store.flush("save a codebook")?;
        let faults = store.examine(&name);
        let had = sealed.events.get(&name).copied().unwrap_or_default();
        let there = store.events(&name).unwrap_or_default();
        if had > there {
            lost.push(format!("{} of {had} events are missing", had - there));
        }
        if lost.is_empty() && faults.is_empty() {
            let edits = store.load(&name)?.edits.len();
            if there > 0 {
                store.seal(&name)?;
                saved.codebooks.push(SalvagedBook {
                    name,
                    whole: true,
                    edits,
                    lost,
                    without_keys: Vec::new(),
                });
            }
            continue;
        }
        lost.extend(faults.iter().map(ToString::to_string));
        clear(&store, &name)?;
        saved.codebooks.push(rebuild(&store, &values, name, had, lost)?);
    }
    drop(lock);
    Ok(saved)
}

fn is_of(name: &CodebookName, tree: usize, key: &[u8]) -> bool {
    if tree == CODEBOOKS { key == name.as_str().as_bytes() } else { key.starts_with(&under(name, &[])) }
}

fn write<'a>(tree: &sled::Tree, values: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> Result<()> {
    let (mut batch, mut held) = (Batch::default(), 0);
    let apply = |batch| tree.apply_batch(batch).map_err(|e| CodebookError::store("save values", e));
    for (key, value) in values {
        values::add(&mut batch, key, value);
        held += value.len();
        if held >= STEP_BYTES {
            apply(std::mem::take(&mut batch))?;
            held = 0;
        }
    }
    apply(batch)
}

/// Everything of a codebook as it was, but what an import had not finished.
fn copy(store: &SledStore, values: &Values, name: &CodebookName) -> Result<()> {
    for (tree, values) in values.iter().enumerate().filter(|(tree, _)| *tree != STAGED) {
        write(store.tree(tree), values.iter().filter(|(key, _)| is_of(name, tree, key)))?;
    }
    Ok(())
}

fn clear(store: &SledStore, name: &CodebookName) -> Result<()> {
    for tree in 0..NAMES.len() {
        let (keys, end) = values::keys(store.tree(tree), &[]);
        end?;
        let mut batch = Batch::default();
        for key in keys.iter().filter(|key| is_of(name, tree, key)) {
            values::drop_in(&mut batch, store.tree(tree), key)?;
        }
        store.tree(tree).apply_batch(batch).map_err(|e| CodebookError::store("begin a codebook anew", e))?;
    }
    store.flush("begin a codebook anew")
}

/// Makes a codebook of the live edits that can be read; it `had` so many events at least.
fn rebuild(
    store: &SledStore,
    values: &Values,
    name: CodebookName,
    had: u64,
    mut lost: Vec<String>,
) -> Result<SalvagedBook> {
    let head: Option<Head> =
        values[CODEBOOKS].get(name.as_str().as_bytes()).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let under_name = |tree: usize| {
        let prefix = under(&name, &[]);
        values[tree].iter().filter_map(move |(key, value)| Some((key.strip_prefix(&prefix[..])?, value)))
    };
    let edit = |key: &[u8]| <[u8; 16]>::try_from(key).ok().map(EditId::from_bytes);
    let plain = |tree: usize, key: &[u8]| store.unseal_value(tree, key, values[tree].get(key)?).ok();
    let mut reverted: BTreeSet<EditId> = under_name(REVERTS).filter_map(|(key, _)| edit(key)).collect();
    let staged: BTreeSet<EditId> = under_name(STAGED).filter_map(|(key, _)| edit(key)).collect();
    let mut known: BTreeSet<EditId> = BTreeSet::new();
    let counted = head.as_ref().map(|head| head.next_event);
    let mut events = 0;
    let mut generation = head.map(|head| Generation { embedding: head.embedding, chosen: head.chosen });
    let head_lost = generation.is_none();
    for (_, value) in under_name(EVENTS) {
        let Ok(logged) = serde_json::from_slice::<LoggedEvent>(value) else { continue };
        events += 1;
        match logged.event {
            Event::Edited(id) => drop(known.insert(id)),
            Event::Reverted(id) | Event::Erased(id) => drop(reverted.insert(id)),
            Event::Restored(id) => drop(reverted.remove(&id)),
            Event::Reembedded(_) if head_lost => generation = logged.generation,
            Event::Reembedded(_) => {}
        }
    }
    if counted != Some(events) || had > events {
        lost.push(
            "its history is incomplete: an edit that was taken back may be among those saved".to_owned(),
        );
    }
    known.extend(under_name(EDITS).chain(under_name(MEMBERS)).filter_map(|(key, _)| edit(key)));
    let (mut edits, mut without_keys): (Vec<SharedEdit>, Vec<EditRecord>) = (Vec::new(), Vec::new());
    for id in known.into_iter().filter(|id| !reverted.contains(id) && !staged.contains(id)) {
        let key = under(&name, &id.to_bytes());
        let record = plain(EDITS, &key).and_then(|bytes| serde_json::from_slice::<EditRecord>(&bytes).ok());
        let Some(mut record) = record.filter(|record| record.id == id) else {
            lost.push(format!("the edit {id}: its record is lost"));
            continue;
        };
        let rows =
            plain(MEMBERS, &key).and_then(|bytes| serde_json::from_slice::<Vec<MemberRow>>(&bytes).ok());
        let members = generation.as_ref().zip(rows).and_then(|(generation, rows)| {
            let vectors = under(&name, &[generation.embedding.id.to_bytes(), id.to_bytes()].concat());
            let bytes = plain(VECTORS, &vectors)?;
            members_of_row(id, rows, &bytes, generation.embedding.dim()).ok()
        });
        match members.zip(generation.as_ref()) {
            Some((members, generation)) => {
                record.embedding = generation.embedding.id;
                edits.push((Arc::new(record), members.into_iter().map(Arc::new).collect()));
            }
            None => without_keys.push(record),
        }
    }
    if let Some(generation) = generation.filter(|_| !edits.is_empty()) {
        store.commit_edits(&name, &edits, Some(&generation), None)?;
    }
    for (record, _) in &edits {
        if let Some(outcome) = plain(OUTCOMES, &under(&name, &record.id.to_bytes())) {
            store.put_outcome(&name, record.id, &outcome)?;
        }
    }
    Ok(SalvagedBook { name, whole: false, edits: edits.len(), lost, without_keys })
}
