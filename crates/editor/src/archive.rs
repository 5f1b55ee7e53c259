//! A whole codebook as a tar: `manifest.json`, then `images/<id>`, then `edits.jsonl` with one edit and its members a line.
//!
//! Pictures come before the edits that need them, so that an import can apply each line as it arrives and needs the memory of one line.

use std::io::{BufRead, BufReader, Cursor, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::{CodebookName, EditRecord, Embedding, Generation, ImageId, Member, Origin};
use reasonedit_imaging::decode;
use serde::{Deserialize, Serialize};

use crate::Editor;
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
const IMAGES: &str = "images/";

/// First entry of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    codebook: String,
    embedding: Option<Embedding>,
    /// Whether the embedding was chosen for the codebook: then a codebook that begins with this archive keeps to it.
    #[serde(default)]
    chosen: bool,
    edits: usize,
}

impl Manifest {
    fn generation(&self) -> Option<Generation> {
        Some(Generation { embedding: self.embedding.clone()?, chosen: self.chosen })
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
        let book = self.existing(codebook)?;
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
                let bytes = editor.pictures().store().get(*id)?;
                append(&mut tar, &format!("{IMAGES}{id}"), &bytes)?;
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

    /// Adds the edits of an archive to a codebook. Edits that are there already are left as they are, so that importing twice is the same as once.
    /// Keys are taken over when the archive was made with the same embedding, and made anew otherwise.
    ///
    /// # Errors
    /// A damaged archive, pictures beyond the limits, a failing engine or storage. Edits imported before the error stay.
    pub async fn import(
        &self,
        codebook: &CodebookName,
        input: impl Read + Send + 'static,
        call: CallContext,
    ) -> Result<ImportSummary, EditorError> {
        let (sender, mut lines) = tokio::sync::mpsc::channel(4);
        let editor = self.clone();
        let reader = tokio::spawn(blocking(move || read_archive(&editor, input, &sender)));

        let mut summary = ImportSummary::default();
        let mut imported = Ok(());
        while let Some((generation, line)) = lines.recv().await {
            imported = self.import_one(codebook, generation.as_ref(), line, call, &mut summary).await;
            if imported.is_err() {
                break;
            }
        }
        // A codebook may have begun with an embedding of its own, even if not all came in.
        self.refresh_taps().await?;
        imported?;
        drop(lines);
        summary.images = reader.await.map_err(|_| EditorError::Cancelled)??;
        Ok(summary)
    }

    async fn import_one(
        &self,
        codebook: &CodebookName,
        generation: Option<&Generation>,
        line: Line,
        call: CallContext,
        summary: &mut ImportSummary,
    ) -> Result<(), EditorError> {
        let record = line.edit;
        if let Some(book) = self.existing(codebook)?
            && book.snapshot().edit(record.id).is_some()
        {
            summary.skipped += 1;
            return Ok(());
        }
        let picture = self.pictures().resolve(&ImageSource::Known(record.image.id)).await?;
        if picture.info() != record.image {
            return Err(EditorError::Archive(format!("the picture of edit {} has another size", record.id)));
        }
        let embedder = self.embedder_of_import(codebook, generation)?;
        let same = generation.is_some_and(|g| embedder.embedding.same_space(&g.embedding));
        let members = if same {
            let members: Vec<Member> = line.members.into_iter().map(restored).collect::<Result<_, _>>()?;
            if members.iter().any(|m| m.edit != record.id || m.image != record.image.id) {
                return Err(EditorError::Archive(format!("edit {} has entries of another edit", record.id)));
            }
            members
        } else {
            summary.reembedded += 1;
            let maker = EntryMaker { editor: self, embedder: &embedder, options: call.options() };
            maker.members(&record, &picture).await?.0
        };
        self.commit(codebook, (record, Origin::Imported), &picture, members, embedder, call.options())
            .await?;
        summary.edits += 1;
        Ok(())
    }
}

type Parsed = (Option<Generation>, Line);

/// Reads an archive, stores its pictures and sends its edits; returns the number of pictures.
fn read_archive(
    editor: &Editor,
    input: impl Read,
    lines: &tokio::sync::mpsc::Sender<Parsed>,
) -> Result<usize, EditorError> {
    let mut tar = tar::Archive::new(input);
    let mut manifest: Option<Manifest> = None;
    let (mut images, mut edits) = (0, 0);
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(EditorError::Archive("it holds something that is not a plain file".into()));
        }
        if path == MANIFEST {
            let found: Manifest = serde_json::from_slice(&limited(&mut entry, 1 << 20)?).map_err(damaged)?;
            if found.format != FORMAT {
                let detail = format!("its format is {}, this program reads {FORMAT}", found.format);
                return Err(EditorError::Archive(detail));
            }
            manifest = Some(found);
        } else if let Some(id) = path.strip_prefix(IMAGES) {
            let bytes = limited(&mut entry, editor.pictures().limits().max_bytes)?;
            let id: ImageId = id.parse().map_err(damaged)?;
            if ImageId::of(&bytes) != id {
                return Err(EditorError::Archive(format!(
                    "picture {id} does not have the bytes of its name"
                )));
            }
            decode(&bytes, editor.pictures().limits())?;
            editor.pictures().store().put(&bytes)?;
            images += 1;
        } else if path == EDITS {
            let Some(manifest) = &manifest else {
                return Err(EditorError::Archive("its manifest does not come first".into()));
            };
            let mut reader = BufReader::new(entry);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(damaged)?;
                if read == 0 {
                    break;
                }
                if read as u64 == MAX_LINE {
                    return Err(EditorError::Archive("an edit is too long".into()));
                }
                let parsed: Line = serde_json::from_slice(&line).map_err(damaged)?;
                if lines.blocking_send((manifest.generation(), parsed)).is_err() {
                    return Err(EditorError::Cancelled);
                }
                edits += 1;
            }
        } else {
            return Err(EditorError::Archive("it holds a file that does not belong there".into()));
        }
    }
    match manifest {
        None => Err(EditorError::Archive("it has no manifest".into())),
        Some(manifest) if manifest.edits != edits => {
            let detail = format!("it promises {} edits and holds {edits}: it is cut short", manifest.edits);
            Err(EditorError::Archive(detail))
        }
        Some(_) => Ok(images),
    }
}

fn limited(entry: &mut impl Read, limit: u64) -> Result<Vec<u8>, EditorError> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > limit {
        return Err(EditorError::Archive("one of its files is too large".into()));
    }
    Ok(bytes)
}

fn damaged(error: impl std::fmt::Display) -> EditorError {
    EditorError::Archive(error.to_string())
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

fn restored(archived: ArchivedMember) -> Result<Member, EditorError> {
    let bytes = STANDARD.decode(&archived.key_f32).map_err(damaged)?;
    let chunks = bytes.chunks_exact(4);
    if !chunks.remainder().is_empty() {
        return Err(EditorError::Archive("a key is cut short".into()));
    }
    let key: Vec<f32> = chunks.map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    if key.iter().any(|v| !v.is_finite()) || !archived.member.radius.is_finite() {
        return Err(EditorError::Archive("a key is not a number".into()));
    }
    Ok(Member { key, ..archived.member })
}
