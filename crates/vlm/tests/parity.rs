//! The golden checkpoints: tiny random models with transformers' outputs beside them (`tools/reference.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};

use reasonedit_vlm::check::{TOLERANCE, check};
use reasonedit_vlm::{ARCHITECTURES, Architecture, LoadOptions, VlmError, load, load_sentence_encoder};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn assert_equal_to_reference(name: &str) {
    let report = check(&golden(name)).unwrap();
    assert!(report.passes(), "{name}: {report:#?}");
    assert!(report.taps.iter().all(|(_, error)| *error <= TOLERANCE));
}

#[test]
fn qwen3_vl_equals_transformers() {
    for seed in 1..=3 {
        assert_equal_to_reference(&format!("qwen3_vl-{seed}"));
    }
}

#[test]
fn qwen2_5_vl_equals_transformers() {
    for seed in 1..=3 {
        assert_equal_to_reference(&format!("qwen2_5_vl-{seed}"));
    }
}

#[test]
fn qwen2_equals_transformers() {
    for seed in 1..=3 {
        assert_equal_to_reference(&format!("qwen2-{seed}"));
    }
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

/// The published sizes ask for exactly the parameters of transformers' classes (`tools/parameter_lists.py`), and what
/// `models list` says of them is so.
#[test]
fn published_models_have_the_parameters_we_ask_for() {
    let mut known: Vec<_> =
        ARCHITECTURES.iter().flat_map(|a| a.known.iter().map(move |k| (a.model_type, *k))).collect();
    for entry in std::fs::read_dir(golden("parameters")).unwrap() {
        let list: serde_json::Value =
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let id = list["id"].as_str().unwrap();
        // Libraries that are no models of their own have lists too.
        let Ok(architecture) = Architecture::of(&list["config"]) else { continue };
        let mut asked = (architecture.parameters)(&list["config"]).unwrap();
        asked.sort();
        let lines: Vec<String> = asked.iter().map(|(name, shape)| format!("{name} {shape:?}\n")).collect();
        assert_eq!(asked.len() as u64, list["tensors"].as_u64().unwrap(), "{id}");
        let count: u64 = asked.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        assert_eq!(count, list["parameters"].as_u64().unwrap(), "{id}");
        assert_eq!(
            blake3::hash(lines.concat().as_bytes()).to_hex().as_str(),
            list["blake3"].as_str().unwrap(),
            "{id}"
        );
        let at = known.iter().position(|(_, model)| model.id == id);
        let (model_type, model) = known.remove(at.unwrap_or_else(|| panic!("{id} is not listed")));
        assert_eq!(model_type, architecture.model_type);
        let number = |name: &str| list[name].as_u64().unwrap();
        assert_eq!(
            (model.parameters, model.layers, model.head),
            (count, number("layers"), number("head")),
            "{id}"
        );
        assert_eq!(model.tied, list["config"]["tie_word_embeddings"].as_bool().unwrap_or_default(), "{id}");
    }
    assert!(known.is_empty(), "listed without a list of parameters: {known:?}");
}
