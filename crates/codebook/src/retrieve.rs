//! Retrieval: the nearest keys, the gate before them, and the facts they hold (paper section 4.3; method section 5).

use std::collections::HashSet;

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::ids::{EditId, ImageId, MemberId};
use crate::index::Hit;
use crate::member::{Kind, usable};
use crate::snapshot::Snapshot;
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
    /// What that score was held against; `None` without a gate or without a key.
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
        let hits = self.nearest_keys(query, params.k.max(1), params.hubness);
        let nearest_distance = hits.first().map(|hit| hit.score);
        let threshold = if params.gate { self.threshold(params) } else { None };
        let rejected = params.gate
            && match (nearest_distance, threshold) {
                (Some(nearest), Some(threshold)) => nearest > threshold,
                _ => true,
            };
        let facts = if rejected { Vec::new() } else { self.facts(&hits[..params.k.min(hits.len())]) };
        let nearest = self.facts(&hits[..hits.len().min(1)]).into_iter().next();
        Ok(Retrieval { rejected, nearest_distance, threshold, k: params.k, facts, nearest })
    }

    /// The sentences of these keys in order, each once.
    fn facts(&self, hits: &[Hit]) -> Vec<Fact> {
        let mut seen = HashSet::new();
        let mut facts = Vec::new();
        for (i, hit) in hits.iter().enumerate() {
            let Some(key) = self.key_in(hit.slot) else { continue };
            for sentence in key.sentences.iter().filter(|s| seen.insert(s.value.as_str())) {
                facts.push(Fact {
                    entry_id: key.id,
                    edit_ids: sentence.edit_ids.clone(),
                    kind: sentence.kind,
                    value: sentence.value.clone(),
                    distance: hit.score,
                    image_id: sentence.image_id,
                    evidence: sentence.evidence,
                    rank: i + 1,
                });
            }
        }
        facts
    }
}
