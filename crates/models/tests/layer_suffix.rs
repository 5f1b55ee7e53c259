//! The layers above a layer as a function of one hidden state: equal to the whole model at the model's own
//! state, with the derivative that small steps have.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use reasonedit_models::{
    KvCache, LoadOptions, LogitsAt, Piece, Sequence, TapName, VisionLanguageModel, WeightType, load,
};

fn model(name: &str, dtype: WeightType) -> Box<dyn VisionLanguageModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    load(&folder.to_string_lossy(), &LoadOptions { dtype, ..LoadOptions::default() }).unwrap()
}

/// Keys and values of a prompt with a picture.
fn past(model: &dyn VisionLanguageModel, name: &str) -> Arc<KvCache> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name).join("images/1.png");
    let bytes = std::fs::read(file).unwrap();
    let image = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
    let pixels = model.preprocessor().preprocess(&image.image).unwrap();
    let features = model.encode_images(&[&pixels], &[]).unwrap().remove(0);
    let pieces = vec![Piece::Tokens(vec![1, 2]), Piece::Image(features), Piece::Tokens(vec![6, 7])];
    let prefix = Sequence { past: None, pieces, logits: LogitsAt::None, keep_cache: true };
    Arc::new(model.run(&[prefix], &[]).unwrap().remove(0).cache.unwrap())
}

fn text(past: &Arc<KvCache>, tokens: &[u32]) -> Sequence {
    let pieces = vec![Piece::Tokens(tokens.to_vec())];
    Sequence { past: Some(Arc::clone(past)), pieces, logits: LogitsAt::From(0), keep_cache: false }
}

fn layers(model: &dyn VisionLanguageModel) -> usize {
    model.info().taps.iter().filter(|tap| tap.name.0.starts_with("language.")).count() - 1
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()))
}

#[test]
fn the_own_state_gives_what_the_whole_model_gives() {
    for name in ["qwen3_vl-1", "qwen3_vl-2", "qwen3_vl-3"] {
        let model = model(name, WeightType::F32);
        let past = past(&*model, name);
        let sequence = text(&past, &[3, 4, 5]);
        let want = model.run(std::slice::from_ref(&sequence), &[]).unwrap().remove(0).logits;
        for layer in 0..layers(&*model) {
            let suffix = model.forward_from_layer(layer, &sequence).unwrap();
            assert!(worst(&suffix.logits(suffix.after()).unwrap(), &want) < 1e-4, "{name}, layer {layer}");
            // Nothing of a call is left behind for the next.
            let other: Vec<f32> = suffix.after().iter().map(|x| x + 1.0).collect();
            let moved = suffix.logits(&other).unwrap();
            assert!(worst(&moved, &want) > 1e-3, "{name}, layer {layer}");
            assert!(worst(&suffix.logits(suffix.after()).unwrap(), &want) < 1e-4);
        }
    }
}

#[test]
fn states_are_those_of_the_taps() {
    let name = "qwen3_vl-2";
    let model = model(name, WeightType::F32);
    let past = past(&*model, name);
    let names: Vec<TapName> =
        (0..layers(&*model)).map(|layer| TapName(format!("language.{layer}"))).collect();
    let sequence = text(&past, &[3]);
    let taps = model.run(std::slice::from_ref(&sequence), &names).unwrap().remove(0).taps;
    for layer in 1..names.len() {
        let suffix = model.forward_from_layer(layer, &sequence).unwrap();
        assert!(worst(suffix.before(), &taps[&names[layer - 1]].last) < 1e-5);
        assert!(worst(suffix.after(), &taps[&names[layer]].last) < 1e-5);
    }
}

#[test]
fn the_gradient_is_the_slope() {
    for name in ["qwen3_vl-1", "qwen3_vl-3"] {
        let model = model(name, WeightType::F32);
        let past = past(&*model, name);
        let targets = [9, 2, 11];
        for layer in 0..layers(&*model) {
            let suffix = model.forward_from_layer(layer, &text(&past, &[3, 4, 5])).unwrap();
            let state = suffix.after();
            let (loss, gradient) = suffix.loss(state, &targets).unwrap();
            let logits = suffix.logits(state).unwrap();
            let rows = logits.chunks_exact(model.info().vocabulary).zip(targets);
            let nats = rows.map(|(row, target)| {
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                sum.ln() - f64::from(row[target as usize])
            });
            assert!((f64::from(loss) - nats.sum::<f64>() / 3.0).abs() < 1e-4);
            // Along the gradient, and along a direction that has nothing to do with it.
            let other: Vec<f32> = (0..state.len()).map(|i| ((i * 37 % 11) as f32 - 5.0) / 5.0).collect();
            for direction in [&gradient, &other] {
                let length = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
                let at = |step: f32| {
                    let moved: Vec<f32> =
                        state.iter().zip(direction).map(|(x, d)| x + step * d / length).collect();
                    suffix.loss(&moved, &targets).unwrap().0
                };
                let scale = state.iter().map(|x| x * x).sum::<f32>().sqrt();
                let step = 0.01 * scale;
                let slope = (at(step) - at(-step)) / (2.0 * step);
                let want = gradient.iter().zip(direction).map(|(g, d)| g * d / length).sum::<f32>();
                let whole = gradient.iter().map(|x| x * x).sum::<f32>().sqrt();
                assert!(whole > 0.0, "{name}, layer {layer}: no gradient");
                assert!((slope - want).abs() < 0.02 * whole, "{name}, layer {layer}: {slope} for {want}");
            }
        }
    }
}

#[test]
fn half_precision_has_a_gradient_too() {
    let name = "qwen3_vl-1";
    let [exact, rounded] = [WeightType::F32, WeightType::Bf16].map(|dtype| {
        let model = model(name, dtype);
        let past = past(&*model, name);
        let suffix = model.forward_from_layer(0, &text(&past, &[3, 4])).unwrap();
        suffix.loss(suffix.after(), &[9, 2]).unwrap().1
    });
    let length = exact.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!(worst(&exact, &rounded) < 0.1 * length);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    fn refused<E: Display>(result: Result<(), E>, what: &str) {
        match result {
            Err(error) => assert!(error.to_string().contains(what), "{error}"),
            Ok(()) => panic!("{what} was taken"),
        }
    }

    let name = "qwen3_vl-1";
    let model = model(name, WeightType::F32);
    let past = past(&*model, name);
    let layers = layers(&*model);
    refused(model.forward_from_layer(layers, &text(&past, &[3])).map(drop), "decoder layer");
    let above_of = text(&past, &[3, 4]);
    let suffix = model.forward_from_layer(0, &above_of).unwrap();
    refused(suffix.logits(&[1.0]).map(drop), "width");
    refused(suffix.loss(suffix.after(), &[1]).map(drop), "targets");
    refused(suffix.loss(suffix.after(), &[1, u32::MAX]).map(drop), "targets");
}
