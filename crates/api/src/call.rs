//! How the editor is to treat what a request asks.

use reasonedit_editor::{CallContext, Flow};
use reasonedit_http::shares::Asked;

/// Whose share of the model it counts for.
pub fn flow(asked: Asked) -> Flow {
    Flow(asked.caller.0)
}

/// Someone waits for the answer.
pub fn interactive(asked: Asked) -> CallContext {
    CallContext::interactive(asked.deadline).of(flow(asked))
}

/// It lets others go first.
pub fn background(asked: Asked) -> CallContext {
    CallContext::background(asked.deadline).of(flow(asked))
}
