//! Models for pictures of one fixed size (LLaVA, SigLIP, InstructBLIP): golden checkpoints with transformers'
//! outputs beside them (`tools/reference.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod support;

use std::sync::Arc;

use reasonedit_models::{
    LoadOptions, LogitsAt, ModelError, NnError, Piece, Sequence, VisionLanguageModel, WeightType, load,
};
use support::golden;

/// The published sizes ask for exactly the parameters of transformers' class (`tools/parameter_lists.py`).
/// Those of the models that answer questions are compared in `parity.rs`.
#[test]
fn the_published_siglip_has_the_parameters_we_ask_for() {
    let file = golden("parameters").join("siglip-so400m.json");
    let list: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut asked = reasonedit_models::siglip::parameters(&list["config"]).unwrap();
    asked.sort();
    let lines: Vec<String> = asked.iter().map(|(name, shape)| format!("{name} {shape:?}\n")).collect();
    assert_eq!(asked.len() as u64, list["tensors"].as_u64().unwrap());
    assert_eq!(blake3::hash(lines.concat().as_bytes()).to_hex().as_str(), list["blake3"].as_str().unwrap());
}

/// A model with a Q-Former refuses pictures without an instruction, the others an instruction beside a
/// picture; neither takes the other's features.
#[test]
fn pieces_of_another_model_are_refused() {
    let model = |name: &str| load(&golden(name).to_string_lossy(), &LoadOptions::default()).unwrap();
    let picture = |model: &dyn VisionLanguageModel, name: &str| {
        let bytes = std::fs::read(golden(name).join("images/0.png")).unwrap();
        let image = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
        let pixels = model.preprocessor().preprocess(&image.image).unwrap();
        model.encode_images(&[&pixels], &[]).unwrap().remove(0)
    };
    let run = |model: &dyn VisionLanguageModel, piece: Piece| {
        let sequence =
            Sequence { past: None, pieces: vec![piece], logits: LogitsAt::Last, keep_cache: false };
        model.run(&[sequence], &[]).map(|_| ())
    };
    let (llava, instructed) = (model("llava-1"), model("instructblip-1"));
    let (of_llava, of_instructed) = (picture(&*llava, "llava-1"), picture(&*instructed, "instructblip-1"));
    let instruction: Arc<[u32]> = vec![2, 5, 3].into();
    run(&*llava, Piece::Image(of_llava.clone())).unwrap();
    run(&*instructed, Piece::Instructed(of_instructed.clone(), instruction.clone())).unwrap();
    for (model, piece) in [
        (&llava, Piece::Instructed(of_llava.clone(), instruction.clone())),
        (&llava, Piece::Image(of_instructed.clone())),
        (&instructed, Piece::Image(of_instructed.clone())),
        (&instructed, Piece::Instructed(of_llava, instruction)),
        (&instructed, Piece::Instructed(of_instructed.clone(), Vec::new().into())),
        (&instructed, Piece::Instructed(of_instructed.clone(), vec![9999].into())),
        (&instructed, Piece::Instructed(of_instructed, vec![1; 41].into())),
    ] {
        assert!(matches!(run(&**model, piece), Err(ModelError::Network(NnError::Shape(_)))));
    }
}

/// Weights held in half precision: close, not equal.
#[test]
fn half_precision_is_close() {
    for name in ["llava-1", "instructblip-1"] {
        let logits = |dtype: WeightType| {
            let options = LoadOptions { dtype, ..LoadOptions::default() };
            let model = load(&golden(name).to_string_lossy(), &options).unwrap();
            let bytes = std::fs::read(golden(name).join("images/1.png")).unwrap();
            let image =
                reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
            let pixels = model.preprocessor().preprocess(&image.image).unwrap();
            let features = model.encode_images(&[&pixels], &[]).unwrap().remove(0);
            let prompt = model.tokenizer().render(1, "Is it round?").unwrap();
            let mut pieces =
                prompt.prefix_pieces(|_| Ok::<_, std::convert::Infallible>(features.clone())).unwrap();
            pieces.push(Piece::Tokens(prompt.suffix));
            let sequence = Sequence { past: None, pieces, logits: LogitsAt::From(0), keep_cache: false };
            model.run(&[sequence], &[]).unwrap().remove(0).logits
        };
        let want = logits(WeightType::F32);
        let scale = want.iter().fold(0f32, |a, b| a.max(b.abs()));
        for (dtype, tolerance) in [(WeightType::Bf16, 0.05), (WeightType::F16, 0.01)] {
            let got = logits(dtype);
            let worst = got.iter().zip(&want).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
            assert!(worst / scale < tolerance, "{name} {dtype:?}: {}", worst / scale);
        }
    }
}
