//! An immutable state of one codebook. Readers hold one for as long as they like; the writer makes the next from it, and
//! the two share all that the change left alone.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;

use crate::config::CodebookConfig;
use crate::fold::Fold;
use crate::hubness::Hubness;
use crate::ids::{EditId, MemberId};
use crate::index::{Hit, Index, Slot};
use crate::key::Key;
use crate::member::{Kind, Member, Place};
use crate::records::{EditRecord, Embedding, Generation};
use crate::reservoir::Reservoir;
use crate::retrieve::RetrievalParams;
use crate::sorted::SortedMap;

/// Thresholds that one snapshot remembers; callers choose percentiles, so there must be a limit.
const REMEMBERED: usize = 64;

/// Bits of τ, and whether distances are scaled.
type ThresholdName = (u64, bool);

/// See the module's description.
#[derive(Debug)]
pub struct Snapshot {
    config: Arc<CodebookConfig>,
    embedding: Option<Arc<Embedding>>,
    /// Whether the embedding was chosen for this codebook.
    chosen: bool,
    previous: Option<Arc<Generation>>,
    edits: SortedMap<EditId, Arc<EditRecord>>,
    fold: Fold,
    index: Index,
    reservoir: Reservoir,
    /// Found at the first retrieval that asks for it, from then on kept up to date by the writer.
    hubness: OnceLock<Hubness>,
    /// Thresholds found so far. One is one selection over the reservoir's pairs, made at the first
    /// retrieval after a publish; the distances themselves are kept up to date by the writer.
    thresholds: Mutex<Vec<(ThresholdName, Option<f64>)>>,
}

/// An entry of one edit: a member, and the key that it merged into.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryView {
    /// The member.
    pub id: MemberId,
    /// What it says.
    pub kind: Kind,
    /// The sentence.
    pub value: String,
    /// Its own radius, in the units of the key space.
    pub radius: f32,
    /// Id of the key that it merged into; `None` if it began a key.
    pub merged_into: Option<MemberId>,
}

/// Counts of a codebook.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Live edits.
    pub edits: usize,
    /// Their members.
    pub members: usize,
    /// Keys after merging.
    pub keys: usize,
    /// Bytes of the keys' vectors, radii and sentences after merging.
    pub bytes_merged: u64,
    /// The same without merging.
    pub bytes_unmerged: u64,
    /// What the keys were made by; `None` before the first edit.
    pub embedding: Option<Embedding>,
    /// The gate's threshold for the configured retrieval; `None` without keys.
    pub threshold: Option<f64>,
}

impl Snapshot {
    /// A codebook with these edits and members, folded from scratch.
    pub(crate) fn build(
        config: Arc<CodebookConfig>,
        embedding: Option<Arc<Embedding>>,
        edits: impl IntoIterator<Item = Arc<EditRecord>>,
        members: impl IntoIterator<Item = Arc<Member>>,
    ) -> Self {
        let dim = embedding.as_ref().map_or(0, |embedding| embedding.dim());
        let mut snapshot = Self {
            embedding,
            chosen: false,
            previous: None,
            edits: SortedMap::default(),
            fold: Fold::new(config.merge),
            index: Index::new(dim),
            reservoir: Reservoir::new(config.gate.reservoir, config.gate.seed),
            hubness: OnceLock::new(),
            thresholds: Mutex::default(),
            config,
        };
        for edit in edits {
            snapshot.edits.insert(edit.id, edit);
        }
        let changed = snapshot.fold.insert(members);
        snapshot.follow(&changed);
        if snapshot.config.retrieval.hubness {
            snapshot.hubness();
        }
        snapshot
    }

    /// This codebook, its embedding chosen for it or not, with this generation of keys kept from before.
    pub(crate) fn standing(mut self, chosen: bool, previous: Option<Arc<Generation>>) -> Self {
        (self.chosen, self.previous) = (chosen, previous);
        self
    }

    /// This codebook with one more edit. `embedding` is used if there is none yet.
    pub(crate) fn with_edit(
        &self,
        embedding: &Arc<Embedding>,
        record: Arc<EditRecord>,
        members: impl IntoIterator<Item = Arc<Member>>,
    ) -> Self {
        let mut next = self.copy();
        if next.embedding.is_none() {
            next.embedding = Some(Arc::clone(embedding));
            next.index = Index::new(embedding.dim());
        }
        next.edits.insert(record.id, record);
        let changed = next.fold.insert(members);
        next.follow(&changed);
        next
    }

    /// This codebook as it would be had the edit never been made.
    pub(crate) fn without_edit(&self, edit: EditId) -> Self {
        let mut next = self.copy();
        next.edits.remove(&edit);
        let changed = next.fold.remove(edit);
        next.follow(&changed);
        next
    }

    pub(crate) fn copy(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            embedding: self.embedding.clone(),
            chosen: self.chosen,
            previous: self.previous.clone(),
            edits: self.edits.clone(),
            fold: self.fold.clone(),
            index: self.index.clone(),
            reservoir: self.reservoir.clone(),
            hubness: self.hubness.clone(),
            thresholds: Mutex::default(),
        }
    }

    /// Brings index, reservoir and hubness in line with the fold, where its keys changed.
    fn follow(&mut self, changed: &BTreeSet<Place>) {
        let (mut gone, mut new) = (HashSet::new(), HashSet::new());
        let (mut gone_ids, mut new_keys) = (Vec::new(), Vec::new());
        for place in changed {
            let id = MemberId::derive(place.edit, place.ordinal);
            let before = self.index.slot(id);
            if let Some(key) = self.fold.key(*place) {
                let same = before
                    .and_then(|slot| self.index.key(slot))
                    .is_some_and(|old| old.members == key.members);
                if same {
                    continue;
                }
                gone.extend(before);
                let slot = self.index.set(key);
                new.insert(slot);
                new_keys.extend(self.index.key(slot).cloned());
            } else if let Some(slot) = self.index.remove(id) {
                gone.insert(slot);
                gone_ids.push(id);
            }
        }
        if let Some(hubness) = self.hubness.get_mut() {
            hubness.update(&self.index, &gone, &new);
        }
        self.reservoir.update(gone_ids, new_keys);
    }

    fn hubness(&self) -> &Hubness {
        if let Some(known) = self.hubness.get() {
            return known;
        }
        // Built outside of the cell: a thread pool's thread that waits for others here may be given another retrieval
        // meanwhile, and would wait for itself.
        let built = Hubness::build(&self.index, self.config.hubness.neighbours);
        self.hubness.get_or_init(|| built)
    }

    /// Configuration of the codebook.
    pub fn config(&self) -> &CodebookConfig {
        &self.config
    }

    /// What the keys were made by; `None` before the first edit.
    pub fn embedding(&self) -> Option<&Arc<Embedding>> {
        self.embedding.as_ref()
    }

    /// Whether tap, pooling and λ were chosen for this codebook; else they are what the configuration said when it began.
    pub fn chosen(&self) -> bool {
        self.chosen
    }

    /// The generation of keys that was live before, as long as it is kept.
    pub fn previous(&self) -> Option<&Arc<Generation>> {
        self.previous.as_ref()
    }

    /// The live generation of keys; `None` before the first edit.
    pub fn generation(&self) -> Option<Generation> {
        let embedding = self.embedding.as_deref()?.clone();
        Some(Generation { embedding, chosen: self.chosen })
    }

    /// A live edit.
    pub fn edit(&self, id: EditId) -> Option<&Arc<EditRecord>> {
        self.edits.get(&id)
    }

    /// All live edits, oldest first.
    pub fn edits(&self) -> impl DoubleEndedIterator<Item = &Arc<EditRecord>> {
        self.edits.iter().map(|(_, record)| record)
    }

    /// The live edits older than `id`, newest first.
    pub(crate) fn edits_before(&self, id: EditId) -> impl Iterator<Item = &Arc<EditRecord>> {
        self.edits.below(&id).map(|(_, record)| record)
    }

    /// The entries of one edit in order; empty if it isn't live.
    pub fn entries_of(&self, edit: EditId) -> Vec<EntryView> {
        self.fold
            .members_of(edit)
            .map(|(member, merged_into)| EntryView {
                id: member.id,
                kind: member.kind,
                value: member.sentence.clone(),
                radius: member.radius,
                merged_into,
            })
            .collect()
    }

    /// The members of one edit in order.
    pub fn members_of(&self, edit: EditId) -> impl Iterator<Item = &Arc<Member>> {
        self.fold.members_of(edit).map(|(member, _)| member)
    }

    /// All members in order of edit and ordinal.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.fold.members()
    }

    /// Number of live edits.
    pub fn edit_count(&self) -> usize {
        self.edits.len()
    }

    /// Number of keys.
    pub fn key_count(&self) -> usize {
        self.index.len()
    }

    /// All keys in ascending order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.index.keys()
    }

    /// The keys with greater ids than this one, ascending.
    pub(crate) fn keys_after(&self, id: MemberId) -> impl Iterator<Item = &Arc<Key>> {
        self.index.keys_after(id)
    }

    pub(crate) fn key_in(&self, slot: Slot) -> Option<&Arc<Key>> {
        self.index.key(slot)
    }

    /// Whether scores are divided by σ: asked for, and more than one edit to compare.
    fn scaled(&self, hubness: bool) -> bool {
        hubness && self.edits.len() >= 2
    }

    pub(crate) fn nearest_keys(&self, query: &[f32], k: usize, hubness: bool) -> Vec<Hit> {
        if self.index.len() == 0 {
            return Vec::new();
        }
        if self.scaled(hubness) {
            let scales = self.hubness();
            self.index.search(query, k, |slot| scales.divisor(slot), None)
        } else {
            self.index.search(query, k, |_| 1.0, None)
        }
    }

    /// The gate's threshold for a retrieval with these parameters, in the units of its scores; `None` without keys.
    pub fn threshold(&self, params: &RetrievalParams) -> Option<f64> {
        let gate = &self.config.gate;
        let mut percentile = params.reject_percentile.unwrap_or(gate.percentile);
        if gate.warm_up && !self.edits.is_empty() {
            percentile = percentile.max(100.0 / self.edits.len() as f64);
        }
        let name = (percentile.to_bits(), self.scaled(params.hubness));
        if name.1 {
            // Before the lock is taken, for the same reason as in there.
            self.hubness();
        }
        let mut known = self.thresholds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, threshold)) = known.iter().find(|(other, _)| *other == name) {
            return *threshold;
        }
        let threshold = self.find_threshold(percentile, name.1);
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((name, threshold));
        threshold
    }

    fn find_threshold(&self, percentile: f64, scaled: bool) -> Option<f64> {
        let pairs = if self.edits.len() < 2 {
            None
        } else if scaled {
            let scales = self.hubness();
            let divisor = |id| self.index.slot(id).map_or(1.0, |slot| scales.divisor(slot));
            self.reservoir.percentile(percentile, Some(&divisor))
        } else {
            self.reservoir.percentile(percentile, None)
        };
        pairs.or_else(|| {
            let (first, _) = self.edits.iter().next()?;
            let (answer, merged_into) = self.fold.members_of(*first).next()?;
            let slot = self.index.slot(merged_into.unwrap_or(answer.id))?;
            let key = self.index.key(slot)?;
            Some(f64::from(key.radius) * self.config.gate.single_edit_factor)
        })
    }

    /// Counts of the codebook.
    pub fn stats(&self) -> Stats {
        let bytes = |vector: &[f32], text: usize| (size_of_val(vector) + size_of::<f32>() + text) as u64;
        Stats {
            edits: self.edits.len(),
            members: self.fold.member_count(),
            keys: self.fold.key_count(),
            bytes_merged: self
                .index
                .keys()
                .map(|key| bytes(key.vector(), key.sentences.iter().map(|s| s.value.len()).sum()))
                .sum(),
            bytes_unmerged: self.fold.members().map(|m| bytes(&m.key, m.sentence.len())).sum(),
            embedding: self.embedding.as_deref().cloned(),
            threshold: self.threshold(&self.config.retrieval),
        }
    }

    /// The codebook's keys as bytes: equal bytes are equal codebooks, down to the last bit of every key.
    pub fn canonical(&self) -> Vec<u8> {
        self.fold.canonical()
    }

    /// Whether the index holds exactly the keys of the fold.
    pub(crate) fn consistent(&self) -> bool {
        self.index.len() == self.fold.key_count()
            && self.fold.keys().all(|key| {
                self.index
                    .slot(key.id)
                    .and_then(|slot| self.index.key(slot))
                    .is_some_and(|held| held.members == key.members && held.vector() == key.vector())
            })
    }
}
