//! An immutable state of one codebook. Readers hold one for as long as they like; the writer makes the next
//! from it, and the two share all that the change left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reasonedit_standing::Standing;
use serde::Serialize;

use crate::config::{CodebookConfig, RetrievalParams};
use crate::familiarity::{Familiarity, SeenPictures};
use crate::fold::Fold;
use crate::ids::{EditId, MemberId};
use crate::key::Key;
use crate::member::{EntryKind, Member, MemberPosition};
use crate::records::{EditRecord, Embedding, Generation};
use crate::sorted::SortedMap;
use crate::space::{Space, SpaceView};
use crate::store::SharedEdit;

/// See the module's description.
#[derive(Debug)]
pub struct Snapshot {
    config: Arc<CodebookConfig>,
    embedding: Option<Arc<Embedding>>,
    /// Whether the embedding was chosen for this codebook.
    chosen: bool,
    previous: Option<Arc<Generation>>,
    /// Events of the history that led to it.
    revision: u64,
    edits: SortedMap<EditId, Arc<EditRecord>>,
    standing: Standing,
    fold: Fold,
    /// Members of edits that say what an older one says: its keys stand for them too.
    resting: SortedMap<EditId, Arc<Vec<Arc<Member>>>>,
    /// Every key as it is.
    joint: Space,
    /// Answers and statements in spaces of their own, where they are looked up so.
    by_kind: Option<[Space; 2]>,
    pictures: SeenPictures,
}

/// An entry of one edit: a member, and the key that it merged into.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryView {
    /// The member.
    pub id: MemberId,
    /// What it says.
    pub kind: EntryKind,
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
    /// Live edits, however many versions they have.
    pub edits: usize,
    /// Members of those whose keys are there.
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
        let (joint, by_kind) = spaces(embedding.as_deref(), &config);
        let mut snapshot = Self {
            chosen: false,
            previous: None,
            revision: 0,
            edits: SortedMap::default(),
            standing: Standing::default(),
            fold: Fold::new(config.merge),
            resting: SortedMap::default(),
            joint,
            by_kind,
            pictures: SeenPictures::new(embedding.as_deref(), &config),
            embedding,
            config,
        };
        let mut of = BTreeMap::<EditId, Vec<Arc<Member>>>::new();
        for member in members {
            of.entry(member.edit).or_default().push(member);
        }
        let with_members = |edit: Arc<EditRecord>| {
            let members = of.remove(&edit.id).unwrap_or_default();
            (edit, members)
        };
        let edits: Vec<SharedEdit> = edits.into_iter().map(with_members).collect();
        snapshot.change(&BTreeSet::new(), &edits);
        if snapshot.config.retrieval.hubness {
            for space in snapshot.lookup_spaces() {
                space.hubness();
            }
        }
        snapshot
    }

    /// This codebook, its embedding chosen for it or not, with this generation of keys kept from before.
    pub(crate) fn with_generation(mut self, chosen: bool, previous: Option<Arc<Generation>>) -> Self {
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
        self.changed(embedding, &BTreeSet::new(), &[(record, members.into_iter().collect())])
    }

    /// This codebook as it would be had the edit never been made.
    pub(crate) fn without_edit(&self, edit: EditId) -> Self {
        self.without_edits(&BTreeSet::from([edit]))
    }

    /// This codebook as it would be without some of its edits and with others. `embedding` is used if there
    /// is none yet.
    pub(crate) fn changed(
        &self,
        embedding: &Arc<Embedding>,
        gone: &BTreeSet<EditId>,
        new: &[SharedEdit],
    ) -> Self {
        let mut next = self.copy();
        if next.embedding.is_none() {
            next.embedding = Some(Arc::clone(embedding));
            (next.joint, next.by_kind) = spaces(Some(embedding), &next.config);
            next.pictures = SeenPictures::new(Some(embedding), &next.config);
        }
        next.change(gone, new);
        next
    }

    /// Takes out edits and puts in others, none of which is in both: what of the keys that could alter is
    /// decided again. The members of those that say something new go to the keys.
    pub(crate) fn change(&mut self, gone: &BTreeSet<EditId>, new: &[SharedEdit]) {
        let (mut leaving, mut coming) = (BTreeSet::new(), BTreeMap::new());
        for edit in gone {
            let Some(record) = self.edits.remove(edit) else { continue };
            self.pictures.remove(*edit);
            let heir = self.standing.remove(&record);
            if self.resting.remove(edit).is_some() {
                continue;
            }
            // It may have taken up a fact right before.
            if coming.remove(edit).is_none() {
                leaving.insert(*edit);
            }
            if let Some(heir) = heir
                && let Some(members) = self.resting.remove(&heir)
            {
                coming.insert(heir, members);
            }
        }
        self.pictures.add(new.iter().flat_map(|(_, members)| members));
        let displaced = self.standing.insert(new.iter().map(|(record, _)| record.as_ref()));
        for (record, members) in new {
            self.edits.insert(record.id, Arc::clone(record));
            if self.standing.carries(record.id) {
                coming.insert(record.id, Arc::new(members.clone()));
            } else {
                self.resting.insert(record.id, Arc::new(members.clone()));
            }
        }
        // Of those that came just now none had keys.
        for edit in displaced {
            if self.resting.contains(&edit) {
                continue;
            }
            let members = coming.remove(&edit).unwrap_or_else(|| {
                leaving.insert(edit);
                Arc::new(self.fold.members_of(edit).map(|(member, _)| Arc::clone(member)).collect())
            });
            self.resting.insert(edit, members);
        }
        let changed = self.fold.change(coming.values().flat_map(|of| of.iter()).cloned(), leaving);
        self.follow(&changed);
    }

    /// This codebook as that of this revision.
    pub(crate) fn at_revision(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// How many events of the codebook's history led to this state: the number that it is known by. Of a
    /// hypothetical state, that of the state it was made from.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn copy(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            embedding: self.embedding.clone(),
            chosen: self.chosen,
            previous: self.previous.clone(),
            revision: self.revision,
            edits: self.edits.clone(),
            standing: self.standing.clone(),
            fold: self.fold.clone(),
            resting: self.resting.clone(),
            joint: self.joint.copy(),
            by_kind: self.by_kind.as_ref().map(|spaces| spaces.each_ref().map(Space::copy)),
            pictures: self.pictures.copy(),
        }
    }

    /// Brings the spaces in line with the fold, where its keys changed.
    fn follow(&mut self, changed: &BTreeSet<MemberPosition>) {
        let changed: Vec<_> = changed
            .iter()
            .map(|place| (MemberId::derive(place.edit, place.ordinal), self.fold.key(*place).map(Arc::new)))
            .collect();
        self.joint.follow(&changed);
        for space in self.by_kind.iter_mut().flatten() {
            space.follow(&changed);
        }
    }

    /// The spaces that a retrieval looks into: one for each kind of entry, or the joint one.
    pub(crate) fn lookup_spaces(&self) -> &[Space] {
        self.by_kind.as_ref().map_or_else(|| std::slice::from_ref(&self.joint), |spaces| spaces.as_slice())
    }

    /// How like the pictures of live edits one is whose question has this embedding; `None` where these are
    /// too few to tell, where no part of an embedding is of the picture alone, and where the configuration
    /// doesn't ask.
    pub fn familiarity(&self, query: &[f32]) -> Option<Familiarity> {
        self.pictures.of(query, &self.config)
    }

    /// Configuration of the codebook.
    pub fn config(&self) -> &CodebookConfig {
        &self.config
    }

    /// What the keys were made by; `None` before the first edit.
    pub fn embedding(&self) -> Option<&Arc<Embedding>> {
        self.embedding.as_ref()
    }

    /// Whether tap, pooling and λ were chosen for this codebook; else they are what the configuration said
    /// when it began.
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

    /// The edit that stands in the place of this one: its newest version, the newest edit that names it, or
    /// the newest about the same picture and question, if that answers otherwise and keeps none beside it.
    /// While it is live, nothing that this one alone says is retrieved; once it is reverted, all of it is
    /// again.
    pub fn superseded_by(&self, id: EditId) -> Option<&Arc<EditRecord>> {
        self.edit(self.standing.superseded_by(id)?)
    }

    /// Live edits about the same picture and question that are older than this one and answer otherwise,
    /// newest first; none for an edit that isn't live.
    pub fn conflicts(&self, id: EditId) -> Vec<&Arc<EditRecord>> {
        let older = self.edit(id).map(|record| self.standing.conflicts(record));
        older.into_iter().flatten().filter_map(|id| self.edit(id)).collect()
    }

    /// Which edits stand, which say the same, and which are versions of one.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether keys of this edit are among those of the codebook. Else an older one says exactly the same,
    /// and its keys stand for both.
    pub fn carries(&self, id: EditId) -> bool {
        !self.resting.contains(&id)
    }

    /// All live edits, oldest first.
    pub fn edits(&self) -> impl DoubleEndedIterator<Item = &Arc<EditRecord>> {
        self.edits.iter().map(|(_, record)| record)
    }

    /// The live edits older than `id`, newest first.
    pub(crate) fn edits_before(&self, id: EditId) -> impl Iterator<Item = &Arc<EditRecord>> {
        self.edits.below(&id).map(|(_, record)| record)
    }

    /// The entries of one edit in order; empty if it isn't live, or if the keys of another stand for it.
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

    /// The members of one edit in order, each with the key that it merged into, if it began none; none where
    /// the keys of another stand for it.
    pub(crate) fn placed_members_of(
        &self,
        edit: EditId,
    ) -> impl Iterator<Item = (&Arc<Member>, Option<MemberId>)> {
        self.fold.members_of(edit)
    }

    /// The members of one edit in order.
    pub fn members_of(&self, edit: EditId) -> impl Iterator<Item = &Arc<Member>> {
        let resting = self.resting.get(&edit).into_iter().flat_map(|members| members.iter());
        self.fold.members_of(edit).map(|(member, _)| member).chain(resting)
    }

    /// The first member that an edit brought to a key with this sentence.
    pub(crate) fn brought_by(&self, edit: EditId, key: MemberId, sentence: &str) -> Option<&Arc<Member>> {
        let in_key = |merged_into: Option<MemberId>, member: &Member| merged_into.unwrap_or(member.id) == key;
        self.fold
            .members_of(self.standing.carrier(edit))
            .find(|(member, merged_into)| member.sentence == sentence && in_key(*merged_into, member))
            .map(|(member, _)| member)
    }

    /// All members in order of edit and ordinal.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        let resting = self.resting.iter().flat_map(|(_, members)| members.iter());
        let mut members: Vec<_> = self.fold.members().chain(resting).collect();
        if !self.resting.is_empty() {
            members.sort_by_key(|member| member.place());
        }
        members.into_iter()
    }

    /// Number of live edits, each version counted.
    pub fn edit_count(&self) -> usize {
        self.edits.len()
    }

    /// Number of edits whose keys are there.
    fn carrying(&self) -> usize {
        self.edits.len() - self.resting.len()
    }

    /// Number of keys.
    pub fn key_count(&self) -> usize {
        self.joint.index().len()
    }

    /// A key as it is stored.
    pub fn key(&self, id: MemberId) -> Option<&Arc<Key>> {
        let index = self.joint.index();
        index.key(index.slot(id)?)
    }

    /// All keys in ascending order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.joint.index().keys()
    }

    /// The keys with greater ids than this one, ascending.
    pub(crate) fn keys_after(&self, id: MemberId) -> impl Iterator<Item = &Arc<Key>> {
        self.joint.index().keys_after(id)
    }

    /// Whether scores are divided by σ: asked for, and more than one edit to compare.
    pub(crate) fn scaled(&self, hubness: bool) -> bool {
        hubness && self.carrying() >= 2
    }

    /// The gate's threshold for a retrieval with these parameters, in the units of its scores; `None` without
    /// keys. Where kinds of entries have spaces of their own, that of the answers.
    pub fn threshold(&self, params: &RetrievalParams) -> Option<f64> {
        self.threshold_in(self.lookup_spaces().first()?, params)
    }

    pub(crate) fn threshold_in(&self, space: &Space, params: &RetrievalParams) -> Option<f64> {
        let gate = &self.config.gate;
        let mut percentile = params.reject_percentile.unwrap_or(gate.percentile);
        if gate.warm_up && !self.edits.is_empty() {
            percentile = percentile.max(100.0 / self.carrying() as f64);
        }
        // No distance grows by more than the text's weight.
        let alone = || Some(self.single_edit_threshold()? * f64::from(space.view().text_weight.max(1.0)));
        if self.carrying() < 2 {
            return alone();
        }
        space.threshold(percentile, self.scaled(params.hubness), alone)
    }

    /// The first edit's answer key's radius times a factor: what the gate holds on to before there are pairs
    /// of keys.
    fn single_edit_threshold(&self) -> Option<f64> {
        let first = self.fold.members().next()?;
        let (answer, merged_into) = self.fold.members_of(first.edit).next()?;
        let key = self.key(merged_into.unwrap_or(answer.id))?;
        Some(f64::from(key.radius) * self.config.gate.single_edit_factor)
    }

    /// Counts of the codebook.
    pub fn stats(&self) -> Stats {
        let bytes = |vector: &[f32], text: usize| (size_of_val(vector) + size_of::<f32>() + text) as u64;
        Stats {
            edits: self.edits.len() - self.standing.later_versions(),
            members: self.fold.member_count(),
            keys: self.fold.key_count(),
            bytes_merged: self
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
        self.joint.index().len() == self.fold.key_count()
            && self.fold.keys().all(|key| {
                self.key(key.id)
                    .is_some_and(|held| held.members == key.members && held.vector() == key.vector())
            })
    }
}

/// The joint space, and those of answers and statements where the configuration has them.
fn spaces(embedding: Option<&Embedding>, config: &CodebookConfig) -> (Space, Option<[Space; 2]>) {
    let lookup = &config.lookup;
    let of = |kind, text_weight: f64| {
        Space::new(SpaceView { kind: Some(kind), text_weight: text_weight as f32 }, embedding, config)
    };
    let by_kind = lookup.by_kind.then(|| {
        [
            of(EntryKind::Answer, lookup.answer_text_weight),
            of(EntryKind::Statement, lookup.statement_text_weight),
        ]
    });
    (Space::new(SpaceView::JOINT, embedding, config), by_kind)
}
