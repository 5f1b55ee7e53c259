//! Runs work so that its failures stay its own: again after a wait ([`Backoff`], [`retry`]), beside the async
//! threads ([`blocking`]), several pieces at a time until one fails ([`in_lanes`]), within a bound of
//! memory ([`MemoryBudget`], [`tree_bytes`]), its panics contained ([`panic_message`]).

mod backoff;
mod blocking;
mod lanes;
mod memory;
mod panics;
mod tree;

pub use backoff::{Backoff, retry};
pub use blocking::{WorkLost, blocking};
pub use lanes::in_lanes;
pub use memory::{MemoryBudget, MemoryPermit, NoMemory};
pub use panics::panic_message;
pub use tree::tree_bytes;
