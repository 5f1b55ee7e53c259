//! How a call is to be treated.

use std::time::Instant;

use reasonedit_inference::{CallOptions, Priority};

/// How urgent a call is and until when it is of use.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallContext {
    /// Urgency.
    pub priority: Priority,
    /// After this the answer is of no use.
    pub deadline: Option<Instant>,
}

impl CallContext {
    /// A call that someone waits for until then.
    pub fn interactive(deadline: Instant) -> Self {
        Self { priority: Priority::Interactive, deadline: Some(deadline) }
    }

    /// A call that lets others go first, of use until then.
    pub fn background(deadline: Instant) -> Self {
        Self { priority: Priority::Background, deadline: Some(deadline) }
    }

    pub(crate) fn options(self) -> CallOptions {
        CallOptions { priority: self.priority, deadline: self.deadline }
    }
}
