//! Erasing: what a codebook holds of an edit goes for good.

use reasonedit_keyring::Erasure;

use crate::book::Codebook;
use crate::ids::{EditId, ImageId};
use crate::{CodebookError, Result};

impl Codebook {
    /// Erases an edit, live or taken back: the codebook becomes what it would be had it never been made, and
    /// what was stored of it can't be read any more, in what an earlier state has of it neither. That it was
    /// made, taken back and erased stays in the history. Pictures stay.
    ///
    /// # Errors
    /// `UnknownEdit` if it was never made, `Unwritable` or `Store`: it may be erased then, and asking again
    /// ends it.
    pub fn erase(&self, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        let mut writer = self.write()?;
        let current = self.snapshot();
        let next = current.edit(edit).map(|_| current.without_edit(edit));
        let mut erasure = None;
        self.publish(&mut writer, next, || {
            erasure = Some(self.store.erase(&self.name, edit, by)?);
            Ok(())
        })?;
        erasure.ok_or(CodebookError::UnknownEdit(edit))
    }

    /// When and by whom an edit was erased, if it was.
    pub fn erased(&self, edit: EditId) -> Option<Erasure> {
        self.store.erased(&self.name, edit)
    }

    /// The edits that are about a picture, live ones and those that were taken back and not erased.
    ///
    /// # Errors
    /// `Store` or `Corrupt`.
    pub fn edits_of_image(&self, image: ImageId) -> Result<Vec<EditId>> {
        let snapshot = self.snapshot();
        let live = snapshot.edits().filter(|record| record.image.id == image).map(|record| record.id);
        let reverted = self.store.reverted_edits(&self.name)?;
        let reverted = reverted.into_iter().filter(|one| one.image == image).map(|one| one.edit);
        Ok(live.chain(reverted).collect())
    }
}
