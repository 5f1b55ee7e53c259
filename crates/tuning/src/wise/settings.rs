//! Settings of WISE.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::minimise::{Optimiser, Schedule};

/// Settings of WISE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WiseSettings {
    /// How deep the layer lies whose down projection gets a side memory: 0 the first, 1 the last. The last
    /// gets none.
    pub depth: f64,
    /// By what rule the side memory is trained.
    pub optimiser: Optimiser,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Steps of an edit at most.
    pub steps: usize,
    /// Steps without a better loss after which an edit ends.
    pub patience: usize,
    /// Loss below which it ends.
    pub good_enough: f64,
    /// Share of the weights that a shard may change (ρ).
    pub mask_ratio: f64,
    /// Activation that irrelevant questions should stay below (α).
    pub alpha: f64,
    /// Activation that edits should reach (β).
    pub beta: f64,
    /// By how much edits' should be above irrelevant questions' (γ).
    pub gamma: f64,
    /// What the three margins above are multiplied with: they are lengths of what a side memory changes in
    /// one token, which the authors' models have of another size than small ones.
    pub margin_scale: f64,
    /// Share of the least activation among edits (ε) from which a question goes through a side memory.
    pub threshold: f64,
    /// Edits of a shard.
    pub shard_edits: usize,
    /// Shards that are merged into one side memory (k).
    pub shards: usize,
    /// Share of a shard's weights that merging keeps.
    pub density: f64,
    /// Bound of what is added to a weight.
    pub weight_bound: f64,
    /// Irrelevant questions that an edit is trained with.
    pub irrelevant: usize,
    /// Chooses masks and irrelevant questions.
    pub seed: u64,
}

impl Default for WiseSettings {
    fn default() -> Self {
        Self { optimiser: Optimiser::Adam, learning_rate: 1e-1, steps: 100, ..Self::published() }
    }
}

impl WiseSettings {
    /// As the authors have them (the paper's appendix, and their settings for Qwen3-VL-4B).
    pub fn published() -> Self {
        Self {
            depth: 30.0 / 35.0,
            optimiser: Optimiser::Sgd,
            learning_rate: 1.0,
            steps: 70,
            patience: 50,
            good_enough: 0.02,
            mask_ratio: 0.2,
            alpha: 5.0,
            beta: 20.0,
            gamma: 10.0,
            margin_scale: 1.0,
            threshold: 0.4,
            shard_edits: 500,
            shards: 2,
            density: 0.53,
            weight_bound: 1.0,
            irrelevant: 1,
            seed: 0,
        }
    }

    /// The layer in a model of so many; `None` where there is none below the last.
    pub(super) fn layer(&self, layers: usize) -> Option<usize> {
        let highest = layers.checked_sub(2)?;
        let wanted = (self.depth.clamp(0.0, 1.0) * (layers - 1) as f64).round() as usize;
        Some(wanted.min(highest))
    }

    pub(super) fn schedule(&self) -> Schedule {
        let Self { learning_rate: rate, steps, patience, good_enough, .. } = *self;
        Schedule { steps, rate, patience, good_enough }
    }

    /// A stream of random numbers of its own.
    pub(super) fn stream(&self, number: usize) -> ChaCha8Rng {
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_stream(number as u64);
        stream
    }
}
