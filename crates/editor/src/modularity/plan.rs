//! What a measurement will do: which taps, which draws, and how many steps that takes. Refuses what can't be
//! measured before anything is embedded.

use reasonedit_inference::{ModelInfo, TapName, TapStage};
use reasonedit_topology::{Draw, Pooling, Stage, deal};

use super::{ModularityRequest, SampleSet};
use crate::error::{EditorError, FieldError};

/// A tap that is measured.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    pub(super) name: TapName,
    pub(super) stage: Stage,
}

/// The draws and taps of a measurement.
pub(super) struct Plan {
    pub(super) taps: Vec<Tap>,
    /// λ, rising.
    pub(super) weights: Vec<f64>,
    pub(super) tap_draw: Draw,
    pub(super) weight_draw: Draw,
    /// Samples of every draw for the taps, as indices.
    pub(super) tap_hands: Vec<Vec<usize>>,
    /// Samples of every draw for the weights.
    pub(super) weight_hands: Vec<Vec<usize>>,
}

/// Limits that keep one request from asking for days of work.
const MOST_SAMPLES: usize = 64;
const MOST_RUNS: usize = 100;
const MOST_WEIGHTS: usize = 200;

impl Plan {
    pub(super) fn new(
        request: &ModularityRequest,
        samples: &SampleSet,
        model: &ModelInfo,
    ) -> Result<Self, EditorError> {
        check(request, model)?;
        let taps = taps(request, model)?;
        // The draws of the weights are others than those of the taps, so that a choice isn't judged by what
        // it was made on.
        let needed = request.samples.max(request.weight_samples);
        if samples.len() < needed {
            let detail = format!(
                "a draw needs {needed} samples with different pictures and different texts; there are {}",
                samples.len()
            );
            return Err(EditorError::Invalid(vec![FieldError::new("/samples", detail)]));
        }
        let hands = |pairs, runs, seed| -> Result<Vec<Vec<usize>>, EditorError> {
            Ok(deal(samples.len(), pairs, runs, seed)?)
        };
        let tap_draw = Draw::new(request.samples)?;
        Ok(Self {
            taps,
            weights: request.weights.clone(),
            tap_draw: tap_draw.with_probes(request.samples, request.mismatched),
            weight_draw: Draw::new(request.weight_samples)?.with_probes(1, 0),
            tap_hands: hands(request.samples, request.runs, request.seed)?,
            weight_hands: hands(
                request.weight_samples,
                request.weight_runs,
                request.seed ^ 0x5745_4947_4854,
            )?,
        })
    }

    /// The same with this weight among the measured ones: what is in use has to be, or nothing can be said to
    /// be better.
    pub(super) fn with_weight(mut self, weight: f64) -> Self {
        let at = self.weights.partition_point(|known| *known < weight);
        if self.weights.get(at).is_none_or(|known| *known > weight) {
            self.weights.insert(at, weight);
        }
        self
    }

    /// The taps that see the picture alone.
    pub(super) fn picture_taps(&self) -> Vec<&Tap> {
        self.taps.iter().filter(|tap| tap.stage != Stage::Language).collect()
    }

    /// The taps that see picture and text.
    pub(super) fn pair_taps(&self) -> Vec<&Tap> {
        self.taps.iter().filter(|tap| tap.stage == Stage::Language).collect()
    }

    /// Steps of one run over the taps: a picture or a pair embedded is one.
    pub(super) fn steps_of_tap_run(&self) -> u64 {
        let pairs = if self.pair_taps().is_empty() { 0 } else { self.tap_draw.all_nodes() };
        (self.tap_draw.items() + pairs) as u64
    }

    /// Steps of one run over the weights.
    pub(super) fn steps_of_weight_run(&self) -> u64 {
        self.weight_draw.items() as u64
    }
}

/// Whether the request can be measured on this model, given enough samples.
pub(super) fn check(request: &ModularityRequest, model: &ModelInfo) -> Result<(), EditorError> {
    taps(request, model)?;
    let mut errors = Vec::new();
    let mut range = |pointer: &str, value: usize, least: usize, most: usize| {
        if !(least..=most).contains(&value) {
            errors.push(FieldError::new(pointer, format!("must be from {least} to {most}, not {value}")));
        }
    };
    range("/samples", request.samples, 2, MOST_SAMPLES);
    range("/weight_samples", request.weight_samples, 2, MOST_SAMPLES);
    range("/runs", request.runs, 2, MOST_RUNS);
    range("/weight_runs", request.weight_runs, 2, MOST_RUNS);
    range("/mismatched", request.mismatched, 0, MOST_SAMPLES);
    range("/weights", request.weights.len(), 1, MOST_WEIGHTS);
    if request.weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        errors.push(FieldError::new("/weights", "weights must be finite and not negative"));
    }
    if !request.weights.is_sorted_by(|a, b| a < b) {
        errors.push(FieldError::new("/weights", "weights must rise, each given once"));
    }
    let known = |pooling| request.pooling.contains(&pooling);
    if !known(Pooling::Mean) || request.pooling.len() > usize::from(known(Pooling::Last)) + 1 {
        errors.push(FieldError::new("/pooling", "must hold mean, may hold last, each once"));
    }
    if errors.is_empty() { Ok(()) } else { Err(EditorError::Invalid(errors)) }
}

fn taps(request: &ModularityRequest, model: &ModelInfo) -> Result<Vec<Tap>, EditorError> {
    if let Some(at) = request.taps.iter().position(|name| model.taps.iter().all(|tap| tap.name.0 != *name)) {
        let detail = format!("the model {} has no tap named {:?}", model.name, request.taps[at]);
        return Err(EditorError::Invalid(vec![FieldError::new(format!("/taps/{at}"), detail)]));
    }
    let wanted =
        model.taps.iter().filter(|tap| request.taps.is_empty() || request.taps.contains(&tap.name.0));
    let taps: Vec<Tap> = wanted.map(|tap| Tap { name: tap.name.clone(), stage: stage(tap.stage) }).collect();
    if taps.iter().all(|tap| tap.stage != Stage::Vision) {
        let detail = "the choice is among vision taps: name one at least";
        return Err(EditorError::Invalid(vec![FieldError::new("/taps", detail)]));
    }
    Ok(taps)
}

fn stage(stage: TapStage) -> Stage {
    match stage {
        TapStage::Vision => Stage::Vision,
        TapStage::Bridge => Stage::Bridge,
        TapStage::Language => Stage::Language,
    }
}
