//! A space in which keys are looked up: which keys stand in it, how much their text counts there, and what is
//! derived from their distances.
//!
//! The joint space holds every key as it is (the paper's). Where answers are looked up by picture and
//! statements by meaning ([`LookupConfig`](crate::config::LookupConfig)), each kind of entry has a space of
//! its own, whose keys are those of the kind with the text half weighted anew: the distance there is
//! √(‖Δvision‖² + w²·λ²·‖Δtext‖²).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use reasonedit_records::records::Embedding;
use reasonedit_records::seeds::Seeds;

use crate::config::CodebookConfig;
use crate::hubness::Hubness;
use crate::ids::MemberId;
use crate::index::{Hit, Index, Slot};
use crate::key::Key;
use crate::member::EntryKind;
use crate::reservoir::Reservoir;

/// Thresholds that one space remembers; callers choose percentiles, so there must be a limit.
const REMEMBERED: usize = 64;

/// Bits of τ, and whether distances are scaled.
type ThresholdName = (u64, bool);

/// What a space shows of the keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpaceView {
    /// The kind of entry whose keys stand in it; `None`: all.
    pub kind: Option<EntryKind>,
    /// What the text half is multiplied with, λ being in it already.
    pub text_weight: f32,
}

impl SpaceView {
    /// Every key as it is.
    pub const JOINT: Self = Self { kind: None, text_weight: 1.0 };

    fn shows(self, key: &Key) -> bool {
        self.kind.is_none_or(|kind| key.sentences.iter().any(|sentence| sentence.kind == kind))
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Space {
    view: SpaceView,
    /// Where the text half begins.
    vision_dim: usize,
    index: Index,
    reservoir: Reservoir,
    /// Neighbours that σ is taken from.
    neighbours: usize,
    /// Found at the first retrieval that asks for it, from then on kept up to date by the writer.
    hubness: OnceLock<Hubness>,
    /// Thresholds found so far. One is one selection over the reservoir's pairs, made at the first
    /// retrieval after a publish; the distances themselves are kept up to date by the writer.
    thresholds: Mutex<Vec<(ThresholdName, Option<f64>)>>,
}

impl Space {
    /// An empty space. Without an embedding nothing can be put in.
    pub fn new(view: SpaceView, embedding: Option<&Embedding>, config: &CodebookConfig) -> Self {
        Self {
            view,
            vision_dim: embedding.map_or(0, |embedding| embedding.vision_dim as usize),
            index: Index::new(embedding.map_or(0, Embedding::dim)),
            reservoir: Reservoir::new(
                config.gate.reservoir,
                config.gate.seed,
                embedding.map_or(Seeds::CURRENT, |embedding| embedding.seeds),
            ),
            neighbours: config.hubness.neighbours,
            hubness: OnceLock::new(),
            thresholds: Mutex::default(),
        }
    }

    /// A copy to be changed: shares structure, and forgets the thresholds.
    pub fn copy(&self) -> Self {
        Self {
            view: self.view,
            vision_dim: self.vision_dim,
            index: self.index.clone(),
            reservoir: self.reservoir.clone(),
            neighbours: self.neighbours,
            hubness: self.hubness.clone(),
            thresholds: Mutex::default(),
        }
    }

    /// What it shows of the keys.
    pub fn view(&self) -> SpaceView {
        self.view
    }

    /// The keys that stand in it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Brings index, reservoir and hubness in line with keys that came, changed (`Some`) or went (`None`).
    pub fn follow(&mut self, changed: &[(MemberId, Option<Arc<Key>>)]) {
        let (mut gone, mut new) = (HashSet::new(), HashSet::new());
        let (mut gone_ids, mut new_keys) = (Vec::new(), Vec::new());
        for (id, key) in changed {
            let before = self.index.slot(*id);
            if let Some(key) = key.as_ref().filter(|key| self.view.shows(key)) {
                let same = before
                    .and_then(|slot| self.index.key(slot))
                    .is_some_and(|old| old.members == key.members);
                if same {
                    continue;
                }
                gone.extend(before);
                let slot = self.index.set(self.seen(key));
                new.insert(slot);
                new_keys.extend(self.index.key(slot).cloned());
            } else if let Some(slot) = self.index.remove(*id) {
                gone.insert(slot);
                gone_ids.push(*id);
            }
        }
        if let Some(hubness) = self.hubness.get_mut() {
            hubness.update(&self.index, &gone, &new);
        }
        self.reservoir.update(gone_ids, new_keys);
    }

    /// The key as it stands in this space.
    fn seen(&self, key: &Arc<Key>) -> Arc<Key> {
        match self.weighted(key.vector()) {
            Cow::Borrowed(_) => Arc::clone(key),
            Cow::Owned(vector) => Arc::new(key.moved_to(vector)),
        }
    }

    /// A vector as it stands in this space.
    fn weighted<'a>(&self, vector: &'a [f32]) -> Cow<'a, [f32]> {
        if self.view.text_weight.to_bits() == 1.0f32.to_bits() {
            return Cow::Borrowed(vector);
        }
        let mut weighted = vector.to_vec();
        for number in weighted.iter_mut().skip(self.vision_dim) {
            *number *= self.view.text_weight;
        }
        Cow::Owned(weighted)
    }

    /// The hubness scales.
    pub fn hubness(&self) -> &Hubness {
        if let Some(known) = self.hubness.get() {
            return known;
        }
        // Built outside of the cell: a thread pool's thread that waits for others here may be given another
        // retrieval meanwhile, and would wait for itself.
        let built = Hubness::build(&self.index, self.neighbours);
        self.hubness.get_or_init(|| built)
    }

    /// The `k` nearest keys to an embedding of the joint space.
    pub fn nearest(&self, query: &[f32], k: usize, scaled: bool) -> Vec<Hit> {
        if self.index.is_empty() {
            return Vec::new();
        }
        let query = self.weighted(query);
        if scaled {
            let scales = self.hubness();
            self.index.search(&query, k, |slot| scales.divisor(slot), None)
        } else {
            self.index.search(&query, k, |_| 1.0, None)
        }
    }

    /// As [`Self::nearest`], among these keys alone, as far as they stand here.
    pub fn nearest_among(
        &self,
        keys: &BTreeSet<MemberId>,
        query: &[f32],
        k: usize,
        scaled: bool,
    ) -> Vec<Hit> {
        let slots: Vec<Slot> = keys.iter().filter_map(|id| self.index.slot(*id)).collect();
        let query = self.weighted(query);
        if scaled {
            let scales = self.hubness();
            self.index.search_among(&slots, &query, k, |slot| scales.divisor(slot))
        } else {
            self.index.search_among(&slots, &query, k, |_| 1.0)
        }
    }

    /// The key in a slot.
    pub fn key_in(&self, slot: Slot) -> Option<&Arc<Key>> {
        self.index.key(slot)
    }

    /// The percentile of the distances between pairs of keys, or `otherwise` where there is no pair;
    /// remembered.
    pub fn threshold(
        &self,
        percentile: f64,
        scaled: bool,
        otherwise: impl FnOnce() -> Option<f64>,
    ) -> Option<f64> {
        let name = (percentile.to_bits(), scaled);
        if scaled {
            // Before the lock is taken, for the same reason as in there.
            self.hubness();
        }
        let mut known = self.thresholds.lock();
        if let Some((_, threshold)) = known.iter().find(|(other, _)| *other == name) {
            return *threshold;
        }
        let pairs = if scaled {
            let scales = self.hubness();
            let divisor = |id| self.index.slot(id).map_or(1.0, |slot| scales.divisor(slot));
            self.reservoir.percentile(percentile, Some(&divisor))
        } else {
            self.reservoir.percentile(percentile, None)
        };
        let threshold = pairs.or_else(otherwise);
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((name, threshold));
        threshold
    }
}
