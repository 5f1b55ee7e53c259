//! Codebooks to archives and back (the format is `reasonedit-archive`'s).

use std::io::{Read, Write};
use std::sync::Arc;

use futures::future::BoxFuture;
use reasonedit_archive::{ExportSummary, Incoming, KeptMembers, unpack, write};
use reasonedit_codebook::{
    CodebookError, CodebookName, EditId, EditRecord, Embedding, GenerationId, ImageId, ImageInfo, ImageStore,
    Member, StagedImages,
};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::editor::Editor;
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::erase::end_erasures;
use crate::error::EditorError;
use crate::pictures::{PictureDecoder, blocking};
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

/// What bounds an import, and who looks on.
#[derive(Clone)]
pub struct ImportOptions {
    /// Most bytes that the archive may come to, decompressed.
    pub max_bytes: u64,
    /// Who looks on.
    pub watch: Arc<dyn ImportWatch>,
    /// The work that it is, if that may be begun again and gone on with: what lies beside the stored pictures
    /// then stays until [`Editor::end_import`].
    pub work: Option<Ulid>,
    /// Whether a picture that the archive lacks may be another codebook's; else it has to be of one of the
    /// live edits of the codebook that it is imported into.
    pub pictures_of_others: bool,
}

impl ImportOptions {
    /// An import of an archive of at most this many bytes.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, watch: Arc::new(()), work: None, pictures_of_others: true }
    }
}

/// Who looks on while an archive is taken in, and keeps what it came to for when the same import is begun
/// again.
pub trait ImportWatch: Send + Sync {
    /// One more picture of the archive was checked and lies beside the stored ones.
    fn picture(&self) {}

    /// `done` of `total` edits have got new keys, where the archive was made with another embedding.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// What was kept of an edit's keys.
    fn kept(&self, edit: EditId) -> BoxFuture<'_, Vec<KeptMembers>> {
        let _ = edit;
        Box::pin(async { Vec::new() })
    }

    /// The keys of an edit, to be kept in place of what was.
    ///
    /// # Errors
    /// They can't be.
    fn keep(&self, edit: EditId, keys: Vec<KeptMembers>) -> BoxFuture<'_, Result<(), EditorError>> {
        let _ = (edit, keys);
        Box::pin(async { Ok(()) })
    }

    /// These edits, at least one, are about to come in all at once, and then the import has come to this.
    ///
    /// # Errors
    /// None is to come in.
    fn commits(&self, edits: Vec<EditId>, summary: ImportSummary) -> BoxFuture<'_, Result<(), EditorError>> {
        let _ = (edits, summary);
        Box::pin(async { Ok(()) })
    }
}

/// Nobody looks on.
impl ImportWatch for () {}

/// Pictures, where someone looks on while they are checked.
struct Watched<'a> {
    pictures: &'a PictureDecoder,
    watch: &'a dyn ImportWatch,
}

impl reasonedit_archive::Pictures for Watched<'_> {
    fn store(&self) -> &ImageStore {
        self.pictures.store()
    }

    fn max_bytes(&self) -> u64 {
        self.pictures.max_bytes()
    }

    fn info(&self, bytes: &[u8]) -> Option<ImageInfo> {
        self.pictures.info(bytes)
    }

    fn taken(&self) {
        self.watch.picture();
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
    /// nothing that the next one doesn't remove, but for what the options say that is kept. Its edits are
    /// held in memory, as those of the codebook are; its pictures are not.
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
        let (editor, asked) = (self.clone(), options.clone());
        let unpacked = blocking(move || {
            let (pictures, store) = (editor.core.pictures().as_ref(), editor.core.pictures().store());
            let images = asked.work.map_or_else(|| store.stage(), |work| store.stage_for(work))?;
            let pictures = Watched { pictures, watch: &*asked.watch };
            Ok(unpack(&pictures, images, input, asked.max_bytes)?)
        });
        let unpacked = unpacked.await?;
        let generation = unpacked.generation();
        let mut embedder = self.core.embedder_of_import(codebook, generation.as_ref())?;
        let same = generation.is_some_and(|g| embedder.embedding.same_space(&g.embedding));

        let (book, target) = (self.core.existing(codebook)?, same.then(|| embedder.embedding.clone()));
        let mut incoming = {
            let (editor, others) = (self.clone(), options.pictures_of_others);
            blocking(move || {
                let pictures = editor.core.pictures();
                let (book, target) = (book.as_deref(), target.as_ref());
                let erased = |edit| editor.core.library().was_erased(edit);
                Ok(Incoming::read(pictures.as_ref(), unpacked, book, target, others, &erased)?)
            })
            .await?
        };
        let mut summary =
            ImportSummary { images: incoming.came, skipped: incoming.skipped, ..Default::default() };
        if !same {
            self.embed_incoming(&mut incoming, &embedder, &*options.watch, call).await?;
            summary.reembedded = incoming.edits.len();
        }
        let added = loop {
            incoming.name_embedding(embedder.embedding.id);
            let ids: Vec<EditId> = incoming.edits.iter().map(|(record, _)| record.id).collect();
            if !ids.is_empty() {
                options.watch.commits(ids, ImportSummary { edits: incoming.edits.len(), ..summary }).await?;
            }
            match self.commit_import(codebook, &incoming, &embedder, options.work).await {
                // The codebook has moved to another embedding since the keys were made.
                Err(EditorError::Codebook(error @ CodebookError::EmbeddingMismatch { .. })) => {
                    let now = self.core.embedder_of(codebook)?;
                    if now.embedding == embedder.embedding {
                        return Err(error.into());
                    }
                    embedder = now;
                    self.embed_incoming(&mut incoming, &embedder, &*options.watch, call).await?;
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
        work: Option<Ulid>,
    ) -> Result<usize, EditorError> {
        let gate = self.core.gate().read_owned().await;
        let (editor, name, generation) = (self.clone(), codebook.clone(), embedder.generation());
        let (edits, images) = (incoming.edits.clone(), Arc::clone(&incoming.images));
        blocking(move || {
            images.install()?;
            let added = if edits.is_empty() {
                0
            } else {
                editor.core.library().get_or_create(&name)?.import_as(edits, &generation, work)?.len()
            };
            drop(gate);
            Ok(added)
        })
        .await
    }

    /// Makes the keys of all edits: of the entries that they have, or of those that they get here. Keys that
    /// were kept when the same import was begun before are not made again.
    async fn embed_incoming(
        &self,
        incoming: &mut Incoming,
        embedder: &Embedder,
        watch: &dyn ImportWatch,
        call: CallContext,
    ) -> Result<(), EditorError> {
        let maker = EntryMaker { core: &self.core, embedder, options: call.options() };
        let (total, recipe) = (incoming.edits.len(), self.recipe_of_import(embedder)?);
        for (done, (record, members)) in incoming.edits.iter_mut().enumerate() {
            watch.progress(done, total);
            let id = record.id;
            let kept = KeptMembers::join(recipe, id, watch.kept(id).await);
            let made = if let Some(kept) = kept {
                kept
            } else {
                let made = self.keys_of_incoming(&maker, &incoming.images, record, members).await?;
                watch.keep(id, KeptMembers::split(recipe, id, &made)).await?;
                made
            };
            *members = made.into_iter().map(Arc::new).collect();
        }
        watch.progress(total, total);
        Ok(())
    }

    /// All that decides the members of an edit that comes in.
    fn recipe_of_import(&self, embedder: &Embedder) -> Result<[u8; 32], EditorError> {
        let config = self.core.config();
        // A codebook that isn't there yet has an embedding under another id each time.
        let embedding = Embedding { id: GenerationId::from_bytes([0; 16]), ..embedder.embedding.clone() };
        let settings = serde_json::to_vec(&(embedding, &config.entries, &config.prompts));
        let settings = settings.map_err(|error| EditorError::Storage(error.into()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.recipe(&embedder.generation())?).update(&settings);
        Ok(*hasher.finalize().as_bytes())
    }

    async fn keys_of_incoming(
        &self,
        maker: &EntryMaker<'_>,
        images: &Arc<StagedImages>,
        record: &EditRecord,
        members: &[Arc<Member>],
    ) -> Result<Vec<Member>, EditorError> {
        let (images, id) = (Arc::clone(images), record.image.id);
        let bytes = blocking(move || Ok(images.get(id)?)).await?;
        let source = ImageSource::from(bytes::Bytes::from(bytes));
        let picture = self.core.pictures().resolve(&source, maker.embedder.pixels()).await?;
        if picture.info() != record.image {
            let detail = format!("the picture of the edit {} has another size", record.id);
            return Err(EditorError::Archive(detail));
        }
        if members.is_empty() {
            Ok(maker.members(record, &picture).await?.0)
        } else {
            maker.again(record, &picture, members).await
        }
    }

    /// Removes what lies beside the stored pictures of an import that won't be gone on with.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn end_import(&self, work: Ulid) -> Result<(), EditorError> {
        let editor = self.clone();
        blocking(move || Ok(editor.core.pictures().store().unstage(work)?)).await
    }

    /// Removes what processes that were killed left there of imports that won't be gone on with. Blocks.
    ///
    /// # Errors
    /// Failing storage.
    pub fn sweep_imports(&self, is_over: impl Fn(Ulid) -> bool) -> Result<(), EditorError> {
        Ok(self.core.pictures().store().sweep_staged(is_over)?)
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
                    || editor.core.keeps_anything_about(id)
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
