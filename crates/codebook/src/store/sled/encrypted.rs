//! Values under keys of their own: whatever is stored of an edit is sealed by the edit's key, rows of the
//! journal by that of their id. So an edit can be erased though sled's log keeps what it ever wrote: its key
//! goes first, and what is left are bytes that nobody can read.
//!
//! What says nothing of anybody stays as it is: names of codebooks, ids, times, what keys were made by.

use std::collections::BTreeSet;

use reasonedit_keyring::{Erasure, KeyId, Lifetime};

use super::SledStore;
use super::layout::{
    CODEBOOKS, EDITS, EVENTS, Head, ID, IDEMPOTENCY, JOURNAL, MEMBERS, NAMES, OUTCOMES, REVERTS, VECTORS,
    abort, bound, edit_of, journal_key, json, key_of, key_of_journal, key_of_row, of_keyring, under,
};
use super::values::{self, Abort};
use crate::ids::{CodebookName, EditId};
use crate::records::RevertedEdit;
use crate::store::contract::{Event, EventOrigin, LoggedEvent};
use crate::{CodebookError, Result};

impl SledStore {
    /// Sees to it that these edits have keys.
    ///
    /// # Errors
    /// `Conflict` if one of them was erased, `Unwritable` or `Store` if the disk refuses.
    pub(super) fn ensure_keys(&self, name: &CodebookName, edits: impl Iterator<Item = EditId>) -> Result<()> {
        let ids: Vec<KeyId> = edits.map(|edit| key_of(name, edit)).collect();
        self.keys.ensure(&ids).map_err(of_keyring)
    }

    /// A value of an edit in the form that it is stored in.
    ///
    /// # Errors
    /// `Conflict` if the edit was erased, `Store`.
    pub(super) fn seal_value(&self, tree: usize, key: &[u8], of: KeyId, plain: &[u8]) -> Result<Vec<u8>> {
        self.keys.seal(of, &bound(NAMES[tree], key), plain).map_err(of_keyring)
    }

    /// A value of an edit as it was before it was sealed.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn unseal_value(&self, tree: usize, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let described = || values::describe(self.tree(tree), key);
        let of = key_of_row(tree, key, sealed)
            .ok_or_else(|| CodebookError::corrupt(described(), "its key is not that of an edit"))?;
        let sealed = if tree == IDEMPOTENCY { &sealed[ID..] } else { sealed };
        let plain = self.keys.unseal(of, &bound(NAMES[tree], key), sealed);
        plain.map_err(|error| CodebookError::corrupt(described(), error))
    }

    /// The value of an edit under this key.
    ///
    /// # Errors
    /// `Corrupt`, `Store`.
    pub(super) fn read(&self, tree: usize, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let stored = values::get(self.tree(tree), key)?;
        stored.map(|sealed| self.unseal_value(tree, key, &sealed)).transpose()
    }

    /// The row of an idempotency key: the edit, and the sealed hash of the body.
    ///
    /// # Errors
    /// As [`Self::seal_value`].
    pub(super) fn idempotency_row(
        &self,
        name: &CodebookName,
        key: &[u8],
        edit: EditId,
        body: &[u8; 32],
    ) -> Result<Vec<u8>> {
        let sealed = self.seal_value(IDEMPOTENCY, key, key_of(name, edit), body)?;
        Ok([&edit.to_bytes()[..], &sealed].concat())
    }

    /// What a row of an idempotency key says.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn idempotent(&self, key: &[u8], stored: &[u8]) -> Result<([u8; 32], EditId)> {
        let corrupt =
            |reason: &str| CodebookError::corrupt(values::describe(self.tree(IDEMPOTENCY), key), reason);
        let edit = stored.first_chunk::<ID>().ok_or_else(|| corrupt("it is too short"))?;
        if let Some(erasure) = key_of_row(IDEMPOTENCY, key, stored).and_then(|of| self.keys.erased(of)) {
            let Erasure { at, by } = erasure;
            return Err(CodebookError::Erased { edit: EditId::from_bytes(*edit), at, by });
        }
        let body = self.unseal_value(IDEMPOTENCY, key, stored)?;
        let body = <[u8; 32]>::try_from(body.as_slice()).map_err(|_| corrupt("it is no digest"))?;
        Ok((body, EditId::from_bytes(*edit)))
    }

    /// A row of the journal in the form that it is stored in.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub(super) fn seal_row(&self, table: &str, id: &[u8; ID], key: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let of = journal_key(table.as_bytes(), id);
        self.keys.ensure_for(&[of], Lifetime::Passing).map_err(of_keyring)?;
        self.seal_journal(of, key, plain)
    }

    pub(super) fn seal_journal(&self, of: KeyId, key: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        self.keys.seal(of, &bound(JOURNAL, key), plain).map_err(of_keyring)
    }

    /// A row of the journal as it was before it was sealed.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn unseal_row(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let described = || values::describe(self.journal_tree(), key);
        let of = key_of_journal(key)
            .ok_or_else(|| CodebookError::corrupt(described(), "its key is not that of a row"))?;
        let plain = self.keys.unseal(of, &bound(JOURNAL, key), sealed);
        plain.map_err(|error| CodebookError::corrupt(described(), error))
    }

    /// Erases an edit: its key first, and from then on it is gone whatever happens; then its rows, with an
    /// event that says so.
    pub(super) fn erase_of(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        let of = key_of(name, edit);
        if self.keys.erased(of).is_none() {
            let made = values::is_there(self.tree(EDITS), &under(name, &edit.to_bytes()))?;
            if !made || self.is_staged(name, edit)? {
                return Err(CodebookError::UnknownEdit(edit));
            }
            self.keys.erase(&[of], by).map_err(of_keyring)?;
        }
        let erasure = self.keys.erased(of).ok_or(CodebookError::UnknownEdit(edit))?;
        self.remove_erased(name, edit, &erasure)?;
        Ok(erasure)
    }

    /// When and by whom an edit was erased, if it was.
    pub(super) fn erasure_of(&self, name: &CodebookName, edit: EditId) -> Option<Erasure> {
        self.keys.erased(key_of(name, edit))
    }

    /// Removes the rows of an edit whose key is gone; again, after a crash say, does nothing.
    fn remove_erased(&self, name: &CodebookName, edit: EditId, erasure: &Erasure) -> Result<()> {
        let key = under(name, &edit.to_bytes());
        let (rows, end) = values::scan_each(self.tree(IDEMPOTENCY), &under(name, &[]));
        end?;
        let named =
            |value: &Result<Vec<u8>>| value.as_ref().is_ok_and(|value| value.starts_with(&edit.to_bytes()));
        let keyed: Vec<Vec<u8>> =
            rows.iter().filter(|(_, value)| named(value)).map(|(rest, _)| under(name, rest)).collect();
        self.transact("erase an edit", |trees| {
            let Some(mut head) = self.head_in(trees, name)? else {
                return abort(CodebookError::UnknownEdit(edit));
            };
            if !values::stands(&trees[EDITS], &key)? {
                return Ok(());
            }
            if !values::stands(&trees[REVERTS], &key)? {
                let sequence = head.next_event;
                put_event(
                    trees,
                    name,
                    &mut head,
                    &LoggedEvent::now(Event::Reverted(edit), EventOrigin::Direct),
                )?;
                values::put(&trees[REVERTS], &key, &json(&sequence)?)?;
            }
            let event = LoggedEvent {
                at: Some(erasure.at),
                by: erasure.by.clone(),
                ..LoggedEvent::now(Event::Erased(edit), EventOrigin::Direct)
            };
            put_event(trees, name, &mut head, &event)?;
            for tree in [EDITS, MEMBERS, OUTCOMES] {
                values::remove(&trees[tree], &key)?;
            }
            for generation in head.in_use() {
                let key = under(name, &[generation.to_bytes(), edit.to_bytes()].concat());
                values::remove(&trees[VECTORS], &key)?;
            }
            // Who sends the request again is not to bring it back: the row says that its edit was erased.
            for row in &keyed {
                values::put(&trees[IDEMPOTENCY], row, &edit.to_bytes())?;
            }
            Ok(values::put(&trees[CODEBOOKS], name.as_str().as_bytes(), &json(&head)?)?)
        })?;
        self.seal(name)
    }

    /// Removes what is left of edits whose keys are gone: the process was killed in between, or the store is
    /// of before they were erased. A codebook that can't be read is left, and found damaged later.
    pub(super) fn finish_erasures(&self) -> Result<()> {
        if !self.keys.any_erased() {
            return Ok(());
        }
        let (rows, end) = values::keys(self.tree(EDITS), &[]);
        if let Err(error) = end {
            tracing::error!(%error, "edits that were erased can't be looked for");
        }
        for row in rows {
            let Some(erasure) = key_of_row(EDITS, &row, &[]).and_then(|key| self.keys.erased(key)) else {
                continue;
            };
            let Some((name, edit)) = row.split_last_chunk::<ID>() else { continue };
            let named = std::str::from_utf8(&name[..name.len().saturating_sub(1)]).ok();
            let Some(name) = named.and_then(|name| name.parse::<CodebookName>().ok()) else { continue };
            let edit = EditId::from_bytes(*edit);
            match self.is_staged(&name, edit) {
                Ok(false) => {}
                Ok(true) => continue,
                Err(error) => {
                    tracing::error!(%error, codebook = %name, "what is left of an edit can't be removed");
                    continue;
                }
            }
            tracing::info!(codebook = %name, %edit, "removing what is left of an edit that was erased");
            match self.remove_erased(&name, edit, &erasure) {
                Err(error @ (CodebookError::Corrupt { .. } | CodebookError::UnknownEdit(_))) => {
                    tracing::error!(%error, codebook = %name, "it can't be removed");
                }
                removed => removed?,
            }
        }
        Ok(())
    }

    /// The edits that were taken back and not erased.
    pub(super) fn reverted_edits_of(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>> {
        let tree = self.tree(REVERTS);
        let (keys, end) = values::keys(tree, &under(name, &[]));
        end?;
        let mut reverted = Vec::new();
        for key in keys {
            let edit = edit_of(tree, &key[name.as_str().len() + 1..])?;
            match self.record_of(name, edit) {
                Ok(Some(record)) => reverted.push(RevertedEdit::from(&record)),
                Ok(None) => {}
                // What can't be read keeps nothing else from being erased.
                Err(error @ CodebookError::Corrupt { .. }) => {
                    tracing::error!(codebook = %name, %edit, %error, "an edit that was taken back can't be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(reverted)
    }

    /// Forgets the keys of edits that an import had staged and that never came to be.
    pub(super) fn forget_keys_of(&self, rows: &BTreeSet<Vec<u8>>) -> Result<()> {
        let keys: Vec<KeyId> = rows.iter().filter_map(|row| key_of_row(EDITS, row, &[])).collect();
        self.keys.forget(&keys).map_err(of_keyring)
    }
}

fn put_event(
    trees: &[sled::transaction::TransactionalTree],
    name: &CodebookName,
    head: &mut Head,
    event: &LoggedEvent,
) -> Result<(), Abort> {
    values::put(&trees[EVENTS], &under(name, &head.next_event.to_be_bytes()), &json(event)?)?;
    head.next_event += 1;
    Ok(())
}
