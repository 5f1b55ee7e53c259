//! What stays of what was erased.

use time::OffsetDateTime;

/// That something was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// When, UTC.
    pub at: OffsetDateTime,
    /// By whom, as far as known; long names are cut.
    pub by: Option<String>,
}
