//! How an edit stands to others.

use reasonedit_editor::{EditVersion, OnConflict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use reasonedit_api::rfc3339;

/// What becomes of older edits about the same picture and question that answer otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OnConflict)]
pub enum OnConflictDto {
    /// They stand back for as long as the newer one is live.
    Supersede,
    /// All of them stand.
    KeepBoth,
    /// There may be none that stands: else the edit is refused with 409, and `edits` names them.
    Refuse,
}

impl From<OnConflictDto> for OnConflict {
    fn from(wanted: OnConflictDto) -> Self {
        match wanted {
            OnConflictDto::Supersede => Self::Supersede,
            OnConflictDto::KeepBoth => Self::KeepBoth,
            OnConflictDto::Refuse => Self::Refuse,
        }
    }
}

impl From<OnConflict> for OnConflictDto {
    fn from(stored: OnConflict) -> Self {
        match stored {
            OnConflict::Supersede => Self::Supersede,
            OnConflict::KeepBoth => Self::KeepBoth,
            OnConflict::Refuse => Self::Refuse,
        }
    }
}

/// One version of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EditVersion)]
pub struct EditVersionDto {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub number: u32,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Who made it.
    pub author: Option<String>,
    /// What differs from the one before: some of `answer`, `reasoning`, `evidence` (boxes that were drawn),
    /// `tags` and `metadata`; empty for the first.
    pub changed: Vec<String>,
}

impl From<&EditVersion> for EditVersionDto {
    fn from(version: &EditVersion) -> Self {
        Self {
            number: version.number,
            created_at: rfc3339(version.created_at),
            author: version.author.clone(),
            changed: version.changed.iter().map(|&field| field.to_owned()).collect(),
        }
    }
}
