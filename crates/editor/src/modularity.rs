//! Choosing the layer by topology (method section 6; paper section 3.3 and appendix A): pairs of pictures and
//! texts are embedded at every tap, and the modularity of their similarity network says which tap, and which
//! weight of the text, keeps pictures and texts apart as it should.
//!
//! [`Editor::measure_modularity`] embeds and measures, run by run; what is measured, and the choice, is
//! `reasonedit_topology`'s.

mod embed;
mod plan;
mod samples;

use futures::future::BoxFuture;
use reasonedit_codebook::CodebookName;
use reasonedit_topology::{
    InUse, MeasuredOn, ModularityReport, NetworkSample, Pooling, TapKey, TapMeasures, WeightMeasures,
    log_spaced, select_tap,
};
use serde::{Deserialize, Serialize};

pub use samples::{SampleSet, plain_facts};

use crate::editor::Editor;
use crate::error::EditorError;
use embed::Measurer;
use plan::Plan;

/// What to measure. The defaults are the paper's (appendix A.4, D.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModularityRequest {
    /// Pairs of a draw for the taps, n.
    pub samples: usize,
    /// Draws for the taps, M.
    pub runs: usize,
    /// Pairs of a draw for the weights.
    pub weight_samples: usize,
    /// Draws for the weights.
    pub weight_runs: usize,
    /// Mismatched pictures and texts of a draw, for the biases; 0: the other pairs of the draw serve, which
    /// saves four fifths of the work on language taps.
    pub mismatched: usize,
    /// Poolings that are measured. The choice is among taps with mean pooling, so that it has to be there.
    pub pooling: Vec<Pooling>,
    /// Taps that are measured; empty: all. One vision tap at least.
    pub taps: Vec<String>,
    /// Weights λ that are measured.
    pub weights: Vec<f64>,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for ModularityRequest {
    fn default() -> Self {
        Self {
            samples: 20,
            runs: 10,
            weight_samples: 10,
            weight_runs: 10,
            mismatched: 20,
            pooling: vec![Pooling::Mean, Pooling::Last],
            taps: Vec::new(),
            weights: log_spaced(0.1, 100.0, 41),
            seed: 0,
        }
    }
}

impl ModularityRequest {
    /// Samples with which no two draws of taps, and no two of weights, share any.
    pub fn samples_wanted(&self) -> usize {
        (self.samples * self.runs).max(self.weight_samples * self.weight_runs)
    }
}

/// What is finished of a measurement: enough to go on after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModularityState {
    /// The embedding in use when it began, which what is chosen is compared with.
    pub in_use: Option<InUse>,
    /// Finished runs over the taps.
    pub tap_runs: Vec<Vec<TapMeasures>>,
    /// Finished runs over the weights.
    pub weight_runs: Vec<Vec<WeightMeasures>>,
    /// The draw whose network is drawn.
    pub network: Option<NetworkSample>,
}

/// Who looks on while layers are measured. Dropping the work's future ends it.
pub trait ModularityWatch: Send + Sync {
    /// `done` of `total` pictures and pairs of this stage, `taps` or `weights`, are embedded.
    fn progress(&self, stage: &'static str, done: u64, total: u64);

    /// What is finished, to be kept for a later start; called after every run.
    ///
    /// # Errors
    /// It can't be kept.
    fn checkpoint<'a>(&'a self, state: &'a ModularityState) -> BoxFuture<'a, Result<(), EditorError>> {
        let _ = state;
        Box::pin(async { Ok(()) })
    }
}

/// Nobody looks on.
impl ModularityWatch for () {
    fn progress(&self, _: &'static str, _: u64, _: u64) {}
}

impl Editor {
    /// Measures every tap and weight on these samples and chooses. Works at background priority; `state`
    /// holds the runs that were finished before (none at first), which are not repeated: the same request on
    /// the same samples gives the same report however often it was interrupted.
    ///
    /// # Errors
    /// Too few samples, taps or weights that can't be measured, and whatever embedding them can end in.
    pub async fn measure_modularity(
        &self,
        codebook: &CodebookName,
        samples: &SampleSet,
        request: &ModularityRequest,
        mut state: ModularityState,
        watch: &dyn ModularityWatch,
    ) -> Result<ModularityReport, EditorError> {
        let in_use = match state.in_use.clone() {
            Some(in_use) => in_use,
            None => self.embedding_in_use(codebook)?,
        };
        state.in_use = Some(in_use.clone());
        let plan = Plan::new(request, samples, self.core.model())?.with_weight(in_use.weight);
        let measurer = Measurer::new(self, samples, request, &plan, watch);
        while state.tap_runs.len() < request.runs {
            let run = state.tap_runs.len();
            state.tap_runs.push(measurer.taps(run).await?);
            watch.checkpoint(&state).await?;
        }
        let tap = select_tap(&state.tap_runs, Some(&in_use.tap))?.chosen;
        while state.weight_runs.len() < request.weight_runs {
            let run = state.weight_runs.len();
            let (measured, network) = measurer.weights(run, &tap).await?;
            state.weight_runs.push(measured);
            state.network.get_or_insert(network);
            watch.checkpoint(&state).await?;
        }
        let measured_on = MeasuredOn {
            source: samples.name.clone(),
            samples_available: samples.len(),
            samples: request.samples,
            runs: request.runs,
            weight_samples: request.weight_samples,
            weight_runs: request.weight_runs,
            seed: request.seed,
            model: self.core.model().fingerprint.clone(),
            sentence_encoder: self.core.encoder().fingerprint.clone(),
            nodes: plan.tap_draw.crossings(),
            bimodal_nodes: plan.tap_draw.network_nodes(),
        };
        let (taps, weights) = (&state.tap_runs, &state.weight_runs);
        Ok(ModularityReport::from_runs(measured_on, Some(in_use), taps, weights, state.network)?)
    }

    /// Whether this can be measured, as far as that is known before pictures are looked at; with samples,
    /// whether they are enough.
    ///
    /// # Errors
    /// As [`Self::measure_modularity`].
    pub fn check_modularity(
        &self,
        request: &ModularityRequest,
        samples: Option<&SampleSet>,
    ) -> Result<(), EditorError> {
        match samples {
            Some(samples) => Plan::new(request, samples, self.core.model()).map(drop),
            None => plan::check(request, self.core.model()),
        }
    }

    /// The tap, pooling and λ that this codebook's keys are made with.
    fn embedding_in_use(&self, codebook: &CodebookName) -> Result<InUse, EditorError> {
        let embedding = self.core.embedder_of(codebook)?.embedding;
        let pooling = match embedding.pooling.as_str() {
            "last" => Pooling::Last,
            _ => Pooling::Mean,
        };
        Ok(InUse { tap: TapKey { tap: embedding.tap, pooling }, weight: embedding.lambda })
    }
}

#[cfg(test)]
mod tests;
