//! A store that lasts as long as the process: for tests and for evaluations that keep nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use parking_lot::{Mutex, MutexGuard};
use reasonedit_keyring::Erasure;
use time::OffsetDateTime;
use ulid::Ulid;

use super::contract::{
    CodebookStore, Event, EventOrigin, LoggedEvent, Reverting, SharedEdit, StoredCodebook, twice, unknown,
    used_before,
};
use super::journal::{JournalStore, ReadRow, RowKey};
use crate::ids::{CodebookName, EditId, GenerationId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Embedding, Generation, RevertedEdit};
use crate::{CodebookError, Result};

/// See the module's description.
#[derive(Debug, Default)]
pub struct MemoryStore {
    codebooks: Mutex<BTreeMap<CodebookName, Contents>>,
    journal: Mutex<BTreeMap<(String, RowKey), Vec<u8>>>,
}

#[derive(Debug)]
struct Contents {
    live: Generation,
    previous: Option<Generation>,
    draft: Option<Draft>,
    edits: BTreeMap<EditId, EditRecord>,
    /// Members with their keys, by generation.
    members: BTreeMap<(GenerationId, EditId), Vec<Member>>,
    reverted: BTreeSet<EditId>,
    events: Vec<LoggedEvent>,
    outcomes: BTreeMap<EditId, Vec<u8>>,
    idempotency: BTreeMap<String, ([u8; 32], EditId)>,
    erased: BTreeMap<EditId, Erasure>,
}

impl Contents {
    fn begun(first: &Generation) -> Self {
        Self {
            live: first.clone(),
            previous: None,
            draft: None,
            edits: BTreeMap::new(),
            members: BTreeMap::new(),
            reverted: BTreeSet::new(),
            events: Vec::new(),
            outcomes: BTreeMap::new(),
            idempotency: BTreeMap::new(),
            erased: BTreeMap::new(),
        }
    }

    fn append(&mut self, record: &EditRecord, members: Vec<Member>, event: LoggedEvent) {
        self.edits.insert(record.id, record.clone());
        self.members.insert((self.live.embedding.id, record.id), members);
        self.events.push(event);
        if let Some(given) = &record.idempotency {
            self.idempotency.insert(given.key.clone(), (given.body, record.id));
        }
    }

    fn live(&self) -> impl Iterator<Item = &EditRecord> {
        self.edits.values().filter(|record| !self.reverted.contains(&record.id))
    }

    fn members(&self, generation: GenerationId) -> Vec<Member> {
        let of = |record: &EditRecord| self.members.get(&(generation, record.id));
        self.live().filter_map(of).flatten().cloned().collect()
    }

    /// Whether the id is that of the previous generation or of the draft.
    fn aside(&self, id: GenerationId) -> bool {
        let others = self.previous.iter().chain(self.draft.iter().map(|draft| &draft.generation));
        others.into_iter().any(|generation| generation.embedding.id == id)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reverts these edits, or restores them.
    fn in_turn(&self, name: &CodebookName, step: &Reverting<'_>, restores: bool) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name);
        let fits = |edit: &EditId| {
            let known = contents.as_ref().filter(|contents| contents.edits.contains_key(edit));
            known.is_some_and(|contents| contents.reverted.contains(edit) == restores)
        };
        let misfit = step.edits.iter().find(|edit| !fits(edit)).copied();
        if let Some(unknown) = misfit.or_else(|| twice(step.edits.iter().copied())) {
            return Err(CodebookError::UnknownEdit(unknown));
        }
        if let Some(contents) = contents {
            for edit in step.edits {
                let event = if restores {
                    contents.reverted.remove(edit);
                    Event::Restored(*edit)
                } else {
                    contents.reverted.insert(*edit);
                    Event::Reverted(*edit)
                };
                contents.events.push(LoggedEvent::of_reverting(event, step));
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CodebookName, Contents>> {
        self.codebooks.lock()
    }

    fn lock_journal(&self) -> MutexGuard<'_, BTreeMap<(String, RowKey), Vec<u8>>> {
        self.journal.lock()
    }
}

/// The codebook that edits of these ids may be appended to: begun by `first`, and by nothing else.
fn to_append_to<'c>(
    codebooks: &'c mut BTreeMap<CodebookName, Contents>,
    name: &CodebookName,
    first: Option<&Generation>,
    ids: impl IntoIterator<Item = EditId> + Clone,
) -> Result<&'c mut Contents> {
    let misplaced =
        || CodebookError::Conflict("the embedding is given with the first edit, and only then".to_owned());
    let there = codebooks.get(name);
    if there.is_some() == first.is_some() {
        return Err(misplaced());
    }
    let known = |id: &EditId| {
        there.is_some_and(|contents| contents.edits.contains_key(id) || contents.erased.contains_key(id))
    };
    if let Some(id) = ids.clone().into_iter().find(known).or_else(|| twice(ids)) {
        return Err(used_before(id));
    }
    if let Some(first) = first {
        codebooks.insert(name.clone(), Contents::begun(first));
    }
    codebooks.get_mut(name).ok_or_else(misplaced)
}

impl CodebookStore for MemoryStore {
    fn journal(&self) -> &dyn JournalStore {
        self
    }

    fn names(&self) -> Result<Vec<CodebookName>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn load(&self, name: &CodebookName) -> Result<StoredCodebook> {
        Ok(self.lock().get(name).map_or_else(StoredCodebook::default, |contents| StoredCodebook {
            generation: Some(contents.live.clone()),
            previous: contents.previous.clone(),
            edits: contents.live().cloned().collect(),
            members: contents.members(contents.live.embedding.id),
        }))
    }

    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = to_append_to(&mut codebooks, name, first, [record.id])?;
        let event = LoggedEvent::now(Event::Edited(record.id), origin);
        contents.append(record, members.to_vec(), event);
        Ok(())
    }

    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = to_append_to(&mut codebooks, name, first, edits.iter().map(|(record, _)| record.id))?;
        for (record, members) in edits {
            let members = members.iter().map(|member| member.as_ref().clone()).collect();
            contents.append(record, members, LoggedEvent::imported(record.id, import));
        }
        Ok(())
    }

    fn commit_reverts(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()> {
        self.in_turn(name, reverting, false)
    }

    fn commit_restores(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()> {
        self.in_turn(name, restoring, true)
    }

    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?;
        let draft = match contents.draft.clone() {
            Some(old) => old.followed_by(draft)?,
            None => draft.clone(),
        };
        contents.draft = Some(draft.clone());
        Ok(draft)
    }

    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        Ok(self.lock().get(name).map(|contents| contents.members(embedding.id)).unwrap_or_default())
    }

    fn kept_edits(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>> {
        let codebooks = self.lock();
        let Some(contents) = codebooks.get(name) else { return Ok(Vec::new()) };
        let kept = |id: &EditId| {
            let members = contents.members.get(&(embedding.id, *id))?;
            Some((contents.edits.get(id)?.clone(), members.clone()))
        };
        Ok(edits.iter().filter_map(kept).collect())
    }

    fn put_keys(&self, name: &CodebookName, generation: GenerationId, members: &[Member]) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?;
        if !contents.aside(generation) {
            return Err(unknown(generation));
        }
        for edit in members.chunk_by(|a, b| a.edit == b.edit) {
            let Some(first) = edit.first() else { continue };
            let Some(old) = contents.members.get(&(contents.live.embedding.id, first.edit)) else { continue };
            let with_key = |(old, new): (&Member, &Member)| Member {
                key: new.key.clone(),
                radius: new.radius,
                ..old.clone()
            };
            let new = old.iter().zip(edit).map(with_key).collect();
            contents.members.insert((generation, first.edit), new);
        }
        Ok(())
    }

    fn swap(&self, name: &CodebookName, to: &Generation) -> Result<()> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?;
        let id = to.embedding.id;
        if contents.live.embedding.id == id {
            contents.live.chosen = to.chosen;
            return Ok(());
        }
        if !contents.aside(id) {
            return Err(unknown(id));
        }
        let kept = contents.previous.as_ref().is_some_and(|previous| previous.embedding.id == id);
        contents.events.push(LoggedEvent::swapped(to, kept));
        contents.draft = contents.draft.take().filter(|draft| draft.generation.embedding.id != id);
        contents.previous = Some(std::mem::replace(&mut contents.live, to.clone()));
        Ok(())
    }

    fn discard_draft(&self, name: &CodebookName) -> Result<()> {
        if let Some(contents) = self.lock().get_mut(name) {
            contents.draft = None;
        }
        Ok(())
    }

    fn sweep(&self, name: &CodebookName) -> Result<()> {
        if let Some(contents) = self.lock().get_mut(name) {
            let mut members = std::mem::take(&mut contents.members);
            members.retain(|(id, _), _| *id == contents.live.embedding.id || contents.aside(*id));
            contents.members = members;
        }
        Ok(())
    }

    fn history(&self, name: &CodebookName, from: u64, limit: usize) -> Result<Vec<LoggedEvent>> {
        let codebooks = self.lock();
        let events = codebooks.get(name).map(|contents| contents.events.iter());
        Ok(events.into_iter().flatten().skip(from as usize).take(limit).cloned().collect())
    }

    fn events(&self, name: &CodebookName) -> Result<u64> {
        Ok(self.lock().get(name).map_or(0, |contents| contents.events.len() as u64))
    }

    fn record(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>> {
        Ok(self.lock().get(name).and_then(|contents| contents.edits.get(&edit).cloned()))
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
        let codebooks = self.lock();
        let Some(contents) = codebooks.get(name) else { return Ok(None) };
        let found = contents.idempotency.get(key).copied();
        match found.and_then(|(_, edit)| Some((edit, contents.erased.get(&edit)?.clone()))) {
            Some((edit, Erasure { at, by })) => Err(CodebookError::Erased { edit, at, by }),
            None => Ok(found),
        }
    }

    fn erase(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        let mut codebooks = self.lock();
        let contents = codebooks.get_mut(name).ok_or(CodebookError::UnknownEdit(edit))?;
        if let Some(erasure) = contents.erased.get(&edit) {
            return Ok(erasure.clone());
        }
        if contents.edits.remove(&edit).is_none() {
            return Err(CodebookError::UnknownEdit(edit));
        }
        if contents.reverted.insert(edit) {
            contents.events.push(LoggedEvent::now(Event::Reverted(edit), EventOrigin::Direct));
        }
        let event = LoggedEvent {
            by: by.map(str::to_owned),
            ..LoggedEvent::now(Event::Erased(edit), EventOrigin::Direct)
        };
        let at = event.at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        contents.events.push(event);
        contents.members.retain(|(_, of), _| *of != edit);
        contents.outcomes.remove(&edit);
        let erasure = Erasure { at, by: by.map(str::to_owned) };
        contents.erased.insert(edit, erasure.clone());
        Ok(erasure)
    }

    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<Erasure> {
        self.lock().get(name)?.erased.get(&edit).cloned()
    }

    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>> {
        let codebooks = self.lock();
        let Some(contents) = codebooks.get(name) else { return Ok(Vec::new()) };
        let records = contents.reverted.iter().filter_map(|edit| contents.edits.get(edit));
        Ok(records.map(RevertedEdit::from).collect())
    }
}

impl JournalStore for MemoryStore {
    fn put_row(&self, table: &str, key: RowKey, value: &[u8]) -> Result<()> {
        self.lock_journal().insert((table.to_owned(), key), value.to_vec());
        Ok(())
    }

    fn row(&self, table: &str, key: RowKey) -> Result<Option<Vec<u8>>> {
        Ok(self.lock_journal().get(&(table.to_owned(), key)).cloned())
    }

    fn rows(&self, table: &str, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<ReadRow>> {
        let rows = self.lock_journal();
        let range = (table.to_owned(), *keys.start())..=(table.to_owned(), *keys.end());
        Ok(rows.range(range).take(limit).map(|((_, key), value)| (*key, Ok(value.clone()))).collect())
    }

    fn rows_reached(&self, table: &str) -> Result<Vec<ReadRow>> {
        self.rows(table, RowKey::FIRST..=RowKey::LAST, usize::MAX)
    }

    fn remove_rows(&self, table: &str, id: Ulid) -> Result<()> {
        self.lock_journal().retain(|(in_table, key), _| in_table != table || key.id != id);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
