//! The golden checkpoints: tiny random models with transformers' outputs beside them (`tools/reference.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use reasonedit_models::check::{TOLERANCE, check};
use reasonedit_models::{ARCHITECTURES, Architecture, LoadOptions, load, load_sentence_encoder};
use support::{copy_of, golden, goldens_of, json};

fn assert_equal_to_reference(folder: &Path) {
    let report = check(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    assert!(report.passes(), "{}: {report:#?}", folder.display());
    assert!(report.taps.iter().all(|(_, error)| *error <= TOLERANCE));
}

/// All golden checkpoints of an architecture, of which each release of transformers has saved one at least.
fn assert_all_equal(architecture: &str) {
    let mut releases = BTreeSet::new();
    for name in goldens_of(architecture) {
        assert_equal_to_reference(&golden(&name));
        let reference = json(&golden(&name), "reference.json");
        let release = reference["versions"]["transformers"].as_str().unwrap();
        releases.insert(release.split('.').next().unwrap().to_owned());
        // Of what is saved by no library, nothing is compared.
        let config = json(&golden(&name), "config.json");
        assert_eq!(config["transformers_version"], release, "{name}");
    }
    assert_eq!(releases, BTreeSet::from(["4".to_owned(), "5".to_owned()]), "{architecture}");
}

/// Every architecture has golden checkpoints; each is compared on a thread of its own.
#[test]
fn every_architecture_equals_transformers() {
    std::thread::scope(|scope| {
        for architecture in ARCHITECTURES {
            scope.spawn(|| assert_all_equal(architecture.model_type));
        }
    });
}

#[test]
fn siglip_equals_transformers() {
    assert_all_equal("siglip");
}

#[test]
fn mpnet_equals_sentence_transformers() {
    assert_all_equal("mpnet");
}

#[test]
fn bert_equals_sentence_transformers() {
    assert_all_equal("bert");
}

/// What the release that is installed here saves today, of every architecture.
#[test]
#[ignore = "needs torch, transformers and sentence-transformers"]
fn what_the_installed_release_saves_equals_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/reference.py");
    let out = Command::new("python3")
        .arg(script)
        .args(["--all", "--seed", "7", "--out"])
        .arg(folder.path())
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        assert_equal_to_reference(&entry.unwrap().path());
        seen += 1;
    }
    // siglip, mpnet and bert are no models of their own.
    assert_eq!(seen, ARCHITECTURES.len() + 3);
}

/// Parameters by the names that modules have in memory, as trainers write them that go around
/// `save_pretrained`; in 4.57 the tower lies one deeper.
#[test]
fn names_of_modules_in_memory_are_read_too() {
    const QWEN: &[(&str, &str)] = &[("visual.", "model.visual."), ("model.", "model.language_model.")];
    const LLAVA: [&[(&str, &str)]; 2] = [
        &[
            ("language_model.lm_head.", "lm_head."),
            ("language_model.model.", "model.language_model."),
            ("vision_tower.", "model.vision_tower."),
            ("multi_modal_projector.", "model.multi_modal_projector."),
        ],
        &[("vision_tower.", "vision_tower.vision_model.")],
    ];
    for (name, renamed) in
        [("qwen2_5_vl-1", QWEN), ("llava-1", LLAVA[0]), ("llava-2", LLAVA[0]), ("llava-2", LLAVA[1])]
    {
        let copy = copy_of(name);
        let path = copy.path().join("model.safetensors");
        let tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
        let tensors: HashMap<String, candle_core::Tensor> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let to = renamed
                    .iter()
                    .find_map(|(from, to)| name.strip_prefix(from).map(|rest| format!("{to}{rest}")));
                (to.unwrap_or(name), tensor)
            })
            .collect();
        candle_core::safetensors::save(&tensors, path).unwrap();
        assert_equal_to_reference(copy.path());
    }
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

#[test]
fn sentence_encoders_cut_long_texts() {
    let copy = copy_of("bert-1");
    let encoder = load_sentence_encoder(&copy.path().to_string_lossy(), &LoadOptions::default()).unwrap();
    let long = "irregular border ".repeat(500);
    let longer = format!("{long} and more");
    let vectors = encoder.encode(&[long, longer, String::new()]).unwrap();
    assert_eq!(vectors[0], vectors[1]);
    assert!(vectors.iter().all(|v| v.len() == encoder.width() && v.iter().all(|x| x.is_finite())));
}

/// The published sizes ask for exactly the parameters of transformers' classes (`tools/parameter_lists.py`),
/// and what `models list` says of them is so.
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
