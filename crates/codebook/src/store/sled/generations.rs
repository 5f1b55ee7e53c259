//! Generations of keys: the live one, the one before it, and the draft of the next. The head of a codebook
//! names them, and the keys of each lie under its id; what lies under any other id is left over and swept.

use sled::Batch;

use super::layout::{
    CODEBOOKS, Head, MEMBERS, MemberRow, VECTORS, abort, json, key_of, members_of_row, parse, under, vectors,
};
use super::{SledStore, values};
use crate::ids::{CodebookName, EditId, GenerationId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Embedding, Generation};
use crate::store::contract::{LoggedEvent, unknown};
use crate::{CodebookError, Result};

/// Pieces that are removed at a time.
const SWEPT_AT_ONCE: usize = 4096;

impl SledStore {
    pub(super) fn begin_draft_of(&self, name: &CodebookName, wanted: &Draft) -> Result<Draft> {
        self.transact("begin a generation", |trees| {
            let Some(mut head) = self.head_in(trees, name)? else {
                return abort(CodebookError::UnknownCodebook(name.clone()));
            };
            head.draft = Some(match head.draft.take() {
                Some(old) => old.followed_by(wanted).map_err(values::Abort::Abort)?,
                None => wanted.clone(),
            });
            Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?)
        })?;
        let draft = self.head(name)?.and_then(|head| head.draft);
        draft.ok_or_else(|| CodebookError::store("begin a generation", "it is gone"))
    }

    pub(super) fn discard_draft_of(&self, name: &CodebookName) -> Result<()> {
        self.transact("discard a generation", |trees| {
            let Some(mut head) = self.head_in(trees, name)? else { return Ok(()) };
            head.draft = None;
            Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?)
        })
    }

    pub(super) fn swap_to(&self, name: &CodebookName, to: &Generation) -> Result<()> {
        self.transact("swap the keys", |trees| {
            let Some(mut head) = self.head_in(trees, name)? else {
                return abort(CodebookError::UnknownCodebook(name.clone()));
            };
            let id = to.embedding.id;
            if head.embedding.id == id {
                head.chosen = to.chosen;
                return Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?);
            }
            if !head.in_use().any(|other| other == id) {
                return abort(unknown(id));
            }
            let kept = head.previous.as_ref().is_some_and(|previous| previous.embedding.id == id);
            head.draft = head.draft.filter(|draft| draft.generation.embedding.id != id);
            head.previous = Some(Generation { embedding: head.embedding, chosen: head.chosen });
            head.embedding = to.embedding.clone();
            head.chosen = to.chosen;
            Self::append(trees, name, head, &LoggedEvent::swapped(to, kept))?;
            Ok(())
        })?;
        self.seal(name)
    }

    pub(super) fn put_keys_of(
        &self,
        name: &CodebookName,
        generation: GenerationId,
        members: &[Member],
    ) -> Result<()> {
        let head = self.head(name)?.ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?;
        if generation == head.embedding.id || !head.in_use().any(|other| other == generation) {
            return Err(unknown(generation));
        }
        let mut batch = Batch::default();
        for edit in members.chunk_by(|a, b| a.edit == b.edit) {
            let Some(first) = edit.first() else { continue };
            let key = under(name, &[generation.to_bytes(), first.edit.to_bytes()].concat());
            // What may stand there is of the same members and dimensions, so it is as long and is replaced
            // whole.
            let of = key_of(name, first.edit);
            // It was erased since the keys were begun.
            if self.keys.erased(of).is_some() {
                continue;
            }
            values::add(&mut batch, &key, &self.seal_value(VECTORS, &key, of, &vectors(edit))?);
        }
        self.tree(VECTORS).apply_batch(batch).map_err(|e| CodebookError::store("write new keys", e))?;
        self.flush("write new keys")
    }

    /// These live members with the keys and radii of a generation. Unless all edits must have some, those
    /// without are left out.
    pub(super) fn members_in(
        &self,
        name: &CodebookName,
        live: Vec<(EditId, Vec<MemberRow>)>,
        embedding: &Embedding,
        complete: bool,
    ) -> Result<Vec<Member>> {
        let (tree, dim) = (self.tree(VECTORS), embedding.dim());
        let mut members = Vec::new();
        for (edit, rows) in live {
            let key = under(name, &[embedding.id.to_bytes(), edit.to_bytes()].concat());
            let corrupt = |reason: String| CodebookError::corrupt(values::describe(tree, &key), reason);
            let bytes = match self.read(VECTORS, &key)? {
                Some(bytes) => bytes,
                None if complete => return Err(corrupt("it is missing".to_owned())),
                None => continue,
            };
            members.extend(members_of_row(edit, rows, &bytes, dim).map_err(corrupt)?);
        }
        Ok(members)
    }

    pub(super) fn members_of(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        self.members_in(name, self.live(name)?, embedding, false)
    }

    pub(super) fn kept_edits_of(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>> {
        let mut found = Vec::with_capacity(edits.len());
        for edit in edits {
            // Erased between two of its rows, its key is gone: then it is as if it had been so before.
            let row = self.kept_edit(name, *edit, embedding);
            match row {
                Err(_) if self.erasure_of(name, *edit).is_some() => {}
                row => found.extend(row?),
            }
        }
        Ok(found)
    }

    fn kept_edit(
        &self,
        name: &CodebookName,
        edit: EditId,
        embedding: &Embedding,
    ) -> Result<Option<(EditRecord, Vec<Member>)>> {
        let key = under(name, &edit.to_bytes());
        if self.is_staged(name, edit)? {
            return Ok(None);
        }
        let (record, rows) = (self.record_of(name, edit)?, self.read(MEMBERS, &key)?);
        let Some((record, rows)) = record.zip(rows) else { return Ok(None) };
        let rows = parse(self.tree(MEMBERS), &key, &rows)?;
        let members = self.members_in(name, vec![(edit, rows)], embedding, false)?;
        Ok((!members.is_empty()).then_some((record, members)))
    }

    /// Goes from generation to generation, so that those in use are passed over unread.
    pub(super) fn sweep_of(&self, name: &CodebookName) -> Result<()> {
        let Some(head) = self.head(name)? else { return Ok(()) };
        let tree = self.tree(VECTORS);
        let prefix = under(name, &[]);
        let failed = |e| CodebookError::store("remove old keys", e);
        let mut from = 0u128;
        let mut removed = false;
        loop {
            let start = [&prefix[..], &from.to_be_bytes()].concat();
            let Some(first) = tree.range(start..).keys().next() else { break };
            let first = first.map_err(|e| values::failed(tree, &prefix, e))?;
            let Some(rest) = first.strip_prefix(&prefix[..]) else { break };
            let Some(id) = rest.first_chunk::<16>() else {
                return Err(CodebookError::corrupt(values::describe(tree, &first), "its key is too short"));
            };
            if head.in_use().any(|used| used.to_bytes() == *id) {
                let Some(next) = u128::from_be_bytes(*id).checked_add(1) else { break };
                from = next;
                continue;
            }
            from = u128::from_be_bytes(*id);
            let generation = [&prefix[..], id].concat();
            let mut batch = Batch::default();
            for key in tree.scan_prefix(&generation).keys().take(SWEPT_AT_ONCE) {
                batch.remove(key.map_err(|e| values::failed(tree, &prefix, e))?);
            }
            tree.apply_batch(batch).map_err(failed)?;
            removed = true;
        }
        if removed { self.flush("remove old keys") } else { Ok(()) }
    }

    /// The head of a codebook, within a transaction.
    pub(super) fn head_in(
        &self,
        trees: &[sled::transaction::TransactionalTree],
        name: &CodebookName,
    ) -> Result<Option<Head>, values::Abort> {
        let key = name.as_str().as_bytes();
        values::get_in(&trees[CODEBOOKS], self.tree(CODEBOOKS), key)?
            .map(|bytes| parse(self.tree(CODEBOOKS), key, &bytes).map_err(values::Abort::Abort))
            .transpose()
    }
}
