//! A pair of edits that contradict each other.

use reasonedit_codebook::{CodebookName, EditId, EditRecord};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

/// What two edits disagree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// They answer the same question otherwise, and what each says holds on the picture of the other.
    Answer,
    /// What they say differs in a side.
    Side,
    /// One denies what the other affirms.
    Negation,
    /// They name other counts or measures.
    Number,
    /// They use words that exclude each other.
    Opposite,
}

/// A digest of what an edit says, its answer and its statements: a version that says the same has the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SaidDigest(String);

impl SaidDigest {
    /// Of what this version says.
    pub fn of(record: &EditRecord) -> Self {
        let mut hasher = blake3::Hasher::new();
        let statements = record.reasoning.iter().map(|said| said.statement.as_str());
        for text in std::iter::once(record.answer.as_str()).chain(statements) {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        Self(hasher.finalize().to_hex()[..32].to_owned())
    }
}

/// A pair as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConflict {
    /// The codebook of both.
    pub codebook: CodebookName,
    /// As they are known, the one that was there first.
    pub edits: [EditId; 2],
    /// What they said when they were compared.
    pub said: [SaidDigest; 2],
    /// What they disagree in.
    pub reason: ConflictReason,
    /// The statement of each that is at odds with the other's, by its place; `None` for the answer.
    pub statements: [Option<u32>; 2],
}

/// A pair as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundConflict {
    /// Its id; later ones are greater.
    pub id: Ulid,
    /// When it was found, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The codebook of both.
    pub codebook: CodebookName,
    /// As they are known, the one that was there first.
    pub edits: [EditId; 2],
    /// What they said when they were compared.
    pub said: [SaidDigest; 2],
    /// What they disagree in.
    pub reason: ConflictReason,
    /// The statement of each that is at odds with the other's, by its place; `None` for the answer.
    pub statements: [Option<u32>; 2],
    /// What was decided about it, oldest first; the last stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolutions: Vec<Resolution>,
}

impl FoundConflict {
    /// The decision that stands, unless it was opened anew.
    pub fn resolution(&self) -> Option<&Resolution> {
        self.resolutions.last().filter(|last| last.decision != Decision::Reopen)
    }
}

/// What can be decided about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// One of them stands, the other is superseded by it.
    Keep(EditId),
    /// Both stand: each holds under a condition.
    KeepBoth,
    /// Somebody else is to say.
    Ask,
    /// It is undecided again.
    Reopen,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// What was decided.
    pub decision: Decision,
    /// Under which condition both hold, or whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who decided, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}
