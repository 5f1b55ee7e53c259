//! Who submits, and what becomes of what they submit.

use std::sync::Arc;

use reasonedit_editor_types::EditView;

use crate::Proposal;

/// In whose name something is submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submitter {
    /// Their name, as far as it is known.
    pub name: Option<String>,
    /// Whether they may make edits and nothing more.
    pub contributor: bool,
}

/// What became of a correction.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// It is an edit.
    Made(Box<EditView>),
    /// It waits, or waited.
    Proposed {
        /// As what.
        proposal: Arc<Proposal>,
        /// Whether it came before, with the same idempotency key.
        replayed: bool,
    },
}

/// What became of a proposal that was approved of.
#[derive(Clone, Debug)]
pub struct Approved {
    /// As it is now.
    pub proposal: Arc<Proposal>,
    /// The edit, if these were all approvals that it takes.
    pub edit: Option<Box<EditView>>,
}
