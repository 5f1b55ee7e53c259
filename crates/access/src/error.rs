//! What can go wrong with tokens.

use std::io;
use std::path::{Path, PathBuf};

use reasonedit_failure::{Classify, Failure, FailureKind};

/// Results of this crate.
pub type Result<T, E = AccessError> = std::result::Result<T, E>;

/// What can go wrong with tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A token can't be made so.
    #[error("{reason}")]
    Invalid {
        /// Which part of it, as in requests.
        field: &'static str,
        /// What is wrong with that.
        reason: String,
    },
    /// Nothing has this id, and nobody this name.
    #[error("there is no token `{0}`")]
    Unknown(String),
    /// More are there than are kept.
    #[error("{0} tokens are there, and no more are kept; remove the file's old ones")]
    TooMany(usize),
    /// The file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is there and is none of tokens.
    #[error(
        "{}: not a file of tokens: {reason}; put it back from a backup, since nobody is let in without it",
        path.display()
    )]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is gone, and another that stays where tokens were given once is there.
    #[error(
        "{}: it is gone, though tokens were given; put it back, or remove {} to begin anew, asking for none",
        path.display(), lock.display()
    )]
    Gone {
        /// Which.
        path: PathBuf,
        /// The one that is there.
        lock: PathBuf,
    },
    /// The system has no chance to give.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl AccessError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl Classify for AccessError {
    fn classify(self) -> Failure {
        match &self {
            Self::Invalid { field, .. } => {
                Failure::at(FailureKind::Invalid, format!("/{field}"), self.to_string())
            }
            Self::Unknown(_) => Failure::new(FailureKind::NotFound, self.to_string()),
            Self::TooMany(_) => Failure::new(FailureKind::Conflict, self.to_string()),
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Failure::new(FailureKind::StorageFull, "tokens can't be stored: the disk is full")
            }
            Self::File { .. } | Self::Malformed { .. } | Self::Gone { .. } | Self::Random(_) => {
                Failure::internal(&self)
            }
        }
    }
}
