//! Every number of the codebook that decides something.

use reasonedit_records::{CodebookError, Result};
use serde::{Deserialize, Serialize};

use crate::merge::MergeConfig;

/// Configuration of a codebook.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodebookConfig {
    /// When keys merge.
    pub merge: MergeConfig,
    /// When nothing is retrieved.
    pub gate: GateConfig,
    /// How distances are evened out between crowded and lonely keys.
    pub hubness: HubnessConfig,
    /// What a retrieval does unless it asks for something else. `Codebook::stats` states the threshold for
    /// it, and with hubness on, the neighbours are found when the codebook opens rather than at the first
    /// query.
    pub retrieval: RetrievalParams,
    /// Whether answers and statements are looked up apart.
    pub lookup: LookupConfig,
    /// When a picture is unlike all that the codebook has seen.
    pub familiarity: FamiliarityConfig,
}

impl CodebookConfig {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// `InvalidConfig` with the field and its range.
    pub fn validate(&self) -> Result<()> {
        let percent = 0.0..=100.0;
        let checks = [
            ((0.0..=1.0).contains(&self.merge.overlap), "merge.overlap must lie between 0 and 1"),
            ((0.0..=1.0).contains(&self.merge.distance), "merge.distance must lie between 0 and 1"),
            (percent.contains(&self.gate.percentile), "gate.percentile must lie between 0 and 100"),
            (
                self.retrieval.reject_percentile.is_none_or(|p| percent.contains(&p)),
                "retrieval.reject_percentile must lie between 0 and 100",
            ),
            ((2..=20_000).contains(&self.gate.reservoir), "gate.reservoir must lie between 2 and 20000"),
            (
                self.gate.single_edit_factor.is_finite() && self.gate.single_edit_factor >= 0.0,
                "gate.single_edit_factor must be finite and at least 0",
            ),
            ((1..=1000).contains(&self.hubness.neighbours), "hubness.neighbours must lie between 1 and 1000"),
            (
                is_weight(self.lookup.answer_text_weight),
                "lookup.answer_text_weight must lie between 0 and 1000",
            ),
            (
                is_weight(self.lookup.statement_text_weight),
                "lookup.statement_text_weight must lie between 0 and 1000",
            ),
            (
                percent.contains(&self.familiarity.percentile),
                "familiarity.percentile must lie between 0 and 100",
            ),
            (self.familiarity.pictures >= 2, "familiarity.pictures must be at least 2"),
        ];
        match checks.iter().find(|(ok, _)| !ok) {
            Some((_, what)) => Err(CodebookError::InvalidConfig(what)),
            None => Ok(()),
        }
    }
}

/// How to retrieve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalParams {
    /// Nearest keys whose sentences are returned (paper section 4.2: 5).
    pub k: usize,
    /// τ in percent; `None` takes the codebook's [`GateConfig::percentile`].
    pub reject_percentile: Option<f64>,
    /// Divide distances by the keys' σ (off in the paper, on in the authors' code).
    pub hubness: bool,
    /// Retrieve nothing if even the nearest key is far.
    pub gate: bool,
    /// Retrieve nothing for a picture that is unlike all that the codebook has seen. Only where the
    /// codebook's own configuration says so are its pictures kept at hand for it.
    pub familiarity: bool,
}

impl Default for RetrievalParams {
    fn default() -> Self {
        Self { k: 5, reject_percentile: None, hubness: false, gate: true, familiarity: false }
    }
}

/// The retrieval gate: a query farther from every key than the threshold retrieves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// τ: the threshold is this percentile, 0 to 100, of the distances between pairs of keys (paper section
    /// 4.5: 10 to 50 are good).
    pub percentile: f64,
    /// Keys whose pairs are taken (method section 5: 2,000).
    pub reservoir: usize,
    /// Chooses these keys.
    pub seed: u64,
    /// While there are fewer than two edits the threshold is the answer key's radius times this.
    pub single_edit_factor: f64,
    /// Raises τ to at least 100 over the number of edits (the authors' code, not the paper).
    pub warm_up: bool,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { percentile: 30.0, reservoir: 2000, seed: 0, single_edit_factor: 2.0, warm_up: false }
    }
}

/// Hubness correction (the authors' code, not the paper).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubnessConfig {
    /// σ is the median distance to this many nearest keys, or to all others if they are fewer (authors' code:
    /// 30).
    pub neighbours: usize,
}

impl Default for HubnessConfig {
    fn default() -> Self {
        Self { neighbours: 30 }
    }
}

/// In which space entries are looked up. One weight of the text can't serve both "this picture" and "this
/// reasoning on another picture": the more the text counts, the more of the second is found and the less of
/// the first is kept apart. The paper has one space for all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LookupConfig {
    /// Look answers up by picture and statements by meaning, each kind among its own keys, with its own
    /// hubness scales and gate. Off: one space for all entries (paper).
    pub by_kind: bool,
    /// Answer keys that are looked up at most, where kinds are apart.
    pub answers: usize,
    /// What λ is multiplied with where answers are looked up.
    pub answer_text_weight: f64,
    /// What λ is multiplied with where statements are looked up.
    pub statement_text_weight: f64,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self { by_kind: false, answers: 3, answer_text_weight: 0.2, statement_text_weight: 2.0 }
    }
}

/// When a picture is unlike all that the codebook has seen (not in the paper): nearness to a key can be a
/// matter of the text alone, and a model that is asked about noise or a page of text affirms too much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FamiliarityConfig {
    /// A picture is unfamiliar if it is farther from the nearest picture than this percentile, 0 to 100, of
    /// the distances between pairs of them, in the picture's part of keys alone. (On a development world no
    /// picture of it lay beyond the 75th, and ten of eleven of noise, gradients and text did.)
    pub percentile: f64,
    /// Pictures that a codebook has to have before any is told from them.
    pub pictures: usize,
}

impl Default for FamiliarityConfig {
    fn default() -> Self {
        Self { percentile: 75.0, pictures: 30 }
    }
}

fn is_weight(weight: f64) -> bool {
    (0.0..=1000.0).contains(&weight)
}

#[cfg(test)]
mod tests;
