//! When a failed delivery is tried again.

use std::time::Duration;

use ulid::Ulid;

use super::config::WebhooksConfig;

/// Longest wait that a receiver can ask for.
const MOST_ASKED: Duration = Duration::from_hours(24);

/// How long to wait after so many failures in a row (at least one): doubling from the first wait to the
/// longest, its second half at random, so that receivers that come back are not asked by all at once; never
/// less than the receiver asked for, up to a day.
pub(super) fn wait(config: &WebhooksConfig, failures: u32, asked: Option<Duration>) -> Duration {
    // The random half of an id that nobody has seen.
    spread(config, failures, asked, Ulid::new().random() as u64)
}

fn spread(config: &WebhooksConfig, failures: u32, asked: Option<Duration>, random: u64) -> Duration {
    let doubled =
        1u64.checked_shl(failures.saturating_sub(1)).map(|times| config.retry_first_ms.saturating_mul(times));
    let whole = doubled.unwrap_or(u64::MAX).min(config.retry_longest_ms);
    let half = whole / 2;
    let wait = Duration::from_millis(whole - half + ((u128::from(half) * u128::from(random)) >> 64) as u64);
    wait.max(asked.unwrap_or_default().min(MOST_ASKED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_double_up_to_the_longest(failures in 1u32..200, random: u64) {
            let config = WebhooksConfig::default();
            let whole = (5000.0 * 2f64.powi(failures as i32 - 1)).min(3_600_000.0);
            let wait = spread(&config, failures, None, random).as_millis() as f64;
            prop_assert!(whole / 2.0 <= wait && wait <= whole, "{wait} of {whole}");
        }

        #[test]
        fn a_receiver_is_given_the_time_it_asks_for(failures in 1u32..200, random: u64, seconds in 0u64..10_000_000) {
            let config = WebhooksConfig::default();
            let asked = Duration::from_secs(seconds);
            let wait = spread(&config, failures, Some(asked), random);
            prop_assert!(wait >= asked.min(MOST_ASKED) && wait <= asked.min(MOST_ASKED).max(Duration::from_hours(1)));
        }
    }

    #[test]
    fn waits_differ() {
        let config = WebhooksConfig::default();
        assert_eq!(spread(&config, 1, None, 0), Duration::from_millis(2500));
        assert_eq!(spread(&config, 1, None, u64::MAX), Duration::from_millis(4999));
        let waits: std::collections::BTreeSet<_> = (0..20).map(|_| wait(&config, 12, None)).collect();
        assert!(waits.len() > 10);
    }
}
