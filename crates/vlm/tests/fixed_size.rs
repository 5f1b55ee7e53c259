//! Models for pictures of one fixed size (LLaVA, SigLIP, InstructBLIP): golden checkpoints with transformers' outputs beside them
//! (`tools/reference.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_vlm::check::{TOLERANCE, check};
use reasonedit_vlm::siglip::Siglip;
use reasonedit_vlm::{
    LoadOptions, LogitsAt, Piece, Sequence, VisionLanguageModel, VlmError, WeightType, load,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn assert_equal_to_reference(name: &str) {
    let report = check(&golden(name)).unwrap();
    assert!(report.passes(), "{name}: {report:#?}");
    assert!(report.taps.len() > 3 && report.taps.iter().all(|(_, error)| *error <= TOLERANCE));
}

#[test]
fn llava_1_equals_transformers() {
    assert_equal_to_reference("llava-1");
}

#[test]
fn llava_2_equals_transformers() {
    assert_equal_to_reference("llava-2");
}

#[test]
fn llava_3_equals_transformers() {
    assert_equal_to_reference("llava-3");
}

#[test]
fn siglip_1_equals_transformers() {
    assert_equal_to_reference("siglip-1");
}

#[test]
fn siglip_2_equals_transformers() {
    assert_equal_to_reference("siglip-2");
}

#[test]
fn siglip_3_equals_transformers() {
    assert_equal_to_reference("siglip-3");
}

#[test]
fn instructblip_1_equals_transformers() {
    assert_equal_to_reference("instructblip-1");
}

#[test]
fn instructblip_2_equals_transformers() {
    assert_equal_to_reference("instructblip-2");
}

#[test]
fn instructblip_3_equals_transformers() {
    assert_equal_to_reference("instructblip-3");
}

/// The published sizes ask for exactly the parameters of transformers' class (`tools/parameter_lists.py`). Those of the models that
/// answer questions are compared in `parity.rs`.
#[test]
fn the_published_siglip_has_the_parameters_we_ask_for() {
    let file = golden("parameters").join("siglip-so400m.json");
    let list: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut asked = reasonedit_vlm::siglip::parameters(&list["config"]).unwrap();
    asked.sort();
    let lines: Vec<String> = asked.iter().map(|(name, shape)| format!("{name} {shape:?}\n")).collect();
    assert_eq!(asked.len() as u64, list["tensors"].as_u64().unwrap());
    assert_eq!(blake3::hash(lines.concat().as_bytes()).to_hex().as_str(), list["blake3"].as_str().unwrap());
}

/// A copy of a golden checkpoint with one text replaced in one of its files.
fn changed(name: &str, file: &str, from: &str, to: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(name), folder.path());
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    folder
}

#[test]
fn unusable_checkpoints_say_what_is_wrong() {
    let error = |name: &str, file: &str, from: &str, to: &str| {
        let folder = changed(name, file, from, to);
        load(&folder.path().to_string_lossy(), &LoadOptions::default()).map(|_| ()).unwrap_err().to_string()
    };
    let says = |text: &str, words: &[&str]| assert!(words.iter().all(|w| text.contains(w)), "{text}");
    says(&error("llava-1", "config.json", "image_token_index", "image_tokens"), &["image_token_index"]);
    says(
        &error("llava-1", "config.json", "\"model_type\": \"llama\"", "\"model_type\": \"mistral\""),
        &["mistral", "llama"],
    );
    says(
        &error("llava-1", "config.json", "\"patch_size\": ", "\"patch_size\": 1"),
        &["position_embedding", "shape"],
    );
    says(
        &error("llava-1", "config.json", "\"vision_feature_layer\": -", "\"vision_feature_layer\": -9"),
        &["vision_feature_layer"],
    );
    says(&error("llava-1", "preprocessor_config.json", "CLIPImage", "Fuyu"), &["preprocessor_config.json"]);
    says(&error("llava-1", "chat_template.json", "<image>", "<picture>"), &["pictures"]);
    says(
        &error("instructblip-1", "config.json", "\"num_query_tokens\": ", "\"num_query_tokens\": 1"),
        &["query_tokens", "shape"],
    );
    says(&error("instructblip-1", "qformer_tokenizer/tokenizer.json", "{", "[{"), &["Q-Former"]);
    let folder = changed("siglip-1", "config.json", "\"siglip\"", "\"clip\"");
    let error = Siglip::load(&folder.path().to_string_lossy(), &LoadOptions::default()).unwrap_err();
    says(&error.to_string(), &["siglip"]);
}

/// A model with a Q-Former refuses pictures without an instruction, the others an instruction beside a picture; neither takes the
/// other's features.
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
        assert!(matches!(run(&**model, piece), Err(VlmError::Shape(_))));
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
            let mut pieces = prompt.prefix_pieces(|_| Ok(features.clone())).unwrap();
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
