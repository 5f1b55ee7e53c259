//! Distances between pairs of keys, which the retrieval gate takes its threshold from (paper section 3.2;
//! method section 5).
//!
//! The pairs are those of a reservoir of keys: the 2,000 keys of the least `blake3(seed, vector)`, or of the
//! least `blake3(seed, id)` where a codebook's seeds are ids. Which keys these are depends on the set of keys
//! alone, not on the order in which they came. Each key of the reservoir keeps its distances to those that
//! entered before it, so a change costs one row, and a threshold one selection over the pairs.

use std::sync::Arc;

use rayon::prelude::*;
use reasonedit_records::seeds::Seeds;

use crate::geometry;
use crate::ids::MemberId;
use crate::key::Key;
use crate::sorted::SortedMap;

type Rank = ([u8; 16], MemberId);

/// See the module's description. Copies share structure.
#[derive(Debug, Clone)]
pub(crate) struct Reservoir {
    capacity: usize,
    seed: u64,
    seeds: Seeds,
    /// All keys in the order in which they are taken up.
    ranked: SortedMap<Rank, Arc<Key>>,
    /// Where each of them stands in `ranked`.
    ranks: SortedMap<MemberId, Rank>,
    /// The keys taken up, in the order in which they entered.
    rows: SortedMap<u64, Arc<SampledKey>>,
    /// Where each of them stands in `rows`.
    entered: SortedMap<Rank, u64>,
    next: u64,
}

#[derive(Debug)]
struct SampledKey {
    key: Arc<Key>,
    /// Distances to the keys that had entered before, by their number in `rows`. Some of those may have left
    /// since.
    earlier: Vec<(u64, f64)>,
}

impl Reservoir {
    pub(crate) fn new(capacity: usize, seed: u64, seeds: Seeds) -> Self {
        Self {
            capacity,
            seed,
            seeds,
            ranked: SortedMap::default(),
            ranks: SortedMap::default(),
            rows: SortedMap::default(),
            entered: SortedMap::default(),
            next: 0,
        }
    }

    fn rank(&self, key: &Key) -> Rank {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        match self.seeds {
            Seeds::Ids => {
                hasher.update(&key.id.to_bytes());
            }
            Seeds::Content => {
                let bytes: Vec<u8> = key.vector().iter().flat_map(|number| number.to_le_bytes()).collect();
                hasher.update(&bytes);
            }
        }
        let mut rank = [0; 16];
        rank.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        (rank, key.id)
    }

    /// Follows a change: `gone` are keys that went or moved, `new` keys that came or moved.
    pub(crate) fn update(
        &mut self,
        gone: impl IntoIterator<Item = MemberId>,
        new: impl IntoIterator<Item = Arc<Key>>,
    ) {
        for id in gone {
            self.forget(id);
        }
        for key in new {
            self.forget(key.id);
            let rank = self.rank(&key);
            self.ranks.insert(key.id, rank);
            self.ranked.insert(rank, key);
        }
        // Whoever stands behind the capacity leaves; whoever stands before it and is not in enters.
        let last = self.ranked.iter().nth(self.capacity.saturating_sub(1)).map(|(rank, _)| *rank);
        if let Some(last) = last {
            let behind: Vec<Rank> =
                self.entered.from(&last).map(|(rank, _)| *rank).filter(|rank| *rank > last).collect();
            for rank in &behind {
                self.leave(rank);
            }
        }
        let entering: Vec<(Rank, Arc<Key>)> = self
            .ranked
            .iter()
            .take(self.capacity)
            .filter(|(rank, _)| !self.entered.contains(rank))
            .map(|(rank, key)| (*rank, Arc::clone(key)))
            .collect();
        self.enter(&entering);
    }

    fn forget(&mut self, id: MemberId) {
        if let Some(rank) = self.ranks.remove(&id) {
            self.ranked.remove(&rank);
            self.leave(&rank);
        }
    }

    fn leave(&mut self, rank: &Rank) {
        if let Some(number) = self.entered.remove(rank) {
            self.rows.remove(&number);
        }
    }

    fn enter(&mut self, entering: &[(Rank, Arc<Key>)]) {
        let present: Vec<(u64, Arc<Key>)> =
            self.rows.iter().map(|(number, row)| (*number, Arc::clone(&row.key))).collect();
        let first = self.next;
        let rows: Vec<SampledKey> = entering
            .par_iter()
            .enumerate()
            .map(|(i, (_, key))| {
                let distance = |other: &Key| geometry::distance(key.vector(), other.vector());
                let before = present.iter().map(|(number, other)| (*number, distance(other)));
                let among = entering[..i].iter().zip(first..).map(|((_, other), n)| (n, distance(other)));
                SampledKey { key: Arc::clone(key), earlier: before.chain(among).collect() }
            })
            .collect();
        for ((rank, _), row) in entering.iter().zip(rows) {
            self.entered.insert(*rank, self.next);
            self.rows.insert(self.next, Arc::new(row));
            self.next += 1;
        }
    }

    /// The percentile (0 to 100) of the pairs' distances. Without divisors each pair counts once; with them
    /// each ordered pair (i, j) counts as its distance over divisor(j), the score that key j would have for
    /// key i as the query. `None` if there is no pair.
    pub(crate) fn percentile(
        &self,
        percentile: f64,
        divisor: Option<&dyn Fn(MemberId) -> f64>,
    ) -> Option<f64> {
        let rows: Vec<(u64, &SampledKey)> =
            self.rows.iter().map(|(number, row)| (*number, row.as_ref())).collect();
        let divisors: Option<Vec<f64>> =
            divisor.map(|divisor| rows.iter().map(|(_, row)| divisor(row.key.id)).collect());
        let pairs = rows.len() * rows.len().saturating_sub(1);
        let mut values = Vec::with_capacity(if divisors.is_some() { pairs } else { pairs / 2 });
        for (i, (_, row)) in rows.iter().enumerate() {
            // Both lists ascend; numbers that left stand only in the row's own.
            let mut j = 0;
            for (number, distance) in &row.earlier {
                while j < i && rows[j].0 < *number {
                    j += 1;
                }
                if j < i && rows[j].0 == *number {
                    match &divisors {
                        None => values.push(*distance),
                        Some(divisors) => values.extend([distance / divisors[i], distance / divisors[j]]),
                    }
                }
            }
        }
        select(values, percentile)
    }
}

/// The percentile with linear interpolation between the two nearest ranks (NumPy's default).
fn select(mut values: Vec<f64>, percentile: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let rank = percentile.clamp(0.0, 100.0) / 100.0 * last as f64;
    let below = (rank.floor() as usize).min(last);
    let (_, lower, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let lower = *lower;
    let upper = above.iter().copied().min_by(f64::total_cmp).unwrap_or(lower);
    Some(lower + (upper - lower) * (rank - below as f64))
}

#[cfg(test)]
mod tests;
