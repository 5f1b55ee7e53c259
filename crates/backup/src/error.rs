//! What can go wrong with backups.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use reasonedit_codebook::CodebookError;
use reasonedit_failure::{Classify, Failure, FailureKind};
use reasonedit_keyring::KeyringError;
use serde::Serialize;

use crate::manifest::BackupId;

/// Results of this crate.
pub type Result<T, E = BackupError> = std::result::Result<T, E>;

/// What is wrong with a folder that somebody configured, and not with a file in it.
const OF_THE_FOLDER: [io::ErrorKind; 5] = [
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::NotADirectory,
    io::ErrorKind::AlreadyExists,
    io::ErrorKind::NotFound,
];

/// What became of a file of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectHarm {
    /// Its bytes are others than those that were written, or fewer, or more.
    Changed,
    /// It is gone.
    Missing,
    /// The disk doesn't give it.
    Unreadable,
}

impl fmt::Display for ObjectHarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        })
    }
}

/// A file of a repository that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HarmedObject {
    /// Its place in the repository, as `rows/ab/abcd…`.
    pub place: String,
    /// What is wrong with it.
    pub harm: ObjectHarm,
    /// The backups that can't be restored for it.
    pub of: Vec<BackupId>,
}

impl fmt::Display for HarmedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.place, self.harm)
    }
}

/// What can go wrong with backups.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something else in the folder.
    #[error("the folder holds something else than backups; name a new or an empty one")]
    NoRepository,
    /// There is nothing in the folder, or no folder.
    #[error("there are no backups here")]
    Nothing,
    /// The data folder was backed up to a repository in this folder, and it isn't there.
    #[error(
        "the repository of backups that was in this folder is not there: the disk for backups isn't mounted, or is another one. Mount it; \
         or say that a new repository is wanted (--new-repository, `new_repository` of a request)"
    )]
    Gone,
    /// The repository was begun by a later version of this program.
    #[error("the repository has the form {found}, this program knows {known}: use a newer version of it")]
    FormTooNew {
        /// Its form.
        found: u32,
        /// The newest one that is known.
        known: u32,
    },
    /// Somebody else writes to the repository, or reads it while nothing may be removed.
    #[error("another process is at work in the repository of backups; try again when it is done")]
    InUse,
    /// There is no such backup.
    #[error("there is no backup {0}")]
    Unknown(String),
    /// Files of the repository are not as they were written. At least one.
    #[error(
        "{}; `reasonedit backup verify` names all that is damaged, `reasonedit restore --incomplete` restores what isn't",
        told(.0)
    )]
    Harmed(Vec<HarmedObject>),
    /// A file of the data folder can't be backed up as it is.
    #[error("{name} of the data folder {reason}")]
    Source {
        /// Its name there.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What was restored is not what the backup says of itself.
    #[error("the backup says of itself that it has {said}, and {found} came out")]
    Differs {
        /// What it says.
        said: String,
        /// What came out.
        found: String,
    },
    /// The newest backup is damaged.
    #[error("the newest backup, {newest}, can't be restored: {}; {}", told(harmed), instead(whole.as_ref()))]
    NewestHarmed {
        /// Which.
        newest: BackupId,
        /// What is wrong with it. At least one.
        harmed: Vec<HarmedObject>,
        /// The newest one that is whole.
        whole: Option<BackupId>,
    },
    /// The folder to restore into is there and not empty.
    #[error(
        "the folder to restore into is not empty; a restore that was broken off leaves `.restoring-…` there, to be removed"
    )]
    NotEmpty,
    /// The keys can't be brought up to date.
    #[error("the keys of the backups: {0}")]
    Keys(#[from] KeyringError),
    /// Whoever asked for it wants it no more.
    #[error("it was stopped")]
    Stopped,
    /// Codebooks or pictures can't be read, or written.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn told(harmed: &[HarmedObject]) -> String {
    let first = harmed.first().map(ToString::to_string).unwrap_or_default();
    match harmed.len() {
        0 | 1 => first,
        more => format!("{first}, and {} more", more - 1),
    }
}

fn instead(whole: Option<&BackupId>) -> String {
    match whole {
        None => "no other one is whole: --incomplete restores what is, and names the rest".to_owned(),
        Some(id) => format!("the newest that is whole is {id}: --snapshot {id} restores it"),
    }
}

impl BackupError {
    /// For `map_err` of what was done to a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// One file of the repository that is not as it was written.
    pub(crate) fn harmed(place: String, harm: ObjectHarm) -> Self {
        Self::Harmed(vec![HarmedObject { place, harm, of: Vec::new() }])
    }
}

impl Classify for BackupError {
    fn classify(self) -> Failure {
        if let Self::Codebook(error) = self {
            return error.classify();
        }
        let kind = match &self {
            Self::NoRepository
            | Self::Nothing
            | Self::Gone
            | Self::FormTooNew { .. }
            | Self::InUse
            | Self::NotEmpty
            | Self::Keys(KeyringError::OtherFolder) => FailureKind::Conflict,
            Self::Keys(KeyringError::Disk { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                return Failure::new(FailureKind::StorageFull, "the disk that backups go to is full");
            }
            Self::Unknown(_) => FailureKind::NotFound,
            Self::Keys(KeyringError::Malformed(_))
            | Self::Harmed(_)
            | Self::NewestHarmed { .. }
            | Self::Source { .. }
            | Self::Differs { .. } => FailureKind::Damaged,
            Self::Stopped => FailureKind::Unavailable,
            // Told to whoever asked, who can do something about it; the log has the path.
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                return Failure::new(FailureKind::StorageFull, "the disk that backups go to is full");
            }
            Self::File { path, source } if OF_THE_FOLDER.contains(&source.kind()) => {
                tracing::error!(path = %path.display(), error = %source, "backups can't be written");
                let detail = format!("the folder for backups can't be used: {}", source.kind());
                return Failure::new(FailureKind::Conflict, detail);
            }
            Self::File { .. } | Self::Codebook(_) | Self::Keys(_) => FailureKind::Internal,
        };
        Failure::new(kind, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_admin_can_do_something_about_is_told_without_paths() {
        let file = |kind: io::ErrorKind| BackupError::file(Path::new("/secret/rows"))(kind.into()).classify();
        let full = file(io::ErrorKind::StorageFull);
        assert_eq!((full.kind, full.detail.contains("secret")), (FailureKind::StorageFull, false));
        let denied = file(io::ErrorKind::PermissionDenied);
        assert_eq!((denied.kind, denied.detail.contains("secret")), (FailureKind::Conflict, false));
        assert_eq!(file(io::ErrorKind::InvalidData).kind, FailureKind::Internal);
        let harmed = BackupError::harmed("rows/ab/abcd".to_owned(), ObjectHarm::Missing).classify();
        assert_eq!(harmed.kind, FailureKind::Damaged);
        assert!(harmed.detail.starts_with("rows/ab/abcd is missing"), "{}", harmed.detail);
        let image = reasonedit_codebook::ImageId::of(b"x");
        assert_eq!(
            BackupError::from(CodebookError::UnknownImage(image)).classify().kind,
            FailureKind::NotFound
        );
    }
}
