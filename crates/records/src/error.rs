//! What can go wrong, told apart as far as a caller can act on it.

use reasonedit_keyring::KeyringError;
use time::OffsetDateTime;

use crate::ids::{CodebookName, EditId, ImageId, MemberId, RevertId};
use crate::records::Embedding;
use crate::records::HarmedImage;

/// Images that a message names; a message has to stay short.
const NAMED: usize = 2;

/// Every failure of this crate. No message carries a path of the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodebookError {
    /// There is no live edit of this id (never made, or reverted).
    #[error("there is no edit {0}")]
    UnknownEdit(EditId),
    /// Nothing was taken back in this codebook under this id.
    #[error("nothing was taken back under {0}")]
    UnknownRevert(RevertId),
    /// The edit was erased.
    #[error("the edit {edit} was erased on {}{}", at.date(), by_whom(by.as_deref()))]
    Erased {
        /// Which.
        edit: EditId,
        /// When, UTC.
        at: OffsetDateTime,
        /// By whom, as far as it is known.
        by: Option<String>,
    },
    /// No edit was ever made in a codebook of this name.
    #[error("there is no codebook {0}")]
    UnknownCodebook(CodebookName),
    /// The codebook was never in this state: fewer events have happened.
    #[error("there is no revision {revision} of the codebook; the newest is {newest}")]
    NoSuchRevision {
        /// The number asked for.
        revision: u64,
        /// The number of the present state.
        newest: u64,
    },
    /// The codebook had other keys then, made by an embedding that it has been moved from, and they are not
    /// kept any more.
    #[error(
        "the codebook of revision {revision} had keys of another embedding, which are not kept; the earliest revision          that can be asked from there on is {earliest}"
    )]
    KeysNotKept {
        /// The number asked for.
        revision: u64,
        /// The least number after it of which the keys are there.
        earliest: u64,
    },
    /// No image of this id is stored.
    #[error("there is no image {0}")]
    UnknownImage(ImageId),
    /// An edit is to be superseded that is not live.
    #[error("the edit {0}, which is to be superseded, is not live in this codebook")]
    NotToSupersede(EditId),
    /// Edits about the same picture and question answer otherwise, and there were to be none. At least one.
    #[error("about this picture and question something else stands: {}", ids(.0))]
    Contradicted(Vec<EditId>),
    /// The edit has another version by now than the change was meant for.
    #[error("the edit {edit} has another version by now: {newest}")]
    OtherVersion {
        /// What it is known as.
        edit: EditId,
        /// Its newest version.
        newest: EditId,
    },
    /// The text is not an id of this sort.
    #[error("{given:?} is not a valid {what}")]
    InvalidId {
        /// What was expected, as `edit id`.
        what: &'static str,
        /// The beginning of what was given.
        given: String,
    },
    /// The text is not a name of a codebook.
    #[error("{0:?} is not a codebook name (1 to 64 of a-z, 0-9 and -)")]
    InvalidName(String),
    /// The change contradicts what is stored or under way: an edit id used twice, a member that belongs to
    /// another edit, a second re-embedding beside one that runs, a rollback where no earlier generation of
    /// keys is kept.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The keys at hand were made by another model, tap, pooling, λ or encoder than the stored ones: their
    /// distances mean nothing.
    #[error(
        "the codebook is embedded by generation {} (model {}, tap {}, λ {}), not by {} (model {}, tap {}, λ {})",
        stored.id, stored.model_fingerprint, stored.tap, stored.lambda,
        asked.id, asked.model_fingerprint, asked.tap, asked.lambda
    )]
    EmbeddingMismatch {
        /// What the stored keys were made by.
        stored: Box<Embedding>,
        /// What the caller came with.
        asked: Box<Embedding>,
    },
    /// A key or a query has another length than the codebook's keys.
    #[error("a vector of {actual} dimensions where {expected} are needed")]
    DimensionMismatch {
        /// Dimensions of the codebook's keys.
        expected: usize,
        /// Dimensions given.
        actual: usize,
    },
    /// A member can't be stored: not finite, a negative radius, or numbered wrongly.
    #[error("member {member} is unusable: {reason}")]
    InvalidMember {
        /// Which member.
        member: MemberId,
        /// Why.
        reason: &'static str,
    },
    /// A record can't be stored: it would not read back as it is (a number that is not finite, metadata
    /// nested too deeply).
    #[error("the record can't be stored: {0}")]
    InvalidRecord(&'static str),
    /// A number of the configuration is out of its range.
    #[error("configuration: {0}")]
    InvalidConfig(&'static str),
    /// An edit was made under this idempotency key before; whether it is a repetition, the hash of the body
    /// tells.
    #[error("the edit {edit} was made under this idempotency key before")]
    AlreadyMade {
        /// The edit that was made then. It may have been reverted since.
        edit: EditId,
        /// BLAKE3 of the body of that request.
        body: [u8; 32],
    },
    /// A query can't be answered: not finite, or a parameter out of its range.
    #[error("unusable query: {0}")]
    InvalidQuery(&'static str),
    /// A stored value can't be read.
    #[error("the stored value {key} is corrupt: {reason}")]
    Corrupt {
        /// Tree and key of the value.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Stored images are not as they came: changed, cut short or gone. At least one.
    #[error(
        "pictures are damaged or missing: {}; send the same files again in an edit, or import a backup",
        listed(.0)
    )]
    HarmedImages(Vec<HarmedImage>),
    /// Something that is stored of a codebook can't be read, or is missing; it was set aside when the store
    /// was opened, so that the others are served.
    #[error(
        "the codebook {name} is damaged and set aside: {reason}; `reasonedit codebook salvage` saves what can be read of it"
    )]
    Damaged {
        /// Which codebook.
        name: CodebookName,
        /// What was found.
        reason: String,
    },
    /// The data was written by a newer version of this program.
    #[error("the data has schema {found}, this program reads up to {supported}: use a newer version of it")]
    SchemaTooNew {
        /// Schema of the data.
        found: u32,
        /// Newest schema that this program knows.
        supported: u32,
    },
    /// The keys that the data is sealed by can't be had.
    #[error(transparent)]
    Keys(KeyringError),
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process")]
    Locked,
    /// Nothing can be written at present. What was acknowledged is there; once the cause is gone, the store
    /// is opened anew and takes writes again.
    #[error("nothing can be stored at present: {0}")]
    Unwritable(Unwritable),
    /// The disk or the database refused.
    #[error("the store failed to {action}: {reason}")]
    Store {
        /// What was attempted, as `commit an edit`.
        action: &'static str,
        /// What the database said.
        reason: String,
    },
}

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// No room is left, or no more than the quota.
    #[error("the disk is full")]
    Full,
    /// The disk is mounted to be read alone, or has become so.
    #[error("the disk can only be read")]
    ReadOnly,
    /// The folder isn't where it was opened, or another is there.
    #[error("the data folder is not where it was opened")]
    Moved,
    /// The process or the machine has as many files open as it may.
    #[error("too many files are open")]
    TooManyFiles,
    /// The store failed for another reason, which its log tells.
    #[error("the store failed, and its log says why")]
    Failed,
}

impl Unwritable {
    /// Whether an error of this kind says that no room is left.
    pub fn is_full(kind: std::io::ErrorKind) -> bool {
        matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }

    /// What an error of the disk means for whoever writes to a folder that was there; `None` if it is of
    /// another kind.
    pub fn of(error: &std::io::Error) -> Option<Self> {
        use std::io::ErrorKind as Kind;

        // In the machine's file table, in the process's.
        const FILES: [i32; 2] = [23, 24];
        match error.kind() {
            kind if Self::is_full(kind) || kind == Kind::FileTooLarge => Some(Self::Full),
            Kind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            Kind::NotFound => Some(Self::Moved),
            _ if number(error).is_some_and(|number| FILES.contains(&number)) => Some(Self::TooManyFiles),
            _ => None,
        }
    }
}

/// The operating system's number of an error; of one that tempfile has put a path around, it stands in the
/// text alone.
fn number(error: &std::io::Error) -> Option<i32> {
    let told = || error.to_string().split_once("(os error ")?.1.split_once(')')?.0.parse().ok();
    error.raw_os_error().or_else(told)
}

impl From<KeyringError> for CodebookError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Locked => Self::Locked,
            KeyringError::Disk { source, .. } => Self::of_disk("open the keys", &source),
            other => Self::Keys(other),
        }
    }
}

impl CodebookError {
    /// An error of the disk while something was written.
    pub fn of_disk(action: &'static str, error: &std::io::Error) -> Self {
        // The kind and not its text, which may hold a path.
        Unwritable::of(error).map_or_else(|| Self::store(action, error.kind()), Self::Unwritable)
    }

    /// An error of the keys while something is written.
    pub fn of_keyring(action: &'static str, error: KeyringError) -> Self {
        match error {
            KeyringError::Disk { source, .. } => Self::of_disk(action, &source),
            KeyringError::Erased(_) => Self::Conflict("an edit of this id was erased".to_owned()),
            other => Self::store(action, other),
        }
    }

    /// The disk or the database refused.
    pub fn store(action: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Store { action, reason: reason.to_string() }
    }

    /// A stored value that can't be read.
    pub fn corrupt(key: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { key: key.into(), reason: reason.to_string() }
    }
}

fn ids(edits: &[EditId]) -> String {
    let named = edits.iter().take(NAMED).map(ToString::to_string);
    let more = edits.len().saturating_sub(NAMED);
    named.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

fn by_whom(by: Option<&str>) -> String {
    by.map(|by| format!(" by {by}")).unwrap_or_default()
}

fn listed(harmed: &[HarmedImage]) -> String {
    let named = harmed.iter().take(NAMED).map(|image| format!("{} ({})", image.id, image.harm));
    let more = harmed.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("{more} more"));
    named.chain(more).collect::<Vec<_>>().join(", ")
}

/// Result of this crate.
pub type Result<T, E = CodebookError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests;
