//! What an edit says of others: which it supersedes, what becomes of those that it contradicts, of which edit
//! it is a version.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::ids::EditId;

/// What becomes of older edits about the same picture and question that answer otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// They stand back for as long as the newer one is live.
    #[default]
    Supersede,
    /// All of them stand.
    KeepBoth,
    /// There may be none: else the edit is not made.
    Refuse,
}

/// That an edit is a later version of another. Versions of one edit have the same picture and question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The edit that was made first: its id is the one that people use.
    pub of: EditId,
    /// The version that it followed on, as it is stored.
    pub after: EditId,
    /// From 2, the first being the edit itself.
    pub number: u32,
    /// Since when it answers as it does: a version that keeps the answer takes the place of the one before
    /// among other edits, instead of being the newest of all.
    #[serde(with = "time::serde::rfc3339")]
    pub said_at: OffsetDateTime,
}

/// See the module's description.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Relations {
    /// Edits that don't stand while this one is live.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<EditId>,
    /// What becomes of those that it contradicts.
    #[serde(skip_serializing_if = "is_default")]
    pub on_conflict: OnConflict,
    /// Of which edit it is a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Whether the keys of an older edit that says exactly the same stand for it too. Edits of before there
    /// was that have keys of their own, and codebooks of then answer as they did.
    #[serde(skip_serializing_if = "is_default")]
    pub shares_keys: bool,
}

impl Relations {
    /// Whether it says what a record without it says.
    pub fn say_nothing(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
