//! How long to wait before something is tried again.

use std::time::Duration;

/// How the wait grows from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Constant,
    Linear,
    Doubling,
}

/// How long to wait before something that failed is tried again.
///
/// ```
/// use std::time::Duration;
///
/// use reasonedit_resilience::Backoff;
///
/// let backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(300));
/// assert_eq!(backoff.wait(1, None), Duration::from_secs(1));
/// assert_eq!(backoff.wait(4, None), Duration::from_secs(8));
/// assert_eq!(backoff.wait(50, None), Duration::from_secs(300));
/// // The other side knows better.
/// assert_eq!(backoff.wait(1, Some(Duration::from_secs(20))), Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    growth: Growth,
    jitter: bool,
    most_asked: Duration,
}

impl Backoff {
    const fn new(first: Duration, longest: Duration, growth: Growth) -> Self {
        Self { first, longest, growth, jitter: false, most_asked: Duration::MAX }
    }

    /// The same each time.
    pub const fn constant(wait: Duration) -> Self {
        Self::new(wait, wait, Growth::Constant)
    }

    /// `first` times the failures.
    pub const fn linear(first: Duration) -> Self {
        Self::new(first, Duration::MAX, Growth::Linear)
    }

    /// Doubled from `first` to `longest`.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self::new(first, longest, Growth::Doubling)
    }

    /// The second half of each wait is left to chance, so that those who wait together don't come back all at
    /// once.
    #[must_use]
    pub const fn with_jitter(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// The other side can't ask for more than this.
    #[must_use]
    pub const fn at_most_asked(self, longest: Duration) -> Self {
        Self { most_asked: longest, ..self }
    }

    /// The wait after so many failures in a row (at least one). `asked` is what the other side asked for, say
    /// by `Retry-After`: never less than that, up to the bound for it.
    pub fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        self.wait_by(failures, asked, if self.jitter { rand::random() } else { 0 })
    }

    /// [`Self::wait`] with chance in the caller's hands: 0 is the shortest wait, [`u64::MAX`] the longest.
    pub fn wait_by(&self, failures: u32, asked: Option<Duration>, random: u64) -> Duration {
        let times = match self.growth {
            Growth::Constant => 1,
            Growth::Linear => failures.max(1),
            Growth::Doubling => 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        let whole = self.first.saturating_mul(times).min(self.longest);
        let wait = if self.jitter { spread(whole, random) } else { whole };
        wait.max(asked.unwrap_or_default().min(self.most_asked))
    }
}

/// Half of it, and as much of the other half as chance gives, in whole milliseconds.
fn spread(whole: Duration, random: u64) -> Duration {
    let whole = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    let half = whole / 2;
    let given = (u128::from(half) * u128::from(random)) >> 64;
    Duration::from_millis(whole - half + given as u64)
}

/// Makes a call again for as long as it fails in passing. `passing` says of a failure whether it is one, and
/// how long the other side asked to be left alone (zero if it didn't say).
///
/// # Errors
/// The first failure that does not pass.
pub async fn retry<T, E, F>(
    backoff: Backoff,
    call: impl Fn() -> F,
    passing: impl Fn(&E) -> Option<Duration>,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut failures = 0u32;
    loop {
        let failure = match call().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let Some(asked) = passing(&failure) else { return Err(failure) };
        drop(failure);
        failures = failures.saturating_add(1);
        tokio::time::sleep(backoff.wait(failures, Some(asked))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn spread_out() -> Backoff {
        Backoff::doubling(FIRST, LONGEST).with_jitter().at_most_asked(DAY)
    }

    proptest! {
        #[test]
        fn waits_double_up_to_the_longest(failures in 1u32..200, random: u64) {
            let whole = (5000.0 * 2f64.powi(failures as i32 - 1)).min(3_600_000.0);
            let wait = spread_out().wait_by(failures, None, random).as_millis() as f64;
            prop_assert!(whole / 2.0 <= wait && wait <= whole, "{wait} of {whole}");
        }

        #[test]
        fn the_other_side_is_given_the_time_it_asks_for(
            failures in 1u32..200, random: u64, seconds in 0u64..10_000_000
        ) {
            let asked = Duration::from_secs(seconds);
            let wait = spread_out().wait_by(failures, Some(asked), random);
            prop_assert!(wait >= asked.min(DAY) && wait <= asked.min(DAY).max(LONGEST));
        }

        #[test]
        fn nothing_overflows(failures: u32, random: u64, first: u64, longest: u64) {
            let (first, longest) = (Duration::from_secs(first), Duration::from_secs(longest));
            for backoff in [Backoff::constant(first), Backoff::linear(first), Backoff::doubling(first, longest)] {
                prop_assert!(backoff.wait(failures, None) <= Duration::MAX);
                backoff.with_jitter().wait_by(failures, None, random);
            }
        }
    }

    #[test]
    fn waits_differ() {
        assert_eq!(spread_out().wait_by(1, None, 0), Duration::from_millis(2500));
        assert_eq!(spread_out().wait_by(1, None, u64::MAX), Duration::from_millis(4999));
        let waits: std::collections::BTreeSet<_> = (0..20).map(|_| spread_out().wait(12, None)).collect();
        assert!(waits.len() > 10);
    }

    #[test]
    fn without_jitter_a_wait_is_what_the_policy_says() {
        let second = Duration::from_secs(1);
        let waits = |backoff: Backoff| [1, 2, 3].map(|failures| backoff.wait(failures, None).as_secs());
        assert_eq!(waits(Backoff::constant(second)), [1, 1, 1]);
        assert_eq!(waits(Backoff::linear(second)), [1, 2, 3]);
        assert_eq!(waits(Backoff::doubling(second, 3 * second)), [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_nothing_else() {
        let calls = Cell::new(0);
        let call = || async {
            calls.set(calls.get() + 1);
            if calls.get() < 4 { Err("busy") } else { Err("broken") }
        };
        let begun = std::time::Instant::now();
        let passing = |failure: &&str| (*failure == "busy").then_some(Duration::from_secs(2));
        let outcome: Result<(), _> = retry(Backoff::constant(Duration::from_millis(1)), call, passing).await;
        assert_eq!((outcome, calls.get()), (Err("broken"), 4));
        assert!(begun.elapsed() >= Duration::from_millis(15));
    }
}
