//! The edits of an archive, checked line by line.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use reasonedit_codebook::{
    Codebook, CodebookError, EditId, EditRecord, Embedding, GenerationId, ImageId, SharedEdit, StagedImages,
    check_edit,
};
use reasonedit_resilience::tree_bytes;

use crate::error::{ArchiveError, Result};
use crate::format::{ArchivedMember, EDITS, Line, MANIFEST, restore};
use crate::pictures::Pictures;
use crate::unpack::Unpacked;

/// Longest line of `edits.jsonl`: an edit of 32 statements with 8 boxes each and wide keys stays well below.
const MAX_LINE: u64 = 64 << 20;

/// Edits of an archive that are not in the codebook yet, and where their pictures are.
pub struct Incoming {
    /// The edits, their members without keys or empty where those are of another embedding.
    pub edits: Vec<SharedEdit>,
    /// Their pictures, beside the store.
    pub images: Arc<StagedImages>,
    /// Pictures that came, of edits that come in or are there.
    pub came: usize,
    /// Edits that are there already.
    pub skipped: usize,
}

impl Incoming {
    /// Reads and checks every line. `target`: the embedding whose keys the archive has, if those are to be
    /// taken over. `others`: whether a picture that did not come may be of any codebook, and not of a live
    /// edit of this one alone. `erased`: whether an edit of this id was erased, in whichever codebook; it and
    /// its picture stay out.
    ///
    /// # Errors
    /// `Invalid` names the line and what is wrong with it; `Codebook` for an edit that was reverted here.
    pub fn read(
        pictures: &dyn Pictures,
        unpacked: Unpacked,
        book: Option<&Codebook>,
        target: Option<&Embedding>,
        others: bool,
        erased: &dyn Fn(EditId) -> bool,
    ) -> Result<Self> {
        let snapshot = book.map(Codebook::snapshot);
        let mut images = unpacked.images;
        let (mut edits, mut skipped) = (Vec::new(), 0);
        // Of edits that come in, or are there; one that is there may have a picture that has decayed.
        let mut wanted: BTreeSet<ImageId> = BTreeSet::new();
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
            let said = |what: &str| ArchiveError::Invalid(format!("line {number} of `{EDITS}` {what}"));
            // What would be made of it, too: brackets make ninety times themselves.
            if read as u64 == MAX_LINE || tree_bytes(&bytes) > MAX_LINE {
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
                wanted.insert(record.image.id);
                skipped += 1;
                continue;
            }
            // It stays out, and the others may come. With an edit all its versions were erased, also those
            // that were made elsewhere.
            if erased(record.id) || erased(record.known_as()) {
                skipped += 1;
                continue;
            }
            if let Some(Ok(_)) = book.map(|book| book.record(record.id)) {
                let detail = format!(
                    "line {number} of `{EDITS}`: the edit {} was reverted in this codebook and can't come back; import into another one",
                    record.id
                );
                return Err(CodebookError::Conflict(detail).into());
            }
            let id = record.image.id;
            let of_book = || snapshot.iter().flat_map(|s| s.edits()).any(|edit| edit.image.id == id);
            let found = match unpacked.came.get(&id) {
                Some(found) => *found,
                None if images.contains(id) && (others || of_book()) => pictures
                    .info(&images.get(id)?)
                    .ok_or_else(|| said("has a picture that can't be read here"))?,
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
            wanted.insert(id);
            edits.push(taken(record, line.members, target).map_err(|what| said(&what))?);
        }
        if unpacked.manifest.edits != number {
            let promised = unpacked.manifest.edits;
            let detail =
                format!("its `{MANIFEST}` promises {promised} edits and it holds {number}: it is cut short");
            return Err(ArchiveError::Invalid(detail));
        }
        images.keep_only(&wanted);
        let came = unpacked.came.keys().filter(|id| wanted.contains(id)).count();
        Ok(Self { edits, images: Arc::new(images), came, skipped })
    }

    /// Has all edits name the embedding that their keys are of.
    pub fn name_embedding(&mut self, id: GenerationId) {
        for (record, _) in &mut self.edits {
            if record.embedding != id {
                Arc::make_mut(record).embedding = id;
            }
        }
    }
}

/// An edit as it comes in, with its members where their keys are taken over.
fn taken(
    mut record: EditRecord,
    members: Vec<ArchivedMember>,
    target: Option<&Embedding>,
) -> std::result::Result<SharedEdit, String> {
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
    Ok((Arc::new(record), restored))
}
