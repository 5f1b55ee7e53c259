use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use reasonedit_models::Projection;
use reasonedit_models::{Unadapted, VisionLanguageModel};
use serde_json::json;

use super::factors::Factors;
use super::*;
use crate::feed_forward::MATRICES;
use crate::loss::cross_entropy;
use crate::training_case::ParameterStore;
use crate::training_case::fixtures::{cases, correction, demo, question};

fn quick() -> MendSettings {
    MendSettings { rank: 16, learning_rate: 1e-4, edit_rate: 1e-3, steps: 60, ..MendSettings::default() }
}

fn trained(model: &dyn VisionLanguageModel) -> Arc<MendNetwork> {
    Arc::new(MendNetwork::train(model, &cases(6), &quick(), &|_, _| {}).unwrap())
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn factors_multiply_to_the_gradient_of_the_weights() {
    let model = demo();
    let suffix = last_suffix(&*model).unwrap();
    let layer = suffix.cut().layer();
    let correction = correction(1, "What is this?");
    let prompt =
        Prompt::new(&*model, &correction.question.picture, &correction.question.text, suffix.cut()).unwrap();
    let example = prompt.example(&*model, "a violet square").unwrap();
    let found = factors(&suffix, &example, &WeightPatch::default()).unwrap();

    let variables = MATRICES.map(|p| Var::from_tensor(&suffix.weight(layer, p).unwrap()).unwrap());
    let places = MATRICES.iter().zip(&variables).map(|(p, v)| ((layer, *p), v.as_tensor().clone()));
    let loss = cross_entropy(&suffix, &[&example], &WeightPatch(places.collect())).unwrap();
    let gradients = loss.backward().unwrap();
    for (projection, variable) in MATRICES.iter().zip(&variables) {
        let Factors { inputs, gradients: outputs } = &found[projection];
        assert_eq!(inputs.dim(0).unwrap(), example.targets.len());
        let product = outputs.t().unwrap().matmul(inputs).unwrap();
        let wanted = gradients.get(variable).unwrap();
        assert!(gap(&product, wanted) < 1e-5, "{projection:?}");
    }
}

#[test]
fn an_untrained_network_passes_normalised_factors_on_and_what_is_pending_is_what_is_made() {
    let model = demo();
    let suffix = last_suffix(&*model).unwrap();
    let layer = suffix.cut().layer();
    let correction = correction(2, "What is this?");
    let prompt =
        Prompt::new(&*model, &correction.question.picture, &correction.question.text, suffix.cut()).unwrap();
    let example = prompt.example(&*model, "a violet square").unwrap();
    let factors = factors(&suffix, &example, &WeightPatch::default()).unwrap();
    let statistics = network::statistics(std::iter::once(&factors)).unwrap();
    let shapes = Shapes::of(&suffix);
    let transform =
        Transform::fresh(&mut ParameterStore::fresh(3), shapes, 16, 0.5, statistics.clone()).unwrap();
    let updates = transform.updates(&factors).unwrap();
    let (mean, deviation) = &statistics["narrow"];
    let down = &factors[&Projection::Down];
    let both = Tensor::cat(&[&down.inputs, &down.gradients], 1).unwrap();
    let z = both.broadcast_sub(mean).unwrap().broadcast_div(&(deviation + 1e-7).unwrap()).unwrap();
    let inputs = down.inputs.dim(1).unwrap();
    // With U at 0 the network is the identity, plus what its offsets of 0 add: nothing.
    assert!(gap(&updates[&Projection::Down].inputs, &z.narrow(1, 0, inputs).unwrap()) < 1e-6);
    let width = z.dim(1).unwrap() - inputs;
    let half = (z.narrow(1, inputs, width).unwrap() * 0.5).unwrap();
    assert!(gap(&updates[&Projection::Down].outputs, &half) < 1e-6);

    let scaled = Transform::fresh(&mut ParameterStore::fresh(3), shapes, 16, 1e-3, statistics).unwrap();
    let updates = scaled.updates(&factors).unwrap();
    let mut made = BTreeMap::new();
    for (projection, update) in &updates {
        let own = suffix.weight(layer, *projection).unwrap();
        made.insert((layer, *projection), (own - update.matrix().unwrap()).unwrap());
    }
    let pending = suffix.logits(&[&example.states], &training::Pending { layer, updates }).unwrap();
    let made = suffix.logits(&[&example.states], &WeightPatch(made)).unwrap();
    let before = suffix.logits(&[&example.states], &Unadapted).unwrap();
    assert!(gap(&pending, &made) < 1e-3 && gap(&before, &made) > 1e-2);
}

#[test]
fn edits_take_add_up_and_outlast_the_program_and_leave_the_model_alone() {
    let model = demo();
    let suffix = last_suffix(&*model).unwrap();
    let layer = suffix.cut().layer();
    let bits = |model: &dyn VisionLanguageModel| -> Vec<u32> {
        let weights = MATRICES.map(|p| model.differentiable(suffix.cut()).unwrap().weight(layer, p).unwrap());
        let all = weights.iter().flat_map(|w| w.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        all.map(f32::to_bits).collect()
    };
    let before = bits(&*model);
    let network = trained(&*model);
    let losses = &network.curves().curves["edit"];
    assert!(losses.last() < losses.first(), "{losses:?}");

    let mut editor = Mend::new(Arc::clone(&network));
    let asked = question(1, "What is this specimen called?");
    editor.edit(&*model, &correction(1, "What is this specimen called?")).unwrap();
    assert_eq!(editor.answer(&*model, &asked).unwrap().text, "square");
    let one = editor.weights.clone();
    editor.edit(&*model, &correction(2, "What is this specimen called?")).unwrap();
    for (place, weight) in &editor.weights.0 {
        assert!(gap(weight, &one.0[place]) > 0.0, "{place:?}");
    }
    assert_eq!(bits(&*model), before);

    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    let mut again = Mend::new(network);
    again.restore(&*model, folder.path()).unwrap();
    for (place, weight) in &editor.weights.0 {
        assert!(gap(weight, &again.weights.0[place]) == 0.0);
    }
    assert_eq!(again.answer(&*model, &asked).unwrap(), editor.answer(&*model, &asked).unwrap());
    assert!(editor.bytes() > 1_000_000);
}

#[test]
fn a_network_is_the_same_for_the_same_seed_and_refused_for_another_model() {
    let model = demo();
    let short = MendSettings { steps: 3, ..quick() };
    let train = || MendNetwork::train(&*model, &cases(4), &short, &|_, _| {}).unwrap();
    let (network, again) = (train(), train());
    for (name, tensor) in network.transform.tensors() {
        assert!(gap(&tensor, &again.transform.tensors()[&name]) == 0.0, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.safetensors");
    let origin = NetworkOrigin {
        editor: "mend".into(),
        model: "one".into(),
        training: "records".into(),
        settings: json!(short),
    };
    network.write(&path, &origin).unwrap();
    let read = MendNetwork::read(&*model, &path, &origin, &short).unwrap();
    assert_eq!(read.curves(), network.curves());
    for (name, tensor) in network.transform.tensors() {
        assert!(gap(&tensor, &read.transform.tensors()[&name]) == 0.0, "{name}");
    }
    for (other, said) in [
        (NetworkOrigin { model: "two".into(), ..origin.clone() }, "two"),
        (NetworkOrigin { training: "others".into(), ..origin.clone() }, "other records"),
    ] {
        let error = MendNetwork::read(&*model, &path, &other, &short).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = MendNetwork::train(&*model, &cases(2), &short, &|_, _| {}).err().unwrap().to_string();
    assert!(error.contains("at least 4"), "{error}");
}

#[test]
fn an_edit_that_is_no_number_leaves_everything_as_it_was() {
    let model = demo();
    let network = trained(&*model);
    let mut tensors = network.transform.tensors();
    tensors.insert("rates".into(), Tensor::full(f32::INFINITY, 3, &Device::Cpu).unwrap());
    let shapes = Shapes::of(&last_suffix(&*model).unwrap());
    let transform = Transform::trained(tensors, shapes, 16).unwrap();
    let mut editor = Mend::new(Arc::new(MendNetwork { transform, curves: LossCurves::default() }));
    let failed = editor.edit(&*model, &correction(1, "What is this specimen called?"));
    assert!(matches!(failed, Err(TuningError::NonFiniteLoss { .. })), "{failed:?}");
    assert!(editor.weights.0.is_empty());
}
