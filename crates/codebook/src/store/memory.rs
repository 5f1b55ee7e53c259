//! A store that lasts as long as the process: for tests and for evaluations that keep nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{CodebookStore, Event, StoredCodebook, cover};
use crate::ids::{CodebookName, EditId};
use crate::member::Member;
use crate::records::{EditRecord, Embedding};
use crate::{CodebookError, Result};

/// See the module's description.
#[derive(Debug, Default)]
pub struct MemoryStore {
    codebooks: Mutex<BTreeMap<CodebookName, Contents>>,
}

#[derive(Debug)]
struct Contents {
    embedding: Embedding,
    edits: BTreeMap<EditId, (EditRecord, Vec<Member>)>,
    reverted: BTreeSet<EditId>,
    events: Vec<Event>,
    outcomes: BTreeMap<EditId, Vec<u8>>,
    idempotency: BTreeMap<String, ([u8; 32], EditId)>,
}

impl Contents {
    fn live(&self) -> impl Iterator<Item = &(EditRecord, Vec<Member>)> {
        self.edits.iter().filter(|(id, _)| !self.reverted.contains(id)).map(|(_, edit)| edit)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CodebookName, Contents>> {
        self.codebooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CodebookStore for MemoryStore {
    fn names(&self) -> Result<Vec<CodebookName>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn load(&self, name: &CodebookName) -> Result<StoredCodebook> {
        Ok(self.lock().get(name).map_or_else(StoredCodebook::default, |contents| StoredCodebook {
            embedding: Some(contents.embedding.clone()),
            edits: contents.live().map(|(record, _)| record.clone()).collect(),
            members: contents.live().flat_map(|(_, members)| members.clone()).collect(),
        }))
    }

    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Embedding>,
    ) -> Result<()> {
        let mut codebooks = self.lock();
        if codebooks.contains_key(name) == first.is_some() {
            return Err(CodebookError::Conflict(
                "the embedding is given with the first edit, and only then".to_owned(),
            ));
        }
        if codebooks.get(name).is_some_and(|contents| contents.edits.contains_key(&record.id)) {
            return Err(CodebookError::Conflict(format!("the edit id {} was used before", record.id)));
        }
        if let Some(embedding) = first {
            let contents = Contents {
                embedding: embedding.clone(),
                edits: BTreeMap::new(),
                reverted: BTreeSet::new(),
                events: Vec::new(),
                outcomes: BTreeMap::new(),
                idempotency: BTreeMap::new(),
            };
            codebooks.insert(name.clone(), contents);
        }
        if let Some(contents) = codebooks.get_mut(name) {
            contents.edits.insert(record.id, (record.clone(), members.to_vec()));
            contents.events.push(Event::Edited(record.id));
            if let Some(given) = &record.idempotency {
                contents.idempotency.insert(given.key.clone(), (given.body, record.id));
            }
        }
        Ok(())
    }

    fn commit_revert(&self, name: &CodebookName, edit: EditId) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or(CodebookError::UnknownEdit(edit))?;
        if !contents.edits.contains_key(&edit) || !contents.reverted.insert(edit) {
            return Err(CodebookError::UnknownEdit(edit));
        }
        contents.events.push(Event::Reverted(edit));
        Ok(())
    }

    fn replace_embedding(
        &self,
        name: &CodebookName,
        embedding: &Embedding,
        members: &[Member],
    ) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?;
        let live: Vec<_> = contents.live().flat_map(|(_, members)| members).map(Member::place).collect();
        for (edit, new) in cover(live, members)? {
            if let Some((_, old)) = contents.edits.get_mut(&edit) {
                for (old, new) in old.iter_mut().zip(new) {
                    old.key.clone_from(&new.key);
                    old.radius = new.radius;
                }
            }
        }
        contents.embedding = embedding.clone();
        contents.events.push(Event::Reembedded(embedding.id));
        Ok(())
    }

    fn history(&self, name: &CodebookName) -> Result<Vec<Event>> {
        Ok(self.lock().get(name).map(|contents| contents.events.clone()).unwrap_or_default())
    }

    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks
            .get_mut(name)
            .filter(|contents| contents.edits.contains_key(&edit))
            .ok_or(CodebookError::UnknownEdit(edit))?;
        contents.outcomes.insert(edit, outcome.to_vec());
        Ok(())
    }

    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().get(name).and_then(|contents| contents.outcomes.get(&edit).cloned()))
    }

    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        Ok(self.lock().get(name).and_then(|contents| contents.idempotency.get(key).copied()))
    }
}
