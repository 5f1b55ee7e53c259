//! Runs work so that its failures stay its own: again after a wait ([`Backoff`], [`retry`]), beside the async
//! threads ([`blocking`]), its panics contained ([`panic_message`]).

mod backoff;
mod blocking;
mod panics;

pub use backoff::{Backoff, retry};
pub use blocking::{WorkLost, blocking};
pub use panics::panic_message;
