//! Erasing: what the stores hold of an edit or of a picture goes for good.

use std::sync::Arc;

use reasonedit_codebook::{Codebook, CodebookError, CodebookName, EditId, Erasure, ImageId};
use time::OffsetDateTime;

use crate::core::Core;
use crate::editor::Editor;
use crate::error::EditorError;
use crate::pictures::blocking;

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureView {
    /// When, UTC.
    pub at: OffsetDateTime,
    /// By whom, as far as it is known.
    pub by: Option<String>,
    /// The edits.
    pub edits: Vec<(CodebookName, EditId)>,
    /// The picture, if it was erased too.
    pub picture: Option<ImageId>,
    /// The picture, if it stays: other edits are about it, live ones or such as were taken back, or may be,
    /// in a codebook that is set aside.
    pub kept_picture: Option<ImageId>,
    /// Folders that hold what the data was before it was sealed, and there all of it.
    pub unsealed_copies: Vec<String>,
}

impl Editor {
    /// Erases an edit with all its versions, live or taken back: from answers, the store's files, exports and
    /// backups that are made or restored from now on. Its picture goes with it unless another edit that
    /// wasn't erased is about it. That it was made, and erased when and by whom, stays known. Erasing it
    /// again ends what was interrupted.
    ///
    /// # Errors
    /// An edit that was never made, failing storage: it may be erased then, and asking again ends it.
    pub async fn erase_edit(
        &self,
        codebook: &CodebookName,
        edit: EditId,
        by: Option<&str>,
    ) -> Result<ErasureView, EditorError> {
        self.erase_stored(codebook, edit, by, true).await
    }

    /// Erases what is stored under this id alone: one version of an edit.
    ///
    /// # Errors
    /// As [`Self::erase_edit`].
    pub(crate) async fn erase_record(
        &self,
        codebook: &CodebookName,
        edit: EditId,
        by: Option<&str>,
    ) -> Result<ErasureView, EditorError> {
        self.erase_stored(codebook, edit, by, false).await
    }

    async fn erase_stored(
        &self,
        codebook: &CodebookName,
        edit: EditId,
        by: Option<&str>,
        whole: bool,
    ) -> Result<ErasureView, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Err(EditorError::UnknownEdit(edit)) };
        let (core, by) = (Arc::clone(&self.core), by.map(str::to_owned));
        let gate = self.core.gate().write_owned().await;
        blocking(move || {
            let record = book.record(edit).ok();
            let about = record.as_ref().map(|record| record.image.id);
            if let Some(image) = about {
                core.pictures().store().intend_erasing(image)?;
                core.question_log().remove_where(|question| question.image == image)?;
            }
            core.states().forget(book.name());
            let versions = match book.stored_versions(edit) {
                Ok(versions) if whole => versions,
                // Of one that was erased before nothing else is known.
                _ => vec![edit],
            };
            if versions.len() > 1 && book.snapshot().edit(edit).is_some() {
                // So that none of them comes to stand while the others go.
                book.revert(edit)?;
            }
            let edit = record.filter(|_| whole).map_or(edit, |record| record.known_as());
            core.proposals().remove_where(|proposal| {
                let became = versions.contains(&EditId(proposal.id));
                proposal.codebook == *book.name() && (became || (whole && proposal.amends == Some(edit)))
            })?;
            let mut erased = None;
            for version in versions {
                erased = Some(book.erase(version, by.as_deref())?);
            }
            let Erasure { at, by } = erased.ok_or(EditorError::UnknownEdit(edit))?;
            // Whoever asked meanwhile may have made one anew.
            core.states().forget(book.name());
            let ended = end_erasures(&core, by.as_deref())?;
            drop(gate);
            // Of one that had been erased before it isn't known; what was left to be done is.
            let picture = about.or(ended.first().copied()).filter(|image| ended.contains(image));
            Ok(ErasureView {
                at,
                by,
                edits: vec![(book.name().clone(), edit)],
                picture,
                kept_picture: about.filter(|image| picture != Some(*image)),
                unsealed_copies: core.library().unsealed_copies(),
            })
        })
        .await
    }

    /// Erases a picture, and every edit about it in whichever codebook, live or taken back.
    ///
    /// # Errors
    /// A picture that isn't there, failing storage: part of it may be erased then, and asking again ends it.
    pub async fn erase_image(&self, image: ImageId, by: Option<&str>) -> Result<ErasureView, EditorError> {
        let (core, by) = (Arc::clone(&self.core), by.map(str::to_owned));
        let gate = self.core.gate().write_owned().await;
        blocking(move || {
            // What a codebook that can't be read has about it can't be erased.
            if let Some((_, error)) = core.library().damaged().into_iter().next() {
                return Err(error.into());
            }
            let found = edits_of(&core, image)?;
            if found.is_empty() && !core.pictures().store().contains(image) {
                return Err(EditorError::UnknownImage(image));
            }
            core.pictures().store().intend_erasing(image)?;
            core.canaries().remove_where(|canary| canary.image == image)?;
            core.question_log().remove_where(|question| question.image == image)?;
            for proposal in core.proposals().remove_where(|one| one.newest.content.image == image)? {
                core.states().forget(&proposal.codebook);
            }
            let (mut edits, mut at) = (Vec::with_capacity(found.len()), OffsetDateTime::now_utc());
            for (book, edit) in found {
                at = book.erase(edit, by.as_deref())?.at;
                core.states().forget(book.name());
                edits.push((book.name().clone(), edit));
            }
            end_erasures(&core, by.as_deref())?;
            drop(gate);
            Ok(ErasureView {
                at,
                by,
                edits,
                picture: Some(image),
                kept_picture: None,
                unsealed_copies: core.library().unsealed_copies(),
            })
        })
        .await
    }
}

/// The edits that are about a picture and weren't erased.
fn edits_of(core: &Core, image: ImageId) -> Result<Vec<(Arc<Codebook>, EditId)>, EditorError> {
    let mut found = Vec::new();
    for book in core.library().books() {
        found.extend(book.edits_of_image(image)?.into_iter().map(|edit| (Arc::clone(&book), edit)));
    }
    Ok(found)
}

/// Erases the pictures that were to be erased and that no edit is about, from the store and from memory;
/// which they were. While a codebook is set aside it isn't known what it has, so they wait.
pub(crate) fn end_erasures(core: &Core, by: Option<&str>) -> Result<Vec<ImageId>, EditorError> {
    let images = core.pictures().store();
    let mut erased = Vec::new();
    if !core.library().damaged().is_empty() {
        return Ok(erased);
    }
    for image in images.intended()? {
        if edits_of(core, image)?.is_empty() && !core.keeps_anything_about(image) {
            core.pictures().forget(image);
            match images.erase(image, by) {
                Err(CodebookError::UnknownImage(_)) => {}
                done => drop(done?),
            }
            erased.push(image);
        }
        images.settle_erasing(image)?;
    }
    Ok(erased)
}
