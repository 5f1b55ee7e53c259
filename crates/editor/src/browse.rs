//! Looking things up: edits, entries, pictures, figures. Nothing here asks the model anything.

use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{
    Codebook, CodebookError, CodebookName, EditFilter, EditId, ImageId, ImageInfo, Key, MemberId, Page, Stats,
};
use reasonedit_imaging::{ImageFormat, PixelBox, PixelRules, crop, decode_under, encode_png};

use crate::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::blocking;
use crate::types::{EditView, ImageSource};
use crate::validate::inside;

/// A codebook in a list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodebookSummary {
    /// Its name.
    pub name: CodebookName,
    /// Live edits.
    pub edits: usize,
    /// Keys after merging.
    pub keys: usize,
}

impl Editor {
    /// Codebooks in order of their names, from the one after `cursor` on; the default one is always among
    /// them.
    pub fn codebooks(
        &self,
        cursor: Option<&CodebookName>,
        limit: usize,
    ) -> Page<CodebookSummary, CodebookName> {
        let page = self.library().page(cursor, limit);
        let summary = |book: Arc<Codebook>| {
            let snapshot = book.snapshot();
            let (edits, keys) = (snapshot.edit_count(), snapshot.key_count());
            CodebookSummary { name: book.name().clone(), edits, keys }
        };
        Page { items: page.items.into_iter().map(summary).collect(), next: page.next }
    }

    /// One live edit.
    ///
    /// # Errors
    /// An unknown or reverted edit, failing storage.
    pub async fn get_edit(&self, codebook: &CodebookName, id: EditId) -> Result<EditView, EditorError> {
        let book = self.existing(codebook)?.ok_or(EditorError::UnknownEdit(id))?;
        let editor = self.clone();
        blocking(move || editor.view(&book, id)).await
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
        let editor = self.clone();
        blocking(move || {
            let page = book.edits(&filter, cursor, limit);
            let mut items = Vec::with_capacity(page.items.len());
            for record in page.items {
                match editor.view(&book, record.id) {
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

    /// One key.
    ///
    /// # Errors
    /// `UnknownEntry` if there is none of this id: it was reverted, or merged into another.
    pub fn entry(&self, codebook: &CodebookName, id: MemberId) -> Result<Arc<Key>, EditorError> {
        let book = self.existing(codebook)?.ok_or(EditorError::UnknownEntry(id))?;
        book.snapshot().key(id).cloned().ok_or(EditorError::UnknownEntry(id))
    }

    /// Id and size of a picture, uploaded before or not, as it is asked about with this codebook; nothing is
    /// kept of it.
    ///
    /// # Errors
    /// An unknown picture, or one that can't be read.
    pub async fn image_info(
        &self,
        codebook: &CodebookName,
        image: &ImageSource,
    ) -> Result<ImageInfo, EditorError> {
        Ok(self.pictures().resolve(image, self.pixel_rules(codebook)?).await?.info())
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

    /// A part of an uploaded picture as the codebook's keys were made of it, upright, as PNG; and the rules
    /// that its samples were read by.
    ///
    /// # Errors
    /// An unknown picture, a box outside it, failing storage.
    pub async fn crop(
        &self,
        codebook: &CodebookName,
        id: ImageId,
        area: PixelBox,
    ) -> Result<(Bytes, PixelRules), EditorError> {
        let (pictures, rules) = (Arc::clone(self.pictures()), self.pixel_rules(codebook)?);
        blocking(move || {
            let bytes = pictures.store().get(id)?;
            let image = decode_under(&bytes, pictures.limits(), rules)?.image;
            if !inside(&area, image.width(), image.height()) {
                let detail = format!(
                    "the box is not inside the picture, which is {} by {} pixels",
                    image.width(),
                    image.height()
                );
                return Err(EditorError::Invalid(vec![FieldError::new("", detail)]));
            }
            Ok((Bytes::from(encode_png(&crop(&image, area)?)?), rules))
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
