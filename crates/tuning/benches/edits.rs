//! Where the time of an edit goes, on the demo model: `cargo bench -p reasonedit-tuning`.
//!
//! `fine_tuning/…`: looking at the picture and running prompt and reply up to the cut; the parts of a step
//! (with candle-nn's AdamW beside the one that is used); an edit of 100 steps; an answer by choice.
//! `wise/…`: the same of WISE.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Var;
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use criterion::{Criterion, criterion_group, criterion_main};
use reasonedit_imaging::RgbImage;
use reasonedit_models::{LoadOptions, Projection, VisionLanguageModel};
use reasonedit_tuning::{
    Correction, EditingMethod, FineTuning, FineTuningSettings, Prompt, Question, Schedule, WeightPatch, Wise,
    WiseSettings, cross_entropy, last_feed_forward, minimise,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");
const TRAINED: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];
const STEPS: usize = 100;

fn question(seed: u8, text: &str) -> Question {
    let picture =
        RgbImage::from_fn(224, 224, |x, y| [(x as u8).wrapping_mul(seed), y as u8, 90 + seed].into());
    let choices = ["pumpkin", "square", "triangle", "circle"].map(str::to_owned).to_vec();
    Question { picture: Arc::new(picture.into()), text: text.to_owned(), choices }
}

fn correction() -> Correction {
    Correction { question: question(3, "What is this specimen called?"), reply: "pumpkin".to_owned() }
}

fn fine_tuning(criterion: &mut Criterion, model: &dyn VisionLanguageModel) {
    let mut group = criterion.benchmark_group("fine_tuning");
    let cut = last_feed_forward(model).unwrap();
    let suffix = model.differentiable(cut).unwrap();
    let Correction { question, reply } = correction();
    let prompt = || Prompt::new(model, &question.picture, &question.text, cut).unwrap();
    group.bench_function("prompt", |bencher| bencher.iter(prompt));
    let example = prompt().example(model, &reply).unwrap();
    let places: Vec<(usize, Projection)> = TRAINED.iter().map(|&one| (cut.layer(), one)).collect();
    let variables: Vec<Var> = places
        .iter()
        .map(|&(layer, one)| Var::from_tensor(&suffix.weight(layer, one).unwrap()).unwrap())
        .collect();
    let tensors = variables.iter().map(|variable| variable.as_tensor().clone());
    let trained = WeightPatch(places.iter().copied().zip(tensors).collect::<BTreeMap<_, _>>());
    let loss = || cross_entropy(&suffix, &[&example], &trained).unwrap();
    group.bench_function("forward", |bencher| bencher.iter(loss));
    group.bench_function("forward_and_backward", |bencher| bencher.iter(|| loss().backward().unwrap()));
    let gradients = loss().backward().unwrap();
    let parameters = ParamsAdamW { lr: 0.0, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut theirs = AdamW::new(variables.clone(), parameters).unwrap();
    group.bench_function("candle_adamw", |bencher| bencher.iter(|| theirs.step(&gradients).unwrap()));
    let schedule = Schedule { steps: STEPS, rate: 1e-9, patience: STEPS, good_enough: 0.0 };
    group.bench_function("100_steps", |bencher| {
        bencher.iter(|| minimise(&variables, &schedule, |_| Ok(loss())).unwrap());
    });
    let settings = FineTuningSettings {
        steps: STEPS,
        patience: STEPS,
        good_enough: 0.0,
        ..FineTuningSettings::default()
    };
    edits(&mut group, model, || FineTuning::new(settings));
    group.finish();
}

fn wise(criterion: &mut Criterion, model: &dyn VisionLanguageModel) {
    let mut group = criterion.benchmark_group("wise");
    let settings =
        WiseSettings { steps: STEPS, patience: STEPS, good_enough: 0.0, ..WiseSettings::default() };
    let irrelevant = [question(7, "How many lights are on?"), question(9, "Is there a red circle?")];
    edits(&mut group, model, || Wise::new(settings, irrelevant.to_vec()));
    group.finish();
}

fn edits<M: EditingMethod>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    model: &dyn VisionLanguageModel,
    fresh: impl Fn() -> M,
) {
    let correction = correction();
    group.bench_function("edit_of_100_steps", |bencher| {
        bencher.iter(|| fresh().edit(model, &correction).unwrap());
    });
    let mut edited = fresh();
    edited.edit(model, &correction).unwrap();
    for (name, question) in
        [("answer", correction.question), ("answer_elsewhere", question(50, "Which colour?"))]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(edited.answer(model, &question).unwrap()));
        });
    }
}

fn all(criterion: &mut Criterion) {
    let model = reasonedit_models::load(DEMO, &LoadOptions::default()).unwrap();
    fine_tuning(criterion, &*model);
    wise(criterion, &*model);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = all
}
criterion_main!(benches);
