//! Shares with their uncertainty: the percentile bootstrap over edits.

use std::collections::{BTreeMap, BTreeSet};

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

impl Bootstrap {
    /// The harmonic mean of several shares, each with its groups by edit: it is near the least of them, and 0
    /// where one is. The interval is that of the mean over resamples of edits, each with all its questions of
    /// all shares. A share without questions is left out; `n` is the number of all questions.
    pub fn harmonic_mean(&self, shares: &[BTreeMap<usize, (f64, usize)>]) -> Estimate {
        let shares: Vec<&BTreeMap<usize, (f64, usize)>> =
            shares.iter().filter(|groups| groups.values().any(|(_, n)| *n > 0)).collect();
        let edits: BTreeSet<usize> = shares.iter().flat_map(|groups| groups.keys().copied()).collect();
        let n = shares.iter().flat_map(|groups| groups.values()).map(|(_, n)| n).sum();
        if n == 0 {
            return Estimate::default();
        }
        // By share and edit, so that a draw of an edit draws its part of all shares.
        let table: Vec<Vec<(f64, usize)>> = shares
            .iter()
            .map(|groups| edits.iter().map(|edit| groups.get(edit).copied().unwrap_or_default()).collect())
            .collect();
        let mean_of = |drawn: &mut dyn FnMut() -> Option<usize>| {
            let mut sums = vec![(0.0, 0); table.len()];
            while let Some(edit) = drawn() {
                for (sum, row) in sums.iter_mut().zip(&table) {
                    sum.0 += row[edit].0;
                    sum.1 += row[edit].1;
                }
            }
            harmonic_mean(sums.into_iter().filter(|(_, n)| *n > 0).map(|(points, n)| points / n as f64))
        };
        let mut all = 0..edits.len();
        let value = mean_of(&mut || all.next());
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut means: Vec<f64> = (0..self.resamples.max(1))
            .filter_map(|_| {
                let mut left = edits.len();
                mean_of(&mut || {
                    left = left.checked_sub(1)?;
                    Some(rng.random_range(0..edits.len()))
                })
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Estimate { value, n, low: percentile(&means, 2.5), high: percentile(&means, 97.5) }
    }
}

/// The harmonic mean: 0 where one of them is 0; `None` of none.
pub(crate) fn harmonic_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut inverses, mut count) = (0.0, 0);
    for value in values {
        inverses += 1.0 / value.max(0.0);
        count += 1;
    }
    (count > 0).then(|| f64::from(count) / inverses)
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
    fn a_harmonic_mean_is_near_the_least_and_knows_what_stands_together() {
        assert_eq!(harmonic_mean([0.5, 1.0]), Some(2.0 / 3.0));
        assert_eq!((harmonic_mean([0.0, 1.0]), harmonic_mean([])), (Some(0.0), None));
        // Of 200 edits the first half are right in one share, and the second half in the other: each is .5.
        let share = |right: fn(usize) -> bool| -> BTreeMap<usize, (f64, usize)> {
            (0..200).map(|edit| (edit, (f64::from(u8::from(right(edit))), 1))).collect()
        };
        let (first, second) = (share(|edit| edit < 100), share(|edit| edit >= 100));
        let bootstrap = Bootstrap { resamples: 2000, seed: 5 };
        let width = |e: Estimate| e.high.unwrap() - e.low.unwrap();
        let against = bootstrap.harmonic_mean(&[first.clone(), second]);
        assert_eq!((against.value, against.n), (Some(0.5), 400));
        // What one gains by a draw the other loses, so that the mean varies less than either share.
        let together = bootstrap.harmonic_mean(&[first.clone(), first.clone(), BTreeMap::new()]);
        assert_eq!(together.value, Some(0.5));
        assert!(width(against) < 0.5 * width(together), "{against:?} {together:?}");
        assert_eq!(together, Estimate { n: 400, ..bootstrap.harmonic_mean(&[first]) });
        assert_eq!(bootstrap.harmonic_mean(&[BTreeMap::new()]), Estimate::default());
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
