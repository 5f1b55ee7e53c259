//! An edit and its versions: taken back together, undone one by one, newest first.

use crate::book::Codebook;
use crate::ids::EditId;
use crate::snapshot::Snapshot;
use crate::store::Reverting;
use crate::{CodebookError, Result};

impl Snapshot {
    /// The id that a live edit is known by, whichever of its versions is named.
    pub fn known_as(&self, id: EditId) -> Option<EditId> {
        self.edit(id).map(|record| record.known_as())
    }

    /// The stored id of the newest version of a live edit, whichever version is named.
    pub fn newest_version(&self, id: EditId) -> Option<EditId> {
        self.standing().newest_version(self.known_as(id)?)
    }

    /// Number of live edits, however many versions they have.
    pub fn known_edits(&self) -> usize {
        self.edit_count() - self.standing().later_versions()
    }

    /// The newest version of an edit, if that is the one that was `expected` where one was.
    fn expected_version(&self, id: EditId, expected: Option<EditId>) -> Result<Option<EditId>> {
        let newest = self.newest_version(id);
        match (newest, expected) {
            (Some(newest), Some(expected)) if newest != expected => {
                Err(CodebookError::OtherVersion { edit: self.known_as(id).unwrap_or(id), newest })
            }
            _ => Ok(newest),
        }
    }
}

impl Codebook {
    /// Reverts an edit with all its versions, at once: the codebook becomes what it would be had it never
    /// been made. The records stay in the store's history. `expected` is the stored id of the version that
    /// has to be its newest, if there is one that has to.
    ///
    /// # Errors
    /// `UnknownEdit` if it isn't live, `Erased`, `OtherVersion`, `Store`.
    pub fn revert_expected(&self, edit: EditId, expected: Option<EditId>) -> Result<()> {
        let mut writer = self.write()?;
        let current = self.snapshot();
        if current.expected_version(edit, expected)?.is_none() {
            return Err(self.unknown(edit));
        }
        let mut gone = current.standing().versions(current.known_as(edit).unwrap_or(edit));
        gone.reverse();
        let next = current.without_edits(&gone.iter().copied().collect());
        self.publish(&mut writer, next, || self.store.commit_reverts(&self.name, &Reverting::of(&gone)))?;
        Ok(())
    }

    /// As [`Self::revert_expected`], whatever its newest version.
    ///
    /// # Errors
    /// As there.
    pub fn revert(&self, edit: EditId) -> Result<()> {
        self.revert_expected(edit, None)
    }

    /// Undoes the newest version of an edit, if it has this number: the codebook becomes what it would be had
    /// that version never been made, and the one before is the newest. Returns the edit's newest version.
    ///
    /// # Errors
    /// `UnknownEdit` if the edit isn't live, `Erased`, `OtherVersion`, `Conflict` for another version than
    /// the newest and for the first, `Store`.
    pub fn undo_version(&self, edit: EditId, number: u32, expected: Option<EditId>) -> Result<EditId> {
        let mut writer = self.write()?;
        let current = self.snapshot();
        let newest = current.expected_version(edit, expected)?.ok_or_else(|| self.unknown(edit))?;
        let record = current.edit(newest).ok_or_else(|| self.unknown(edit))?;
        if record.relations.version.is_none() || record.version() != number {
            let detail = match record.version() {
                1 => "the edit has one version: to take that back, take back the edit".to_owned(),
                newest => format!("its newest version is {newest}: versions are undone newest first"),
            };
            return Err(CodebookError::Conflict(detail));
        }
        let known_as = record.known_as();
        let next = current.without_edit(newest);
        let now = self.publish(&mut writer, next, || {
            self.store.commit_reverts(&self.name, &Reverting::of(&[newest]))
        })?;
        now.newest_version(known_as).ok_or_else(|| self.unknown(known_as))
    }

    /// All that was ever stored of an edit and wasn't erased, live or taken back, the newest version first
    /// and the first last; whichever version is named.
    ///
    /// # Errors
    /// `UnknownEdit` if it was never made, `Erased`, `Store` or `Corrupt`.
    pub fn stored_versions(&self, edit: EditId) -> Result<Vec<EditId>> {
        let known_as = self.record(edit)?.known_as();
        let reverted = self.store.reverted_edits(&self.name)?;
        let mut versions = self.snapshot().standing().versions(known_as);
        versions.extend(reverted.iter().filter(|one| one.known_as == known_as).map(|one| one.edit));
        // Ids come in the order in which they were given; the first has the one that all know.
        versions.sort_by_key(|id| (*id == known_as, std::cmp::Reverse(*id)));
        versions.dedup();
        Ok(versions)
    }
}
