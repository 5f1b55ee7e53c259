//! Codebooks to archives and back (the format is `reasonedit-archive`'s).

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reasonedit_archive::{ExportSummary, Incoming, unpack, write};
use reasonedit_codebook::{CodebookError, CodebookName, ImageId};
use serde::{Deserialize, Serialize};

use crate::editor::Editor;
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::erase::end_erasures;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{CallContext, ImageSource};

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSummary {
    /// Edits added.
    pub edits: usize,
    /// Pictures added or found present.
    pub images: usize,
    /// Edits that were there already.
    pub skipped: usize,
    /// Edits whose keys were made anew, because the archive's were made with another embedding.
    pub reembedded: usize,
}

/// What bounds an import, and where it tells how far it is.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Most bytes that the archive may come to, decompressed.
    pub max_bytes: u64,
    /// How far it is with making keys anew.
    pub progress: Arc<ImportProgress>,
    /// Whether a picture that the archive lacks may be another codebook's; else it has to be of one of the
    /// live edits of the codebook that it is imported into.
    pub pictures_of_others: bool,
}

impl ImportOptions {
    /// An import of an archive of at most this many bytes.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, progress: Arc::default(), pictures_of_others: true }
    }
}

/// How many edits of an archive have got new keys, where it was made with another embedding.
#[derive(Debug, Default)]
pub struct ImportProgress {
    done: AtomicU64,
    total: AtomicU64,
}

impl ImportProgress {
    /// Edits done, and all of them; `None` as long as no keys are made.
    pub fn edits(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Acquire);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed).min(total), total))
    }

    fn begin(&self, total: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total as u64, Ordering::Release);
    }

    fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Editor {
    /// Writes a codebook as a tar. Reads one consistent state, while edits go on.
    ///
    /// # Errors
    /// `HarmedImages` if it can't be whole, before anything is written; failing storage, or a writer that
    /// fails.
    pub async fn export(
        &self,
        codebook: &CodebookName,
        out: impl Write + Send + 'static,
    ) -> Result<ExportSummary, EditorError> {
        let book = self.core.existing(codebook)?;
        let (editor, name) = (self.clone(), codebook.clone());
        blocking(move || {
            // One snapshot: what is reverted or added meanwhile doesn't show.
            let snapshot = book.map(|book| book.snapshot());
            Ok(write(out, &name, snapshot.as_deref(), editor.core.pictures().store())?)
        })
        .await
    }

    /// Adds the edits of an archive to a codebook: all of them at once, or none. Edits that are there already
    /// are left as they are, so that importing twice is the same as once. Keys are taken over when the
    /// archive was made with the same embedding, and made anew otherwise.
    ///
    /// The archive is unpacked beside the stored pictures first. A process that is killed meanwhile leaves
    /// nothing that the next one doesn't remove. Its edits are held in memory, as those of the codebook are;
    /// its pictures are not.
    ///
    /// # Errors
    /// `Archive` for one that is damaged, holds what does not belong there, or comes to more than the options
    /// allow; a failing engine or storage; an edit that was reverted in this codebook. Nothing of the archive
    /// is in the codebook then.
    pub async fn import(
        &self,
        codebook: &CodebookName,
        input: impl Read + Send + 'static,
        options: ImportOptions,
        call: CallContext,
    ) -> Result<ImportSummary, EditorError> {
        let (editor, limit) = (self.clone(), options.max_bytes);
        let unpacked = blocking(move || Ok(unpack(editor.core.pictures().as_ref(), input, limit)?)).await?;
        let generation = unpacked.generation();
        let mut embedder = self.core.embedder_of_import(codebook, generation.as_ref())?;
        let same = generation.is_some_and(|g| embedder.embedding.same_space(&g.embedding));

        let (book, target) = (self.core.existing(codebook)?, same.then(|| embedder.embedding.clone()));
        let mut incoming = {
            let (editor, others) = (self.clone(), options.pictures_of_others);
            blocking(move || {
                let pictures = editor.core.pictures();
                Ok(Incoming::read(pictures.as_ref(), unpacked, book.as_deref(), target.as_ref(), others)?)
            })
            .await?
        };
        let mut summary =
            ImportSummary { images: incoming.came, skipped: incoming.skipped, ..Default::default() };
        if !same {
            self.embed_incoming(&mut incoming, &embedder, &options.progress, call).await?;
            summary.reembedded = incoming.edits.len();
        }
        let added = loop {
            incoming.name_embedding(embedder.embedding.id);
            match self.commit_import(codebook, &incoming, &embedder).await {
                // The codebook has moved to another embedding since the keys were made.
                Err(EditorError::Codebook(error @ CodebookError::EmbeddingMismatch { .. })) => {
                    let now = self.core.embedder_of(codebook)?;
                    if now.embedding == embedder.embedding {
                        return Err(error.into());
                    }
                    embedder = now;
                    self.embed_incoming(&mut incoming, &embedder, &options.progress, call).await?;
                    summary.reembedded = incoming.edits.len();
                }
                outcome => break outcome?,
            }
        };
        summary.edits = added;
        summary.skipped += incoming.edits.len() - added;
        // A codebook may have begun with an embedding of its own.
        self.core.refresh_taps().await?;
        Ok(summary)
    }

    /// Puts what is to come in into the stores. Once begun it runs to its end, even if nobody waits for it
    /// any more.
    async fn commit_import(
        &self,
        codebook: &CodebookName,
        incoming: &Incoming,
        embedder: &Embedder,
    ) -> Result<usize, EditorError> {
        let gate = self.core.gate().read_owned().await;
        let (editor, name, generation) = (self.clone(), codebook.clone(), embedder.generation());
        let (edits, images) = (incoming.edits.clone(), Arc::clone(&incoming.images));
        blocking(move || {
            images.install()?;
            let added = if edits.is_empty() {
                0
            } else {
                editor.core.library().get_or_create(&name)?.import(edits, &generation)?.len()
            };
            drop(gate);
            Ok(added)
        })
        .await
    }

    /// Makes the keys of all edits: of the entries that they have, or of those that they get here.
    async fn embed_incoming(
        &self,
        incoming: &mut Incoming,
        embedder: &Embedder,
        progress: &ImportProgress,
        call: CallContext,
    ) -> Result<(), EditorError> {
        let maker = EntryMaker { core: &self.core, embedder, options: call.options() };
        progress.begin(incoming.edits.len());
        for (record, members) in &mut incoming.edits {
            let (images, id) = (Arc::clone(&incoming.images), record.image.id);
            let bytes = blocking(move || Ok(images.get(id)?)).await?;
            let source = ImageSource::from(bytes::Bytes::from(bytes));
            let picture = self.core.pictures().resolve(&source, embedder.pixels()).await?;
            if picture.info() != record.image {
                let detail = format!("the picture of the edit {} has another size", record.id);
                return Err(EditorError::Archive(detail));
            }
            let made = if members.is_empty() {
                maker.members(record, &picture).await?.0
            } else {
                maker.again(record, &picture, members).await?
            };
            *members = made.into_iter().map(Arc::new).collect();
            progress.step();
        }
        Ok(())
    }

    /// Removes what a process that was killed left among the pictures: files that it was writing, and what an
    /// import had put into the store before its edits were there.
    pub(crate) async fn sweep_pictures(&self) -> Result<(), EditorError> {
        let editor = self.clone();
        blocking(move || {
            // What a codebook that can't be read refers to isn't known.
            let unknown = !editor.core.library().damaged().is_empty();
            let wanted = |id: ImageId| {
                unknown
                    || editor
                        .core
                        .library()
                        .books()
                        .iter()
                        .any(|b| b.snapshot().edits().any(|edit| edit.image.id == id))
            };
            editor.core.pictures().store().sweep_unfinished(wanted)?;
            // What a process that died was erasing.
            end_erasures(&editor.core, None).map(drop)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
