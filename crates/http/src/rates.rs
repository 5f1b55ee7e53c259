//! How often one caller may ask: whoever asks more waits, and others don't wait for them.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use reasonedit_access::Caller;
use ulid::Ulid;

use crate::client::{Peer, Proxies};
use crate::policy;
use crate::problem::{Problem, ProblemKind};

/// Requests after which those who have not asked of late are forgotten.
const FORGET_EVERY: usize = 4096;

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    /// A token that was given.
    Token(Ulid),
    /// A name that an issuer vouches for.
    Name(String),
    /// Where someone without a name asks from.
    Address(IpAddr),
}

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
    // Where everyone may ask nothing is computed, and nobody is known.
    let Some(limited) = limited.filter(|_| policy::of(&request).access.role().is_some()) else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<Peer>().copied();
    let caller = request.extensions().get::<Caller>();
    let counted = match (caller.and_then(Caller::token), caller.and_then(Caller::name), peer) {
        (Some(token), ..) => Some(Counted::Token(token)),
        (None, Some(name), _) => Some(Counted::Name(name.to_owned())),
        (None, None, Some(peer)) => Some(Counted::Address(limited.proxies.client(peer, request.headers()))),
        (None, None, None) => None,
    };
    if limited.since.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
        limited.counts.retain_recent();
    }
    let Some(Err(early)) = counted.map(|counted| limited.counts.check_key(&counted)) else {
        return next.run(request).await;
    };
    let wait = early.wait_time_from(DefaultClock::default().now());
    let detail = "You ask more often than one caller may (server.limits.requests_per_minute).";
    Problem::new(ProblemKind::RateLimited, detail).retry_after(wait).into_response()
}
