//! Who did or saw what, and when: lines in files of the data folder, each of which carries the hash of the
//! one before, so that what is changed, removed or put between is found.
//!
//! [`AuditTrail`] is written by the one service of a data folder; [`AuditReader`] reads and verifies it, also
//! meanwhile. No contents are in it: ids, names of callers, routes and statuses alone.

mod checkpoint;
mod config;
mod csv;
mod error;
mod filter;
mod head;
mod inbox;
mod item;
mod layout;
mod line;
mod outside;
mod read;
mod record;
mod recover;
mod refusals;
mod reverse;
mod trail;
mod verify;
mod writer;

pub use checkpoint::{AuditCheckpoint, public_key};
pub use config::{AuditConfig, AuditFailurePolicy, AuditSync};
pub use csv::CSV_HEADER;
pub use error::{AuditError, Result};
pub use filter::{AuditFilter, moment};
pub use head::AuditHead;
pub use item::AuditWait;
pub use layout::{FOLDER, trail_files};
pub use outside::{add, begin};
pub use read::{AuditFormat, AuditPage, AuditReader};
pub use record::{AuditCaller, AuditEvent, AuditLine, AuditOutcome, AuditRecord};
pub use trail::{AuditState, AuditTrail};
pub use verify::{AuditFault, AuditFaultKind, AuditNotes, AuditReport};
