//! What can go wrong with the trail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_failure::{Classify, Failure, FailureKind};

/// Results of this crate.
pub type Result<T, E = AuditError> = std::result::Result<T, E>;

/// What can go wrong with the trail.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Another process writes it.
    #[error("{}: the audit trail is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// A line was not written, and waits or is lost.
    #[error("the audit trail can't be written: {reason}")]
    Unwritten {
        /// Whether the disk is full.
        full: bool,
        /// What the system says.
        reason: String,
    },
    /// A key that signs checkpoints can't be read as one.
    #[error("{}: this is no Ed25519 key in PKCS#8", .0.display())]
    SigningKey(PathBuf),
    /// A text is no checkpoint, or not signed by the key that it names.
    #[error("`{0}…` is no checkpoint, or is not as it was signed")]
    Checkpoint(String),
    /// Neither a time nor a day.
    #[error("`{0}` is neither a day (2026-11-30) nor a time (2026-11-30T09:00:00Z)")]
    Moment(String),
}

impl AuditError {
    /// Turns what the system says of this file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source: Arc::new(source) }
    }

    /// A line that was not written for this reason.
    pub(crate) fn unwritten(error: &io::Error) -> Self {
        Self::Unwritten { full: is_full(error), reason: error.to_string() }
    }
}

/// Whether the disk or the quota is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Classify for AuditError {
    fn classify(self) -> Failure {
        match &self {
            Self::Unwritten { full: true, .. } => Failure::new(
                FailureKind::StorageFull,
                "No room is left for the audit trail, and nothing is answered that isn't in it.",
            ),
            // What the system says may name paths: it is in the log.
            Self::Unwritten { .. } => Failure::new(
                FailureKind::Unwritable,
                "The audit trail can't be written, and nothing is answered that isn't in it.",
            ),
            Self::Moment(_) | Self::Checkpoint(_) => Failure::new(FailureKind::Invalid, self.to_string()),
            Self::InUse(_) | Self::File { .. } | Self::SigningKey(_) => Failure::internal(&self),
        }
    }
}
