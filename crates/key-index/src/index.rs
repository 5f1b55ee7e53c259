//! The vector index: which keys are nearest to a query.
//!
//! [`ExactIndex`] is exact to the bit and still reads half of the memory: it scans the keys rounded to
//! bfloat16, whose distance to the true key is known, so that each scanned distance brackets the true one.
//! Only keys whose bracket reaches below the k-th smallest upper end are looked at in full. (Rows of 8-bit
//! numbers with one scale each would be half as long again, but hidden states have a few dimensions far
//! larger than the rest, and these would widen every bracket.)

use std::collections::BinaryHeap;
use std::sync::Arc;

use half::bf16;
use rayon::prelude::*;

use crate::geometry;
use crate::ids::MemberId;
use crate::key::Key;
use crate::sorted::SortedMap;

/// Keys per chunk. A change copies one chunk.
const CHUNK: usize = 64;
/// Numbers (slots times dimensions) from which on a scan is spread over threads.
const PARALLEL: usize = 1 << 21;
/// Partial sums of the scan.
const LANES: usize = 32;
/// Squares below f32's range vanish; no distance loses more than this by it.
const UNDERFLOW: f64 = 1e-15;

/// Position of a key in the index. Free ones are used again, so a slot means something for one snapshot only.
pub type Slot = u32;

/// The kinds of index. An approximate one (HNSW) is a second variant, with [`ExactIndex`] as the oracle of
/// its tests.
#[derive(Debug, Clone)]
pub enum Index {
    /// Every key is scanned.
    Exact(ExactIndex),
}

/// A key found: its slot and its score, the distance over the key's divisor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Where the key stands.
    pub slot: Slot,
    /// Its distance over its divisor.
    pub score: f64,
}

impl Index {
    /// An empty index of keys of so many numbers.
    pub fn new(dim: usize) -> Self {
        Self::Exact(ExactIndex {
            dim,
            chunks: Vec::new(),
            slots: SortedMap::default(),
            free: Vec::new(),
            end: 0,
        })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        let Self::Exact(exact) = self;
        exact.slots.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slots are below this.
    pub fn end(&self) -> usize {
        let Self::Exact(exact) = self;
        exact.end
    }

    /// Puts a key in, in place of the one of the same id if there is one. Returns its slot.
    pub fn set(&mut self, key: impl Into<Arc<Key>>) -> Slot {
        let Self::Exact(exact) = self;
        exact.set(key.into())
    }

    /// Takes a key out. Returns the slot that it had.
    pub fn remove(&mut self, id: MemberId) -> Option<Slot> {
        let Self::Exact(exact) = self;
        exact.remove(id)
    }

    /// The slot of a key.
    pub fn slot(&self, id: MemberId) -> Option<Slot> {
        let Self::Exact(exact) = self;
        exact.slots.get(&id).copied()
    }

    /// The key in a slot.
    pub fn key(&self, slot: Slot) -> Option<&Arc<Key>> {
        let Self::Exact(exact) = self;
        exact.key(slot)
    }

    /// All keys in ascending order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        let Self::Exact(exact) = self;
        exact.slots.iter().filter_map(|(_, slot)| exact.key(*slot))
    }

    /// The keys with greater ids than this one, ascending.
    pub fn keys_after(&self, id: MemberId) -> impl Iterator<Item = &Arc<Key>> {
        let Self::Exact(exact) = self;
        exact.slots.from(&id).filter(move |(k, _)| **k != id).filter_map(|(_, slot)| exact.key(*slot))
    }

    /// Brackets the distances of all keys to `query`.
    pub fn scan(&self, query: &[f32]) -> Scan {
        let Self::Exact(exact) = self;
        exact.scan(query)
    }

    /// The `k` keys of the least score, least first, ties to the lowest id. The score of a key is its
    /// distance to `query` over `divisor(slot)`, which must be positive. `except` is left out.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        divisor: impl Fn(Slot) -> f64 + Sync,
        except: Option<Slot>,
    ) -> Vec<Hit> {
        let Self::Exact(exact) = self;
        exact.search(query, k, divisor, except)
    }

    /// As [`Self::search`], among the keys of these slots alone.
    pub fn search_among(
        &self,
        slots: &[Slot],
        query: &[f32],
        k: usize,
        divisor: impl Fn(Slot) -> f64 + Sync,
    ) -> Vec<Hit> {
        let Self::Exact(exact) = self;
        exact.nearest_of(slots, query, k, divisor)
    }
}

/// See the module's description.
#[derive(Debug, Clone)]
pub struct ExactIndex {
    dim: usize,
    chunks: Vec<Arc<Chunk>>,
    slots: SortedMap<MemberId, Slot>,
    free: Vec<Slot>,
    end: usize,
}

#[derive(Debug, Clone)]
struct Chunk {
    keys: Vec<Option<Arc<Key>>>,
    /// `keys.len()` rows of `dim` bfloat16 numbers.
    coarse: Vec<u16>,
    /// Distance of each key to its coarse row, rounded up.
    error: Vec<f32>,
}

/// Distances of a query to the coarse rows; infinite for empty slots.
pub struct Scan {
    distance: Vec<f32>,
    error: Vec<f32>,
    relative: f64,
}

impl Scan {
    /// The distance to the key in `slot` is at least this.
    pub fn lower(&self, slot: usize) -> f64 {
        f64::from(self.distance[slot]) * (1.0 - self.relative) - f64::from(self.error[slot]) - UNDERFLOW
    }

    /// The distance to the key in `slot` is at most this.
    fn upper(&self, slot: usize) -> f64 {
        f64::from(self.distance[slot]) * (1.0 + self.relative) + f64::from(self.error[slot]) + UNDERFLOW
    }

    fn occupied(&self, slot: usize) -> bool {
        self.distance[slot].is_finite()
    }
}

impl ExactIndex {
    fn key(&self, slot: Slot) -> Option<&Arc<Key>> {
        self.chunks.get(slot as usize / CHUNK)?.keys.get(slot as usize % CHUNK)?.as_ref()
    }

    fn set(&mut self, key: Arc<Key>) -> Slot {
        let slot = match self.slots.get(&key.id) {
            Some(slot) => *slot,
            None => self.free.pop().unwrap_or(self.end as Slot),
        };
        let at = slot as usize;
        if at == self.end {
            self.end += 1;
            if at.is_multiple_of(CHUNK) {
                self.chunks.push(Arc::new(Chunk {
                    keys: Vec::with_capacity(CHUNK),
                    coarse: Vec::with_capacity(CHUNK * self.dim),
                    error: Vec::with_capacity(CHUNK),
                }));
            }
            let chunk = Arc::make_mut(&mut self.chunks[at / CHUNK]);
            chunk.keys.push(None);
            chunk.coarse.resize(chunk.keys.len() * self.dim, 0);
            chunk.error.push(0.0);
        }
        self.slots.insert(key.id, slot);
        let chunk = Arc::make_mut(&mut self.chunks[at / CHUNK]);
        let row = &mut chunk.coarse[at % CHUNK * self.dim..][..self.dim];
        let mut rounded = vec![0.0; self.dim];
        for ((coarse, rounded), x) in row.iter_mut().zip(&mut rounded).zip(key.vector()) {
            let number = bf16::from_f32(*x);
            *coarse = number.to_bits();
            *rounded = number.to_f32();
        }
        let error = geometry::distance(key.vector(), &rounded);
        chunk.error[at % CHUNK] = geometry::round_up(error * (1.0 + 1e-9));
        chunk.keys[at % CHUNK] = Some(key);
        slot
    }

    fn remove(&mut self, id: MemberId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]).keys[slot as usize % CHUNK] = None;
        self.free.push(slot);
        Some(slot)
    }

    fn scan(&self, query: &[f32]) -> Scan {
        let mut distance = vec![f32::INFINITY; self.end];
        let mut error = vec![0.0; self.end];
        let one = |((chunk, distance), error): ((&Arc<Chunk>, &mut [f32]), &mut [f32])| {
            error.copy_from_slice(&chunk.error);
            for ((distance, key), row) in
                distance.iter_mut().zip(&chunk.keys).zip(chunk.coarse.chunks_exact(self.dim.max(1)))
            {
                if key.is_some() {
                    *distance = coarse_distance(query, row);
                }
            }
        };
        if self.end * self.dim >= PARALLEL {
            let parts = distance.par_chunks_mut(CHUNK).zip(error.par_chunks_mut(CHUNK));
            self.chunks.par_iter().zip(parts).for_each(|(c, (d, e))| one(((c, d), e)));
        } else {
            self.chunks.iter().zip(distance.chunks_mut(CHUNK)).zip(error.chunks_mut(CHUNK)).for_each(one);
        }
        // Each of `dim` additions, and the subtraction and the square, rounds once.
        let relative = (self.dim + 16) as f64 * f64::from(f32::EPSILON);
        Scan { distance, error, relative }
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        divisor: impl Fn(Slot) -> f64 + Sync,
        except: Option<Slot>,
    ) -> Vec<Hit> {
        if k == 0 {
            return Vec::new();
        }
        let scan = self.scan(query);
        let slots =
            || (0..self.end as Slot).filter(|slot| scan.occupied(*slot as usize) && Some(*slot) != except);
        let mut least = BinaryHeap::with_capacity(k.min(self.end) + 1);
        for slot in slots() {
            let upper = Total(scan.upper(slot as usize) / divisor(slot));
            if least.len() < k {
                least.push(upper);
            } else if least.peek().is_some_and(|worst| upper < *worst) {
                least.pop();
                least.push(upper);
            }
        }
        let Some(limit) = least.peek().map(|worst| worst.0 * (1.0 + 1e-12)) else { return Vec::new() };
        let near: Vec<Slot> =
            slots().filter(|slot| scan.lower(*slot as usize) / divisor(*slot) <= limit).collect();
        self.nearest_of(&near, query, k, divisor)
    }

    /// The `k` keys of the least score of these slots, looked at in full.
    fn nearest_of(
        &self,
        slots: &[Slot],
        query: &[f32],
        k: usize,
        divisor: impl Fn(Slot) -> f64 + Sync,
    ) -> Vec<Hit> {
        let hit = |slot: &Slot| {
            let key = self.key(*slot)?;
            let score = geometry::distance(query, key.vector()) / divisor(*slot);
            Some((score, key.id, *slot))
        };
        let mut hits: Vec<_> = if slots.len() * self.dim >= PARALLEL {
            slots.par_iter().filter_map(hit).collect()
        } else {
            slots.iter().filter_map(hit).collect()
        };
        hits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        hits.truncate(k);
        hits.into_iter().map(|(score, _, slot)| Hit { slot, score }).collect()
    }
}

/// A float with the total order, for the heap.
#[derive(PartialEq)]
struct Total(f64);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Distance to a row of bfloat16 numbers, in f32: good to `dim` roundings.
fn coarse_distance(query: &[f32], row: &[u16]) -> f32 {
    let widen = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    let mut lanes = [0.0f32; LANES];
    let (queries, query_rest) = query.as_chunks::<LANES>();
    let (rows, row_rest) = row.as_chunks::<LANES>();
    for (x, y) in queries.iter().zip(rows) {
        for i in 0..LANES {
            let difference = x[i] - widen(y[i]);
            lanes[i] += difference * difference;
        }
    }
    for (i, (x, y)) in query_rest.iter().zip(row_rest).enumerate() {
        let difference = x - widen(*y);
        lanes[i] += difference * difference;
    }
    // A scan only has to stay within its bracket: the order of these additions is free.
    lanes.iter().sum::<f32>().sqrt().min(f32::MAX)
}

#[cfg(test)]
mod tests;
