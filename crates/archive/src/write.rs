//! A codebook to an archive.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::sync::Arc;

use reasonedit_codebook::{CodebookError, CodebookName, EditRecord, ImageId, ImageStore, Snapshot};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::format::{ArchivedMember, EDITS, FORMAT, IMAGES, Line, MANIFEST, Manifest, archived};

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// Edits written.
    pub edits: usize,
    /// Pictures written.
    pub images: usize,
}

/// Writes one state of a codebook; `None` is a codebook without edits. Every picture is read before the first
/// byte is written: a backup that lacks some is refused, not cut short or taken for whole.
///
/// # Errors
/// `Codebook` with all pictures that are damaged or missing, failing storage, or a writer that fails.
pub fn write(
    out: impl Write,
    codebook: &CodebookName,
    snapshot: Option<&Snapshot>,
    pictures: &ImageStore,
) -> Result<ExportSummary> {
    let embedding = snapshot.and_then(|s| s.embedding().map(|e| e.as_ref().clone()));
    let chosen = snapshot.is_some_and(Snapshot::chosen);
    let edits: Vec<_> = snapshot.iter().flat_map(|s| s.edits()).map(Arc::as_ref).collect();
    let manifest =
        Manifest { format: FORMAT, codebook: codebook.to_string(), embedding, chosen, edits: edits.len() };
    let members_of = |edit: &EditRecord| {
        let members = snapshot.iter().flat_map(|s| s.members_of(edit.id));
        members.map(|member| archived(member.as_ref().clone())).collect()
    };
    write_lines(out, &manifest, &edits, members_of, pictures)
}

/// Writes edits without their keys, which whoever imports them makes anew.
///
/// # Errors
/// As [`write()`].
pub fn write_records(
    out: impl Write,
    codebook: &CodebookName,
    edits: &[EditRecord],
    pictures: &ImageStore,
) -> Result<ExportSummary> {
    let edits: Vec<_> = edits.iter().collect();
    let manifest = Manifest {
        format: FORMAT,
        codebook: codebook.to_string(),
        embedding: None,
        chosen: false,
        edits: edits.len(),
    };
    write_lines(out, &manifest, &edits, |_| Vec::new(), pictures)
}

fn write_lines(
    out: impl Write,
    manifest: &Manifest,
    edits: &[&EditRecord],
    members_of: impl Fn(&EditRecord) -> Vec<ArchivedMember>,
    pictures: &ImageStore,
) -> Result<ExportSummary> {
    let images: BTreeSet<ImageId> = edits.iter().map(|record| record.image.id).collect();
    let harmed = pictures.harmed(images.iter().copied());
    if !harmed.is_empty() {
        return Err(CodebookError::HarmedImages(harmed).into());
    }
    let mut tar = tar::Builder::new(out);
    append(&mut tar, MANIFEST, &to_json(manifest)?)?;
    for id in &images {
        append(&mut tar, &format!("{IMAGES}/{id}"), &pictures.get(*id)?)?;
    }
    let mut lines = Vec::new();
    for edit in edits {
        lines.extend(to_json(&Line { edit: (*edit).clone(), members: members_of(edit) })?);
        lines.push(b'\n');
    }
    append(&mut tar, EDITS, &lines)?;
    tar.into_inner()?.flush()?;
    Ok(ExportSummary { edits: edits.len(), images: images.len() })
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| std::io::Error::from(e).into())
}

/// Appends an entry with these bytes, by a plain header.
///
/// # Errors
/// A writer that fails.
pub fn append(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, path, Cursor::new(bytes))
}
