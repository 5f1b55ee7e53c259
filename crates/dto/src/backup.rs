//! Backups.

use reasonedit_api::rfc3339;
use reasonedit_backup::{BackupListing, BackupSummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a backup is made; every field has a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = BackupRequest)]
pub struct BackupRequestDto {
    /// Whether everything that earlier backups brought is read and compared, and written anew where it has
    /// decayed; otherwise only its length is looked at.
    #[schema(default = false)]
    pub check: bool,
    /// Whether a new repository is begun where the one that the service was backed up to is gone from the
    /// folder; otherwise that is told, since the disk for backups may not be mounted.
    #[schema(default = false)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new_repository: bool,
}

/// `result` of a job of the kind `backup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupResult)]
pub struct BackupResultDto {
    /// Which backup was made.
    #[schema(example = "20260101T020000Z-01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    pub id: String,
    /// Codebooks.
    pub codebooks: u64,
    /// Live edits of all codebooks.
    pub edits: u64,
    /// Pictures.
    pub pictures: u64,
    /// Bytes of all that it is made of.
    pub bytes: u64,
    /// Bytes that were written, since earlier backups had not brought them, or they had decayed.
    pub new_bytes: u64,
    /// Pictures that were.
    pub new_pictures: u64,
    /// The longest that an edit may have waited for it, in milliseconds.
    pub edits_waited_ms: f64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Pictures that are damaged or missing and that only edits had which were taken back.
    pub left_out: Vec<String>,
    /// What is wrong with the store as a whole.
    pub faults: Vec<String>,
    /// Older backups that were removed, as `backup.keep` says.
    pub removed: u64,
    /// Why they were not, though they were to be.
    pub not_removed: Option<String>,
}

impl From<BackupSummary> for BackupResultDto {
    fn from(made: BackupSummary) -> Self {
        Self {
            id: made.id.to_string(),
            codebooks: made.codebooks,
            edits: made.edits,
            pictures: made.pictures,
            bytes: made.bytes,
            new_bytes: made.new_bytes,
            new_pictures: made.new_pictures,
            edits_waited_ms: made.edits_waited_ms,
            ms: made.ms,
            left_out: made.left_out.iter().map(ToString::to_string).collect(),
            faults: made.faults,
            removed: made.pruned.map_or(0, |pruned| pruned.removed as u64),
            not_removed: made.not_pruned,
        }
    }
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Backup)]
pub struct BackupDto {
    /// Which.
    #[schema(example = "20260101T020000Z-01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    pub id: String,
    /// What it says of itself; `null` if that can't be read as it was written.
    pub contents: Option<BackupContentsDto>,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupContents)]
pub struct BackupContentsDto {
    /// When it was begun, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Version of the program that made it.
    #[schema(example = "0.1.0")]
    pub program: String,
    /// Codebooks.
    pub codebooks: u64,
    /// Live edits of all codebooks.
    pub edits: u64,
    /// Pictures.
    pub pictures: u64,
    /// Bytes of all that it is made of; others may be made of the same.
    pub bytes: u64,
    /// Faults of the store that it was made of: its end was missing, say. Absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub faults: Option<usize>,
}

/// The backups that were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupList)]
pub struct BackupListDto {
    /// The oldest first.
    pub backups: Vec<BackupDto>,
}

impl From<BackupListing> for BackupDto {
    fn from(listed: BackupListing) -> Self {
        let contents = listed.manifest.map(|manifest| BackupContentsDto {
            created_at: rfc3339(manifest.created_at),
            codebooks: manifest.codebooks,
            edits: manifest.edits,
            pictures: manifest.pictures.len() as u64,
            bytes: manifest.bytes(),
            faults: Some(manifest.faults.len()).filter(|&count| count > 0),
            program: manifest.program,
        });
        Self { id: listed.id.to_string(), contents }
    }
}
