//! Which of the greatest scores is the threshold, so that a promise about questions to come holds with the
//! stated confidence.
//!
//! Of n questions that are exchangeable with those to come, and the threshold at the k-th greatest of their
//! scores, the share of questions to come above it has the distribution Beta(k, n + 1 − k), whatever the
//! scores' (Vovk 2012, *Conditional validity of inductive conformal predictors*, proposition 2a). It is at
//! most `share` with probability P(Binomial(n, share) ≥ k).

/// The greatest k for which the share above the k-th greatest of `n` scores is at most `share` with this
/// confidence; 0 if there is none.
pub fn rank(n: usize, share: f64, confidence: f64) -> usize {
    let Some(ratio) = (share > 0.0 && share < 1.0).then(|| share / (1.0 - share)) else { return 0 };
    // P(Binomial = 0), then each from the one before; below f64's range all of it is below any doubt.
    let mut mass = (n as f64 * (-share).ln_1p()).exp();
    let (mut below, mut k) = (mass, 0);
    while k < n && below <= 1.0 - confidence {
        k += 1;
        mass *= (n + 1 - k) as f64 / k as f64 * ratio;
        below += mass;
    }
    k
}

/// The least n with a [`rank`] above 0.
pub fn needed(share: f64, confidence: f64) -> usize {
    ((1.0 - confidence).ln() / (-share).ln_1p()).ceil().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_binomial_distribution() {
        // scipy.stats.binom(n, p).cdf(k - 1) <= .05, the greatest such k.
        assert_eq!(rank(1000, 0.03, 0.95), 21);
        assert_eq!(rank(400, 0.03, 0.95), 7);
        assert_eq!(rank(100, 0.03, 0.95), 1);
        assert_eq!(rank(98, 0.03, 0.95), 0);
        assert_eq!((rank(1000, 0.0, 0.95), rank(1000, 1.0, 0.95), rank(0, 0.03, 0.95)), (0, 0, 0));
        assert_eq!(needed(0.03, 0.95), 99);
        assert_eq!(rank(99, 0.03, 0.95), 1);
    }
}
