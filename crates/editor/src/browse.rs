//! Looking things up: edits, entries, pictures, figures. Nothing here asks the model anything.

use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{
    Codebook, CodebookError, CodebookName, EditFilter, EditId, ImageId, Key, MemberId, Opinion, Page, Stats,
};
use reasonedit_imaging::{ImageFormat, PixelBox, crop, decode, encode_png};
use serde::{Deserialize, Serialize};

use crate::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::blocking;
use crate::types::EditView;
use crate::validate::inside;

/// What became known of an edit after it was stored: kept beside it, lost without harm.
#[derive(Serialize, Deserialize)]
struct Outcome {
    after: Option<Opinion>,
    timings_ms: std::collections::BTreeMap<String, f64>,
}

impl Editor {
    /// One live edit.
    ///
    /// # Errors
    /// An unknown or reverted edit, failing storage.
    pub async fn get_edit(&self, codebook: &CodebookName, id: EditId) -> Result<EditView, EditorError> {
        let book = self.existing(codebook)?.ok_or(EditorError::UnknownEdit(id))?;
        blocking(move || view(&book, id)).await
    }

    /// Live edits, newest first, from `cursor` on.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn list_edits(
        &self,
        codebook: &CodebookName,
        filter: EditFilter,
        cursor: Option<EditId>,
        limit: usize,
    ) -> Result<Page<EditView, EditId>, EditorError> {
        let Some(book) = self.existing(codebook)? else { return Ok(Page { items: Vec::new(), next: None }) };
        blocking(move || {
            let page = book.edits(&filter, cursor, limit);
            let mut items = Vec::with_capacity(page.items.len());
            for record in page.items {
                match view(&book, record.id) {
                    Ok(view) => items.push(view),
                    // Reverted since the page was taken.
                    Err(EditorError::UnknownEdit(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(Page { items, next: page.next })
        })
        .await
    }

    /// Keeps what an edit's response said beyond its record, so that a repeated request gets the same answer.
    pub(crate) async fn remember_outcome(&self, codebook: &CodebookName, view: &EditView) {
        let outcome = Outcome { after: view.after.clone(), timings_ms: view.timings_ms.clone() };
        let (editor, name, id) = (self.clone(), codebook.clone(), view.record.id);
        let kept = blocking(move || {
            let bytes = serde_json::to_vec(&outcome).map_err(std::io::Error::from)?;
            Ok(editor.library().get(&name)?.put_outcome(id, &bytes)?)
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, edit = %id, "what came after the edit was not kept");
        }
    }

    /// Counts, sizes and settings of a codebook; all zero for one without edits.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn codebook(&self, codebook: &CodebookName) -> Result<Stats, EditorError> {
        let Some(book) = self.existing(codebook)? else { return Ok(Stats::default()) };
        blocking(move || Ok(book.stats())).await
    }

    /// Keys with their values, oldest first.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn entries(
        &self,
        codebook: &CodebookName,
        cursor: Option<MemberId>,
        limit: usize,
    ) -> Result<Page<Arc<Key>, MemberId>, EditorError> {
        let Some(book) = self.existing(codebook)? else { return Ok(Page { items: Vec::new(), next: None }) };
        blocking(move || Ok(book.entries(cursor, limit))).await
    }

    /// An uploaded picture as it was uploaded.
    ///
    /// # Errors
    /// An unknown picture, failing storage.
    pub async fn image(&self, id: ImageId) -> Result<(Bytes, ImageFormat), EditorError> {
        let pictures = Arc::clone(self.pictures());
        blocking(move || {
            let bytes = pictures.store().get(id)?;
            let format = ImageFormat::sniff(&bytes).ok_or(EditorError::UnknownImage(id))?;
            Ok((Bytes::from(bytes), format))
        })
        .await
    }

    /// A part of an uploaded picture, upright, as PNG.
    ///
    /// # Errors
    /// An unknown picture, a box outside it, failing storage.
    pub async fn crop(&self, id: ImageId, area: PixelBox) -> Result<Bytes, EditorError> {
        let pictures = Arc::clone(self.pictures());
        blocking(move || {
            let bytes = pictures.store().get(id)?;
            let image = decode(&bytes, pictures.limits())?.image;
            if !inside(&area, image.width(), image.height()) {
                let detail = format!(
                    "the box is not inside the picture, which is {} by {} pixels",
                    image.width(),
                    image.height()
                );
                return Err(EditorError::Invalid(vec![FieldError::new("", detail)]));
            }
            Ok(Bytes::from(encode_png(&crop(&image, area)?)?))
        })
        .await
    }

    /// A codebook that has been begun.
    pub(crate) fn existing(&self, name: &CodebookName) -> Result<Option<Arc<Codebook>>, EditorError> {
        match self.library().get(name) {
            Ok(book) => Ok(Some(book)),
            Err(CodebookError::UnknownCodebook(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn view(book: &Codebook, id: EditId) -> Result<EditView, EditorError> {
    let found = book.edit(id)?;
    let record = found.record.as_ref().clone();
    let outcome: Option<Outcome> = found.outcome.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (after, timings_ms) = match outcome {
        Some(outcome) => (outcome.after, outcome.timings_ms),
        None => (None, record.timings_ms.clone()),
    };
    Ok(EditView {
        record,
        entries: found.entries,
        generation: found.generation,
        after,
        timings_ms,
        replayed: false,
    })
}
