//! The report of a selection: what was measured, on what, what was chosen and how surely. Serialised it is
//! the report of the HTTP interface.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::rows::SquaredDistances;
use crate::select::{
    Choice, TapKey, TapMeasures, TapReport, WeightMeasures, WeightReport, select_tap, select_weight,
    summarise_taps, summarise_weights,
};

/// What a report was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredOn {
    /// Where the samples come from, as `codebook` or the name of a dataset.
    pub source: String,
    /// Samples that were there to draw from.
    pub samples_available: usize,
    /// Samples in a draw for the taps, n.
    pub samples: usize,
    /// Draws for the taps, M.
    pub runs: usize,
    /// Samples in a draw for the weights.
    pub weight_samples: usize,
    /// Draws for the weights.
    pub weight_runs: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Fingerprint of the model.
    pub model: String,
    /// Fingerprint of the sentence encoder.
    pub sentence_encoder: String,
    /// Nodes of the vision and language networks of a tap draw.
    pub nodes: usize,
    /// Nodes of the bimodal network of a tap draw.
    pub bimodal_nodes: usize,
}

/// The embedding in use when the report was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InUse {
    /// Its tap and pooling.
    #[serde(flatten)]
    pub tap: TapKey,
    /// Its λ.
    pub weight: f64,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The tap, by bimodal modularity.
    pub tap: Choice<TapKey>,
    /// λ, by the harmonic mean of vision and language modularity under that tap.
    pub weight: Choice<f64>,
}

/// A small draw, kept so that its network can be drawn under any weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSample {
    /// Number of pictures, and of texts.
    pub pairs: usize,
    /// Squared distances of the pictures at the chosen tap, row-major.
    pub images: Vec<f64>,
    /// Squared distances of the sentence embeddings, row-major.
    pub texts: Vec<f64>,
    /// The texts, for a legend; may be empty.
    #[serde(default)]
    pub captions: Vec<String>,
}

impl NetworkSample {
    /// From the squared distances of as many pictures as texts.
    ///
    /// # Errors
    /// Their numbers differ.
    pub fn new(images: &SquaredDistances, texts: &SquaredDistances, captions: Vec<String>) -> Result<Self> {
        if images.len() != texts.len() {
            return Err(crate::TopologyError::Count {
                what: "texts of a network sample",
                expected: images.len(),
                given: texts.len(),
            });
        }
        Ok(Self {
            pairs: images.len(),
            images: images.values().to_vec(),
            texts: texts.values().to_vec(),
            captions,
        })
    }
}

/// Everything a selection found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModularityReport {
    /// What it was measured on.
    pub measured_on: MeasuredOn,
    /// The embedding in use before.
    pub in_use: Option<InUse>,
    /// What was chosen.
    pub selection: Selection,
    /// Every tap and pooling, in forward order.
    pub taps: Vec<TapReport>,
    /// Every weight, in rising order.
    pub weights: Vec<WeightReport>,
    /// A small draw to look at.
    pub network: Option<NetworkSample>,
}

impl ModularityReport {
    /// From what the runs measured. `tap_runs` and `weight_runs` hold one list per run; the weights were
    /// measured with the tap that [`select_tap`] chooses from `tap_runs`.
    ///
    /// # Errors
    /// No run, runs that did not measure the same, no vision tap with mean pooling.
    pub fn from_runs(
        measured_on: MeasuredOn,
        in_use: Option<InUse>,
        tap_runs: &[Vec<TapMeasures>],
        weight_runs: &[Vec<WeightMeasures>],
        network: Option<NetworkSample>,
    ) -> Result<Self> {
        let tap = select_tap(tap_runs, in_use.as_ref().map(|used| &used.tap))?;
        // The weight in use was chosen for its own tap's scale: under another tap it stands for nothing.
        let same_tap = in_use.as_ref().filter(|used| used.tap == tap.chosen);
        let weight = select_weight(weight_runs, same_tap.map(|used| used.weight))?;
        Ok(Self {
            measured_on,
            in_use,
            selection: Selection { tap, weight },
            taps: summarise_taps(tap_runs)?,
            weights: summarise_weights(weight_runs)?,
            network,
        })
    }

    /// Whether the runs back changing over from the embedding in use: the tap leads by more than its standard
    /// error, or the tap stays and the weight does. True where nothing comparable was in use.
    pub fn is_better(&self) -> bool {
        let Some(used) = &self.in_use else { return true };
        if used.tap == self.selection.tap.chosen {
            used.weight != self.selection.weight.chosen && self.selection.weight.is_better()
        } else {
            self.selection.tap.is_better()
        }
    }
}

#[cfg(test)]
mod tests;
