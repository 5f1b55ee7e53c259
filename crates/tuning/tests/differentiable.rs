//! The differentiable part of the demo model beside the model itself.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::sync::Arc;

use reasonedit_imaging::RgbImage;
use reasonedit_models::{Cut, LoadOptions, Unadapted, VisionLanguageModel};
use reasonedit_tuning::{
    Correction, EditingMethod, FineTuning, FineTuningSettings, Prompt, Question, TuningError,
    last_feed_forward, reply_log_likelihoods,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");

fn demo() -> Box<dyn VisionLanguageModel> {
    reasonedit_models::load(DEMO, &LoadOptions::default()).unwrap()
}

fn question(seed: u8, text: &str) -> Question {
    let picture =
        RgbImage::from_fn(96, 64, |x, y| [(x as u8).wrapping_mul(seed), y as u8 * 2, 90 + seed].into());
    let choices = ["pumpkin", "square", "triangle"].map(str::to_owned).to_vec();
    Question { picture: Arc::new(picture.into()), text: text.to_owned(), choices }
}

fn asked(model: &dyn VisionLanguageModel, question: &Question) -> Vec<u64> {
    let cut = last_feed_forward(model).unwrap();
    let suffix = model.differentiable(cut).unwrap();
    let prompt = Prompt::new(model, &question.picture, &question.text, cut).unwrap();
    let all = reply_log_likelihoods(model, &suffix, &prompt, &question.choices, &Unadapted).unwrap();
    all.into_iter().map(f64::to_bits).collect()
}

#[test]
fn every_cut_gives_the_numbers_of_the_fast_path() {
    let model = demo();
    let question = question(3, "What is this specimen called?");
    let reply = model.tokenizer().encode_reply("a purple pumpkin").unwrap();
    let layers = model.differentiable(Cut::Layer(0)).unwrap().layers();
    let mut all: Vec<Vec<f32>> = Vec::new();
    for cut in (0..layers).flat_map(|layer| [Cut::Layer(layer), Cut::FeedForward(layer)]) {
        let prompt = Prompt::new(&*model, &question.picture, &question.text, cut).unwrap();
        let states = prompt.states(&*model, &[&reply, &reply[..1]]).unwrap();
        let suffix = model.differentiable(cut).unwrap();
        let both = suffix.logits(&states.iter().collect::<Vec<_>>(), &Unadapted).unwrap();
        assert_eq!(both.dims(), [reply.len() + 1, suffix.vocabulary()]);
        all.push(both.flatten_all().unwrap().to_vec1().unwrap());
    }
    // The last cut is computed by the fast path all the way but for the last feed-forward.
    let reference = all.last().unwrap().clone();
    for other in &all {
        let error = other.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(error < 1e-4, "{error}");
    }
}

#[test]
fn an_edit_takes_is_kept_and_leaves_the_model_bit_for_bit_as_it_was() {
    let model = demo();
    let (edited, other) = (question(3, "What is this specimen called?"), question(5, "What is the rim?"));
    let before = [asked(&*model, &edited), asked(&*model, &other)];
    let mut editor = FineTuning::new(FineTuningSettings::default());
    assert_eq!(editor.bytes(), 0);
    let correction = Correction { question: edited.clone(), reply: "pumpkin".to_owned() };
    editor.edit(&*model, &correction).unwrap();
    assert_eq!(editor.answer(&*model, &edited).unwrap().text, "pumpkin");
    assert!(editor.bytes() > 0);
    assert_eq!([asked(&*model, &edited), asked(&*model, &other)], before);

    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    let mut again = FineTuning::new(FineTuningSettings::default());
    again.restore(&*model, folder.path()).unwrap();
    let generated = Question { choices: Vec::new(), ..edited };
    assert_eq!(again.answer(&*model, &generated).unwrap(), editor.answer(&*model, &generated).unwrap());
    // It has learnt where its answer ends, too.
    assert_eq!(editor.answer(&*model, &generated).unwrap().text, "pumpkin");
}

#[test]
fn a_loss_that_is_no_number_leaves_the_weights_of_before() {
    let model = demo();
    let question = question(3, "What is this specimen called?");
    let settings = FineTuningSettings { learning_rate: 1e30, ..FineTuningSettings::default() };
    let mut editor = FineTuning::new(settings);
    let correction = Correction { question, reply: "pumpkin".to_owned() };
    let failed = editor.edit(&*model, &correction).unwrap_err();
    assert!(matches!(failed, TuningError::NonFiniteLoss { .. }), "{failed}");
    assert_eq!(editor.bytes(), 0);
}
