//! What can go wrong in the program, and the exit status each has.

use std::fmt::Display;
use std::path::PathBuf;

use reasonedit_resilience::WorkLost;
use reasonedit_settings::SettingsError;

/// Errors of the program: messages for a person at a terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Options that don't go together, or values no one can use.
    #[error("{0}")]
    Usage(String),
    /// A setting that is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file that can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's word on it.
        source: std::io::Error,
    },
    /// What was asked for could not be done; said in one line, with what to do about it where that is known.
    #[error("{0}")]
    Failed(String),
    /// A check came out negative; its report has been printed.
    #[error("{0}")]
    CheckFailed(String),
}

impl CliError {
    /// Exit status: 2 for wrong usage, 1 for everything else.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Settings(_) => 2,
            Self::File { .. } | Self::Failed(_) | Self::CheckFailed(_) => 1,
        }
    }

    /// A [`CliError::File`].
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// A [`CliError::Failed`] from what another crate says.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<WorkLost> for CliError {
    fn from(lost: WorkLost) -> Self {
        Self::failed(lost)
    }
}

/// Results of the program.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;
