//! How far long work is.

use std::ops::ControlFlow;

use crate::error::{BackupError, Result};

/// How far long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// What is being done: `rows`, `packs`, `pictures`.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// Out of how much; 0 if that is not known.
    pub total: u64,
}

/// Who is told how far work is, and says whether it goes on.
pub(crate) type Watch<'a> = &'a dyn Fn(BackupProgress) -> ControlFlow<()>;

/// Tells how far work is.
///
/// # Errors
/// `Stopped` if it is not to go on.
pub(crate) fn tell(watch: Watch<'_>, stage: &'static str, done: usize, total: usize) -> Result<()> {
    match watch(BackupProgress { stage, done: done as u64, total: total as u64 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BackupError::Stopped),
    }
}
