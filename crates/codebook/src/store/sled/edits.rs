//! Edits made and taken back, one by a transaction.
//!
//! Many at once: a transaction is held in memory and in the log as one piece, so what may be any number
//! of edits is written in steps: first the ids of all of them as staged, then their rows, then, in one
//! transaction, their events and the removal of the marks. What bears a mark is not there for any reader;
//! marks that are found when the folder is opened are of a process that was killed, and go with everything
//! that bears them.

use std::collections::HashSet;

use sled::Batch;
use sled::transaction::TransactionalTree;
use ulid::Ulid;

use super::layout::{
    CODEBOOKS, EDITS, EVENTS, IDEMPOTENCY, MEMBERS, MemberRow, REVERTS, STAGED, VECTORS, abort, begun,
    edit_of, idempotency_key, json, key_of, under, vectors,
};
use super::values::Abort;
use super::{SledStore, values};
use crate::ids::{CodebookName, EditId, GenerationId};
use crate::member::Member;
use crate::records::{EditRecord, Generation, Idempotency};
use crate::store::contract::{Event, EventOrigin, LoggedEvent, Reverting, SharedEdit, twice, used_before};
use crate::{CodebookError, Result};

/// Bytes of rows that are written at a time.
const STEP_BYTES: usize = 4 << 20;
/// Marks that are written or removed at a time.
const STEP_MARKS: usize = 1024;

const ACTION: &str = "commit edits";

impl SledStore {
    pub(super) fn commit_edit_of(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()> {
        let rows: Vec<MemberRow> = members.iter().map(MemberRow::from).collect();
        let edit = under(name, &record.id.to_bytes());
        let of = key_of(name, record.id);
        self.ensure_keys(name, std::iter::once(record.id))?;
        let (record_row, member_rows) = (
            self.seal_value(EDITS, &edit, of, &as_json(record)?)?,
            self.seal_value(MEMBERS, &edit, of, &as_json(&rows)?)?,
        );
        let event = LoggedEvent::now(Event::Edited(record.id), origin);
        self.transact("commit an edit", |trees| {
            let head = begun(self.head_in(trees, name)?, first).map_err(Abort::Abort)?;
            if values::stands(&trees[EDITS], &edit)? {
                return abort(used_before(record.id));
            }
            values::put(&trees[EDITS], &edit, &record_row)?;
            values::put(&trees[MEMBERS], &edit, &member_rows)?;
            let generation = head.embedding.id.to_bytes();
            let vector_key = under(name, &[generation, record.id.to_bytes()].concat());
            let keys = self.seal_value(VECTORS, &vector_key, of, &vectors(members)).map_err(Abort::Abort)?;
            values::put(&trees[VECTORS], &vector_key, &keys)?;
            if let Some(given) = &record.idempotency {
                self.put_idempotency(trees, name, record.id, given)?;
            }
            Self::append(trees, name, head, &event)?;
            Ok(())
        })?;
        self.seal(name)
    }

    pub(super) fn commit_reverts_of(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()> {
        self.transact("commit a revert", |trees| {
            self.each_in_turn(trees, name, reverting.edits, |edit, key, sequence| {
                if values::stands(&trees[REVERTS], key)? {
                    return abort(CodebookError::UnknownEdit(edit));
                }
                values::put(&trees[REVERTS], key, &json(&sequence)?)?;
                Ok(LoggedEvent::of_reverting(Event::Reverted(edit), reverting))
            })
        })?;
        self.seal(name)
    }

    pub(super) fn commit_restores_of(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()> {
        self.transact("commit a restore", |trees| {
            self.each_in_turn(trees, name, restoring.edits, |edit, key, _| {
                if !values::stands(&trees[REVERTS], key)? {
                    return abort(CodebookError::UnknownEdit(edit));
                }
                values::remove(&trees[REVERTS], key)?;
                Ok(LoggedEvent::of_reverting(Event::Restored(edit), restoring))
            })
        })?;
        self.seal(name)
    }

    /// Writes the event that `change` makes of each of these stored edits, and the head that counts them all,
    /// once.
    fn each_in_turn(
        &self,
        trees: &[TransactionalTree],
        name: &CodebookName,
        edits: &[EditId],
        change: impl Fn(EditId, &[u8], u64) -> Result<LoggedEvent, Abort>,
    ) -> Result<(), Abort> {
        let Some(first) = edits.first() else { return Ok(()) };
        let Some(mut head) = self.head_in(trees, name)? else {
            return abort(CodebookError::UnknownEdit(*first));
        };
        for edit in edits {
            let key = under(name, &edit.to_bytes());
            if !values::stands(&trees[EDITS], &key)? {
                return abort(CodebookError::UnknownEdit(*edit));
            }
            let event = change(*edit, &key, head.next_event)?;
            values::put(&trees[EVENTS], &under(name, &head.next_event.to_be_bytes()), &json(&event)?)?;
            head.next_event += 1;
        }
        Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?)
    }

    pub(super) fn commit_edits_of(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        let generation = begun(self.head(name)?, first)?.embedding.id;
        for (record, _) in edits {
            if values::is_there(self.tree(EDITS), &under(name, &record.id.to_bytes()))? {
                return Err(used_before(record.id));
            }
        }
        if let Some(id) = twice(edits.iter().map(|(record, _)| record.id)) {
            return Err(used_before(id));
        }
        self.stage(name, edits, generation)?;
        self.transact(ACTION, |trees| {
            let mut head = begun(self.head_in(trees, name)?, first).map_err(Abort::Abort)?;
            for (record, _) in edits {
                values::remove(&trees[STAGED], &under(name, &record.id.to_bytes()))?;
                if let Some(given) = &record.idempotency {
                    self.put_idempotency(trees, name, record.id, given)?;
                }
                let event = LoggedEvent::imported(record.id, import);
                values::put(&trees[EVENTS], &under(name, &head.next_event.to_be_bytes()), &json(&event)?)?;
                head.next_event += 1;
            }
            Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?)
        })?;
        self.seal(name)
    }

    fn put_idempotency(
        &self,
        trees: &[TransactionalTree],
        name: &CodebookName,
        edit: EditId,
        given: &Idempotency,
    ) -> Result<(), Abort> {
        let key = under(name, &idempotency_key(&given.key));
        let row = self.idempotency_row(name, &key, edit, &given.body).map_err(Abort::Abort)?;
        Ok(values::put(&trees[IDEMPOTENCY], &key, &row)?)
    }

    /// Writes everything that these edits need, without their being there.
    pub(super) fn stage(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        generation: GenerationId,
    ) -> Result<()> {
        for part in edits.chunks(STEP_MARKS) {
            let mut batch = Batch::default();
            for (record, _) in part {
                let key = under(name, &record.id.to_bytes());
                values::add(&mut batch, &key, &generation.to_bytes());
            }
            self.write(STAGED, batch)?;
        }
        // No row may be on disk before its mark is.
        self.flush(ACTION)?;
        self.ensure_keys(name, edits.iter().map(|(record, _)| record.id))?;
        let mut batches: [Batch; 3] = Default::default();
        let mut held = 0;
        for (record, members) in edits {
            let edit = under(name, &record.id.to_bytes());
            let vector_key = under(name, &[generation.to_bytes(), record.id.to_bytes()].concat());
            let rows: Vec<MemberRow> =
                members.iter().map(|member| MemberRow::from(member.as_ref())).collect();
            let values = [
                (&edit, as_json(record.as_ref())?),
                (&edit, as_json(&rows)?),
                (&vector_key, vectors(members.iter().map(AsRef::as_ref))),
            ];
            let of = key_of(name, record.id);
            for ((tree, batch), (key, value)) in
                [EDITS, MEMBERS, VECTORS].into_iter().zip(&mut batches).zip(values)
            {
                held += value.len();
                values::add(batch, key, &self.seal_value(tree, key, of, &value)?);
            }
            if held >= STEP_BYTES {
                self.write_rows(std::mem::take(&mut batches))?;
                held = 0;
            }
        }
        self.write_rows(batches)?;
        self.flush(ACTION)
    }

    fn write_rows(&self, batches: [Batch; 3]) -> Result<()> {
        [EDITS, MEMBERS, VECTORS]
            .into_iter()
            .zip(batches)
            .try_for_each(|(tree, batch)| self.write(tree, batch))
    }

    fn write(&self, tree: usize, batch: Batch) -> Result<()> {
        self.tree(tree).apply_batch(batch).map_err(|e| CodebookError::store(ACTION, e))
    }

    /// Whether this edit is being written, or was when the process was killed.
    pub(super) fn is_staged(&self, name: &CodebookName, edit: EditId) -> Result<bool> {
        values::is_there(self.tree(STAGED), &under(name, &edit.to_bytes()))
    }

    /// The edits of a codebook that bear a mark.
    pub(super) fn staged_in(&self, name: &CodebookName) -> Result<HashSet<EditId>> {
        let tree = self.tree(STAGED);
        let marks = values::scan(tree, &under(name, &[]))?;
        marks.iter().map(|(key, _)| edit_of(tree, key)).collect()
    }

    /// Removes everything that bears a mark, and then the marks. What can't be read stays, so that the
    /// codebook it belongs to is found damaged and no other is held up.
    pub(super) fn discard_staged(&self) -> Result<()> {
        let (found, end) = values::scan_each(self.tree(STAGED), &[]);
        if let Err(error) = end {
            tracing::error!(%error, "what an import left can't be looked for");
        }
        let marks: Vec<_> = found.into_iter().filter_map(|(key, mark)| Some((key, mark.ok()?))).collect();
        if marks.is_empty() {
            return Ok(());
        }
        tracing::info!(edits = marks.len(), "removing what an import that was interrupted left");
        for part in marks.chunks(STEP_MARKS) {
            let mut batches: [Batch; 3] = Default::default();
            for (key, mark) in part {
                let corrupt =
                    || CodebookError::corrupt(values::describe(self.tree(STAGED), key), "it is no mark");
                let (book, edit) = key.split_last_chunk::<16>().ok_or_else(corrupt)?;
                let generation: &[u8; 16] = mark.as_slice().try_into().map_err(|_| corrupt())?;
                let vector_key = [book, generation, edit].concat();
                values::drop_in(&mut batches[0], self.tree(EDITS), key)?;
                values::drop_in(&mut batches[1], self.tree(MEMBERS), key)?;
                values::drop_in(&mut batches[2], self.tree(VECTORS), &vector_key)?;
            }
            self.write_rows(batches)?;
        }
        // No mark may be gone before its rows are.
        self.flush(ACTION)?;
        self.forget_keys_of(&marks.iter().map(|(key, _)| key.clone()).collect())?;
        for part in marks.chunks(STEP_MARKS) {
            let mut batch = Batch::default();
            for (key, _) in part {
                values::drop_in(&mut batch, self.tree(STAGED), key)?;
            }
            self.write(STAGED, batch)?;
        }
        self.flush(ACTION)
    }
}

fn as_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| CodebookError::store("write JSON", e))
}
