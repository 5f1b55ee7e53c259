//! Hubness correction: how near each key is to its neighbours (σ in method section 5; the authors' code, not
//! the paper).

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use crate::geometry;
use crate::index::{Hit, Index, Slot};

/// Added to σ, so that a key among its duplicates divides by something.
pub const EPSILON: f64 = 1e-6;
/// Slots per chunk. A change copies one chunk.
const CHUNK: usize = 64;

/// For every key its nearest other keys, kept up to date as keys come, move and go.
#[derive(Debug, Clone)]
pub struct Hubness {
    neighbours: usize,
    chunks: Vec<Arc<Vec<Scale>>>,
}

/// One key's neighbours, nearest first, and what its distances are divided by.
#[derive(Debug, Clone)]
struct Scale {
    nearest: Arc<Vec<Hit>>,
    divisor: f64,
}

impl Scale {
    fn of(nearest: Vec<Hit>) -> Self {
        Self { divisor: divisor(&nearest), nearest: Arc::new(nearest) }
    }
}

/// σ + 1e-6, where σ is the median distance; 1 for a key without neighbours, whose distances stay as they
/// are.
fn divisor(nearest: &[Hit]) -> f64 {
    let middle = nearest.len() / 2;
    match nearest.len() {
        0 => 1.0,
        n if n % 2 == 1 => nearest[middle].score + EPSILON,
        _ => f64::midpoint(nearest[middle - 1].score, nearest[middle].score) + EPSILON,
    }
}

impl Hubness {
    /// Finds every key's nearest `neighbours` among the others.
    pub fn build(index: &Index, neighbours: usize) -> Self {
        let slots: Vec<Slot> = (0..index.end() as Slot).collect();
        let scales: Vec<Scale> =
            slots.par_iter().map(|slot| Scale::of(nearest(index, *slot, neighbours))).collect();
        let chunks = scales.chunks(CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect();
        Self { neighbours, chunks }
    }

    /// What the distances to the key in `slot` are divided by.
    pub fn divisor(&self, slot: Slot) -> f64 {
        self.chunks[slot as usize / CHUNK][slot as usize % CHUNK].divisor
    }

    /// Follows a change of the index. `gone`: slots whose former key went or moved; `new`: slots that hold a
    /// new or moved key. A moved key's slot is in both.
    pub fn update(&mut self, index: &Index, gone: &HashSet<Slot>, new: &HashSet<Slot>) {
        self.grow(index.end());
        let others = index.len().saturating_sub(1);
        let wanted = self.neighbours.min(others);
        let scans: Vec<_> = new
            .iter()
            .filter_map(|slot| index.key(*slot).map(|key| (*slot, key, index.scan(key.vector()))))
            .collect();
        let changed: Vec<(Slot, Vec<Hit>)> = (0..index.end() as Slot)
            .into_par_iter()
            .filter_map(|slot| {
                let Some(key) = index.key(slot) else {
                    return gone.contains(&slot).then(|| (slot, Vec::new()));
                };
                if new.contains(&slot) {
                    return Some((slot, nearest(index, slot, self.neighbours)));
                }
                let scale = &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK];
                // Keys outside a full list are no nearer than its last; a list that is not full leaves none
                // outside.
                let full = scale.nearest.len() == self.neighbours;
                let floor = scale.nearest.last().filter(|_| full).map_or(f64::INFINITY, |last| last.score);
                let mut list = None;
                if !gone.is_empty() && scale.nearest.iter().any(|hit| gone.contains(&hit.slot)) {
                    let mut kept = scale.nearest.as_ref().clone();
                    kept.retain(|hit| !gone.contains(&hit.slot));
                    list = Some(kept);
                }
                for (other, vector, scan) in &scans {
                    if scan.lower(slot as usize) > floor {
                        continue;
                    }
                    let score = geometry::distance(key.vector(), vector.vector());
                    if score <= floor {
                        let list = list.get_or_insert_with(|| scale.nearest.as_ref().clone());
                        let at = list.partition_point(|hit| hit.score <= score);
                        list.insert(at, Hit { slot: *other, score });
                    }
                }
                let mut list = list?;
                if list.len() < wanted {
                    list = nearest(index, slot, self.neighbours);
                }
                list.truncate(self.neighbours);
                Some((slot, list))
            })
            .collect();
        for (slot, list) in changed {
            Arc::make_mut(&mut self.chunks[slot as usize / CHUNK])[slot as usize % CHUNK] = Scale::of(list);
        }
    }

    fn grow(&mut self, end: usize) {
        let mut len = self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len());
        while len < end {
            if len.is_multiple_of(CHUNK) {
                self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
            }
            if let Some(last) = self.chunks.last_mut() {
                Arc::make_mut(last).push(Scale::of(Vec::new()));
            }
            len += 1;
        }
    }
}

fn nearest(index: &Index, slot: Slot, neighbours: usize) -> Vec<Hit> {
    index.key(slot).map(|key| index.search(key.vector(), neighbours, |_| 1.0, Some(slot))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
