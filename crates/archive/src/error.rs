//! What can go wrong with archives.

use reasonedit_codebook::CodebookError;

/// Errors of writing and reading archives.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is damaged, holds what does not belong there, or comes to more than is allowed; what is wrong, in
    /// words for whoever sent it.
    #[error("{0}")]
    Invalid(String),
    /// An edit that the codebook refuses, or its stores.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Results of this crate.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;
