//! What callers were refused of late: whoever tries what they may not do, time and again, is told to wait.
//!
//! Only what is refused in any case counts and waits. A page that asks for more than its reader may, to know
//! what to show, keeps nobody from what they may do.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::callers::Counted;

/// Refusals of one caller in a minute that are told what they are.
const MOST: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// Refusals after which those who were not refused of late are forgotten.
const FORGET_EVERY: usize = 4096;

/// Refusals of late.
#[derive(Debug)]
pub(super) struct Refusals {
    counts: DefaultKeyedRateLimiter<Counted>,
    since: AtomicUsize,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { counts: RateLimiter::keyed(Quota::per_minute(MOST)), since: AtomicUsize::new(0) }
    }
}

impl Refusals {
    /// A caller was refused; how long they have to wait, if it was once too often.
    pub(super) fn count(&self, caller: &Counted) -> Option<Duration> {
        if self.since.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.counts.retain_recent();
        }
        let early = self.counts.check_key(caller).err()?;
        Some(early.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_too_often_waits_and_nobody_else_does() {
        let (refusals, name) = (Refusals::default(), |name: &str| Counted::Name(name.to_owned()));
        for _ in 0..MOST.get() {
            assert_eq!(refusals.count(&name("a")), None);
        }
        let wait = refusals.count(&name("a")).unwrap();
        assert!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(refusals.count(&name("b")), None);
    }
}
