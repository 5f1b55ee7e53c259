//! What weights in fewer bits cost, on the golden checkpoints.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use reasonedit_models::{
    BlockType, LoadOptions, LogitsAt, Piece, Sequence, TapName, VisionLanguageModel, WeightType, load,
};

fn open(name: &str, options: &LoadOptions) -> Box<dyn VisionLanguageModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    load(&folder.to_string_lossy(), options).unwrap()
}

/// Logits, and pooled states of both sides, of a picture and some text in two parts.
fn outputs(name: &str, model: &dyn VisionLanguageModel) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name).join("images/1.png");
    let bytes = std::fs::read(path).unwrap();
    let image = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
    let pixels = model.preprocessor().preprocess(&image.image).unwrap();
    let taps: Vec<TapName> = model.info().taps.iter().map(|t| t.name.clone()).collect();
    let features = model.encode_images(&[&pixels, &pixels], &taps).unwrap();
    let first = |logits, keep_cache, pieces| Sequence { past: None, pieces, logits, keep_cache };
    let image = Piece::Image(features[1].clone());
    let prefix = first(LogitsAt::None, true, vec![Piece::Tokens(vec![1, 2]), image]);
    let past = model.run(&[prefix], &taps).unwrap().remove(0);
    let rest = Sequence {
        past: past.cache.map(Arc::new),
        ..first(LogitsAt::From(1), false, vec![Piece::Tokens(vec![3, 4, 5])])
    };
    let other = first(LogitsAt::Last, false, vec![Piece::Tokens(vec![9])]);
    let out = model.run(&[rest, other], &[]).unwrap();
    let merger = features[0].taps.values().last().unwrap().mean.clone();
    [out[0].logits.clone(), out[1].logits.clone(), merger, past.taps.values().last().unwrap().last.clone()]
        .concat()
}

/// Greatest error over the greatest magnitude.
fn error(name: &str, options: &LoadOptions) -> f32 {
    let want = outputs(name, open(name, &LoadOptions::default()).as_ref());
    let got = outputs(name, open(name, options).as_ref());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |a, b| a.max(b.abs()));
    let difference = largest(&mut got.iter().zip(&want).map(|(a, b)| a - b));
    difference / largest(&mut want.iter().copied())
}

/// The checkpoints are stored as bf16: held like that, they give what f32 gives, since the CPU computes in
/// f32 in any case.
#[test]
fn held_in_half_precision_the_numbers_stay() {
    for name in ["qwen3_vl-1", "qwen2_5_vl-3"] {
        let of = |dtype| error(name, &LoadOptions { dtype, ..LoadOptions::default() });
        let (brain, half) = (of(WeightType::Bf16), of(WeightType::F16));
        assert!(brain < 1e-4, "{name}: {brain}");
        assert!(half < 1e-3, "{name}: {half}");
    }
}

/// Found: 0.018 in 8 bits, and 0.53 in 4, which is much because rows of 32 random numbers have one scale and
/// little to average over.
#[test]
fn quantised_layers_are_close() {
    // Of a width that blocks of 32 fit.
    for name in ["qwen2_5_vl-1", "qwen2_5_vl-2"] {
        for (blocks, bound) in [(BlockType::Q8_0, 0.05), (BlockType::Q4K, 0.6)] {
            for dtype in [WeightType::F32, WeightType::Bf16] {
                let options = LoadOptions { dtype, quantize: Some(blocks), ..LoadOptions::default() };
                let model = open(name, &options);
                assert!(model.info().dtype.contains(blocks.name()), "{}", model.info().dtype);
                let found = error(name, &options);
                println!("{name} {} over {dtype:?}: {found:.4}", blocks.name());
                assert!(found > 1e-5 && found < bound, "{name} {}: {found}", blocks.name());
            }
        }
    }
}

/// An image's tokens and taps don't depend on how the language side is held.
#[test]
fn the_vision_side_is_not_quantised() {
    let name = "qwen2_5_vl-1";
    let options = LoadOptions { quantize: Some(BlockType::Q4K), ..LoadOptions::default() };
    let tokens = |model: Box<dyn VisionLanguageModel>| {
        let bytes = (0..24 * 24 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = reasonedit_imaging::RgbImage::from_raw(24, 24, bytes).unwrap();
        let pixels = model.preprocessor().preprocess(&image).unwrap();
        let features = model.encode_images(&[&pixels], &[]).unwrap().remove(0);
        features.tokens.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(tokens(open(name, &options)), tokens(open(name, &LoadOptions::default())));
}
