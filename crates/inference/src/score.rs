//! Logits to log-probabilities and to the most probable token.

use rayon::prelude::*;
use reasonedit_nn::blocks::math;

use crate::error::{EngineError, Result};

/// Logits from which it pays to score on several threads: waking them costs as much as some thousand
/// exponentials.
const PARALLEL: usize = 1 << 16;

/// Scores rows of `vocabulary` logits each, in order.
///
/// # Errors
/// The first that `score` gives.
pub(super) fn each<'r, I: Sync, T: Send>(
    rows: &'r [I],
    vocabulary: usize,
    score: impl Fn(&'r I) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    if rows.len() * vocabulary < PARALLEL {
        rows.iter().map(score).collect()
    } else {
        rows.par_iter().map(score).collect()
    }
}

/// The softmax of a row of logits: shifted by the largest logit, summed in f64.
pub(super) struct Softmax<'a> {
    logits: &'a [f32],
    max: f32,
    /// Natural logarithm of the sum of `exp(logit - max)`.
    log_sum: f64,
}

impl<'a> Softmax<'a> {
    /// # Errors
    /// [`EngineError::Device`] when the logits are empty or not finite: nothing can be said from them.
    pub(super) fn new(logits: &'a [f32]) -> Result<Self> {
        let max = math::max(logits);
        let sum = math::sum_exp(logits, max);
        if max.is_finite() && sum.is_finite() {
            Ok(Self { logits, max, log_sum: sum.ln() })
        } else {
            Err(EngineError::Device("the model's logits are not finite".into()))
        }
    }

    /// Natural log-probability of a token.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub(super) fn log_probability(&self, token: u32) -> Result<f64> {
        let logit = self.logits.get(token as usize).ok_or_else(|| {
            let size = self.logits.len();
            EngineError::Tokenizer(format!("token {token} is outside the model's vocabulary of {size}"))
        })?;
        Ok(f64::from(*logit) - f64::from(self.max) - self.log_sum)
    }

    /// The most probable tokens, best first, with their natural log-probabilities; of equals the smaller id
    /// first.
    pub(super) fn most_probable(&self, count: usize) -> Vec<(u32, f64)> {
        let mut ids: Vec<u32> = (0..self.logits.len() as u32).collect();
        let logit = |id: u32| self.logits[id as usize];
        let better = |a: &u32, b: &u32| logit(*b).total_cmp(&logit(*a)).then(a.cmp(b));
        if count < ids.len() {
            ids.select_nth_unstable_by(count, better);
            ids.truncate(count);
        }
        ids.sort_unstable_by(better);
        let score = |id| (id, f64::from(logit(id)) - f64::from(self.max) - self.log_sum);
        ids.into_iter().map(score).collect()
    }

    /// Sum of the probabilities of distinct tokens.
    ///
    /// # Errors
    /// As [`Self::log_probability`].
    pub(super) fn probability_of_any(&self, tokens: &[u32]) -> Result<f64> {
        tokens.iter().map(|&token| Ok(self.log_probability(token)?.exp())).sum()
    }
}

/// The most probable token; of several, the one with the smallest id, so that ties don't depend on anything
/// else.
pub(super) fn argmax(logits: &[f32]) -> u32 {
    let max = math::max(logits);
    logits.iter().position(|x| *x == max).unwrap_or_default() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_logits_do_not_overflow() {
        let logits = [1e30, 1e30, -1e30];
        let softmax = Softmax::new(&logits).unwrap();
        assert!((softmax.log_probability(0).unwrap() + std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(softmax.probability_of_any(&[2]).unwrap(), 0.0);
        assert_eq!(argmax(&logits), 0);
    }

    #[test]
    fn what_is_not_a_number_is_an_error() {
        assert!(Softmax::new(&[0.0, f32::NAN, 1.0]).is_err());
        assert!(Softmax::new(&[f32::INFINITY, 0.0]).is_err());
        assert!(Softmax::new(&[]).is_err());
        assert!(Softmax::new(&[0.0]).unwrap().log_probability(1).is_err());
    }

    #[test]
    fn many_rows_are_scored_in_order() {
        let rows: Vec<usize> = (0..100).collect();
        for vocabulary in [1, PARALLEL] {
            assert_eq!(
                each(&rows, vocabulary, |row| Ok(2 * row)).unwrap(),
                rows.iter().map(|r| 2 * r).collect::<Vec<_>>()
            );
            assert!(
                each(&rows, vocabulary, |row| if *row == 7 { Err(EngineError::Closed) } else { Ok(()) })
                    .is_err()
            );
        }
    }

    proptest! {
        #[test]
        fn the_most_probable_come_first(logits in prop::collection::vec(-3i8..3, 1..60), count in 0usize..80) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let softmax = Softmax::new(&logits).unwrap();
            let mut all: Vec<(u32, f64)> =
                (0..logits.len() as u32).map(|id| (id, softmax.log_probability(id).unwrap())).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            all.truncate(count);
            let best = softmax.most_probable(count);
            prop_assert!(best.first().is_none_or(|(id, _)| *id == argmax(&logits)));
            prop_assert_eq!(best, all);
        }

        #[test]
        fn probabilities_sum_to_one_and_shift_out(
            logits in prop::collection::vec(-40f32..40.0, 1..200), shift in -100f32..100.0,
        ) {
            let all: Vec<u32> = (0..logits.len() as u32).collect();
            let softmax = Softmax::new(&logits).unwrap();
            prop_assert!((softmax.probability_of_any(&all).unwrap() - 1.0).abs() < 1e-5);
            let moved: Vec<f32> = logits.iter().map(|x| x + shift).collect();
            let moved = Softmax::new(&moved).unwrap();
            for t in all {
                let d = softmax.log_probability(t).unwrap() - moved.log_probability(t).unwrap();
                prop_assert!(d.abs() < 1e-3, "{}", d);
            }
        }
    }
}
