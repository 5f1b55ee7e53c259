//! Edits that wait: proposals, beside the codebooks, until somebody else has looked at them.
//!
//! A proposal is no part of a codebook: no key, radius or answer rests on one. It has the id that its edit
//! will be stored under, so that whether it became one stands in the codebook itself: a process that ends
//! between storing the edit and writing that here leaves an edit, and the proposal is settled by it.

mod error;
mod proposal;
mod request;
mod row;
mod submitted;
mod table;

pub use error::{ProposalError, Result};
pub use proposal::{
    Approval, Proposal, ProposalState, ProposalStep, ProposedContent, ProposedVersion, RequestKey, Reviewer,
    StepKind,
};
pub use submitted::{Approved, Submitted, Submitter};
pub use table::{ProposalFilter, Proposals};
