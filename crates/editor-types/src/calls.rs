//! How a call is to be treated.

use std::time::Instant;

use reasonedit_inference::{CallOptions, Flow, Priority};

/// How urgent a call is and until when it is of use.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallContext {
    /// Urgency.
    pub priority: Priority,
    /// After this the answer is of no use.
    pub deadline: Option<Instant>,
    /// Whose it is: callers share the model equally, however much each asks.
    pub flow: Flow,
}

impl CallContext {
    /// A call that someone waits for until then.
    pub fn interactive(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// A call that lets others go first, of use until then.
    pub fn background(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::job() }
    }

    /// A call of a job: it lets others go first, and is of use whenever it ends.
    pub const fn job() -> Self {
        Self { priority: Priority::Background, deadline: None, flow: Flow(0) }
    }

    /// The same, of this caller.
    #[must_use]
    pub fn of(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }

    /// As the engine takes it.
    pub fn options(self) -> CallOptions {
        CallOptions { priority: self.priority, deadline: self.deadline, flow: self.flow }
    }
}
