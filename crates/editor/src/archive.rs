//! A whole codebook as a tar: `manifest.json`, then `images/<id>`, then `edits.jsonl` with one edit and its
//! members a line. That is the order in which they are written; they are read in any.

mod unpack;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::{
    Codebook, CodebookError, CodebookName, EditRecord, Embedding, Generation, GenerationId, ImageId, Member,
    SharedEdit, StagedImages, check_edit,
};
use serde::{Deserialize, Serialize};

use self::unpack::{Unpacked, unpack};
use crate::editor::Editor;
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{CallContext, ImageSource};

/// Version of the archive's format.
const FORMAT: u32 = 1;
/// Longest line of `edits.jsonl`: an edit of 32 statements with 8 boxes each and wide keys stays well below.
const MAX_LINE: u64 = 64 << 20;
const MANIFEST: &str = "manifest.json";
const EDITS: &str = "edits.jsonl";
/// The folder of the pictures.
const IMAGES: &str = "images";

/// First entry of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    codebook: String,
    embedding: Option<Embedding>,
    /// Whether the embedding was chosen for the codebook: then a codebook that begins with this archive keeps
    /// to it.
    #[serde(default)]
    chosen: bool,
    edits: usize,
}

impl Manifest {
    fn generation(&self) -> Option<Generation> {
        Some(Generation { embedding: self.embedding.clone()?, chosen: self.chosen })
    }

    fn check(&self) -> Result<(), String> {
        if self.format == FORMAT {
            return Ok(());
        }
        Err(format!("its format is {}, this program reads {FORMAT}", self.format))
    }
}

/// One line of `edits.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    edit: EditRecord,
    members: Vec<ArchivedMember>,
}

/// A member, its key as base64 of little-endian f32: exact, and a third of the decimal form.
#[derive(Serialize, Deserialize)]
struct ArchivedMember {
    #[serde(flatten)]
    member: Member,
    key_f32: String,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// Edits written.
    pub edits: usize,
    /// Pictures written.
    pub images: usize,
}

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
}

impl ImportOptions {
    /// An import of an archive of at most this many bytes.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, progress: Arc::default() }
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
    /// Failing storage, or a writer that fails.
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
            let embedding = snapshot.as_ref().and_then(|s| s.embedding().map(|e| e.as_ref().clone()));
            let edits: Vec<_> = snapshot.iter().flat_map(|s| s.edits()).collect();
            let mut tar = tar::Builder::new(out);
            let manifest = Manifest {
                format: FORMAT,
                codebook: name.to_string(),
                embedding,
                chosen: snapshot.as_ref().is_some_and(|s| s.chosen()),
                edits: edits.len(),
            };
            append(&mut tar, MANIFEST, &to_json(&manifest)?)?;
            let mut images: Vec<ImageId> = edits.iter().map(|record| record.image.id).collect();
            images.sort_unstable();
            images.dedup();
            for id in &images {
                let bytes = editor.core.pictures().store().get(*id)?;
                append(&mut tar, &format!("{IMAGES}/{id}"), &bytes)?;
            }
            let summary = ExportSummary { edits: edits.len(), images: images.len() };
            let mut lines = Vec::new();
            for (snapshot, edit) in snapshot.iter().flat_map(|s| edits.iter().map(move |e| (s, e))) {
                let members = snapshot.members_of(edit.id).map(|m| archived(m.as_ref().clone())).collect();
                lines.extend(to_json(&Line { edit: edit.as_ref().clone(), members })?);
                lines.push(b'\n');
            }
            append(&mut tar, EDITS, &lines)?;
            tar.into_inner()?.flush()?;
            Ok(summary)
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
        let unpacked = blocking(move || unpack(editor.core.pictures(), input, limit)).await?;
        let generation = unpacked.manifest.generation();
        let mut embedder = self.core.embedder_of_import(codebook, generation.as_ref())?;
        let same = generation.is_some_and(|g| embedder.embedding.same_space(&g.embedding));

        let (book, target) = (self.core.existing(codebook)?, same.then(|| embedder.embedding.clone()));
        let mut incoming = {
            let editor = self.clone();
            blocking(move || Incoming::read(&editor, unpacked, book.as_deref(), target.as_ref())).await?
        };
        let mut summary =
            ImportSummary { images: incoming.came, skipped: incoming.skipped, ..Default::default() };
        if !same {
            incoming.embed(self, &embedder, &options.progress, call).await?;
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
                    incoming.embed(self, &embedder, &options.progress, call).await?;
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

    /// Takes the pictures of an import out of the store again whose process was killed before its edits were
    /// there.
    pub(crate) async fn sweep_imports(&self) -> Result<(), EditorError> {
        let editor = self.clone();
        blocking(move || {
            let wanted = |id: ImageId| {
                editor
                    .core
                    .library()
                    .books()
                    .iter()
                    .any(|b| b.snapshot().edits().any(|edit| edit.image.id == id))
            };
            Ok(editor.core.pictures().store().sweep_staged(wanted)?)
        })
        .await
    }
}

/// Edits of an archive that are not in the codebook yet, and where their pictures are.
struct Incoming {
    edits: Vec<SharedEdit>,
    images: Arc<StagedImages>,
    /// Pictures that came.
    came: usize,
    /// Edits that are there already.
    skipped: usize,
}

impl Incoming {
    /// Reads and checks every line. `target`: the embedding whose keys the archive has, if those are to be
    /// taken over.
    fn read(
        editor: &Editor,
        unpacked: Unpacked,
        book: Option<&Codebook>,
        target: Option<&Embedding>,
    ) -> Result<Self, EditorError> {
        let snapshot = book.map(Codebook::snapshot);
        let mut incoming = Self {
            edits: Vec::new(),
            images: Arc::new(unpacked.images),
            came: unpacked.came.len(),
            skipped: 0,
        };
        let mut seen = HashSet::new();
        let mut reader = BufReader::new(unpacked.edits);
        let (mut bytes, mut number) = (Vec::new(), 0usize);
        loop {
            bytes.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                break;
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            number += 1;
            let said = |what: &str| EditorError::Archive(format!("line {number} of `{EDITS}` {what}"));
            if read as u64 == MAX_LINE {
                return Err(said("is too long"));
            }
            let Ok(line) = serde_json::from_slice::<Line>(&bytes) else {
                return Err(said("is not an edit of an archive"));
            };
            let record = line.edit;
            if !seen.insert(record.id) {
                return Err(said("is an edit that came before"));
            }
            if snapshot.as_ref().is_some_and(|s| s.edit(record.id).is_some()) {
                incoming.skipped += 1;
                continue;
            }
            if let Some(book) = book
                && book.record(record.id).is_ok()
            {
                let detail = format!(
                    "line {number} of `{EDITS}`: the edit {} was reverted in this codebook and can't come back; import into another one",
                    record.id
                );
                return Err(CodebookError::Conflict(detail).into());
            }
            let id = record.image.id;
            let found = match unpacked.came.get(&id) {
                Some(found) => *found,
                None if incoming.images.contains(id) => {
                    editor.core.pictures().info(&incoming.images.get(id)?)?
                }
                None => return Err(said("has a picture that the archive does not hold")),
            };
            if found != record.image {
                return Err(said("has a picture of another size"));
            }
            let (width, height) = (record.image.width, record.image.height);
            let mut areas = record.reasoning.iter().flat_map(|s| &s.evidence).map(|evidence| evidence.area);
            if !areas.all(|area| area.validate(width, height).is_ok()) {
                return Err(said("has evidence outside of its picture"));
            }
            incoming.push(record, line.members, target).map_err(|what| said(&what))?;
        }
        if unpacked.manifest.edits != number {
            let promised = unpacked.manifest.edits;
            let detail =
                format!("its `{MANIFEST}` promises {promised} edits and it holds {number}: it is cut short");
            return Err(EditorError::Archive(detail));
        }
        Ok(incoming)
    }

    fn push(
        &mut self,
        mut record: EditRecord,
        members: Vec<ArchivedMember>,
        target: Option<&Embedding>,
    ) -> Result<(), String> {
        let mut restored = Vec::new();
        if let Some(target) = target {
            record.embedding = target.id;
            let (width, height) = (record.image.width, record.image.height);
            for member in members {
                let member = restore(member)?;
                if member.edit != record.id || member.image != record.image.id {
                    return Err("has entries of another edit".to_owned());
                }
                if member.area.is_some_and(|area| area.validate(width, height).is_err()) {
                    return Err("has an entry outside of its picture".to_owned());
                }
                restored.push(Arc::new(member));
            }
            check_edit(&record, &restored, target).map_err(|error| format!("can't be stored: {error}"))?;
        }
        self.edits.push((Arc::new(record), restored));
        Ok(())
    }

    /// Makes the keys of all edits: of the entries that they have, or of those that they get here.
    async fn embed(
        &mut self,
        editor: &Editor,
        embedder: &Embedder,
        progress: &ImportProgress,
        call: CallContext,
    ) -> Result<(), EditorError> {
        let maker = EntryMaker { core: &editor.core, embedder, options: call.options() };
        progress.begin(self.edits.len());
        for (record, members) in &mut self.edits {
            let (images, id) = (Arc::clone(&self.images), record.image.id);
            let bytes = blocking(move || Ok(images.get(id)?)).await?;
            let source = ImageSource::from(bytes::Bytes::from(bytes));
            let picture = editor.core.pictures().resolve(&source, embedder.pixels()).await?;
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

    /// Has all edits name the embedding that their keys are of.
    fn name_embedding(&mut self, id: GenerationId) {
        for (record, _) in &mut self.edits {
            if record.embedding != id {
                Arc::make_mut(record).embedding = id;
            }
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, EditorError> {
    serde_json::to_vec(value).map_err(|e| EditorError::Storage(e.into()))
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<(), EditorError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, path, Cursor::new(bytes))?;
    Ok(())
}

fn archived(mut member: Member) -> ArchivedMember {
    let key = std::mem::take(&mut member.key);
    let bytes: Vec<u8> = key.iter().flat_map(|v| v.to_le_bytes()).collect();
    ArchivedMember { member, key_f32: STANDARD.encode(bytes) }
}

fn restore(archived: ArchivedMember) -> Result<Member, String> {
    let bytes = STANDARD.decode(&archived.key_f32).map_err(|_| "has a key that is not base64")?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("has a key that is cut short".to_owned());
    }
    let key: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    if key.iter().any(|v| !v.is_finite()) || !archived.member.radius.is_finite() {
        return Err("has a key that is not a number".to_owned());
    }
    Ok(Member { key, ..archived.member })
}

#[cfg(test)]
mod tests;
