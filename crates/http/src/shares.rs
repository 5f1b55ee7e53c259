//! What one caller may have at a time of what there is for all: who asks most doesn't keep others away.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use reasonedit_resilience::MemoryBudget;
use tokio::sync::Semaphore;

use crate::body::BodyBudget;
use crate::callers::{Counted, counted};
use crate::client::Proxies;
use crate::limits::{Archives, Deadline};
use crate::problem::{Problem, ProblemKind, Result};

/// Callers that are remembered before it is looked who has nothing here any more.
const LOOK_FROM: usize = 64;

/// The shares of callers.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    busy: Mutex<HashMap<Counted, Busy>>,
    requests: usize,
    archives: usize,
    /// Of the memory of bodies.
    bytes: u64,
    bodies: MemoryBudget,
    proxies: Proxies,
    /// Nobody can know whose keys are alike.
    keys: RandomState,
}

/// A number that is the caller's alone, as long as the service runs: for what is shared between callers
/// further in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerKey(pub u64);

/// What tells a caller from others, after a restart of the service too: for what outlasts a request.
#[derive(Clone, Debug)]
pub struct CallerId(pub String);

/// Until when the answer to a request is of use, and whose share further in it counts for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// After this it is of no use.
    pub deadline: Instant,
    /// Whose it is.
    pub caller: CallerKey,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Deadline(deadline) = Deadline::from_request_parts(parts, state).await?;
        Ok(Self { deadline, caller: parts.extensions.get().copied().unwrap_or_default() })
    }
}

/// A caller with requests that are worked on.
#[derive(Debug)]
struct Busy {
    requests: usize,
    bodies: MemoryBudget,
    /// An archive takes its place until its last byte, which is after the answer began.
    archives: Arc<Semaphore>,
}

/// A request of a caller, until its answer begins.
#[derive(Debug)]
struct Place {
    inner: Arc<Inner>,
    counted: Counted,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut busy) = self.inner.busy.lock().entry(self.counted.clone()) {
            busy.get_mut().requests -= 1;
            if busy.get().requests == 0 && busy.get().archives.available_permits() == self.inner.archives {
                busy.remove();
            }
        }
    }
}

impl Shares {
    /// So many requests and archives at a time for each, and so many bytes of the memory of bodies.
    pub fn new(requests: usize, archives: usize, bytes: u64, bodies: MemoryBudget, proxies: Proxies) -> Self {
        let (busy, keys) = (Mutex::default(), RandomState::new());
        Self(Arc::new(Inner { busy, requests, archives, bytes, bodies, proxies, keys }))
    }

    /// A place for a request of this caller, the memory for its body, and the places of its archives.
    fn take(&self, counted: Counted) -> Result<(Place, MemoryBudget, Arc<Semaphore>)> {
        let inner = Arc::clone(&self.0);
        let mut all = inner.busy.lock();
        // Of archives that have gone meanwhile nobody tells.
        let idle = |busy: &Busy| busy.requests == 0 && busy.archives.available_permits() == inner.archives;
        if all.len() >= LOOK_FROM && !all.contains_key(&counted) {
            all.retain(|_, busy| !idle(busy));
        }
        let busy = all.entry(counted.clone()).or_insert_with(|| Busy {
            requests: 0,
            bodies: inner.bodies.share(inner.bytes, Duration::ZERO),
            archives: Arc::new(Semaphore::new(inner.archives)),
        });
        if busy.requests >= inner.requests {
            let detail = "You ask for more at a time than one caller may (server.limits.caller_percent).";
            return Err(Problem::new(ProblemKind::RateLimited, detail).retry_after(Duration::from_secs(1)));
        }
        busy.requests += 1;
        let (bodies, archives) = (busy.bodies.clone(), Arc::clone(&busy.archives));
        drop(all);
        Ok((Place { inner, counted }, bodies, archives))
    }
}

/// Holds callers to their shares; those that nobody is known of have none of their own.
pub async fn hold(State(shares): State<Shares>, mut request: Request, next: Next) -> Response {
    let Some(counted) = counted(&request, &shares.0.proxies) else { return next.run(request).await };
    request.extensions_mut().insert(CallerKey(shares.0.keys.hash_one(&counted)));
    request.extensions_mut().insert(CallerId(counted.digest()));
    match shares.take(counted) {
        Ok((_place, bodies, own)) => {
            if let Some(archives) = request.extensions_mut().remove::<Archives>() {
                request.extensions_mut().insert(archives.within(own));
            }
            if let Some(budget) = request.extensions().get::<BodyBudget>() {
                let budget = budget.clone().within(bodies);
                request.extensions_mut().insert(budget);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Counted {
        Counted::Name(text.to_owned())
    }

    #[test]
    fn nobody_has_all_of_it_and_everybody_gets_theirs_back() {
        let bodies = MemoryBudget::new(40_960, Duration::ZERO);
        let shares = Shares::new(2, 1, 20_480, bodies.clone(), Proxies::default());
        let (first, memory, archives) = shares.take(name("a")).unwrap();
        let _held = memory.take_now(16_384).unwrap();
        let (second, memory, again) = shares.take(name("a")).unwrap();
        assert!(memory.take_now(8192).is_err(), "both have one share");
        assert_eq!(shares.take(name("a")).unwrap_err().status().as_u16(), 429);
        let (_other, memory, theirs) = shares.take(name("b")).unwrap();
        assert!(memory.take_now(20_480).is_ok(), "others have their own");
        let all = Archives::new(2);
        let archive = all.clone().within(archives).take().unwrap();
        assert_eq!(all.clone().within(again).take().unwrap_err().status().as_u16(), 503, "one of two each");
        assert!(all.clone().within(theirs).take().is_ok());
        drop(first);
        let third = shares.take(name("a"));
        assert!(third.is_ok());
        drop((second, third));
        let (fourth, _, own) = shares.take(name("a")).unwrap();
        assert!(all.clone().within(own).take().is_err(), "an archive lasts longer than its request");
        drop(archive);
        drop(fourth);
        assert_eq!(shares.0.busy.lock().len(), 1, "nothing is remembered of who waits for nothing");
    }
}
