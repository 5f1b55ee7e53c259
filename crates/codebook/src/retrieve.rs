//! Retrieval: the nearest keys, the gate before them, and the facts they hold (paper section 4.3; method section 5).

use std::collections::HashSet;

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::geometry;
use crate::ids::{EditId, ImageId, MemberId};
use crate::member::{Kind, usable};
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::{CodebookError, Result};

/// How to retrieve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalParams {
    /// Nearest keys whose sentences are returned (paper section 4.3: 5).
    pub k: usize,
    /// τ in percent; `None` takes the codebook's [`crate::GateConfig::percentile`].
    pub reject_percentile: Option<f64>,
    /// Divide distances by the keys' σ (off in the paper, on in the authors' code).
    pub hubness: bool,
    /// Retrieve nothing if even the nearest key is far.
    pub gate: bool,
}

impl Default for RetrievalParams {
    fn default() -> Self {
        Self { k: 5, reject_percentile: None, hubness: false, gate: true }
    }
}

/// A sentence that was retrieved, with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// The key that holds it.
    pub entry_id: MemberId,
    /// The edits that contributed it to this key.
    pub edit_ids: Vec<EditId>,
    /// What it says.
    pub kind: Kind,
    /// The sentence.
    pub value: String,
    /// Score of the key: the distance, over σ + 1e-6 with hubness correction.
    pub distance: f64,
    /// Distance of the key as it was stored (every kind in one space, no correction) over its radius ρ: up to 1 the query lies in the ball that
    /// rephrased questions and altered pictures of the edit were measured to fill. `None` for a key without a radius.
    pub reach: Option<f64>,
    /// The image that the key was made from (its first member with this sentence).
    pub image_id: ImageId,
    /// The part of that image; `None` is the whole.
    pub evidence: Option<PixelBox>,
    /// Place of the key among the retrieved ones, from 1. Sentences of a merged key share it.
    pub rank: usize,
}

/// What a query retrieved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retrieval {
    /// The gate closed (or it is on and there is no key): no facts.
    pub rejected: bool,
    /// Score of the nearest key, rejected or not; `None` if there is no key.
    pub nearest_distance: Option<f64>,
    /// What that score was held against; `None` without a gate or without a key. Where answers and statements are looked up apart, score and
    /// threshold are those of the kind that came nearer to its threshold or deeper below it.
    pub threshold: Option<f64>,
    /// Keys asked for.
    pub k: usize,
    /// Unique sentences of the `k` nearest keys, nearest first.
    pub facts: Vec<Fact>,
    /// The first sentence of the nearest key, rejected or not: the near miss.
    pub nearest: Option<Fact>,
}

impl Snapshot {
    /// Finds the facts nearest to a query embedding E(x, t) of `Embedding::dim` numbers.
    ///
    /// Scores are distances. With hubness correction they are divided by the key's σ + 1e-6, and the threshold is taken
    /// from pair distances divided alike (each ordered pair by the σ of its second key). The correction begins with the
    /// second edit: before, and whenever there is no pair of keys, scores are plain distances and the threshold is the
    /// first edit's answer key's radius times [`crate::GateConfig::single_edit_factor`].
    ///
    /// # Errors
    /// `DimensionMismatch` or `InvalidQuery` if the query or the percentile is unusable.
    pub fn retrieve(&self, query: &[f32], params: &RetrievalParams) -> Result<Retrieval> {
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
        let spaces = self.looked_up();
        let mut found: Vec<Found> = spaces.iter().map(|space| self.look_up(space, query, params)).collect();
        let facts = unique(found.iter_mut().filter(|f| !f.rejected).map(|f| std::mem::take(&mut f.facts)));
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
        Ok(Retrieval { rejected, nearest_distance, threshold, k: params.k, facts, nearest })
    }

    /// The nearest keys of one space, held against its gate.
    fn look_up(&self, space: &Space, query: &[f32], params: &RetrievalParams) -> Found {
        let k = match space.view().kind {
            Some(Kind::Answer) => self.config().lookup.answers.min(params.k),
            _ => params.k,
        };
        let hits = space.nearest(query, k.max(1), self.scaled(params.hubness));
        let nearest_distance = hits.first().map(|hit| hit.score);
        let threshold = if params.gate { self.threshold_in(space, params) } else { None };
        let rejected = params.gate
            && match (nearest_distance, threshold) {
                (Some(nearest), Some(threshold)) => nearest > threshold,
                _ => true,
            };
        let mut facts = Vec::new();
        for (i, hit) in hits.iter().enumerate() {
            let Some(seen) = space.key_in(hit.slot) else { continue };
            let reach = self
                .key(seen.id)
                .filter(|key| key.radius > 0.0)
                .map(|key| geometry::distance(query, key.vector()) / f64::from(key.radius));
            let kind = space.view().kind;
            facts.extend(seen.sentences.iter().filter(|s| kind.is_none_or(|kind| s.kind == kind)).map(|s| {
                Fact {
                    entry_id: seen.id,
                    edit_ids: s.edit_ids.clone(),
                    kind: s.kind,
                    value: s.value.clone(),
                    distance: hit.score,
                    reach,
                    image_id: s.image_id,
                    evidence: s.evidence,
                    rank: i + 1,
                }
            }));
        }
        let nearest = facts.first().cloned();
        facts.retain(|fact| fact.rank <= k);
        Found { nearest_distance, threshold, rejected, facts, nearest }
    }
}

/// What one space gave.
struct Found {
    nearest_distance: Option<f64>,
    threshold: Option<f64>,
    rejected: bool,
    facts: Vec<Fact>,
    nearest: Option<Fact>,
}

/// The facts of one space after those of the other, each sentence once, keys counted through.
fn unique(lists: impl Iterator<Item = Vec<Fact>>) -> Vec<Fact> {
    let (mut seen, mut facts, mut before) = (HashSet::new(), Vec::new(), 0);
    for list in lists {
        let keys = list.last().map_or(0, |fact: &Fact| fact.rank);
        for mut fact in list {
            if seen.insert(fact.value.clone()) {
                fact.rank += before;
                facts.push(fact);
            }
        }
        before += keys;
    }
    facts
}
