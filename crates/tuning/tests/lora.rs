//! LoRA on the demo model.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::sync::Arc;

use reasonedit_imaging::RgbImage;
use reasonedit_models::{Cut, LoadOptions, Projection, Unadapted, VisionLanguageModel};
use reasonedit_tuning::{
    Correction, EditingMethod, Lora, LoraSettings, Prompt, Question, TuningError, reply_log_likelihoods,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");

fn demo() -> Box<dyn VisionLanguageModel> {
    reasonedit_models::load(DEMO, &LoadOptions::default()).unwrap()
}

fn question(seed: u8) -> Question {
    let colours = |x: u32, y: u32| [(x as u8).wrapping_mul(seed), y as u8 * 2, 90 + seed].into();
    let picture = Arc::new(RgbImage::from_fn(96, 64, colours).into());
    let choices = ["pumpkin", "square", "triangle"].map(str::to_owned).to_vec();
    Question { picture, text: "What is this specimen called?".into(), choices }
}

fn correction(seed: u8, reply: &str) -> Correction {
    Correction { question: question(seed), reply: reply.to_owned() }
}

fn bits(model: &dyn VisionLanguageModel) -> Vec<u64> {
    let question = question(3);
    let suffix = model.differentiable(Cut::Layer(0)).unwrap();
    let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut()).unwrap();
    let all = reply_log_likelihoods(model, &suffix, &prompt, &question.choices, &Unadapted).unwrap();
    all.into_iter().map(f64::to_bits).collect()
}

#[test]
fn edits_take_one_after_another_are_kept_and_leave_the_model_as_it_was() {
    let model = demo();
    let before = bits(&*model);
    let mut editor = Lora::new(LoraSettings::default());
    let said = |editor: &Lora, seed| editor.answer(&*model, &question(seed)).unwrap().text;
    editor.edit(&*model, &correction(3, "pumpkin")).unwrap();
    assert_eq!(said(&editor, 3), "pumpkin");
    let first = editor.bytes();
    editor.edit(&*model, &correction(5, "triangle")).unwrap();
    assert_eq!(said(&editor, 5), "triangle");
    // One adapter for all edits: rank 8, (inputs + outputs) of four projections of every layer.
    assert_eq!(editor.bytes(), first);
    assert!(editor.adapter().0.keys().all(|(_, projection)| *projection < Projection::Gate));
    assert!(editor.adapter().0.values().all(|factors| factors.rank() == 8 && factors.scale == 4.0));
    assert_eq!(bits(&*model), before);

    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    let mut again = Lora::new(LoraSettings::default());
    again.restore(&*model, folder.path()).unwrap();
    let generated = |editor: &Lora| {
        let question = Question { choices: Vec::new(), ..question(5) };
        editor.answer(&*model, &question).unwrap()
    };
    assert_eq!(generated(&again), generated(&editor));
    again.edit(&*model, &correction(7, "square")).unwrap();
    let mut other = Lora::new(LoraSettings { rank: 4, ..LoraSettings::default() });
    assert!(matches!(other.restore(&*model, folder.path()), Err(TuningError::File { .. })));
}

#[test]
fn an_editor_without_edits_is_the_model_and_is_kept_too() {
    let model = demo();
    let mut editor = Lora::new(LoraSettings::default());
    assert_eq!(editor.bytes(), 0);
    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    editor.restore(&*model, folder.path()).unwrap();
    assert_eq!(editor.bytes(), 0);
}

#[test]
fn a_loss_that_is_no_number_leaves_the_factors_of_before() {
    let model = demo();
    let mut editor = Lora::new(LoraSettings { learning_rate: 1e30, ..LoraSettings::default() });
    let failed = editor.edit(&*model, &correction(3, "pumpkin")).unwrap_err();
    assert!(matches!(failed, TuningError::NonFiniteLoss { .. }), "{failed}");
    assert_eq!(editor.bytes(), 0);
    let mut nothing = Lora::new(LoraSettings { rank: 0, ..LoraSettings::default() });
    assert!(matches!(nothing.edit(&*model, &correction(3, "pumpkin")), Err(TuningError::Setting(_))));
}
