//! From measured runs to a figure per layer and per weight, and to the choice of both (method section 6).

use serde::{Deserialize, Serialize};

use crate::error::{Result, TopologyError};
use crate::measure::Measures;
use crate::statistic::{Lead, Statistic, harmonic_mean};

/// The part of the model a tap belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Patch embedding and vision blocks: these see the picture alone.
    Vision,
    /// Merger, projector or Q-Former output.
    Bridge,
    /// Token embedding and decoder layers.
    Language,
}

/// How hidden states over tokens became one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over the tokens.
    Mean,
    /// The last token.
    Last,
}

impl Pooling {
    /// As it is written in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Last => "last",
        }
    }
}

/// A place to read hidden states, with its pooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TapKey {
    /// Name of the tap, as `vision.7`.
    pub tap: String,
    /// Its pooling.
    pub pooling: Pooling,
}

/// One tap and pooling as one run measured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapMeasures {
    /// Name of the tap.
    pub tap: String,
    /// Its part of the model.
    pub stage: Stage,
    /// Its pooling.
    pub pooling: Pooling,
    /// What was measured.
    #[serde(flatten)]
    pub measures: Measures,
}

impl TapMeasures {
    fn key(&self) -> TapKey {
        TapKey { tap: self.tap.clone(), pooling: self.pooling }
    }
}

/// One weight λ of the dual embedding as one run measured it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightMeasures {
    /// λ.
    pub weight: f64,
    /// What was measured.
    #[serde(flatten)]
    pub measures: Measures,
}

/// The five figures over all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModularityFigures {
    /// See [`Measures::vision_modularity`].
    pub vision_modularity: Statistic,
    /// See [`Measures::language_modularity`].
    pub language_modularity: Statistic,
    /// See [`Measures::bimodal_modularity`].
    pub bimodal_modularity: Statistic,
    /// See [`Measures::vision_bias`].
    pub vision_bias: Statistic,
    /// See [`Measures::language_bias`].
    pub language_bias: Statistic,
}

impl ModularityFigures {
    fn of<'a>(runs: &(impl Iterator<Item = &'a Measures> + Clone)) -> Option<Self> {
        let over = |read: fn(&Measures) -> f64| Statistic::of(runs.clone().map(read));
        Some(Self {
            vision_modularity: over(|m| m.vision_modularity)?,
            language_modularity: over(|m| m.language_modularity)?,
            bimodal_modularity: over(|m| m.bimodal_modularity)?,
            vision_bias: over(|m| m.vision_bias)?,
            language_bias: over(|m| m.language_bias)?,
        })
    }
}

/// One tap and pooling over all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapReport {
    /// Name of the tap.
    pub tap: String,
    /// Its part of the model.
    pub stage: Stage,
    /// Its pooling.
    pub pooling: Pooling,
    /// The figures.
    #[serde(flatten)]
    pub figures: ModularityFigures,
}

/// One weight λ over all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightReport {
    /// λ.
    pub weight: f64,
    /// The figures.
    #[serde(flatten)]
    pub figures: ModularityFigures,
    /// Harmonic mean of vision and language modularity, taken in every run (0 in a run where either is not
    /// positive), over the runs.
    pub harmonic_mean: Statistic,
}

/// A choice among candidates by the largest mean over the runs; of equal ones the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice<K> {
    /// The chosen one.
    pub chosen: K,
    /// What it was chosen by, over the runs.
    pub value: Statistic,
    /// The next best one; none if there was no other.
    pub runner_up: Option<K>,
    /// How far the chosen one lies before it.
    pub lead: Option<Lead>,
    /// The one in use before, if it was named and measured.
    pub incumbent: Option<K>,
    /// How far the chosen one lies before the one in use (0 if it is the same).
    pub lead_over_incumbent: Option<Lead>,
}

impl<K> Choice<K> {
    /// Whether changing over is backed by the runs: the chosen one leads the one in use by more than the
    /// standard error. True where the one in use was not among the measured, since then nothing speaks for
    /// it.
    pub fn is_better(&self) -> bool {
        self.lead_over_incumbent.is_none_or(|lead| lead.exceeds_error)
    }
}

/// The largest mean over runs; `candidates` are (key, one value per run).
fn choose<K: Clone + PartialEq>(candidates: &[(K, Vec<f64>)], incumbent: Option<&K>) -> Option<Choice<K>> {
    let mut ranked: Vec<(&(K, Vec<f64>), Statistic)> = candidates
        .iter()
        .map(|candidate| Some((candidate, Statistic::of(candidate.1.iter().copied())?)))
        .collect::<Option<_>>()?;
    // Stable: of equal means the first given stays first.
    ranked.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let &((chosen, values), value) = ranked.first()?;
    let second = ranked.get(1).map(|&(candidate, _)| candidate);
    let before = incumbent.and_then(|key| candidates.iter().find(|(candidate, _)| candidate == key));
    Some(Choice {
        chosen: chosen.clone(),
        value,
        runner_up: second.map(|(key, _)| key.clone()),
        lead: second.and_then(|(_, others)| Lead::of(values, others)),
        incumbent: before.map(|(key, _)| key.clone()),
        lead_over_incumbent: before.and_then(|(_, others)| Lead::of(values, others)),
    })
}

/// Checks that every run measured the same things in the same order, and gives the first run.
fn same_in_every_run<'a, T, K: PartialEq>(
    runs: &'a [Vec<T>],
    what: &'static str,
    key: impl Fn(&T) -> K,
    name: impl Fn(&T) -> String,
) -> Result<&'a [T]> {
    let first = runs.first().filter(|run| !run.is_empty()).ok_or(TopologyError::NothingMeasured(what))?;
    for (at, run) in runs.iter().enumerate() {
        if run.len() != first.len() {
            let difference = format!("{} {what} instead of {}", run.len(), first.len());
            return Err(TopologyError::RunsDiffer { run: at, difference });
        }
        if let Some((own, other)) = run.iter().zip(first).find(|(own, other)| key(own) != key(other)) {
            let difference = format!("{} instead of {}", name(own), name(other));
            return Err(TopologyError::RunsDiffer { run: at, difference });
        }
    }
    Ok(first)
}

/// Figures of every tap and pooling over the runs, in the order in which the runs give them (forward order).
///
/// # Errors
/// No run, or runs that did not measure the same.
pub fn summarise_taps(runs: &[Vec<TapMeasures>]) -> Result<Vec<TapReport>> {
    let nothing = || TopologyError::NothingMeasured("taps");
    let name = |m: &TapMeasures| format!("{} ({})", m.tap, m.pooling.name());
    let first = same_in_every_run(runs, "taps", |m| (m.key(), m.stage), name)?;
    first
        .iter()
        .enumerate()
        .map(|(at, tap)| {
            Ok(TapReport {
                tap: tap.tap.clone(),
                stage: tap.stage,
                pooling: tap.pooling,
                figures: ModularityFigures::of(&runs.iter().map(|run| &run[at].measures))
                    .ok_or_else(nothing)?,
            })
        })
        .collect()
}

/// l*: the vision tap with mean pooling that has the largest bimodal modularity.
///
/// # Errors
/// No run, runs that did not measure the same, or no vision tap with mean pooling among them.
pub fn select_tap(runs: &[Vec<TapMeasures>], incumbent: Option<&TapKey>) -> Result<Choice<TapKey>> {
    let name = |m: &TapMeasures| format!("{} ({})", m.tap, m.pooling.name());
    let first = same_in_every_run(runs, "taps", |m| (m.key(), m.stage), name)?;
    let candidates: Vec<(TapKey, Vec<f64>)> = first
        .iter()
        .enumerate()
        .filter(|(_, tap)| tap.stage == Stage::Vision && tap.pooling == Pooling::Mean)
        .map(|(at, tap)| (tap.key(), runs.iter().map(|run| run[at].measures.bimodal_modularity).collect()))
        .collect();
    choose(&candidates, incumbent).ok_or(TopologyError::NothingMeasured("no vision tap with mean pooling"))
}

fn harmonic(measures: &Measures) -> f64 {
    harmonic_mean(measures.vision_modularity, measures.language_modularity)
}

/// Figures of every weight over the runs, in the order in which the runs give them.
///
/// # Errors
/// No run, or runs that did not measure the same.
pub fn summarise_weights(runs: &[Vec<WeightMeasures>]) -> Result<Vec<WeightReport>> {
    let nothing = || TopologyError::NothingMeasured("weights");
    let first = same_in_every_run(runs, "weights", |m| m.weight, |m| m.weight.to_string())?;
    first
        .iter()
        .enumerate()
        .map(|(at, weight)| {
            let measures = || runs.iter().map(|run| &run[at].measures);
            Ok(WeightReport {
                weight: weight.weight,
                figures: ModularityFigures::of(&measures()).ok_or_else(nothing)?,
                harmonic_mean: Statistic::of(measures().map(harmonic)).ok_or_else(nothing)?,
            })
        })
        .collect()
}

/// λ*: the weight with the largest harmonic mean of vision and language modularity. So that the weight in use
/// can be compared with, it must be one of those measured: whoever sweeps adds it to the sweep.
///
/// # Errors
/// No run, or runs that did not measure the same.
pub fn select_weight(runs: &[Vec<WeightMeasures>], incumbent: Option<f64>) -> Result<Choice<f64>> {
    let first = same_in_every_run(runs, "weights", |m| m.weight, |m| m.weight.to_string())?;
    let candidates: Vec<(f64, Vec<f64>)> = first
        .iter()
        .enumerate()
        .map(|(at, weight)| (weight.weight, runs.iter().map(|run| harmonic(&run[at].measures)).collect()))
        .collect();
    choose(&candidates, incumbent.as_ref()).ok_or(TopologyError::NothingMeasured("no weight"))
}

/// `count` weights from `least` to `largest`, evenly spaced in their logarithm; the paper's sweep is 41 from
/// 0.1 to 100. The bounds themselves are exact.
pub fn log_spaced(least: f64, largest: f64, count: usize) -> Vec<f64> {
    match count {
        0 => Vec::new(),
        1 => vec![least],
        _ => (0..count)
            .map(|at| match at {
                0 => least,
                _ if at == count - 1 => largest,
                _ => (least.ln() + (largest / least).ln() * at as f64 / (count - 1) as f64).exp(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
