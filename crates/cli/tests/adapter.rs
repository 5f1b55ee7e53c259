//! `adapt` and `--adapter` of the built program, with the demo model.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

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

#[test]
fn an_adapter_of_corrections_answers_without_the_codebook() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples");
    let specimen = format!("{samples}/specimen.jpg");
    let question = ["--image", &specimen, "--question", "What is this specimen called?"];
    let choices = ["--choice", "triangle", "--choice", "square", "--choice", "pumpkin"];
    let ask = |more: &[&str]| {
        let output = run(&[&["query"], &question[..], &choices, &["--json"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()["answer"].clone()
    };
    let empty = run(&["adapt", "--out", "adapter"]);
    assert_eq!(empty.status.code(), Some(1), "{}", stderr(&empty));
    assert!(stderr(&empty).contains("no live edits"), "{}", stderr(&empty));
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
