//! Shares with their uncertainty: the percentile bootstrap over edits.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How intervals are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// A share, or a difference of shares, with its 95 % interval. Nothing was asked: `n` is 0 and the rest is
/// empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: Option<f64>,
    /// Questions.
    pub n: usize,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

impl Bootstrap {
    /// The sum of all points over the number of all questions. Each group is one edit's: the sum of its
    /// points, and its number of questions. Edits are drawn with replacement and their questions with them,
    /// because the questions of one edit stand and fall together; the interval goes from the 2.5th to the
    /// 97.5th percentile of the resamples.
    pub fn estimate(&self, groups: &[(f64, usize)]) -> Estimate {
        let groups: Vec<(f64, usize)> = groups.iter().copied().filter(|(_, n)| *n > 0).collect();
        let n = groups.iter().map(|(_, n)| n).sum();
        if n == 0 {
            return Estimate::default();
        }
        let value = groups.iter().map(|(points, _)| points).sum::<f64>() / n as f64;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut means: Vec<f64> = (0..self.resamples.max(1))
            .map(|_| {
                let (mut points, mut asked) = (0.0, 0);
                for _ in 0..groups.len() {
                    let (own, count) = groups[rng.random_range(0..groups.len())];
                    points += own;
                    asked += count;
                }
                points / asked as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Estimate { value: Some(value), n, low: percentile(&means, 2.5), high: percentile(&means, 97.5) }
    }
}

/// Percentile of sorted values, between two of them by proportion; `None` of none.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let place = percent / 100.0 * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The median; `None` of none.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_asked_is_no_value_and_not_zero() {
        let nothing = Bootstrap::default().estimate(&[(0.0, 0)]);
        assert_eq!(nothing, Estimate::default());
        assert_eq!((nothing.value, nothing.n), (None, 0));
    }

    #[test]
    fn the_interval_is_that_of_theory_where_theory_has_one() {
        // 400 edits with one question each, 300 right: the share's standard error is √(.75·.25/400) = .02165.
        let groups: Vec<(f64, usize)> = (0..400).map(|at| (f64::from(u8::from(at % 4 != 0)), 1)).collect();
        let share = Bootstrap { resamples: 4000, seed: 3 }.estimate(&groups);
        assert_eq!((share.value, share.n), (Some(0.75), 400));
        assert!((share.low.unwrap() - (0.75 - 1.96 * 0.02165)).abs() < 0.006, "{share:?}");
        assert!((share.high.unwrap() - (0.75 + 1.96 * 0.02165)).abs() < 0.006, "{share:?}");
    }

    #[test]
    fn questions_of_one_edit_stand_and_fall_together() {
        // The same 100 answers, once from 100 edits and once from 10: the second knows less.
        let apart: Vec<(f64, usize)> = (0..100).map(|at| (f64::from(u8::from(at < 50)), 1)).collect();
        let together: Vec<(f64, usize)> = (0..10).map(|at| (if at < 5 { 10.0 } else { 0.0 }, 10)).collect();
        let width = |e: Estimate| e.high.unwrap() - e.low.unwrap();
        let bootstrap = Bootstrap::default();
        assert!(width(bootstrap.estimate(&together)) > 2.0 * width(bootstrap.estimate(&apart)));
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
        assert_eq!(percentile(&[0.0, 1.0], 25.0), Some(0.25));
    }

    proptest! {
        #[test]
        fn the_value_lies_within_what_was_seen_and_the_seed_decides(
            groups in prop::collection::vec((0usize..5, 1usize..5), 1..30), seed in any::<u64>(),
        ) {
            let groups: Vec<(f64, usize)> = groups.into_iter().map(|(r, n)| (r.min(n) as f64, n)).collect();
            let bootstrap = Bootstrap { resamples: 50, seed };
            let share = bootstrap.estimate(&groups);
            let (low, high) = (share.low.unwrap(), share.high.unwrap());
            prop_assert!(0.0 <= low && low <= high && high <= 1.0);
            prop_assert_eq!(share, bootstrap.estimate(&groups));
        }
    }
}
