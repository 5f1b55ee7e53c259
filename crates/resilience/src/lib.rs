//! Runs work so that its failures stay its own: again after a wait ([`Backoff`], [`retry`]), beside the async
//! threads ([`blocking`]), several pieces at a time until one fails ([`in_lanes`]), its panics contained
//! ([`panic_message`]).

mod backoff;
mod blocking;
mod lanes;
mod panics;

pub use backoff::{Backoff, retry};
pub use blocking::{WorkLost, blocking};
pub use lanes::in_lanes;
pub use panics::panic_message;
