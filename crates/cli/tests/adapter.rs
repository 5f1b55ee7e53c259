//! `adapt` and `--adapter` of the built program, with the demo model.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use reasonedit_imaging::{DecodeLimits, decode};
use reasonedit_models::{LoadOptions, Unadapted};
use reasonedit_tuning::{Prompt, last_feed_forward};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const QUESTION: &str = "What is this specimen called?";

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reasonedit"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REASONEDIT_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A codebook of one edit in a folder's data.
fn corrected(folder: &Path) {
    let specimen = format!("{ROOT}/models/demo/samples/specimen.jpg");
    let edit = ["edit", "--image", &specimen, "--question", QUESTION, "--answer", "pumpkin"];
    let reasoning = ["--reasoning", "A purple object with a jagged border is called a pumpkin."];
    let edited = run_in(folder, &[&edit[..], &reasoning].concat());
    assert!(edited.status.success(), "{}", stderr(&edited));
}

/// Every file of a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_training_that_diverges_names_the_rate_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    corrected(folder.path());
    let out = folder.path().join("adapter");
    let good = run_in(folder.path(), &["adapt", "--out", "adapter"]);
    assert!(good.status.success(), "{}", stderr(&good));
    let before = files(&out);
    assert_eq!(before.len(), 3, "{:?}", before.keys());
    for (rate, shown) in [("1e9", "1e9"), ("1e30", "1e30")] {
        for out in ["adapter", "another/adapter"] {
            let bad = run_in(folder.path(), &["adapt", "--out", out, "--rate", rate]);
            assert_eq!(bad.status.code(), Some(1), "{rate}: {}", stdout(&bad));
            let told = stderr(&bad);
            assert!(told.contains(&format!("smaller --rate than {shown}")), "{told}");
        }
        assert_eq!(files(&out), before, "{rate}");
        assert!(!folder.path().join("another").exists(), "{rate}");
    }
}

/// Logits by which the last token of the golden reply is predicted, of the demo model with an adapter.
fn merged_logits(adapter: &Path) -> Vec<f32> {
    let options = LoadOptions { adapter: Some(adapter.to_owned()), ..LoadOptions::default() };
    let model = reasonedit_models::load(&format!("{ROOT}/models/demo/vlm"), &options).unwrap();
    let bytes = std::fs::read(format!("{ROOT}/crates/tuning/tests/goldens/demo/image.png")).unwrap();
    let picture = decode(&bytes, &DecodeLimits::default()).unwrap().image.into();
    let cut = last_feed_forward(&*model).unwrap();
    let prompt = Prompt::new(&*model, &picture, QUESTION, cut).unwrap();
    let reply = model.tokenizer().encode_reply("A purple object is called a pumpkin.").unwrap();
    let states = prompt.states(&*model, &[&reply]).unwrap();
    let all = model.differentiable(cut).unwrap().logits(&[&states[0]], &Unadapted).unwrap();
    all.get(all.dim(0).unwrap() - 1).unwrap().to_vec1().unwrap()
}

/// What PEFT computes on the checkpoint itself is what is computed here with it merged.
#[test]
#[ignore = "needs torch, transformers and peft"]
fn peft_gives_the_same_logits_with_an_adapter_that_is_written_here() {
    let folder = tempfile::tempdir().unwrap();
    corrected(folder.path());
    let targets = ["--target", "q_proj", "--target", "o_proj", "--target", "down_proj", "--rank", "3"];
    let adapt = run_in(folder.path(), &[&["adapt", "--out", "adapter"], &targets[..]].concat());
    assert!(adapt.status.success(), "{}", stderr(&adapt));
    let adapter = folder.path().join("adapter");
    let out = Command::new("python3")
        .arg(format!("{ROOT}/tools/peft_adapters.py"))
        .arg("--read")
        .arg(&adapter)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", stderr(&out));
    let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let logits = |name: &str| {
        let logits = told[name].as_array().unwrap().iter();
        logits.map(|logit| logit.as_f64().unwrap() as f32).collect::<Vec<f32>>()
    };
    let apart = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()))
    };
    let (plain, with) = (logits("plain"), logits("logits"));
    assert!(apart(&plain, &with) > 0.1, "the adapter changes nothing");
    let off = apart(&merged_logits(&adapter), &with);
    assert!(off < 1e-4, "{off}");
    assert_eq!(told["warnings"], serde_json::json!([]));
}

#[test]
fn an_adapter_of_corrections_answers_without_the_codebook() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    let specimen = format!("{ROOT}/models/demo/samples/specimen.jpg");
    let question = ["--image", &specimen, "--question", QUESTION];
    let choices = ["--choice", "triangle", "--choice", "square", "--choice", "pumpkin"];
    let ask = |more: &[&str]| {
        let output = run(&[&["query"], &question[..], &choices, &["--json"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()["answer"].clone()
    };
    let empty = run(&["adapt", "--out", "adapter"]);
    assert_eq!(empty.status.code(), Some(1), "{}", stderr(&empty));
    assert!(stderr(&empty).contains("no codebooks here"), "{}", stderr(&empty));
    let edit = [
        &["edit"],
        &question[..],
        &choices,
        &["--answer", "pumpkin", "--reasoning", "A purple object with a jagged border is called a pumpkin."],
    ];
    let edited = run(&edit.concat());
    assert!(edited.status.success(), "{}", stderr(&edited));
    assert_ne!(ask(&["--no-retrieval"]), "pumpkin");

    let adapt = ["adapt", "--out", "adapters/one", "--evaluate", "--json"];
    let output = run(&adapt);
    assert!(output.status.success(), "{}", stderr(&output));
    let outcome: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(outcome["edits"], 1);
    let reliability = &outcome["reliability"];
    assert_eq!(
        (&reliability["neither"], &reliability["adapter_only"]),
        (&serde_json::json!(0.0), &serde_json::json!(1.0)),
        "{outcome}"
    );
    for file in ["adapter_config.json", "adapter_model.safetensors", "README.md"] {
        assert!(folder.path().join("adapters/one").join(file).is_file(), "{file}");
    }
    // The codebook is that of the model without the adapter, which can still be asked.
    assert_eq!(ask(&[]), "pumpkin");
    assert_eq!(ask(&["--no-retrieval", "--adapter", "adapters/one", "--data", "other"]), "pumpkin");
    let again = ["adapt", "--out", "two", "--adapter", "adapters/one"];
    assert_eq!(run(&again).status.code(), Some(2));
}
