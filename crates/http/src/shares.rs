//! What one caller may have at a time of what there is for all: who asks most doesn't keep others away.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use reasonedit_resilience::MemoryBudget;

use crate::body::BodyBudget;
use crate::callers::{Counted, counted};
use crate::client::Proxies;
use crate::problem::{Problem, ProblemKind, Result};

/// The shares of callers.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    busy: Mutex<HashMap<Counted, Busy>>,
    requests: usize,
    /// Of the memory of bodies.
    bytes: u64,
    bodies: MemoryBudget,
    proxies: Proxies,
}

/// A caller with requests that are worked on.
#[derive(Debug)]
struct Busy {
    requests: usize,
    bodies: MemoryBudget,
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
            if busy.get().requests == 0 {
                busy.remove();
            }
        }
    }
}

impl Shares {
    /// So many requests at a time for each, and so many bytes of the memory of bodies.
    pub fn new(requests: usize, bytes: u64, bodies: MemoryBudget, proxies: Proxies) -> Self {
        Self(Arc::new(Inner { busy: Mutex::default(), requests, bytes, bodies, proxies }))
    }

    /// A place for a request of this caller, and the memory for its body.
    fn take(&self, counted: Counted) -> Result<(Place, MemoryBudget)> {
        let inner = Arc::clone(&self.0);
        let mut all = inner.busy.lock();
        let busy = all
            .entry(counted.clone())
            .or_insert_with(|| Busy { requests: 0, bodies: inner.bodies.share(inner.bytes, Duration::ZERO) });
        if busy.requests >= inner.requests {
            let detail = "You ask for more at a time than one caller may (server.limits.caller_percent).";
            return Err(Problem::new(ProblemKind::RateLimited, detail).retry_after(Duration::from_secs(1)));
        }
        busy.requests += 1;
        let bodies = busy.bodies.clone();
        drop(all);
        Ok((Place { inner, counted }, bodies))
    }
}

/// Holds callers to their shares; those that nobody is known of have none of their own.
pub async fn hold(State(shares): State<Shares>, mut request: Request, next: Next) -> Response {
    let Some(counted) = counted(&request, &shares.0.proxies) else { return next.run(request).await };
    match shares.take(counted) {
        Ok((_place, bodies)) => {
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
        let shares = Shares::new(2, 20_480, bodies.clone(), Proxies::default());
        let (first, memory) = shares.take(name("a")).unwrap();
        let _held = memory.take_now(16_384).unwrap();
        let (second, memory) = shares.take(name("a")).unwrap();
        assert!(memory.take_now(8192).is_err(), "both have one share");
        assert_eq!(shares.take(name("a")).unwrap_err().status().as_u16(), 429);
        let (_other, memory) = shares.take(name("b")).unwrap();
        assert!(memory.take_now(20_480).is_ok(), "others have their own");
        drop(first);
        let third = shares.take(name("a"));
        assert!(third.is_ok());
        drop((second, third));
        assert_eq!(shares.0.busy.lock().len(), 1, "nothing is remembered of who waits for nothing");
    }
}
