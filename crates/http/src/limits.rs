//! How many requests are worked on at a time, and how long each may take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::{self, DeadlinePolicy};
use crate::problem::{Problem, ProblemKind, Result};

/// The engine is given this much less than the request, so that its own, more exact error comes first.
const MARGIN: Duration = Duration::from_millis(250);

fn semaphore(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}

/// Places among the requests worked on.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self(semaphore(count))
    }

    fn take(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0)
            .try_acquire_owned()
            .map_err(|_| Problem::new(ProblemKind::Overloaded, "Too many requests at a time."))
    }
}

/// Places among the archives written or read; handlers of routes whose policy says so are given them.
#[derive(Clone, Debug)]
pub struct Archives {
    all: Arc<Semaphore>,
    /// Those of one caller, where callers have shares.
    own: Option<Arc<Semaphore>>,
}

/// A place among the archives, until it is dropped.
#[derive(Debug)]
pub struct ArchivePlace {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Archives {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { all: semaphore(count), own: None }
    }

    /// Of these, those that one caller may have.
    pub(crate) fn within(self, own: Arc<Semaphore>) -> Self {
        Self { own: Some(own), ..self }
    }

    /// A place.
    ///
    /// # Errors
    /// 503 when there is none.
    pub fn take(&self) -> Result<ArchivePlace> {
        let full = |detail: &str| {
            let problem = Problem::new(ProblemKind::Overloaded, detail);
            problem.retry_after(Duration::from_secs(10))
        };
        let own = self.own.as_ref().map(|own| Arc::clone(own).try_acquire_owned()).transpose();
        let own = own.map_err(|_| {
            full("You send or receive as many archives as one caller may (server.limits.caller_percent).")
        })?;
        let all = Arc::clone(&self.all).try_acquire_owned();
        let all = all.map_err(|_| full("Too many archives are written or read at a time."))?;
        Ok(ArchivePlace { _all: all, _own: own })
    }
}

impl<S: Sync> FromRequestParts<S> for Archives {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let given = parts.extensions.get().cloned();
        given.ok_or_else(|| Problem::internal(&"the route's policy names no archives"))
    }
}

/// Until when the answer is of use.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let set = parts.extensions.get().copied();
        set.ok_or_else(|| Problem::internal(&"no layer sets the deadline of this route"))
    }
}

/// How long answers may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the head of a request to its answer.
    pub request: Duration,
    /// The same where the body takes its time.
    pub upload: Duration,
}

/// Refuses requests beyond the limit, at once rather than letting them pile up.
pub async fn admit(State(places): State<Places>, request: Request, next: Next) -> Response {
    if policy::of(&request).always {
        return next.run(request).await;
    }
    match places.take() {
        Ok(_permit) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Sets the deadline and keeps it.
pub async fn keep_deadline(State(times): State<Times>, mut request: Request, next: Next) -> Response {
    let allowed = match policy::of(&request).deadline {
        DeadlinePolicy::Upload => times.upload,
        DeadlinePolicy::Request => times.request,
    };
    request.extensions_mut().insert(Deadline(Instant::now() + allowed.saturating_sub(MARGIN)));
    tokio::time::timeout(allowed, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(
            ProblemKind::DeadlineExceeded,
            "The request, its upload included, was not answered in time (server.timeouts.request_ms).",
        )
        .into_response()
    })
}
