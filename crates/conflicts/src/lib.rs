//! Edits that contradict each other: pairs as they were found, and what people decided about them.
//!
//! What the edits say is not kept here: a pair names edits and places of their statements, so that nothing
//! has to be erased twice.

mod error;
mod log;
mod pair;
#[cfg(test)]
mod tests;

pub use error::{ConflictError, Result};
pub use log::ConflictLog;
pub use pair::{ConflictReason, Decision, FoundConflict, NewConflict, Resolution, SaidDigest};
