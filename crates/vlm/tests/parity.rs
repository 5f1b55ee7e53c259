//! The golden checkpoints: tiny random models with transformers' outputs beside them (`tools/reference.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};

use reasonedit_vlm::check::{TOLERANCE, check};
use reasonedit_vlm::qwen3_vl::parameters;
use reasonedit_vlm::{LoadOptions, VlmError, load, load_sentence_encoder};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn assert_equal_to_reference(name: &str) {
    let report = check(&golden(name)).unwrap();
    assert!(report.passes(), "{name}: {report:#?}");
    assert!(report.taps.iter().all(|(_, error)| *error <= TOLERANCE));
}

#[test]
fn qwen3_vl_1_equals_transformers() {
    assert_equal_to_reference("qwen3_vl-1");
}

#[test]
fn qwen3_vl_2_equals_transformers() {
    assert_equal_to_reference("qwen3_vl-2");
}

#[test]
fn qwen3_vl_3_equals_transformers() {
    assert_equal_to_reference("qwen3_vl-3");
}

#[test]
fn mpnet_equals_transformers() {
    assert_equal_to_reference("mpnet-1");
}

#[test]
fn bert_equals_transformers() {
    assert_equal_to_reference("bert-1");
}

/// Copies a golden checkpoint into a folder of its own.
fn copy_of(name: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(name), folder.path());
    folder
}

#[test]
fn a_changed_weight_fails_the_check_and_changes_the_fingerprint() {
    let copy = copy_of("qwen3_vl-1");
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    // The high byte of a bfloat16 in the middle of some tensor.
    let at = bytes.len() / 2 / 2 * 2 + 1;
    bytes[at] ^= 0x06;
    std::fs::write(&path, bytes).unwrap();
    assert!(!check(copy.path()).unwrap().passes());
    let fingerprint = |folder: &Path| {
        load(&folder.to_string_lossy(), &LoadOptions::default()).unwrap().info().fingerprint.clone()
    };
    assert_ne!(fingerprint(copy.path()), fingerprint(&golden("qwen3_vl-1")));
    assert_eq!(fingerprint(&golden("qwen3_vl-2")), fingerprint(copy_of("qwen3_vl-2").path()));
}

fn load_error(folder: &Path) -> String {
    load(&folder.to_string_lossy(), &LoadOptions::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn unusable_checkpoints_say_what_is_wrong() {
    let change = |file: &str, from: &str, to: &str| {
        let copy = copy_of("qwen3_vl-2");
        let path = copy.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
        load_error(copy.path())
    };
    let error = change("config.json", "\"model_type\": \"qwen3_vl\"", "\"model_type\": \"gpt2\"");
    assert!(error.contains("gpt2") && error.contains("qwen3_vl"), "{error}");
    let error = change("config.json", "\"vocab_size\": ", "\"vocab_size\": 9");
    assert!(error.contains("embed_tokens.weight") && error.contains("shape"), "{error}");
    let error = change("preprocessor_config.json", "\"patch_size\": 4", "\"patch_size\": 8");
    assert!(error.contains("preprocessor_config.json"), "{error}");
    let error = change("tokenizer_config.json", "{%- if messages", "{%- if if messages");
    assert!(error.contains("template"), "{error}");
    for missing in ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
        let copy = copy_of("qwen3_vl-2");
        std::fs::remove_file(copy.path().join(missing)).unwrap();
        let error = load_error(copy.path());
        assert!(error.contains(missing), "{missing}: {error}");
    }
    let copy = copy_of("qwen3_vl-2");
    let path = copy.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    assert!(load_error(copy.path()).contains("model.safetensors"));
}

#[test]
fn sentence_encoders_refuse_other_poolings_and_cut_long_texts() {
    let copy = copy_of("bert-1");
    let encoder = load_sentence_encoder(&copy.path().to_string_lossy(), &LoadOptions::default()).unwrap();
    let long = "irregular border ".repeat(500);
    let longer = format!("{long} and more");
    let vectors = encoder.encode(&[long, longer, String::new()]).unwrap();
    assert_eq!(vectors[0], vectors[1]);
    assert!(vectors.iter().all(|v| v.len() == encoder.width() && v.iter().all(|x| x.is_finite())));
    let pooling = copy.path().join("1_Pooling/config.json");
    std::fs::write(pooling, r#"{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}"#)
        .unwrap();
    let error = load_sentence_encoder(&copy.path().to_string_lossy(), &LoadOptions::default());
    assert!(matches!(error.map(|_| ()), Err(VlmError::Load { what, .. }) if what.contains("Pooling")));
}

/// The published sizes ask for exactly the parameters of transformers' class (`tools/parameter_lists.py`).
#[test]
fn published_models_have_the_parameters_we_ask_for() {
    for name in ["qwen3-vl-4b", "qwen3-vl-8b"] {
        let file = golden("parameters").join(format!("{name}.json"));
        let list: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut asked = parameters(&list["config"]).unwrap();
        asked.sort();
        let lines: Vec<String> = asked.iter().map(|(name, shape)| format!("{name} {shape:?}\n")).collect();
        assert_eq!(asked.len() as u64, list["tensors"].as_u64().unwrap(), "{name}");
        let count: u64 = asked.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        assert_eq!(count, list["parameters"].as_u64().unwrap(), "{name}");
        assert_eq!(
            blake3::hash(lines.concat().as_bytes()).to_hex().as_str(),
            list["blake3"].as_str().unwrap(),
            "{name}"
        );
    }
}

/// In half precision everything goes through plain tensor operations, as on a GPU: close, not equal.
#[test]
fn half_precision_is_close() {
    use reasonedit_vlm::{LogitsAt, Piece, Sequence, WeightType};
    let folder = golden("qwen3_vl-1");
    let folder = folder.to_string_lossy();
    let logits = |dtype: WeightType| {
        let model = load(&folder, &LoadOptions { dtype, ..LoadOptions::default() }).unwrap();
        let bytes = std::fs::read(golden("qwen3_vl-1").join("images/1.png")).unwrap();
        let image = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
        let pixels = model.preprocessor().preprocess(&image.image).unwrap();
        let taps: Vec<_> = model.info().taps.iter().map(|t| t.name.clone()).collect();
        let features = model.encode_images(&[&pixels, &pixels], &taps).unwrap();
        let first = |logits, keep_cache, pieces| Sequence { past: None, pieces, logits, keep_cache };
        let image = Piece::Image(features[1].clone());
        let prefix = first(LogitsAt::None, true, vec![Piece::Tokens(vec![1, 2]), image]);
        let past = model.run(&[prefix], &taps).unwrap().remove(0);
        let rest = Sequence {
            past: past.cache.map(std::sync::Arc::new),
            ..first(LogitsAt::From(1), false, vec![Piece::Tokens(vec![3, 4, 5])])
        };
        let other = first(LogitsAt::Last, false, vec![Piece::Tokens(vec![9])]);
        let out = model.run(&[rest, other], &[]).unwrap();
        let merger = features[0].taps.values().last().unwrap().mean.clone();
        [
            out[0].logits.clone(),
            out[1].logits.clone(),
            merger,
            past.taps.values().last().unwrap().last.clone(),
        ]
        .concat()
    };
    let want = logits(WeightType::F32);
    let scale = want.iter().fold(0f32, |a, b| a.max(b.abs()));
    for (dtype, tolerance) in [(WeightType::Bf16, 0.05), (WeightType::F16, 0.01)] {
        let got = logits(dtype);
        let worst = got.iter().zip(&want).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
        assert!(worst / scale < tolerance, "{dtype:?}: {}", worst / scale);
    }
}
