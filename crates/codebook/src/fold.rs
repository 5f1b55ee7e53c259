//! The codebook as a fold: members of the live edits, in order of (edit, ordinal), each merged into the
//! nearest key that takes it or made a key of its own.
//!
//! An edit that arrives late, or one that is reverted, must leave exactly the codebook that a fold from
//! scratch would give. Each member's decision is kept, so that only what the change could have altered is
//! decided again. While the members after the change are visited in order, a key is *dirty* if its state at
//! that point differs between the old history and the new one. A member whose key is clean chose the nearest
//! of all old candidates, clean ones included; so among clean keys its choice stands, and only the dirty
//! keys' new states must be held against it. A member whose key is dirty decides anew among all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::geometry;
use crate::ids::{EditId, MemberId};
use crate::key::{Key, KeyState};
use crate::member::{Member, MemberPosition};
use crate::merge::MergeConfig;
use crate::sorted::SortedMap;

/// Parts of a vector that [`Sketch`] sums up.
const SKETCH: usize = 16;

/// Sums of 16 stretches of a vector, each over the root of its length: the distance of two sketches never
/// exceeds the distance of the vectors, so most candidates are ruled out without a look at their vectors.
type Sketch = [f32; SKETCH];

fn sketch(vector: &[f32]) -> Sketch {
    let mut sums = [0.0f32; SKETCH];
    let stretch = vector.len().div_ceil(SKETCH).max(1);
    for (sum, part) in sums.iter_mut().zip(vector.chunks(stretch)) {
        *sum = (part.iter().map(|x| f64::from(*x)).sum::<f64>() / (part.len() as f64).sqrt()) as f32;
    }
    sums
}

fn sketch_distance(a: &Sketch, b: &Sketch) -> f64 {
    let mut sum = 0.0f64;
    for i in 0..SKETCH {
        let difference = f64::from(a[i]) - f64::from(b[i]);
        sum += difference * difference;
    }
    sum.sqrt()
}

/// A member as the fold placed it.
#[derive(Debug)]
struct Folded {
    member: Arc<Member>,
    /// First member of the key that it is part of; itself if it began one.
    key: MemberPosition,
    /// Distance to that key as it was when the member joined; 0 for the first member.
    distance: f64,
    /// The key's state once the member had joined.
    state: KeyState,
}

/// The fold's state. Copies share structure.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    config: MergeConfig,
    members: SortedMap<MemberPosition, Arc<Folded>>,
    /// Members of each key in order, under the place of the first.
    keys: SortedMap<MemberPosition, Arc<Vec<MemberPosition>>>,
    /// Every state of every key by norm (the bits of a non-negative f64 sort like the number), found by the
    /// member that brought it about.
    states: SortedMap<(u64, MemberPosition), Sketch>,
}

/// What a replay has altered so far.
#[derive(Default)]
struct Replay {
    dirty: BTreeSet<MemberPosition>,
    /// Members taken out of dirty keys that are not decided again yet.
    pending: BTreeSet<MemberPosition>,
}

impl Fold {
    pub(crate) fn new(config: MergeConfig) -> Self {
        Self {
            config,
            members: SortedMap::default(),
            keys: SortedMap::default(),
            states: SortedMap::default(),
        }
    }

    /// Number of members.
    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Number of keys.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// All members in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().map(|(_, folded)| &folded.member)
    }

    /// The members of one edit in order, each with the id of the key that it merged into (`None` if it began
    /// one).
    pub(crate) fn members_of(&self, edit: EditId) -> impl Iterator<Item = (&Arc<Member>, Option<MemberId>)> {
        self.members.from(&MemberPosition { edit, ordinal: 0 }).take_while(move |(p, _)| p.edit == edit).map(
            |(place, folded)| {
                let merged = (folded.key != *place).then(|| self.key_id(folded.key)).flatten();
                (&folded.member, merged)
            },
        )
    }

    /// All keys in order of their first members.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().filter_map(|(place, _)| self.key(*place))
    }

    /// The key whose first member stands at `place`.
    pub(crate) fn key(&self, place: MemberPosition) -> Option<Key> {
        let places = self.keys.get(&place)?;
        let state = &self.members.get(places.last()?)?.state;
        Key::new(&self.list(places), state)
    }

    fn key_id(&self, key: MemberPosition) -> Option<MemberId> {
        self.members.get(&key).map(|folded| folded.member.id)
    }

    fn list(&self, places: &[MemberPosition]) -> Vec<Arc<Member>> {
        places.iter().filter_map(|p| self.members.get(p)).map(|f| Arc::clone(&f.member)).collect()
    }

    /// Adds members of edits. Returns the places of the keys that came, went or changed.
    #[cfg(test)]
    fn insert(&mut self, members: impl IntoIterator<Item = Arc<Member>>) -> BTreeSet<MemberPosition> {
        self.change(members, [])
    }

    /// Adds members of some edits, and takes out those of others. Returns the places of the keys that came,
    /// went or changed.
    pub(crate) fn change(
        &mut self,
        members: impl IntoIterator<Item = Arc<Member>>,
        gone: impl IntoIterator<Item = EditId>,
    ) -> BTreeSet<MemberPosition> {
        let added = members.into_iter().map(|m| (m.place(), m)).collect();
        let of = |edit: EditId| {
            let own = self.members.from(&MemberPosition { edit, ordinal: 0 });
            own.take_while(move |(place, _)| place.edit == edit).map(|(place, _)| *place)
        };
        let removed = gone.into_iter().flat_map(of).collect();
        self.replay(added, &removed)
    }

    fn replay(
        &mut self,
        mut added: BTreeMap<MemberPosition, Arc<Member>>,
        removed: &BTreeSet<MemberPosition>,
    ) -> BTreeSet<MemberPosition> {
        let Some(start) = added.keys().chain(removed).min().copied() else { return BTreeSet::new() };
        let last_change = added.keys().chain(removed).max().copied().unwrap_or(start);
        let mut places: Vec<MemberPosition> = self.members.from(&start).map(|(place, _)| *place).collect();
        places.extend(added.keys());
        places.sort_unstable();
        let mut replay = Replay::default();
        for place in places {
            if place > last_change
                && replay.pending.is_empty()
                && replay.dirty.iter().all(|key| !self.keys.contains(key))
            {
                break;
            }
            if removed.contains(&place) {
                self.detach(place, &mut replay);
                self.members.remove(&place);
            } else if let Some(member) = added.remove(&place) {
                self.decide(member, &mut replay);
            } else if replay.pending.remove(&place) {
                if let Some(folded) = self.members.remove(&place) {
                    self.decide(Arc::clone(&folded.member), &mut replay);
                }
            } else {
                self.reconsider(place, &mut replay);
            }
        }
        replay.dirty
    }

    /// Takes a member out of its key. The key becomes dirty, and the members that joined it later are decided
    /// again.
    fn detach(&mut self, place: MemberPosition, replay: &mut Replay) {
        if replay.pending.remove(&place) {
            return;
        }
        let Some(key) = self.members.get(&place).map(|folded| folded.key) else { return };
        let Some(list) = self.keys.get(&key).cloned() else { return };
        replay.dirty.insert(key);
        let at = list.partition_point(|p| *p < place);
        for p in &list[at..] {
            if let Some(folded) = self.members.get(p) {
                let norm = folded.state.norm.to_bits();
                self.states.remove(&(norm, *p));
            }
        }
        replay.pending.extend(list.get(at + 1..).unwrap_or_default());
        if at == 0 {
            self.keys.remove(&key);
        } else {
            self.keys.insert(key, Arc::new(list[..at].to_vec()));
        }
    }

    /// Holds the decision of a member whose key is clean against the dirty keys.
    fn reconsider(&mut self, place: MemberPosition, replay: &mut Replay) {
        let Some(folded) = self.members.get(&place).cloned() else { return };
        let mut best = match self.key_id(folded.key) {
            Some(id) if folded.key != place => Some((folded.distance, id, folded.key)),
            _ => None,
        };
        let mut better = None;
        for key in &replay.dirty {
            let Some(state) = self.latest(*key) else { continue };
            if let Some(candidate) =
                self.candidate(&folded.member, folded.state_norm_if_first(place), *key, state)
                && best.is_none_or(|known| nearer(&candidate, &known))
            {
                best = Some(candidate);
                better = Some(candidate);
            }
        }
        if let Some((distance, _, key)) = better {
            self.detach(place, replay);
            self.members.remove(&place);
            self.join(Arc::clone(&folded.member), key, distance, replay);
        }
    }

    /// The state of a key after its last member so far.
    fn latest(&self, key: MemberPosition) -> Option<&KeyState> {
        let last = self.keys.get(&key)?.last()?;
        self.members.get(last).map(|folded| &folded.state)
    }

    /// Distance, id and place of a key if the member may merge into it. `norm` is the member's, if known.
    fn candidate(
        &self,
        member: &Member,
        norm: Option<f64>,
        key: MemberPosition,
        state: &KeyState,
    ) -> Option<(f64, MemberId, MemberPosition)> {
        if !self.config.enabled {
            return None;
        }
        let reach = self.config.reach(member.radius).min(self.config.reach(state.radius));
        if norm.is_some_and(|norm| (norm - state.norm).abs() > reach + slack(norm, state.norm)) {
            return None;
        }
        let distance = geometry::distance_within(&member.key, state.row.as_slice(), reach * (1.0 + 1e-9))?;
        if !self.config.merges(member.radius, state.radius, distance) {
            return None;
        }
        Some((distance, self.key_id(key)?, key))
    }

    /// Decides where a new or detached member goes, among all keys as they stand at its place.
    fn decide(&mut self, member: Arc<Member>, replay: &mut Replay) {
        match self.nearest(&member) {
            Some((distance, _, key)) => self.join(member, key, distance, replay),
            None => self.create(member, replay),
        }
    }

    fn nearest(&self, member: &Member) -> Option<(f64, MemberId, MemberPosition)> {
        if !self.config.enabled {
            return None;
        }
        let place = member.place();
        let norm = geometry::norm(&member.key);
        let reach = self.config.reach(member.radius);
        let window = reach + slack(norm, norm + reach);
        let own = sketch(&member.key);
        let from = (
            (norm - window).max(0.0).to_bits(),
            MemberPosition { edit: EditId::from_bytes([0; 16]), ordinal: 0 },
        );
        let mut best: Option<(f64, MemberId, MemberPosition)> = None;
        for ((bits, brought_by), theirs) in self.states.from(&from) {
            let their_norm = f64::from_bits(*bits);
            if their_norm > norm + window {
                break;
            }
            if *brought_by >= place || sketch_distance(&own, theirs) > reach + slack(norm, their_norm) {
                continue;
            }
            let Some(folded) = self.members.get(brought_by) else { continue };
            let Some(list) = self.keys.get(&folded.key) else { continue };
            // A key has one state per member; the one that counts is the last before this place.
            let before = list.partition_point(|p| *p < place);
            if before == 0 || list[before - 1] != *brought_by {
                continue;
            }
            if let Some(candidate) = self.candidate(member, Some(norm), folded.key, &folded.state)
                && best.is_none_or(|known| nearer(&candidate, &known))
            {
                best = Some(candidate);
            }
        }
        best
    }

    fn join(&mut self, member: Arc<Member>, key: MemberPosition, distance: f64, replay: &mut Replay) {
        let place = member.place();
        let Some(list) = self.keys.get(&key) else { return };
        let at = list.partition_point(|p| *p < place);
        // A clean key becomes dirty here: what joined it later is decided again.
        if let Some(next) = list.get(at).copied() {
            self.detach(next, replay);
            replay.pending.insert(next);
        }
        let Some(list) = self.keys.get(&key) else { return };
        let mut list = list.as_ref().clone();
        let mut members = self.list(&list);
        members.push(Arc::clone(&member));
        list.push(place);
        if let Some(state) = KeyState::of(&members) {
            self.place(member, key, distance, state);
            self.keys.insert(key, Arc::new(list));
            replay.dirty.insert(key);
        }
    }

    fn create(&mut self, member: Arc<Member>, replay: &mut Replay) {
        let place = member.place();
        if let Some(state) = KeyState::of(std::slice::from_ref(&member)) {
            self.place(member, place, 0.0, state);
            self.keys.insert(place, Arc::new(vec![place]));
            replay.dirty.insert(place);
        }
    }

    fn place(&mut self, member: Arc<Member>, key: MemberPosition, distance: f64, state: KeyState) {
        let place = member.place();
        self.states.insert((state.norm.to_bits(), place), sketch(state.row.as_slice()));
        self.members.insert(place, Arc::new(Folded { member, key, distance, state }));
    }

    /// The whole fold as bytes: equal bytes are equal codebooks, decisions included.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (place, list) in self.keys.iter() {
            let Some(key) = self.key(*place) else { continue };
            out.extend(key.id.to_bytes());
            out.extend(key.radius.to_bits().to_le_bytes());
            key.vector().iter().for_each(|x| out.extend(x.to_bits().to_le_bytes()));
            for folded in list.iter().filter_map(|p| self.members.get(p)) {
                out.extend(folded.member.id.to_bytes());
                out.extend(folded.distance.to_bits().to_le_bytes());
                out.extend(folded.state.radius.to_bits().to_le_bytes());
                out.extend(folded.state.norm.to_bits().to_le_bytes());
            }
            for sentence in &key.sentences {
                out.extend(format!("{sentence:?}").as_bytes());
            }
        }
        out
    }
}

impl Folded {
    /// The member's own norm, which its state holds if it began its key.
    fn state_norm_if_first(&self, place: MemberPosition) -> Option<f64> {
        (self.key == place).then_some(self.state.norm)
    }
}

/// Nearest first, ties to the lowest id.
fn nearer(a: &(f64, MemberId, MemberPosition), b: &(f64, MemberId, MemberPosition)) -> bool {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_lt()
}

/// Room for the rounding of norms and sketches when they rule a candidate out.
fn slack(a: f64, b: f64) -> f64 {
    1e-6 * (a + b) + f64::MIN_POSITIVE
}

#[cfg(test)]
mod tests;
