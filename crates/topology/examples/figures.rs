//! Draws a report: `cargo run --release --example figures -- FOLDER [REPORT.json]` writes `layers.svg`,
//! `weights.svg`, `network.svg` and `report.md`. Without a report it measures a made-up model of 27 vision
//! blocks and 36 language layers on random samples, from draws to report: how the crate is meant to be used.

use std::error::Error;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reasonedit_topology::{
    Draw, Embeddings, InUse, Item, MeasuredOn, Measures, ModularityReport, Network, NetworkSample, Pooling,
    SquaredDistances, Stage, TapKey, TapMeasures, WeightMeasures, deal, figure, log_spaced, measure,
};

const AVAILABLE: usize = 64;
const PAIRS: usize = 8;
const RUNS: usize = 10;
const WIDTH: usize = 24;
const VISION: usize = 27;
const LANGUAGE: usize = 36;

/// Random vectors for the items of a draw: an original its own, a view near it, a foreign one its own again.
fn vectors(draw: &Draw, samples: &[usize], noise: f32, modality: u64) -> Vec<f32> {
    let around = |seed: u64, spread: f32, start: &[f32]| -> Vec<f32> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed + modality * 1_000_000);
        (0..WIDTH)
            .map(|at| start.get(at).copied().unwrap_or(0.0) + spread * generator.random_range(-1.0f32..1.0))
            .collect()
    };
    let of = |item: Item| match item {
        Item::Original { pair } => around(samples[pair] as u64, 1.0, &[]),
        Item::View { pair, view } => {
            let own = around(samples[pair] as u64, 1.0, &[]);
            around((samples[pair] * 100 + view + 10_000) as u64, noise, &own)
        }
        Item::Foreign { index } => around(5_000 + index as u64, 1.0, &[]),
    };
    draw.images().into_iter().flat_map(of).collect()
}

fn squares(values: &[f32]) -> Result<SquaredDistances, Box<dyn Error>> {
    Ok(SquaredDistances::of(Embeddings::new(values, WIDTH)?))
}

/// A made-up layer: how much a perturbed picture moves it, and how much it sees of the text.
fn layer(draw: &Draw, samples: &[usize], noise: f32, text_share: f64) -> Result<Measures, Box<dyn Error>> {
    let images = squares(&vectors(draw, samples, noise, 1))?;
    let texts = squares(&vectors(draw, samples, 0.3, 2))?;
    let nodes = draw.node_indices();
    Ok(measure(draw, &Network::of_pairs(&images, &texts, &nodes, text_share)?)?)
}

fn tap_run(draw: &Draw, samples: &[usize]) -> Result<Vec<TapMeasures>, Box<dyn Error>> {
    let mut taps = Vec::new();
    for pooling in [Pooling::Mean, Pooling::Last] {
        let last = if pooling == Pooling::Last { 1.0 } else { 0.0 };
        let mut add = |tap: String, stage, noise: f32, share: f64| -> Result<(), Box<dyn Error>> {
            taps.push(TapMeasures { tap, stage, pooling, measures: layer(draw, samples, noise, share)? });
            Ok(())
        };
        add("vision.embedding".to_owned(), Stage::Vision, 1.4, 0.0)?;
        for block in 0..VISION {
            let depth = block as f32 / VISION as f32;
            add(
                format!("vision.{block}"),
                Stage::Vision,
                0.3 + (depth - 0.75).abs() + 0.3 * last as f32,
                0.0,
            )?;
        }
        add("merger".to_owned(), Stage::Bridge, 0.5, 0.1)?;
        add("language.embedding".to_owned(), Stage::Language, 0.5, 0.2 + last)?;
        for block in 0..LANGUAGE {
            let share = 0.2 + (1.0 + 2.0 * last) * block as f64 / LANGUAGE as f64;
            add(format!("language.{block}"), Stage::Language, 0.6, share)?;
        }
    }
    Ok(taps)
}

fn made_up() -> Result<ModularityReport, Box<dyn Error>> {
    let draw = Draw::new(PAIRS)?;
    let hands = deal(AVAILABLE, PAIRS, RUNS, 7)?;
    let tap_runs = hands.iter().map(|hand| tap_run(&draw, hand)).collect::<Result<Vec<_>, _>>()?;
    let weights = log_spaced(0.1, 100.0, 41);
    let weight_run = |hand: &Vec<usize>| -> Result<Vec<WeightMeasures>, Box<dyn Error>> {
        let run = weights.iter().map(|&weight| {
            // The pictures' scale is ten times that of the texts, so that the balance lies near ten.
            Ok(WeightMeasures { weight, measures: layer(&draw, hand, 0.3, weight / 10.0)? })
        });
        run.collect()
    };
    let weight_runs = hands.iter().map(weight_run).collect::<Result<Vec<_>, _>>()?;
    let small = Draw::new(6)?;
    let first = |values: Vec<f32>| squares(&values[..6 * WIDTH]);
    let images = first(vectors(&small, &hands[0], 0.3, 1).into_iter().map(|value| 10.0 * value).collect())?;
    let texts = first(vectors(&small, &hands[0], 0.3, 2))?;
    let captions = [
        "What is this specimen called?",
        "Which colour is the object on the left, and is it the same as the one behind it?",
        "How many triangles are there?",
        "Is the border regular?",
        "What lies beneath the square?",
        "Name the largest shape.",
    ];
    let captions = captions.map(str::to_owned).to_vec();
    let measured_on = MeasuredOn {
        source: "made up".to_owned(),
        samples_available: AVAILABLE,
        samples: PAIRS,
        runs: RUNS,
        weight_samples: PAIRS,
        weight_runs: RUNS,
        seed: 7,
        model: "none".to_owned(),
        sentence_encoder: "none".to_owned(),
        nodes: draw.crossings(),
        bimodal_nodes: draw.network_nodes(),
    };
    let in_use = InUse { tap: TapKey { tap: "vision.12".to_owned(), pooling: Pooling::Mean }, weight: 30.0 };
    let network = NetworkSample::new(&images, &texts, captions)?;
    Ok(ModularityReport::from_runs(measured_on, Some(in_use), &tap_runs, &weight_runs, Some(network))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder to write to")?;
    let report = match arguments.next() {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        None => made_up()?,
    };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("layers.svg"), figure::layers(&report))?;
    std::fs::write(folder.join("weights.svg"), figure::weights(&report))?;
    if let Some(network) = figure::network(&report)? {
        std::fs::write(folder.join("network.svg"), network)?;
    }
    std::fs::write(folder.join("report.md"), report.markdown())?;
    Ok(())
}
