//! Looking things up: edits, entries, pictures, figures. Nothing here asks the model anything.

use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{
    Codebook, CodebookError, CodebookName, EditFilter, EditId, EditRecord, GenerationId, HarmedImage,
    ImageHarm, ImageId, ImageInfo, Key, MemberId, Page, Shelved, Stats,
};
use reasonedit_imaging::{ImageFormat, PixelBox, PixelRules, crop, encode_png};
use time::OffsetDateTime;

use crate::edit::outcome;
use crate::editor::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::blocking;
use crate::types::{ActiveEmbedding, EditView, ImageSource};

/// The edit that was made under an idempotency key, whatever became of it.
fn made_under(book: &Codebook, key: &str) -> Result<Option<EditId>, EditorError> {
    match book.idempotency(key) {
        Err(CodebookError::Erased { edit, .. }) => Ok(Some(edit)),
        found => Ok(found?.map(|(_, edit)| edit)),
    }
}

/// A codebook in a list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodebookSummary {
    /// Its name.
    pub name: CodebookName,
    /// Live edits.
    pub edits: usize,
    /// Keys after merging.
    pub keys: usize,
    /// When the oldest live edit was made.
    pub oldest_edit: Option<OffsetDateTime>,
    /// Why it was set aside, if it was: it is damaged, and all counts are zero.
    pub damaged: Option<String>,
}

impl CodebookSummary {
    fn of(book: &Codebook) -> Self {
        let snapshot = book.snapshot();
        Self {
            name: book.name().clone(),
            edits: snapshot.known_edits(),
            keys: snapshot.key_count(),
            oldest_edit: snapshot.edits().next().map(|record| record.created_at),
            damaged: None,
        }
    }

    fn of_shelved(book: &Shelved) -> Self {
        match book {
            Shelved::Open(book) => Self::of(book),
            Shelved::Damaged { name, reason } => Self {
                name: name.clone(),
                edits: 0,
                keys: 0,
                oldest_edit: None,
                damaged: Some(reason.clone()),
            },
        }
    }
}

/// The live edits of a codebook at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveEdits {
    /// In the order in which they were made.
    pub ids: Vec<EditId>,
    /// The generation of their keys.
    pub generation: Option<GenerationId>,
}

impl Editor {
    /// Those of the codebooks that are wanted, in order of their names, from the one after `cursor` on; the
    /// default one is always among all.
    pub fn codebooks(
        &self,
        cursor: Option<&CodebookName>,
        limit: usize,
        wanted: impl Fn(&CodebookName) -> bool,
    ) -> Page<CodebookSummary, CodebookName> {
        let page = self.core.library().page(cursor, limit, wanted);
        let items = page.items.iter().map(CodebookSummary::of_shelved).collect();
        Page { items, next: page.next }
    }

    /// The codebooks that were set aside because they are damaged, in order of their names, each with the
    /// error that whatever is asked of it is answered with.
    pub fn damaged_codebooks(&self) -> Vec<(CodebookName, EditorError)> {
        let damaged = self.core.library().damaged();
        damaged.into_iter().map(|(name, error)| (name, error.into())).collect()
    }

    /// Sees whether edits can be stored, and has the store take them again where it failed and the cause is
    /// gone.
    ///
    /// # Errors
    /// Why they can't.
    pub async fn recover_store(&self) -> Result<(), EditorError> {
        let core = Arc::clone(&self.core);
        blocking(move || Ok(core.library().recover()?)).await
    }

    /// What is wrong with the store of the codebooks as a whole, in words for whoever runs it.
    pub fn store_faults(&self) -> Vec<String> {
        self.core.library().store_faults()
    }

    /// All codebooks that are open, in order of their names.
    pub fn open_codebooks(&self) -> Vec<CodebookSummary> {
        self.core.library().books().iter().map(|book| CodebookSummary::of(book)).collect()
    }

    /// One codebook.
    ///
    /// # Errors
    /// `UnknownCodebook` if it is not the default one and was never written to.
    pub fn known_codebook(&self, name: &CodebookName) -> Result<CodebookSummary, EditorError> {
        Ok(CodebookSummary::of(self.core.library().get(name)?.as_ref()))
    }

    /// The live edits of a codebook; none of one without edits.
    ///
    /// # Errors
    /// Failing storage.
    pub fn live_edits(&self, codebook: &CodebookName) -> Result<LiveEdits, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(LiveEdits::default()) };
        let snapshot = book.snapshot();
        let generation = snapshot.embedding().map(|embedding| embedding.id);
        Ok(LiveEdits { ids: snapshot.edits().map(|record| record.id).collect(), generation })
    }

    /// What was stored of those of these edits that are live, of each its newest version, in this order.
    ///
    /// # Errors
    /// Failing storage.
    pub fn live_records(
        &self,
        codebook: &CodebookName,
        ids: &[EditId],
    ) -> Result<Vec<Arc<EditRecord>>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(Vec::new()) };
        let snapshot = book.snapshot();
        let newest = ids.iter().filter_map(|id| snapshot.newest_version(*id));
        Ok(newest.filter_map(|id| snapshot.edit(id).cloned()).collect())
    }

    /// Live edits of all codebooks that fit, as they were stored.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn find_records(
        &self,
        filter: EditFilter,
    ) -> Result<Vec<(CodebookName, Arc<EditRecord>)>, EditorError> {
        let core = Arc::clone(&self.core);
        blocking(move || {
            let mut found = Vec::new();
            for book in core.library().books() {
                let records = book.edits(&filter, None, usize::MAX).items;
                found.extend(records.into_iter().map(|record| (book.name().clone(), record)));
            }
            Ok(found)
        })
        .await
    }

    /// The edit of a codebook that was made under an idempotency key, live or not. Reads the disk.
    ///
    /// # Errors
    /// Failing storage.
    pub fn edit_under_key(&self, codebook: &CodebookName, key: &str) -> Result<Option<EditId>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(None) };
        made_under(&book, key)
    }

    /// As [`Editor::edit_under_key`], of whichever codebook has one.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn edit_under_key_anywhere(&self, key: &str) -> Result<Option<EditId>, EditorError> {
        let (core, key) = (Arc::clone(&self.core), key.to_owned());
        blocking(move || {
            for book in core.library().books() {
                if let Some(edit) = made_under(&book, &key)? {
                    return Ok(Some(edit));
                }
            }
            Ok(None)
        })
        .await
    }

    /// One live edit.
    ///
    /// # Errors
    /// An unknown or reverted edit, failing storage.
    pub async fn get_edit(&self, codebook: &CodebookName, id: EditId) -> Result<EditView, EditorError> {
        outcome::view(&self.core, codebook, id).await
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
        let Some(book) = self.core.existing(codebook)? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let core = Arc::clone(&self.core);
        blocking(move || {
            let page = book.edits(&filter, cursor, limit);
            let mut items = Vec::with_capacity(page.items.len());
            for record in page.items {
                match outcome::read(&core, &book, record.id) {
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
        let Some(book) = self.core.existing(codebook)? else { return Ok(Stats::default()) };
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
        let Some(book) = self.core.existing(codebook)? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        blocking(move || Ok(book.entries(cursor, limit))).await
    }

    /// One key.
    ///
    /// # Errors
    /// `UnknownEntry` if there is none of this id: it was reverted, or merged into another.
    pub fn entry(&self, codebook: &CodebookName, id: MemberId) -> Result<Arc<Key>, EditorError> {
        let book = self.core.existing(codebook)?.ok_or(EditorError::UnknownEntry(id))?;
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
        Ok(self.core.pictures().resolve(image, self.core.pixel_rules(codebook)?).await?.info())
    }

    /// Makes sure that a live edit of one of these codebooks is about the picture. Looks at every edit of
    /// theirs.
    ///
    /// # Errors
    /// An unknown picture; a harmed one if its file has gone.
    pub fn require_image(&self, id: ImageId, of: impl Fn(&CodebookName) -> bool) -> Result<(), EditorError> {
        let books = self.core.library().books();
        let mut asked = books.iter().filter(|book| of(book.name()));
        if !asked.any(|book| book.snapshot().edits().any(|record| record.image.id == id))
            && !self.core.canaries().codebooks_about(id).iter().any(&of)
            && !self.core.proposals().codebooks_about(id).iter().any(of)
        {
            return Err(EditorError::UnknownImage(id));
        }
        if !self.core.pictures().store().contains(id) {
            let harmed = HarmedImage { id, harm: ImageHarm::Missing };
            return Err(CodebookError::HarmedImages(vec![harmed]).into());
        }
        Ok(())
    }

    /// The stored id of the newest version of a live edit.
    ///
    /// # Errors
    /// An unknown or reverted edit, failing storage.
    pub fn newest_version(&self, codebook: &CodebookName, id: EditId) -> Result<EditId, EditorError> {
        let book = self.core.existing(codebook)?.ok_or(EditorError::UnknownEdit(id))?;
        let newest = book.snapshot().newest_version(id);
        newest.ok_or_else(|| book.record(id).err().map_or(EditorError::UnknownEdit(id), EditorError::from))
    }

    /// Who a live edit is by, whoever made later versions of it, if that was said.
    ///
    /// # Errors
    /// An unknown edit, failing storage.
    pub fn author(&self, codebook: &CodebookName, id: EditId) -> Result<Option<String>, EditorError> {
        let book = self.core.existing(codebook)?;
        let snapshot = book.map(|book| book.snapshot());
        let record = snapshot.as_ref().and_then(|snapshot| snapshot.edit(snapshot.known_as(id)?));
        record.map(|record| record.author.clone()).ok_or(EditorError::UnknownEdit(id))
    }

    /// An uploaded picture as it was uploaded.
    ///
    /// # Errors
    /// An unknown picture, failing storage.
    pub async fn image(&self, id: ImageId) -> Result<(Bytes, ImageFormat), EditorError> {
        let pictures = Arc::clone(self.core.pictures());
        blocking(move || {
            let bytes = pictures.store().get(id)?;
            let format = ImageFormat::sniff(&bytes).ok_or(EditorError::UnknownImage(id))?;
            Ok((Bytes::from(bytes), format))
        })
        .await
    }

    /// Bytes of an uploaded picture's file.
    ///
    /// # Errors
    /// An unknown picture.
    pub async fn image_bytes(&self, id: ImageId) -> Result<u64, EditorError> {
        let pictures = Arc::clone(self.core.pictures());
        blocking(move || pictures.store().length(id).ok_or(EditorError::UnknownImage(id))).await
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
        let rules = self.core.pixel_rules(codebook)?;
        let picture = self.core.pictures().resolve(&ImageSource::Known(id), rules).await?;
        blocking(move || {
            let image = &picture.pixels;
            if area.validate(image.width(), image.height()).is_err() {
                let detail = format!(
                    "the box is not inside the picture, which is {} by {} pixels",
                    image.width(),
                    image.height()
                );
                return Err(EditorError::Invalid(vec![FieldError::new("", detail)]));
            }
            Ok((Bytes::from(encode_png(&crop(image, area)?)?), rules))
        })
        .await
    }

    /// What the keys of a codebook are made with.
    ///
    /// # Errors
    /// Failing storage.
    pub fn active_embedding(&self, codebook: &CodebookName) -> Result<ActiveEmbedding, EditorError> {
        let snapshot = self.core.existing(codebook)?.map(|book| book.snapshot());
        let Some(generation) = snapshot.as_ref().and_then(|snapshot| snapshot.generation()) else {
            let embedding = self.core.configured_embedder()?.embedding;
            return Ok(ActiveEmbedding { embedding, chosen: false, previous: None });
        };
        let previous = snapshot.and_then(|s| s.previous().map(|generation| generation.embedding.clone()));
        Ok(ActiveEmbedding { embedding: generation.embedding, chosen: generation.chosen, previous })
    }

    /// Whether the codebook has, or had, an edit: only then is there an embedding that it can be moved from.
    ///
    /// # Errors
    /// Failing storage.
    pub fn has_keys(&self, codebook: &CodebookName) -> Result<bool, EditorError> {
        Ok(self.core.existing(codebook)?.is_some_and(|book| book.snapshot().embedding().is_some()))
    }
}
