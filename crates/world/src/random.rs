//! Seeded random streams and the few draws the world needs.
//!
//! Every random choice of the crate comes from [`stream`], so that a seed and a label fix it. Adding a new
//! stream under a new label never disturbs the others.

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The generator used everywhere in the crate.
pub type Random = ChaCha8Rng;

/// FNV-1a with a finishing mix: stable across platforms and releases, unlike the standard hasher.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// The random stream of a seed, a label that names its use, and an index within that use.
pub fn stream(seed: u64, label: &str, index: u64) -> Random {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stable_hash(label.as_bytes()).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    Random::from_seed(key)
}

/// Short names for the draws that templates and generators make all the time.
pub trait RandomExt {
    /// True with probability `p`.
    fn chance(&mut self, p: f64) -> bool;
    /// Uniform in `[low, high)`.
    fn between(&mut self, low: f64, high: f64) -> f64;
    /// A uniform index below `n`; `n` must be positive.
    fn below(&mut self, n: usize) -> usize;
    /// A uniform element of a non-empty slice, cloned.
    fn pick<T: Clone>(&mut self, items: &[T]) -> T;
    /// An index drawn in proportion to `weights` (non-empty, not all zero).
    fn weighted(&mut self, weights: &[f64]) -> usize;
    /// Shuffles in place.
    fn mix<T>(&mut self, items: &mut [T]);
    /// Between `low` and `high` (inclusive) distinct elements in random order; fewer if there are not so
    /// many.
    fn some<T: Clone>(&mut self, items: &[T], low: usize, high: usize) -> Vec<T>;
}

impl RandomExt for Random {
    fn chance(&mut self, p: f64) -> bool {
        self.random::<f64>() < p
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random::<f64>()
    }

    fn below(&mut self, n: usize) -> usize {
        self.random_range(0..n)
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.random::<f64>() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }

    fn mix<T>(&mut self, items: &mut [T]) {
        items.shuffle(self);
    }

    fn some<T: Clone>(&mut self, items: &[T], low: usize, high: usize) -> Vec<T> {
        let count = self.random_range(low..=high).min(items.len());
        let mut order: Vec<T> = items.to_vec();
        order.shuffle(self);
        order.truncate(count);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_fixed_by_seed_label_and_index() {
        let draw = |seed, label, index| stream(seed, label, index).random::<u64>();
        assert_eq!(draw(1, "a", 0), draw(1, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(2, "a", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "b", 0));
        assert_ne!(draw(1, "a", 0), draw(1, "a", 1));
    }

    #[test]
    fn weighted_never_picks_what_has_no_weight() {
        let mut rng = stream(3, "weights", 0);
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            counts[rng.weighted(&[1.0, 0.0, 2.0])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((800..1_200).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn some_gives_distinct_elements_within_the_bounds() {
        let mut rng = stream(4, "some", 0);
        for _ in 0..200 {
            let mut found = rng.some(&[1, 2, 3, 4, 5], 2, 9);
            assert!((2..=5).contains(&found.len()));
            found.sort_unstable();
            found.dedup();
            assert!(found.len() >= 2);
        }
    }
}
