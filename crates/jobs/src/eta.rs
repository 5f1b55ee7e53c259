//! How long the rest takes, from the pace of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pace is that of this long; what was before says little of what comes.
const WINDOW: Duration = Duration::from_mins(1);
/// Least time between two points that are remembered.
const SPACING: Duration = Duration::from_millis(500);

/// Remembers when how much was done.
#[derive(Debug, Default)]
pub(crate) struct Eta {
    stage: String,
    points: VecDeque<(Instant, u64)>,
}

impl Eta {
    /// Takes note of what is done, and gives the milliseconds that the rest takes; `None` until something was
    /// done.
    pub(crate) fn remaining_ms(&mut self, stage: &str, done: u64, total: u64, now: Instant) -> Option<u64> {
        let back = self.points.back().is_some_and(|(_, before)| *before > done);
        if stage != self.stage || back {
            stage.clone_into(&mut self.stage);
            self.points.clear();
        }
        let spaced = self.points.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= SPACING);
        if spaced {
            self.points.push_back((now, done));
        }
        // The oldest one stays as long as it is the only one: slow work has a pace too.
        while self.points.len() > 2 && now.saturating_duration_since(self.points[1].0) >= WINDOW {
            self.points.pop_front();
        }
        let (since, before) = *self.points.front()?;
        let steps = done - before;
        if steps == 0 {
            return None;
        }
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let rest = total.saturating_sub(done) as f64;
        Some((elapsed / steps as f64 * rest * 1e3).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_even_pace_goes_on() {
        let (mut eta, start) = (Eta::default(), Instant::now());
        assert_eq!(eta.remaining_ms("edits", 0, 10, start), None);
        for done in 1..=10u64 {
            let now = start + Duration::from_secs(2 * done);
            assert_eq!(eta.remaining_ms("edits", done, 10, now), Some((10 - done) * 2000));
        }
    }

    #[test]
    fn the_pace_is_that_of_late_and_of_this_stage() {
        let (mut eta, start) = (Eta::default(), Instant::now());
        let mut now = start;
        for done in 0..100 {
            now += Duration::from_secs(10);
            eta.remaining_ms("slow", done, 1000, now);
        }
        for done in 100..300 {
            now += Duration::from_secs(1);
            eta.remaining_ms("slow", done, 1000, now);
        }
        assert_eq!(eta.remaining_ms("slow", 300, 1000, now + Duration::from_secs(1)), Some(700_000));
        assert_eq!(eta.remaining_ms("next", 5, 10, now), None, "of another stage nothing is known yet");
        assert_eq!(eta.remaining_ms("next", 3, 10, now), None, "nor after a step back");
    }

    proptest! {
        #[test]
        fn whatever_is_reported_nothing_overflows(
            steps in prop::collection::vec((0..4u64, any::<u64>(), any::<u64>(), 0..5000u64), 0..50)
        ) {
            let (mut eta, mut now) = (Eta::default(), Instant::now());
            for (stage, done, total, ms) in steps {
                now += Duration::from_millis(ms);
                let rest = eta.remaining_ms(&stage.to_string(), done, total, now);
                if done >= total {
                    prop_assert!(rest.is_none_or(|ms| ms == 0));
                }
            }
        }
    }
}
