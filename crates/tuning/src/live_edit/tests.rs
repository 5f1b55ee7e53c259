use candle_core::{Device, Tensor, Var};
use reasonedit_models::VisionLanguageModel;

use super::attention::{Attention, Norm, Padded, softmax};
use super::repository::Experts;
use super::*;
use crate::training_case::ParameterStore;
use crate::training_case::fixtures::{cases, correction, demo, question};

fn quick() -> LiveEditSettings {
    LiveEditSettings {
        module_width: Some(32),
        heads: 4,
        learning_rate: 3e-3,
        steps: 60,
        batch: 4,
        ..LiveEditSettings::default()
    }
}

fn random(shape: &[usize], seed: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| ((at as f64 + seed) * 1.7).sin() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn sequences_attend_together_as_alone() {
    let mut store = ParameterStore::fresh(1);
    let attention = Attention::new(&mut store, "a", (8, 12), (8, 16), 4).unwrap();
    let norm = Norm::new(&mut store, "n", 12).unwrap();
    let (asking, short, long) = (random(&[1, 3, 8], 0.0), random(&[4, 12], 1.0), random(&[7, 12], 2.0));
    let of = |all: &[Tensor]| {
        attention.forward(&asking, &Padded::new(all).unwrap().normalised(&norm).unwrap()).unwrap()
    };
    let together = of(&[short.clone(), long.clone()]);
    assert_eq!(together.dims(), [2, 3, 16]);
    for (at, alone) in [of(&[short]), of(&[long])].iter().enumerate() {
        assert!(gap(&together.get(at).unwrap(), &alone.get(0).unwrap()) < 1e-6);
    }
}

#[test]
fn the_softmax_has_its_gradient() {
    let x = Var::from_tensor(&random(&[2, 5], 0.3)).unwrap();
    let toward = random(&[2, 5], 4.0);
    let value = |x: &Tensor| -> f64 {
        let sum = (softmax(x).unwrap() * &toward).unwrap().sum_all().unwrap();
        f64::from(sum.to_scalar::<f32>().unwrap())
    };
    let loss = (softmax(x.as_tensor()).unwrap() * &toward).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let gradient: Vec<f32> = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    for (at, found) in gradient.iter().enumerate() {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[at] += by;
            value(&Tensor::from_vec(values, (2, 5), &Device::Cpu).unwrap())
        };
        let wanted = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((f64::from(*found) - wanted).abs() < 1e-3, "{found} {wanted}");
    }
}

fn expert(number: usize) -> Experts {
    let of = |rows: usize, width: usize, part: f64| random(&[1, rows, width], number as f64 + part);
    Experts {
        textual: of(4, 32, 0.1),
        visual: of(4, 32, 0.2),
        inwards: of(4, 256, 0.3),
        outwards: of(4, 256, 0.4),
    }
}

#[test]
fn experts_keep_their_numbers_however_they_are_joined_and_read() {
    let mut repository = ExpertRepository::default();
    for number in 0..11 {
        repository.push(expert(number)).unwrap();
    }
    let check = |repository: &ExpertRepository| {
        let visual: Vec<&Tensor> = repository.visual().collect();
        let visual = Tensor::cat(&visual, 0).unwrap();
        assert_eq!(visual.dim(0).unwrap(), 11);
        for chosen in [vec![0], vec![10], vec![1, 4, 7, 8, 9, 10]] {
            let found = repository.of(&chosen).unwrap();
            for (at, number) in chosen.iter().enumerate() {
                let own = expert(*number as usize);
                assert!(gap(&found.outwards.get(at).unwrap(), &own.outwards.get(0).unwrap()) == 0.0);
                assert!(gap(&visual.get(*number as usize).unwrap(), &own.visual.get(0).unwrap()) == 0.0);
            }
        }
    };
    check(&repository);
    let folder = tempfile::tempdir().unwrap();
    repository.write(folder.path()).unwrap();
    let dimensions = quick().dimensions(256).unwrap();
    let read = ExpertRepository::read(folder.path(), &dimensions).unwrap();
    check(&read);
    assert_eq!(read.bytes(), repository.bytes());
    let other = LiveEditSettings { rank: 2, ..quick() }.dimensions(256).unwrap();
    assert!(ExpertRepository::read(folder.path(), &other).is_err());
}

#[test]
fn weights_are_by_text_and_what_experts_add_is_their_weighted_sum() {
    let dimensions = quick().dimensions(256).unwrap();
    let network = Network::fresh(&mut ParameterStore::fresh(1), dimensions).unwrap();
    let mut repository = ExpertRepository::default();
    repository.push(expert(0)).unwrap();
    repository.push(expert(1)).unwrap();
    let both = repository.of(&[0, 1]).unwrap();
    let weights = network.text_weights(&random(&[5, 256], 9.0), &both.textual).unwrap();
    let of = weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    // A softmax's shares, each of them cut by a sigmoid.
    assert!(of.iter().all(|own| *own > 0.0) && of.iter().sum::<f32>() < 1.0);

    let state = random(&[3, 256], 5.0);
    let rows = weights.broadcast_as((3, 2)).unwrap().contiguous().unwrap();
    let together = network.residual(&state, &both, &rows).unwrap();
    let mut sum = state.zeros_like().unwrap();
    for (at, own) in of.iter().enumerate() {
        let alone = repository.of(&[at as u32]).unwrap();
        let one = Tensor::full(*own, (3, 1), &Device::Cpu).unwrap();
        sum = (sum + network.residual(&state, &alone, &one).unwrap()).unwrap();
    }
    assert!(gap(&together, &sum) < 1e-4);
}

#[test]
fn edits_take_are_kept_apart_and_outlast_the_program_and_leave_the_model_alone() {
    let model = demo();
    let bits = |model: &dyn VisionLanguageModel| -> Vec<u32> {
        let suffix = model.differentiable(Cut::Layer(0)).unwrap();
        let places =
            (0..suffix.layers()).flat_map(|layer| reasonedit_models::Projection::ALL.map(|p| (layer, p)));
        let values =
            |(layer, p)| suffix.weight(layer, p).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        places.flat_map(values).map(f32::to_bits).collect()
    };
    let before = bits(&*model);
    let network = LiveEditNetwork::train(&*model, &cases(6), &quick(), &|_, _| {}).unwrap();
    let losses = &network.curves().curves["edit"];
    assert!(losses.last() < losses.first(), "{losses:?}");
    let network = Arc::new(network);

    let mut editor = LiveEditExperts::new(Arc::clone(&network));
    let asked = question(1, "What is this specimen called?");
    let nothing = editor.answer(&*model, &asked).unwrap();
    assert!(nothing.rejected && nothing.used.is_empty());
    editor.edit(&*model, &correction(1, "What is this specimen called?")).unwrap();
    let one = editor.experts.of(&[0]).unwrap();
    editor.edit(&*model, &correction(2, "What is this specimen called?")).unwrap();
    let still = editor.experts.of(&[0]).unwrap();
    assert!(gap(&one.inwards, &still.inwards) == 0.0);
    let answer = editor.answer(&*model, &asked).unwrap();
    assert!(answer.used.contains(&0) && !answer.rejected, "{answer:?}");
    assert_eq!(answer.text, "square");
    assert_eq!(bits(&*model), before);

    let folder = tempfile::tempdir().unwrap();
    editor.save(folder.path()).unwrap();
    let mut again = LiveEditExperts::new(network);
    again.restore(&*model, folder.path()).unwrap();
    assert_eq!(again.answer(&*model, &asked).unwrap(), answer);
}

#[test]
fn an_edit_that_is_no_number_leaves_everything_as_it_was() {
    let model = demo();
    let settings = LiveEditSettings { steps: 1, ..quick() };
    let network = LiveEditNetwork::train(&*model, &cases(4), &settings, &|_, _| {}).unwrap();
    let mut tensors = network.network.tensors().clone();
    let broken = tensors["inwards.queries"].affine(f64::NAN, 0.0).unwrap();
    tensors.insert("inwards.queries".into(), broken);
    let dimensions = settings.dimensions(256).unwrap();
    let network = Network::trained(tensors, dimensions).unwrap();
    let network = LiveEditNetwork { network, settings, curves: LossCurves::default() };
    let mut editor = LiveEditExperts::new(Arc::new(network));
    let failed = editor.edit(&*model, &correction(1, "What is this specimen called?"));
    assert!(matches!(failed, Err(TuningError::NonFiniteLoss { .. })), "{failed:?}");
    assert!(editor.experts.is_empty());
}

#[test]
fn depth_and_widths_that_can_not_be_are_refused() {
    let model = demo();
    let suffix = LiveEditSettings::default().suffix(&*model).unwrap();
    // Layer 21 of 32 is the fourth of six.
    assert_eq!(suffix.cut(), Cut::Layer(4));
    assert!(LiveEditSettings { depth: 1.0, ..quick() }.suffix(&*model).is_err());
    assert_eq!(LiveEditSettings::default().dimensions(256).unwrap().module, 128);
    assert_eq!(LiveEditSettings::default().dimensions(4096).unwrap().module, 1024);
    assert!(LiveEditSettings { heads: 3, ..quick() }.dimensions(256).is_err());
}
