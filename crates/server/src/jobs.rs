//! Work in the background that outlives its request: kept, resumed after a restart, cancellable, with
//! progress.
//!
//! A job is a record ([`record`]) in the journal beside the codebooks. [`system`] keeps them all and gives
//! each its turn, at most one of a kind at a time; [`drive`] takes it to its end. A worker is an async
//! function of a [`Context`], chosen by kind.
//!
//! What a worker must keep to:
//! - It is dropped where it awaits when its job is cancelled or the service stops. What it blocks on
//!   elsewhere should watch [`Context::halted`].
//! - It may be begun again from its last checkpoint at any time: what it did after that must bear being done
//!   again.
//! - An error of a passing kind (a full queue, a stopped engine) is tried again; every other one ends the
//!   job.

mod context;
mod drive;
mod pace;
pub(crate) mod record;
pub(crate) mod spool;
mod system;
#[cfg(test)]
mod tests;

pub(crate) use context::Context;
pub(crate) use drive::blocking;
pub use system::JobsError;
pub(crate) use system::{Jobs, Limits, Runner, Submission};
