//! What an archive's entries are called and hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::{EditRecord, Embedding, Generation, Member};
use serde::{Deserialize, Serialize};

/// Version of the archive's format.
pub(crate) const FORMAT: u32 = 1;
/// The entry that says what the archive is.
pub const MANIFEST: &str = "manifest.json";
/// The entry with an edit a line.
pub const EDITS: &str = "edits.jsonl";
/// The folder of the pictures.
pub(crate) const IMAGES: &str = "images";

/// First entry of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) codebook: String,
    pub(crate) embedding: Option<Embedding>,
    /// Whether the embedding was chosen for the codebook: then a codebook that begins with this archive keeps
    /// to it.
    #[serde(default)]
    pub(crate) chosen: bool,
    pub(crate) edits: usize,
}

impl Manifest {
    pub(crate) fn generation(&self) -> Option<Generation> {
        Some(Generation { embedding: self.embedding.clone()?, chosen: self.chosen })
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format == FORMAT {
            return Ok(());
        }
        Err(format!("its format is {}, this program reads {FORMAT}", self.format))
    }
}

/// One line of `edits.jsonl`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) edit: EditRecord,
    pub(crate) members: Vec<ArchivedMember>,
}

/// A member, its key as base64 of little-endian f32: exact, and a third of the decimal form.
#[derive(Serialize, Deserialize)]
pub(crate) struct ArchivedMember {
    #[serde(flatten)]
    pub(crate) member: Member,
    key_f32: String,
}

pub(crate) fn archived(mut member: Member) -> ArchivedMember {
    let key = std::mem::take(&mut member.key);
    let bytes: Vec<u8> = key.iter().flat_map(|v| v.to_le_bytes()).collect();
    ArchivedMember { member, key_f32: STANDARD.encode(bytes) }
}

pub(crate) fn restore(archived: ArchivedMember) -> Result<Member, String> {
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
