//! A small report that tests share.

use crate::Measures;
use crate::report::{InUse, MeasuredOn, ModularityReport, NetworkSample};
use crate::select::{Pooling, Stage, TapKey, TapMeasures, WeightMeasures};

pub(crate) fn measures(vision: f64, language: f64, bimodal: f64) -> Measures {
    Measures {
        vision_modularity: vision,
        language_modularity: language,
        bimodal_modularity: bimodal,
        vision_bias: vision - language,
        language_bias: language - vision,
    }
}

pub(crate) fn tap(tap: &str, stage: Stage, pooling: Pooling, measures: Measures) -> TapMeasures {
    TapMeasures { tap: tap.to_owned(), stage, pooling, measures }
}

/// Runs over two vision blocks, a merger and a language layer. `vision.1` leads clearly by mean pooling; the
/// last token of `vision.0` and the language layer have more bimodal modularity still, but are no candidates.
/// Numbers are dyadic, so that what is found from them is the same on every machine.
pub(crate) fn tap_runs() -> Vec<Vec<TapMeasures>> {
    let run = |noise: f64, pooling: Pooling| {
        let last = if pooling == Pooling::Last { 0.5 } else { 0.0 };
        let figures = [
            measures(0.3125 + noise, -0.015_625, 0.015_625 + noise + last),
            measures(0.375 - noise, 0.0625, 0.046_875 + noise),
            measures(0.34375, 0.0625 + noise, 0.03125),
            measures(0.125, 0.3125 + noise, 0.0625),
        ];
        let names = ["vision.0", "vision.1", "merger", "language.0"];
        let stages = [Stage::Vision, Stage::Vision, Stage::Bridge, Stage::Language];
        names.into_iter().zip(stages).zip(figures).map(move |((name, stage), m)| tap(name, stage, pooling, m))
    };
    let both = |noise| run(noise, Pooling::Mean).chain(run(noise, Pooling::Last)).collect();
    [0.0, 0.015_625, 0.007_812_5].into_iter().map(both).collect()
}

/// Runs over weights of which 4 balances both modularities.
pub(crate) fn weight_runs() -> Vec<Vec<WeightMeasures>> {
    let at = |weight: f64, noise: f64| {
        let share = weight / (weight + 4.0);
        let (vision, language) = (0.375 * (1.0 - share) - 0.015_625 + noise, 0.375 * share - 0.015_625);
        WeightMeasures { weight, measures: measures(vision, language, 0.0625) }
    };
    let weights = [0.0625, 0.25, 1.0, 4.0, 16.0, 64.0, 256.0];
    let noises = [0.0, 0.003_906_25, -0.001_953_125];
    noises.into_iter().map(|noise| weights.into_iter().map(|weight| at(weight, noise)).collect()).collect()
}

pub(crate) fn measured_on() -> MeasuredOn {
    MeasuredOn {
        source: "codebook".to_owned(),
        samples_available: 64,
        samples: 20,
        runs: 3,
        weight_samples: 10,
        weight_runs: 3,
        seed: 7,
        model: "demo-1".to_owned(),
        sentence_encoder: "sentences-1".to_owned(),
        nodes: 400,
        bimodal_nodes: 780,
    }
}

pub(crate) fn report() -> ModularityReport {
    let line = |at: usize| ((at / 3) as f64 - (at % 3) as f64).powi(2);
    let in_use = InUse { tap: TapKey { tap: "vision.0".to_owned(), pooling: Pooling::Mean }, weight: 30.0 };
    let network = NetworkSample {
        pairs: 3,
        images: (0..9).map(|at| 4.0 * line(at)).collect(),
        texts: (0..9).map(line).collect(),
        captions: vec![
            "What is <this>?".to_owned(),
            "Which colour?".to_owned(),
            "How many & where?".to_owned(),
        ],
    };
    ModularityReport::from_runs(measured_on(), Some(in_use), &tap_runs(), &weight_runs(), Some(network))
        .unwrap()
}
