//! A whole codebook as a tar: `manifest.json`, then `images/<id>`, then `edits.jsonl` with one edit and its
//! members a line. That is the order in which they are written; they are read in any.

mod error;
mod format;
mod incoming;
mod kept;
mod pictures;
mod unpack;
mod write;

pub use error::{ArchiveError, Result};
pub use format::{EDITS, MANIFEST};
pub use incoming::Incoming;
pub use kept::KeptMembers;
pub use pictures::Pictures;
pub use unpack::{Unpacked, unpack};
pub use write::{ExportSummary, append, write, write_records};
