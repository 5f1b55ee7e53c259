//! The service's side of `tools/bench_fine_tuning.py`: `bench_fine_tuning --model FOLDER`. Tunes the last
//! feed-forward for one edit per JSON line of the standard input and answers with one JSON line: times in
//! milliseconds from the picture's file on, and the loss of every step.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use candle_core::Var;
use reasonedit_models::{LoadOptions, Projection, VisionLanguageModel, load};
use reasonedit_tuning::{Example, Prompt, Schedule, WeightPatch, cross_entropy, last_feed_forward, minimise};
use serde::Deserialize;

const TRAINED: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];

#[derive(Deserialize)]
struct Request {
    image: String,
    question: String,
    answer: String,
    steps: usize,
    learning_rate: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some("--model"), Some(folder)) = (arguments.next().as_deref(), arguments.next()) else {
        return Err("usage: bench_fine_tuning --model FOLDER".into());
    };
    let model = load(&folder, &LoadOptions::default())?;
    print(&serde_json::json!({"ready": true}))?;
    for line in std::io::stdin().lock().lines() {
        print(&tune(model.as_ref(), &serde_json::from_str(&line?)?)?)?;
    }
    Ok(())
}

/// One edit, of copies that are dropped behind it.
fn tune(model: &dyn VisionLanguageModel, request: &Request) -> Result<serde_json::Value, Box<dyn Error>> {
    let began = Instant::now();
    let bytes = std::fs::read(&request.image)?;
    let picture =
        reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default())?.image.into();
    let cut = last_feed_forward(model)?;
    let suffix = model.differentiable(cut)?;
    let prompt = Prompt::new(model, &picture, &request.question, cut)?;
    // As on the other sides, without the end of the turn.
    let targets = model.tokenizer().encode_reply(&request.answer)?;
    let states = prompt.states(model, &[&targets])?.remove(0);
    let example = Example { states, targets };
    let mut variables = Vec::new();
    let mut trained = BTreeMap::new();
    for projection in TRAINED {
        let variable = Var::from_tensor(&suffix.weight(cut.layer(), projection)?)?;
        trained.insert((cut.layer(), projection), variable.as_tensor().clone());
        variables.push(variable);
    }
    let trained = WeightPatch(trained);
    let prepared = Instant::now();
    let Request { steps, learning_rate: rate, .. } = *request;
    // As many steps as the other sides make.
    let schedule = Schedule { steps, rate, patience: steps, good_enough: f64::NEG_INFINITY };
    let mut losses = Vec::with_capacity(steps + 1);
    minimise(&variables, &schedule, |_| {
        let loss = cross_entropy(&suffix, &[&example], &trained)?;
        losses.push(loss.to_scalar::<f32>()?);
        Ok(loss)
    })?;
    let milliseconds = |since: Instant| 1e3 * since.elapsed().as_secs_f64();
    Ok(serde_json::json!({
        "ms": milliseconds(began), "steps_ms": milliseconds(prepared), "losses": losses,
        "tokens": example.targets.len(),
    }))
}

fn print(value: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
