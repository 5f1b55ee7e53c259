//! How often one caller may ask: whoever asks more waits, and others don't wait for them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::callers::{Counted, counted};
use crate::client::Proxies;
use crate::problem::{Problem, ProblemKind};

/// Requests after which those who have not asked of late are forgotten.
const FORGET_EVERY: usize = 4096;

/// What each caller has asked of late.
#[derive(Clone, Debug)]
pub struct Rates(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    counts: DefaultKeyedRateLimiter<Counted>,
    proxies: Proxies,
    since: AtomicUsize,
}

impl Rates {
    /// So many requests a minute for each, at once or spread; 0: as many as they like.
    pub fn new(a_minute: u32, proxies: Proxies) -> Self {
        Self(NonZeroU32::new(a_minute).map(|most| {
            let counts = RateLimiter::keyed(Quota::per_minute(most));
            Arc::new(Limited { counts, proxies, since: AtomicUsize::new(0) })
        }))
    }
}

/// Refuses requests of who asks too often.
pub async fn slow_down(State(Rates(limited)): State<Rates>, request: Request, next: Next) -> Response {
    let Some(limited) = limited else { return next.run(request).await };
    let Some(counted) = counted(&request, &limited.proxies) else { return next.run(request).await };
    if limited.since.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
        limited.counts.retain_recent();
    }
    let Err(early) = limited.counts.check_key(&counted) else {
        return next.run(request).await;
    };
    let wait = early.wait_time_from(DefaultClock::default().now());
    let detail = "You ask more often than one caller may (server.limits.requests_per_minute).";
    Problem::new(ProblemKind::RateLimited, detail).retry_after(wait).into_response()
}
