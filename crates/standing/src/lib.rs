//! Which of the live edits stand, which of them say the same, and which are versions of one.
//!
//! Everything here follows from the records of the live edits, in whatever order they came: what an edit does
//! to others ends with it, and nothing has to be undone.

mod cycle;
mod standing;

pub use cycle::cycle;
pub use standing::Standing;
