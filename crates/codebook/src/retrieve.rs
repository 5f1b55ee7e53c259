//! Retrieval: the nearest keys, the gate before them, and the facts they hold (paper section 3.2, inference;
//! method section 5).

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use reasonedit_imaging::PixelBox;
use serde::Serialize;

use crate::config::RetrievalParams;
use crate::familiarity::Familiarity;
use crate::geometry;
use crate::ids::{EditId, ImageId, MemberId};
use crate::index::Hit;
use crate::key::{Key, Sentence};
use crate::member::{EntryKind, usable};
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::{CodebookError, Result};
use reasonedit_records::relevant::{Relevance, Relevant};

/// A sentence that was retrieved, with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// The key that holds it.
    pub entry_id: MemberId,
    /// The edits that contributed it to this key.
    pub edit_ids: Vec<EditId>,
    /// What it says.
    pub kind: EntryKind,
    /// The sentence.
    pub value: String,
    /// Score of the key: the distance, over σ + 1e-6 with hubness correction.
    pub distance: f64,
    /// Distance of the key as it was stored (every kind in one space, no correction) over its radius ρ: up to
    /// 1 the query lies in the ball that rephrased questions and altered pictures of the edit were measured
    /// to fill. `None` for a key without a radius.
    pub reach: Option<f64>,
    /// The image that the key was made from (its first member with this sentence).
    pub image_id: ImageId,
    /// The part of that image; `None` is the whole.
    pub evidence: Option<PixelBox>,
    /// How much it bears on the question, where that was asked ([`Relevant`]).
    pub relevance: Option<f64>,
    /// Place of the key among the retrieved ones, from 1. Sentences of a merged key share it.
    pub rank: usize,
}

/// A sentence that was found and does not stand any more: all edits that it comes from were answered
/// otherwise by newer ones about the same picture and question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Superseded {
    /// The sentence; its edits are those that do not stand, its rank is that of the next key that does.
    pub fact: Fact,
    /// The edits that stand in their place.
    pub by: Vec<EditId>,
}

/// What a query retrieved.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Retrieval {
    /// The gate closed (or it is on and there is no key): no facts.
    pub rejected: bool,
    /// Score of the nearest key, rejected or not; `None` if there is no key.
    pub nearest_distance: Option<f64>,
    /// What that score was held against; `None` without a gate or without a key. Where answers and statements
    /// are looked up apart, score and threshold are those of the kind that came nearer to its threshold or
    /// deeper below it.
    pub threshold: Option<f64>,
    /// What the question was held against where it was asked what bears on it; then there is no threshold of
    /// distances.
    pub relevance: Option<Relevance>,
    /// How like the codebook's pictures the asked one is, where that was asked and can be told. For one that
    /// is like none there are no facts.
    pub familiarity: Option<Familiarity>,
    /// Keys asked for.
    pub k: usize,
    /// Unique sentences of the `k` nearest keys, nearest first.
    pub facts: Vec<Fact>,
    /// The first sentence of the nearest key, rejected or not: the near miss.
    pub nearest: Option<Fact>,
    /// Sentences that lay as near as `facts` and do not stand any more, nearest first.
    pub superseded: Vec<Superseded>,
    /// Facts that found no room in front of the question, nearest first. Empty as retrieved: whoever puts
    /// facts in front of a question moves them here.
    pub omitted: Vec<Fact>,
}

impl Snapshot {
    /// Finds the facts nearest to a query embedding E(x, t) of `Embedding::dim` numbers.
    ///
    /// What only superseded edits say ([`Snapshot::superseded_by`]) is passed over as if it were not there,
    /// and told. Their keys are part of the codebook all the same: they merge, and the gate's threshold and
    /// the hubness scales count them.
    ///
    /// Scores are distances. With hubness correction they are divided by the key's σ + 1e-6, and the
    /// threshold is taken from pair distances divided alike (each ordered pair by the σ of its second key).
    /// The correction begins with the second edit: before, and whenever there is no pair of keys, scores are
    /// plain distances and the threshold is the first edit's answer key's radius times
    /// [`crate::GateConfig::single_edit_factor`].
    ///
    /// # Errors
    /// `DimensionMismatch` or `InvalidQuery` if the query or the percentile is unusable.
    pub fn retrieve(&self, query: &[f32], params: &RetrievalParams) -> Result<Retrieval> {
        let mut found = self.candidates(query, params, None)?;
        let mut seen = HashSet::new();
        found.facts.retain(|fact| seen.insert(fact.value.clone()));
        Ok(found)
    }

    /// As [`Self::retrieve`], with a sentence that several of the nearest keys hold told of each of them: for
    /// whoever has to judge everybody who says it. With `relevant` only what bears on the question is looked
    /// among, told of the edits by whose word it does, and rejected is a question on which nothing bears; the
    /// nearest of all is told as ever.
    ///
    /// # Errors
    /// As there.
    pub fn candidates(
        &self,
        query: &[f32],
        params: &RetrievalParams,
        relevant: Option<&Relevant>,
    ) -> Result<Retrieval> {
        if let Some(embedding) = self.embedding()
            && query.len() != embedding.dim()
        {
            return Err(CodebookError::DimensionMismatch { expected: embedding.dim(), actual: query.len() });
        }
        if !usable(query) {
            return Err(CodebookError::InvalidQuery("the embedding has a number that is not finite"));
        }
        if params.reject_percentile.is_some_and(|p| !(0.0..=100.0).contains(&p)) {
            return Err(CodebookError::InvalidQuery("the percentile must lie between 0 and 100"));
        }
        let spaces = self.lookup_spaces();
        let admitted = relevant.map(|relevant| Admitted { relevant, keys: keys_of(relevant, self) });
        let look_up = |space| self.look_up(space, query, params, admitted.as_ref());
        let mut found: Vec<Found> = spaces.iter().map(look_up).collect();
        let superseded =
            found.iter_mut().filter(|f| !f.rejected).flat_map(|f| std::mem::take(&mut f.superseded));
        let superseded: Vec<Superseded> = superseded.collect();
        let facts = joined(found.iter_mut().filter(|f| !f.rejected).map(|f| std::mem::take(&mut f.facts)));
        let superseded = gone(superseded, &facts);
        let familiarity = params.familiarity.then(|| self.familiarity(query)).flatten();
        let unfamiliar = familiarity.is_some_and(|familiarity| !familiarity.familiar());
        let rejected = unfamiliar || found.iter().all(|f| f.rejected);
        // The kind nearest to its threshold stands for all; without thresholds the nearest key.
        let closeness = |f: &Found| match (f.nearest_distance, f.threshold) {
            (Some(nearest), Some(threshold)) => nearest / threshold,
            (Some(nearest), None) => nearest,
            _ => f64::INFINITY,
        };
        let first = found.into_iter().min_by(|a, b| closeness(a).total_cmp(&closeness(b)));
        let (nearest_distance, threshold, nearest) =
            first.map_or((None, None, None), |f| (f.nearest_distance, f.threshold, f.nearest));
        Ok(Retrieval {
            rejected,
            nearest_distance,
            threshold,
            relevance: relevant.map(|relevant| relevant.held_against),
            k: params.k,
            familiarity,
            facts: if unfamiliar { Vec::new() } else { facts },
            nearest,
            superseded: if unfamiliar { Vec::new() } else { superseded },
            omitted: Vec::new(),
        })
    }

    /// The nearest keys of one space, held against its gate or against what bears on the question.
    fn look_up(
        &self,
        space: &Space,
        query: &[f32],
        params: &RetrievalParams,
        admitted: Option<&Admitted<'_>>,
    ) -> Found {
        let k = match space.view().kind {
            Some(EntryKind::Answer) => self.config().lookup.answers.min(params.k),
            _ => params.k,
        };
        let scaled = self.scaled(params.hubness);
        let count = if admitted.is_some() { 1 } else { k.max(1) };
        let near = self.nearest_standing(space, None, query, count, scaled);
        let nearest_distance = near.iter().find(|(_, _, stands)| *stands).map(|(hit, ..)| hit.score);
        let threshold = if params.gate { self.threshold_in(space, params) } else { None };
        let far = params.gate
            && match (nearest_distance, threshold) {
                (Some(nearest), Some(threshold)) => nearest > threshold,
                _ => true,
            };
        let all = self.said(space, query, &near, None);
        let nearest = all.facts.first().cloned();
        let (said, rejected) = match admitted {
            None => (all, far),
            Some(only) => {
                let hits = self.nearest_standing(space, Some(only), query, k.max(1), scaled);
                let said = self.said(space, query, &hits, Some(only.relevant));
                let nothing = said.facts.is_empty();
                (said, far || nothing)
            }
        };
        let Said { mut facts, mut superseded } = said;
        facts.retain(|fact| fact.rank <= k);
        superseded.retain(|one| one.fact.rank <= k);
        Found { nearest_distance, threshold, rejected, facts, nearest, superseded }
    }

    /// What these keys say, nearest first.
    fn said(
        &self,
        space: &Space,
        query: &[f32],
        hits: &[(Hit, &Arc<Key>, bool)],
        relevant: Option<&Relevant>,
    ) -> Said {
        let kind = space.view().kind;
        let (mut said, mut rank) = (Said::default(), 1);
        for (hit, seen, stands) in hits {
            let reach = self
                .key(seen.id)
                .filter(|key| key.radius > 0.0)
                .map(|key| geometry::distance(query, key.vector()) / f64::from(key.radius));
            for sentence in seen.sentences.iter().filter(|s| kind.is_none_or(|kind| s.kind == kind)) {
                let bears = |edit: &EditId| {
                    relevant.map(|relevant| relevant.score(sentence.kind, &sentence.value, *edit))
                };
                let edits: Vec<EditId> =
                    sentence.edit_ids.iter().copied().filter(|edit| bears(edit) != Some(None)).collect();
                if edits.is_empty() {
                    continue;
                }
                let fact = |edit_ids: Vec<EditId>, image_id, evidence| Fact {
                    relevance: edit_ids.iter().filter_map(|edit| bears(edit)?).max_by(f64::total_cmp),
                    entry_id: seen.id,
                    edit_ids,
                    kind: sentence.kind,
                    value: sentence.value.clone(),
                    distance: hit.score,
                    reach,
                    image_id,
                    evidence,
                    rank,
                };
                match self.said_by(seen, sentence, &edits) {
                    Speakers::Standing(speaking, image, area) => {
                        let fact = fact(edits, image, area);
                        said.facts.push(Fact { edit_ids: speaking, ..fact });
                    }
                    Speakers::Superseded(by) => {
                        let fact = fact(edits, sentence.image_id, sentence.evidence);
                        said.superseded.push(Superseded { fact, by });
                    }
                }
            }
            rank += usize::from(*stands);
        }
        said
    }

    /// The nearest keys until `count` of them say something that stands, each with whether it does.
    fn nearest_standing<'a>(
        &self,
        space: &'a Space,
        admitted: Option<&Admitted<'_>>,
        query: &[f32],
        count: usize,
        scaled: bool,
    ) -> Vec<(Hit, &'a Arc<Key>, bool)> {
        let kind = space.view().kind;
        let stands = |key: &Key| {
            let mut shown = key.sentences.iter().filter(|s| kind.is_none_or(|kind| s.kind == kind));
            let bears = |s: &Sentence, id: EditId| {
                admitted.is_none_or(|only| only.relevant.score(s.kind, &s.value, id).is_some())
            };
            let stands = |id: EditId| self.standing().speaker(id).is_some();
            (self.standing().all_stand() && admitted.is_none())
                || shown.any(|s| s.edit_ids.iter().any(|id| bears(s, *id) && stands(*id)))
        };
        let mut wanted = count;
        loop {
            let hits = match admitted {
                Some(only) => space.nearest_among(&only.keys, query, wanted, scaled),
                None => space.nearest(query, wanted, scaled),
            };
            let all = hits.len() < wanted;
            let mut left = count;
            let mut found = Vec::with_capacity(hits.len());
            for hit in hits {
                let Some(key) = space.key_in(hit.slot) else { continue };
                let stands = stands(key);
                found.push((hit, key, stands));
                left -= usize::from(stands);
                if left == 0 {
                    return found;
                }
            }
            if all {
                return found;
            }
            // Seldom: most edits stand.
            wanted *= 2;
        }
    }

    /// Which of these edits, which say a sentence of a key, stand; where others say all of the same, the
    /// first that does.
    fn said_by(&self, key: &Key, sentence: &Sentence, edits: &[EditId]) -> Speakers {
        let mut standing: Vec<EditId> = Vec::with_capacity(edits.len());
        for speaker in edits.iter().filter_map(|id| self.standing().speaker(*id)) {
            if !standing.contains(&speaker) {
                standing.push(speaker);
            }
        }
        let Some(first) = standing.first() else {
            let superseded_by = |id: &EditId| self.standing().superseded_by(*id);
            let mut by: Vec<EditId> = edits.iter().filter_map(superseded_by).collect();
            by.sort_unstable();
            by.dedup();
            return Speakers::Superseded(by);
        };
        if sentence.edit_ids.first() == Some(first) {
            return Speakers::Standing(standing, sentence.image_id, sentence.evidence);
        }
        // Told of the first that stands, where the key names the first of all.
        let (image, area) =
            self.said_at(*first, key.id, &sentence.value).unwrap_or((sentence.image_id, sentence.evidence));
        Speakers::Standing(standing, image, area)
    }

    /// The picture that an edit said a sentence of a key about, and the part of it; `None` if it did not.
    pub fn said_at(
        &self,
        edit: EditId,
        key: MemberId,
        sentence: &str,
    ) -> Option<(ImageId, Option<PixelBox>)> {
        self.brought_by(edit, key, sentence).map(|member| (member.image, member.area))
    }
}

/// What is looked among.
struct Admitted<'a> {
    relevant: &'a Relevant,
    /// The keys that hold some of it.
    keys: BTreeSet<MemberId>,
}

/// The keys that hold something that bears on the question.
fn keys_of(relevant: &Relevant, snapshot: &Snapshot) -> BTreeSet<MemberId> {
    let stating = relevant.statements.values().flat_map(|statement| &statement.edits);
    let edits: BTreeSet<EditId> = relevant.edits.keys().chain(stating).copied().collect();
    let mut keys = BTreeSet::new();
    for edit in edits {
        for (member, merged_into) in snapshot.placed_members_of(edit) {
            if relevant.score(member.kind, &member.sentence, edit).is_some() {
                keys.insert(merged_into.unwrap_or(member.id));
            }
        }
    }
    keys
}

/// What keys say.
#[derive(Default)]
struct Said {
    facts: Vec<Fact>,
    superseded: Vec<Superseded>,
}

/// Whose a sentence is.
enum Speakers {
    /// The edits that stand, picture and part of it of the first of them.
    Standing(Vec<EditId>, ImageId, Option<PixelBox>),
    /// The edits that stand in the place of all that it comes from.
    Superseded(Vec<EditId>),
}

/// What one space gave.
struct Found {
    nearest_distance: Option<f64>,
    threshold: Option<f64>,
    rejected: bool,
    facts: Vec<Fact>,
    nearest: Option<Fact>,
    superseded: Vec<Superseded>,
}

/// Each sentence once, unless an edit that stands says it too.
fn gone(superseded: Vec<Superseded>, facts: &[Fact]) -> Vec<Superseded> {
    let mut seen: HashSet<String> = facts.iter().map(|fact| fact.value.clone()).collect();
    superseded.into_iter().filter(|one| seen.insert(one.fact.value.clone())).collect()
}

/// The facts of one space after those of the other, keys counted through.
fn joined(lists: impl Iterator<Item = Vec<Fact>>) -> Vec<Fact> {
    let (mut facts, mut before) = (Vec::new(), 0);
    for list in lists {
        let keys = list.last().map_or(0, |fact: &Fact| fact.rank);
        facts.extend(list.into_iter().map(|fact| Fact { rank: fact.rank + before, ..fact }));
        before += keys;
    }
    facts
}

#[cfg(test)]
mod tests;
