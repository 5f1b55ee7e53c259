use std::sync::Arc;

use candle_core::Device;
use reasonedit_imaging::RgbImage;
use reasonedit_models::LoadOptions;

use super::*;

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

fn irrelevant() -> Vec<Question> {
    ["How many lights are on?", "What shape is on the left?", "Is there a red circle?"]
        .iter()
        .zip(11..)
        .map(|(text, seed)| question(seed, text))
        .collect()
}

fn correction(seed: u8, text: &str, reply: &str) -> Correction {
    Correction { question: question(seed, text), reply: reply.to_owned() }
}

#[test]
fn an_edit_takes_other_questions_are_kept_away_and_a_restored_editor_is_the_same() {
    let model = demo();
    let edit = correction(3, "What is this specimen called?", "pumpkin");
    let settings = WiseSettings::default();
    let other = irrelevant().remove(1);
    let mut editor = Wise::new(settings, irrelevant());
    let before = editor.answer(&*model, &other).unwrap();
    assert!(!before.rejected && editor.bytes() == 0);
    editor.edit(&*model, &edit).unwrap();
    let answer = editor.answer(&*model, &edit.question).unwrap();
    assert_eq!((answer.text.as_str(), answer.rejected), ("pumpkin", false));
    let kept = editor.answer(&*model, &other).unwrap();
    assert_eq!((kept.text, kept.rejected), (before.text, true));

    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    let mut again = Wise::new(settings, irrelevant());
    again.restore(&*model, folder.path()).unwrap();
    assert_eq!(again.bytes(), editor.bytes());
    let next = correction(7, "Which fruit is it?", "square");
    for editor in [&mut editor, &mut again] {
        editor.edit(&*model, &next).unwrap();
    }
    let generated = Question { choices: Vec::new(), ..next.question };
    let answers = [&editor, &again].map(|editor| editor.answer(&*model, &generated).unwrap());
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].text.starts_with("square"), "{}", answers[0].text);
}

#[test]
fn a_shard_changes_its_share_of_the_weights_and_full_ones_are_merged() {
    let model = demo();
    let settings = WiseSettings { shard_edits: 1, steps: 3, threshold: 0.0, ..WiseSettings::default() };
    let mut editor = Wise::new(settings, irrelevant());
    for (seed, text) in [(3, "What is this?"), (5, "Which colour?"), (7, "What is on the left?")] {
        editor.edit(&*model, &correction(seed, text, "square")).unwrap();
    }
    // Two of them are one side memory, the third waits for a fourth.
    let size = |memory: &Memory| memory.delta.elem_count() as f64;
    let changed = |memory: &Memory| {
        let values: Vec<f32> = memory.delta.flatten_all().unwrap().to_vec1().unwrap();
        values.iter().filter(|value| **value != 0.0).count() as f64 / size(memory)
    };
    let memories: Vec<&Memory> = editor.memories.all().collect();
    assert_eq!(memories.iter().map(|memory| memory.edits).collect::<Vec<_>>(), [2, 1]);
    assert!((changed(memories[1]) - 0.2).abs() < 0.01, "{}", changed(memories[1]));
    // Changed by either, 1 - 0.8², less where they disagree.
    assert!((0.3..0.361).contains(&changed(memories[0])), "{}", changed(memories[0]));
    assert_eq!(editor.memories.edits(), 3);
    assert!(memories.iter().all(|memory| memory.least.is_finite() && memory.least > 0.0));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let model = demo();
    let settings = WiseSettings { mask_ratio: 1.0, ..WiseSettings::default() };
    let editor = Wise::new(settings, irrelevant());
    let layers = editor.layers(&*model).unwrap();
    let edit = correction(3, "What is this specimen called?", "pumpkin");
    let objective = editor.objective(&*model, &layers, &edit).unwrap();
    let shape = layers.below.shape(Projection::Down);
    // Always the same: between two numbers of chance a margin may lie, where there is no slope.
    let scattered = |scale: f64, offset: f64| {
        let count = shape.0 * shape.1;
        let values =
            (0..count).map(|i| (scale * (f64::sin(offset + 12.9898 * i as f64) * 43758.545).fract()) as f32);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
    };
    let (delta, direction) = (scattered(0.01, 0.0), scattered(1.0, 0.5));
    let ones = Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let at = |step: f64| {
        let delta = (&delta + (&direction * step).unwrap()).unwrap();
        objective.evaluate(&editor.settings, &layers, &delta).unwrap()
    };
    let (_, gradient) = at(0.0);
    let slope = (gradient().unwrap() * &ones * &direction).unwrap().sum_all().unwrap();
    let slope = f64::from(slope.to_scalar::<f32>().unwrap());
    let step = 1e-3;
    let wanted = (at(step).0 - at(-step).0) / (2.0 * step);
    assert!((slope - wanted).abs() < 0.02 * wanted.abs().max(1.0), "{slope} {wanted}");
}

#[test]
fn a_question_goes_where_its_activation_is_largest_and_large_enough() {
    let device = Device::Cpu;
    let memory = |value: f32, least: f64| {
        let delta = Tensor::full(value, (2, 4), &device).unwrap();
        Memory { delta, least, edits: 1 }
    };
    let settings = WiseSettings { shard_edits: 1, shards: 9, ..WiseSettings::default() };
    let mut memories = Memories::default();
    // Activations of (1, 0) are twice the values.
    memories.put(memory(1.0, 2.0), &settings).unwrap();
    memories.put(memory(3.0, 10.0), &settings).unwrap();
    memories.put(memory(2.0, 4.0), &settings).unwrap();
    let inner = Tensor::new(&[[1f32, 0.0]], &device).unwrap();
    let least = |threshold: f64| memories.route(&inner, threshold).unwrap().map(|memory| memory.least);
    assert_eq!([least(1.0), least(0.5), least(1.1)], [Some(4.0), Some(10.0), None]);
}

#[test]
fn a_loss_that_is_no_number_leaves_the_editor_as_it_was() {
    let model = demo();
    let settings =
        WiseSettings { learning_rate: 1e30, weight_bound: f64::INFINITY, ..WiseSettings::default() };
    let mut editor = Wise::new(settings, irrelevant());
    let failed = editor.edit(&*model, &correction(3, "What is this?", "pumpkin")).unwrap_err();
    assert!(matches!(failed, TuningError::NonFiniteLoss { .. }), "{failed}");
    assert_eq!((editor.bytes(), editor.memories.edits()), (0, 0));
}

#[test]
fn the_layer_is_as_deep_as_published_and_has_one_above_it() {
    let published = WiseSettings::published();
    assert_eq!(
        [1, 2, 6, 32, 36].map(|layers| published.layer(layers)),
        [None, Some(0), Some(4), Some(27), Some(30)]
    );
    let last = WiseSettings { depth: 1.0, ..published };
    assert_eq!(last.layer(6), Some(4));
}
