//! What keys are made with, as it is chosen and as it is moved.

use reasonedit_codebook::Embedding;
use reasonedit_inference::Pooling;
use reasonedit_topology::{Selection, TapKey};
use serde::{Deserialize, Serialize};

/// What can be chosen of the embedding E(x, t) = [h(x) ; λ·S(t)] of a codebook; the rest is the loaded
/// models'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingChoice {
    /// Vision or bridge tap h, as `vision.7`.
    pub tap: String,
    /// Pooling over the image's tokens.
    pub pooling: Pooling,
    /// Weight λ of the sentence embedding, at least 0.
    pub lambda: f64,
}

/// What a codebook's keys are made with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActiveEmbedding {
    /// The live embedding; of a codebook without edits the one that its first edit will set.
    pub embedding: Embedding,
    /// Whether tap, pooling and λ were chosen for this codebook; else they are the configured ones.
    pub chosen: bool,
    /// What a rollback goes back to.
    pub previous: Option<Embedding>,
}

/// What a re-embedding is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReembedStage {
    /// Makes the keys of the edits that were there, and of those that came meanwhile.
    Embedding,
    /// Makes the last few, while edits wait to be stored, and swaps.
    Swapping,
}

impl ReembedStage {
    /// As it is told to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Swapping => "swapping",
        }
    }
}

/// How far a re-embedding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReembedProgress {
    /// What it is at.
    pub stage: ReembedStage,
    /// Live edits that have their new keys.
    pub done: usize,
    /// Of these, those whose new keys are on disk.
    pub kept: usize,
    /// Live edits; grows with those that come meanwhile.
    pub total: usize,
}

impl From<&Selection> for EmbeddingChoice {
    fn from(selection: &Selection) -> Self {
        let TapKey { tap, pooling } = selection.tap.chosen.clone();
        let pooling = match pooling {
            reasonedit_topology::Pooling::Mean => Pooling::Mean,
            reasonedit_topology::Pooling::Last => Pooling::Last,
        };
        Self { tap, pooling, lambda: selection.weight.chosen }
    }
}
