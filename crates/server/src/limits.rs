//! How many requests are worked on at a time, and how long each may take.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use reasonedit_editor::{CallContext, Priority};

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;

/// Routes answered even when all places are taken: probes must not fail because the service is busy.
const ALWAYS: &[&str] = &["/health/live", "/health/ready", "/metrics"];

/// Routes whose bodies take their time.
const UPLOADS: &[&str] = &["/codebook/import", "/edits/batch"];

/// The engine is given this much less than the request, so that its own, more exact error comes first.
const MARGIN: Duration = Duration::from_millis(250);

/// Until when the answer is of use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

impl Deadline {
    /// For a call that someone waits for.
    pub(crate) fn interactive(self) -> CallContext {
        CallContext { priority: Priority::Interactive, deadline: Some(self.0) }
    }

    /// For a call that lets others go first.
    pub(crate) fn background(self) -> CallContext {
        CallContext { priority: Priority::Background, deadline: Some(self.0) }
    }
}

impl FromRequestParts<AppState> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let set = parts.extensions.get::<Self>().copied();
        Ok(set.unwrap_or_else(|| Self(Instant::now() + state.timeouts().request())))
    }
}

/// Refuses requests beyond the limit, at once rather than letting them pile up.
pub(crate) async fn admit(
    State(state): State<AppState>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    if path.is_some_and(|path| ALWAYS.contains(&path.as_str())) {
        return next.run(request).await;
    }
    match state.request_permit() {
        Ok(_permit) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Sets the deadline and keeps it.
pub(crate) async fn keep_deadline(
    State(state): State<AppState>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let upload = path.is_some_and(|path| UPLOADS.contains(&path.as_str()));
    let allowed = if upload { state.timeouts().import() } else { state.timeouts().request() };
    request.extensions_mut().insert(Deadline(Instant::now() + allowed.saturating_sub(MARGIN)));
    tokio::time::timeout(allowed, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(ProblemKind::DeadlineExceeded, "The request was not answered in time.").into_response()
    })
}
