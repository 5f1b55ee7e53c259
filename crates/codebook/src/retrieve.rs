//! Retrieval: the nearest keys, the gate before them, and the facts they hold (paper section 3.2, inference;
//! method section 5).

use std::collections::HashSet;
use std::sync::Arc;

use reasonedit_imaging::PixelBox;
use serde::Serialize;

use crate::config::RetrievalParams;
use crate::geometry;
use crate::ids::{EditId, ImageId, MemberId};
use crate::index::Hit;
use crate::key::{Key, Sentence};
use crate::member::{EntryKind, usable};
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::{CodebookError, Result};

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
        let mut found = self.candidates(query, params)?;
        let mut seen = HashSet::new();
        found.facts.retain(|fact| seen.insert(fact.value.clone()));
        Ok(found)
    }

    /// As [`Self::retrieve`], with a sentence that several of the nearest keys hold told of each of them: for
    /// whoever has to judge everybody who says it.
    ///
    /// # Errors
    /// As there.
    pub fn candidates(&self, query: &[f32], params: &RetrievalParams) -> Result<Retrieval> {
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
        let mut found: Vec<Found> = spaces.iter().map(|space| self.look_up(space, query, params)).collect();
        let superseded =
            found.iter_mut().filter(|f| !f.rejected).flat_map(|f| std::mem::take(&mut f.superseded));
        let superseded: Vec<Superseded> = superseded.collect();
        let facts = joined(found.iter_mut().filter(|f| !f.rejected).map(|f| std::mem::take(&mut f.facts)));
        let superseded = gone(superseded, &facts);
        let rejected = found.iter().all(|f| f.rejected);
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
            k: params.k,
            facts,
            nearest,
            superseded,
            omitted: Vec::new(),
        })
    }

    /// The nearest keys of one space, held against its gate.
    fn look_up(&self, space: &Space, query: &[f32], params: &RetrievalParams) -> Found {
        let k = match space.view().kind {
            Some(EntryKind::Answer) => self.config().lookup.answers.min(params.k),
            _ => params.k,
        };
        let hits = self.nearest_standing(space, query, k.max(1), self.scaled(params.hubness));
        let nearest_distance = hits.iter().find(|(_, _, stands)| *stands).map(|(hit, ..)| hit.score);
        let threshold = if params.gate { self.threshold_in(space, params) } else { None };
        let rejected = params.gate
            && match (nearest_distance, threshold) {
                (Some(nearest), Some(threshold)) => nearest > threshold,
                _ => true,
            };
        let kind = space.view().kind;
        let (mut facts, mut superseded, mut rank) = (Vec::new(), Vec::new(), 1);
        for (hit, seen, stands) in &hits {
            let reach = self
                .key(seen.id)
                .filter(|key| key.radius > 0.0)
                .map(|key| geometry::distance(query, key.vector()) / f64::from(key.radius));
            for sentence in seen.sentences.iter().filter(|s| kind.is_none_or(|kind| s.kind == kind)) {
                let fact = |edit_ids, image_id, evidence| Fact {
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
                match self.said_by(seen, sentence) {
                    Said::Standing(edits, image, area) => facts.push(fact(edits, image, area)),
                    Said::Superseded(by) => {
                        let edits = sentence.edit_ids.clone();
                        let fact = fact(edits, sentence.image_id, sentence.evidence);
                        superseded.push(Superseded { fact, by });
                    }
                }
            }
            rank += usize::from(*stands);
        }
        let nearest = facts.first().cloned();
        facts.retain(|fact| fact.rank <= k);
        superseded.retain(|one| one.fact.rank <= k);
        Found { nearest_distance, threshold, rejected, facts, nearest, superseded }
    }

    /// The nearest keys until `count` of them say something that stands, each with whether it does.
    fn nearest_standing<'a>(
        &self,
        space: &'a Space,
        query: &[f32],
        count: usize,
        scaled: bool,
    ) -> Vec<(Hit, &'a Arc<Key>, bool)> {
        let kind = space.view().kind;
        let stands = |key: &Key| {
            let mut shown = key.sentences.iter().filter(|s| kind.is_none_or(|kind| s.kind == kind));
            self.supersession().all_stand()
                || shown.any(|s| s.edit_ids.iter().any(|id| self.supersession().superseded_by(*id).is_none()))
        };
        let mut wanted = count;
        loop {
            let hits = space.nearest(query, wanted, scaled);
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

    /// Which edits a sentence of a key comes from, of those that stand.
    fn said_by(&self, key: &Key, sentence: &Sentence) -> Said {
        let supersession = self.supersession();
        let standing: Vec<EditId> = sentence
            .edit_ids
            .iter()
            .copied()
            .filter(|id| supersession.superseded_by(*id).is_none())
            .collect();
        let Some(first) = standing.first() else {
            let mut by: Vec<EditId> =
                sentence.edit_ids.iter().filter_map(|id| supersession.superseded_by(*id)).collect();
            by.sort_unstable();
            by.dedup();
            return Said::Superseded(by);
        };
        if sentence.edit_ids.first() == Some(first) {
            return Said::Standing(standing, sentence.image_id, sentence.evidence);
        }
        // Told of the first that stands, where the key names the first of all.
        let (image, area) =
            self.said_at(*first, key.id, &sentence.value).unwrap_or((sentence.image_id, sentence.evidence));
        Said::Standing(standing, image, area)
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

/// Whose a sentence is.
enum Said {
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
