//! Memory of answers: a client that is slow to take one keeps it in memory, so that all of them together are
//! bounded.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use reasonedit_resilience::{MemoryBudget, MemoryPermit};

use crate::policy;
use crate::problem::{Problem, ProblemKind, Result};

/// Memory for answers, shared by all requests. Handlers are given it who can say how large theirs will be
/// before they make it.
#[derive(Clone, Debug)]
pub struct AnswerMemory(MemoryBudget);

/// The memory of an answer, as an extension of it; kept until the client has taken the answer.
#[derive(Clone, Debug)]
pub struct AnswerPermit(
    #[expect(dead_code, reason = "given back when the last copy is dropped")] Arc<MemoryPermit>,
);

impl AnswerMemory {
    /// So much for all answers.
    pub fn new(memory: MemoryBudget) -> Self {
        Self(memory)
    }

    /// Memory for an answer of so many bytes; it belongs into the answer's extensions.
    ///
    /// # Errors
    /// 503 when there is none.
    pub fn take(&self, bytes: u64) -> Result<AnswerPermit> {
        let permit = self.0.take_now(bytes).map_err(|_| {
            let detail = "Too many answers wait for their clients; try again in a moment.";
            Problem::new(ProblemKind::Overloaded, detail)
        })?;
        Ok(AnswerPermit(Arc::new(permit)))
    }
}

impl<S: Sync> FromRequestParts<S> for AnswerMemory {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let given = parts.extensions.get().cloned();
        given.ok_or_else(|| Problem::internal(&"no layer gives memory for answers"))
    }
}

/// Takes memory for answers that came without; where none is left the answer is 503. Failures and what is
/// always answered need none: they are small. Streams hold little and end in time.
pub async fn hold(State(memory): State<AnswerMemory>, mut request: Request, next: Next) -> Response {
    let always = policy::of(&request).always;
    request.extensions_mut().insert(memory.clone());
    let mut response = next.run(request).await;
    let held = response.extensions().get::<AnswerPermit>().is_some();
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    if always || held || bytes == 0 || !response.status().is_success() {
        return response;
    }
    match memory.take(bytes) {
        Ok(permit) => {
            response.extensions_mut().insert(permit);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> Response {
        router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn answers_hold_their_memory_until_they_are_dropped() {
        let budget = MemoryBudget::new(40_960, Duration::ZERO);
        let memory = AnswerMemory::new(budget.clone());
        let router = Router::new()
            .route("/large", get(async || vec![b'x'; 16_384]))
            .route(
                "/said",
                get(async |memory: AnswerMemory| {
                    Ok::<_, Problem>((axum::Extension(memory.take(30_000)?), "x"))
                }),
            )
            .route("/failed", get(async || Problem::not_found("no")))
            .layer(from_fn_with_state(memory, hold));
        let first = ask(&router, "/large").await;
        let second = ask(&router, "/large").await;
        assert_eq!((first.status().as_u16(), second.status().as_u16(), budget.free()), (200, 200, 8192));
        let refused = ask(&router, "/large").await;
        assert_eq!((refused.status().as_u16(), budget.free()), (503, 8192));
        assert!(refused.headers().contains_key(axum::http::header::RETRY_AFTER));
        assert_eq!(ask(&router, "/failed").await.status().as_u16(), 404);
        assert_eq!(ask(&router, "/said").await.status().as_u16(), 503);
        drop(first);
        assert_eq!(budget.free(), 24_576);
        drop(second);
        let said = ask(&router, "/said").await;
        assert_eq!((said.status().as_u16(), budget.free()), (200, 8192), "what the handler said counts");
    }
}
