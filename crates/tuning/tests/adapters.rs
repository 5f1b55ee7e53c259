//! Adapters as PEFT saves them (`tools/peft_adapters.py`), merged into the demo model and beside it; and
//! adapters that are trained here.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use reasonedit_imaging::{DecodeLimits, RgbImage, decode};
use reasonedit_models::{
    Adaptation, Cut, LoadOptions, LowRankAdapter, ModelError, Unadapted, VisionLanguageModel,
};
use reasonedit_tuning::{
    AdapterSettings, AdapterTraining, Correction, Prompt, Question, TuningError, best_choice,
    last_feed_forward,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");
const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");

fn demo(adapter: Option<PathBuf>) -> Result<Box<dyn VisionLanguageModel>, ModelError> {
    reasonedit_models::load(DEMO, &LoadOptions { adapter, ..LoadOptions::default() })
}

/// Logits by which the last token of the golden reply is predicted.
fn logits(model: &dyn VisionLanguageModel, cut: Cut, adaptation: &dyn Adaptation) -> Vec<f32> {
    let folder = Path::new(GOLDENS).join("demo");
    let bytes = std::fs::read(folder.join("image.png")).unwrap();
    let picture = decode(&bytes, &DecodeLimits::default()).unwrap().image.into();
    let prompt = Prompt::new(model, &picture, "What is this specimen called?", cut).unwrap();
    let reply = model.tokenizer().encode_reply("A purple object is called a pumpkin.").unwrap();
    let states = prompt.states(model, &[&reply]).unwrap();
    let all = model.differentiable(cut).unwrap().logits(&[&states[0]], adaptation).unwrap();
    all.get(all.dim(0).unwrap() - 1).unwrap().to_vec1().unwrap()
}

fn error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

#[test]
fn pefts_adapters_compute_what_peft_computes() {
    let plain = demo(None).unwrap();
    for name in ["attention", "rank_stabilised", "patterns", "feed_forward"] {
        let folder = Path::new(GOLDENS).join("adapters").join(name);
        let golden = candle_core::safetensors::load(folder.join("logits.safetensors"), &Device::Cpu).unwrap();
        let want: Vec<f32> = golden["logits"].flatten_all().unwrap().to_vec1().unwrap();
        let moved: Vec<f32> = golden["moved"].to_vec1().unwrap();
        assert!(moved[0] > 0.05, "{name}");

        let merged = demo(Some(folder.clone())).unwrap();
        let cut = last_feed_forward(&*merged).unwrap();
        let off = error(&logits(&*merged, cut, &Unadapted), &want);
        assert!(off < 1e-5, "{name}, merged: {off}");
        let beside = LowRankAdapter::read(&folder).unwrap();
        let off = error(&logits(&*plain, Cut::Layer(0), &beside), &want);
        assert!(off < 1e-5, "{name}, beside: {off}");
    }
}

#[test]
fn what_peft_can_write_and_is_not_computed_is_refused_by_name() {
    for (name, word) in [
        ("magnitudes", "use_dora"),
        ("biases", "lora_bias"),
        ("whole_modules", "modules_to_save"),
        ("vision", "visual.blocks.0.attn.qkv"),
    ] {
        let refused = demo(Some(Path::new(GOLDENS).join("adapters").join(name))).map(drop).unwrap_err();
        assert!(refused.to_string().contains(word), "{name}: {refused}");
    }
}

fn corrections() -> Vec<Correction> {
    let all = [(3, "pumpkin"), (5, "square"), (7, "pumpkin"), (11, "dahlia")];
    all.into_iter()
        .map(|(seed, answer)| {
            let colours = |x: u32, y: u32| [(x as u8).wrapping_mul(seed), y as u8 * 2, 90 + seed].into();
            let picture = Arc::new(RgbImage::from_fn(96, 64, colours).into());
            let choices = ["pumpkin", "square", "dahlia"].map(str::to_owned).to_vec();
            let question = Question { picture, text: "What is this specimen called?".into(), choices };
            Correction { question, reply: answer.to_owned() }
        })
        .collect()
}

#[test]
fn a_trained_adapter_answers_what_it_was_trained_on_once_it_is_loaded() {
    let model = demo(None).unwrap();
    let mut training = AdapterTraining::new(AdapterSettings { batch: 3, ..AdapterSettings::default() });
    assert!(training.adapter().is_err() && training.progress().done);
    for correction in corrections() {
        training.add(&*model, &correction).unwrap();
    }
    let mut progress = training.progress();
    assert_eq!((progress.steps, progress.of, progress.loss, progress.done), (0, 200, None, false));
    while !progress.done {
        progress = training.step(&*model).unwrap();
    }
    assert!(progress.loss.unwrap() < 0.05 && progress.has_learnt(), "{progress:?}");
    let folder = tempfile::tempdir().unwrap();
    training.adapter().unwrap().write(folder.path(), model.info(), &[]).unwrap();

    let adapted = demo(Some(folder.path().to_owned())).unwrap();
    let cut = last_feed_forward(&*adapted).unwrap();
    let suffix = adapted.differentiable(cut).unwrap();
    for Correction { question, reply } in corrections() {
        let prompt = Prompt::new(&*adapted, &question.picture, &question.text, cut).unwrap();
        let best = best_choice(&*adapted, &suffix, &prompt, &question.choices, &Unadapted).unwrap();
        assert_eq!(question.choices[best], reply);
    }
}

#[test]
fn a_training_that_leaves_the_numbers_is_told() {
    let model = demo(None).unwrap();
    let settings = AdapterSettings { learning_rate: 1e30, ..AdapterSettings::default() };
    let mut training = AdapterTraining::new(settings);
    for correction in corrections() {
        training.add(&*model, &correction).unwrap();
    }
    let failed = (0..5).find_map(|_| training.step(&*model).err()).unwrap();
    assert!(matches!(failed, TuningError::NonFiniteLoss { .. }), "{failed}");
    // Numbers still, but further from the corrections than the model is.
    let settings = AdapterSettings { learning_rate: 30.0, ..AdapterSettings::default() };
    let mut training = AdapterTraining::new(settings);
    for correction in corrections() {
        training.add(&*model, &correction).unwrap();
    }
    assert!(!training.progress().has_learnt());
    let mut progress = training.step(&*model).unwrap();
    while progress.steps < 3 {
        progress = training.step(&*model).unwrap();
    }
    assert!(progress.loss.unwrap() > progress.first_loss.unwrap(), "{progress:?}");
    assert!(!progress.has_learnt());
    let nothing = AdapterSettings { targets: Vec::new(), ..AdapterSettings::default() };
    let mut training = AdapterTraining::new(nothing);
    training.add(&*model, &corrections()[0]).unwrap();
    assert!(matches!(training.step(&*model), Err(TuningError::Setting(_))));
}
