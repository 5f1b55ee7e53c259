//! Lines on their way, and who waits for them.

use time::OffsetDateTime;

use crate::error::Result;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditWait {
    /// The line is in its file.
    Written,
    /// It is on the disk.
    Synced,
}

/// Called once what was waited for is there, or can't be for now.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// A line that waits.
pub(crate) struct Item {
    pub(crate) at: OffsetDateTime,
    /// What it says, as JSON.
    pub(crate) body: String,
    pub(crate) done: Option<(AuditWait, Done)>,
}
