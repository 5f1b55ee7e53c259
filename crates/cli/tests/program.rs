//! The built program: usage, settings, exit statuses. What needs a model is in `.ci/smoke.sh`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in an empty folder of its own, without any variable that would set something.
fn run_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reasonedit"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("REASONEDIT_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command.current_dir(folder).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), arguments, variables)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_subcommand_explains_itself() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["edit", "--help"],
        &["query", "--help"],
        &["codebook", "--help"],
        &["codebook", "verify", "--help"],
        &["export", "--help"],
        &["backup", "--help"],
        &["backup", "create", "--help"],
        &["restore", "--help"],
        &["audit", "verify", "--help"],
        &["audit", "export", "--help"],
        &["models", "check", "--help"],
        &["world", "--help"],
        &["bench", "--help"],
        &["config", "--help"],
    ] {
        let output = run(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}");
        assert!(stdout(&output).contains("Usage: reasonedit"), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["nonsense"][..],
        &["edit", "--image", "x.png"],
        &["--set", "data"],
        &["query", "--image", "x.png", "--question", "?", "--codebook", "NO/NAME"],
        &["world"],
        &["export", "--format", "axolotl", "--out", "x"],
        &["export", "--format", "trl", "--split", "2", "--out", "x"],
        &["bench", "--runs", "0"],
        &["backup", "create"],
        &["backup", "prune", "backups", "--keep", "0"],
        &["restore", "backups"],
        &["restore", "backups", "out", "--snapshot", "../x"],
        &["--config", "no-such-file.toml"],
        &["models", "show", "./no-such-folder"],
    ] {
        // A picture, so that only the usage is wrong.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.png"), b"x").unwrap();
        let output = run_in(folder.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn wrong_settings_are_named_with_their_origin() {
    let unknown = run(&["config", "--set", "editor.retrieval.max_kk=3"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("`editor.retrieval.max_kk`"), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("did you mean `editor.retrieval.max_k`"), "{}", stderr(&unknown));

    let wrong = run(&["config"], &[("REASONEDIT_EDITOR__RETRIEVAL__MAX_K", "many")]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("`editor.retrieval.max_k`"), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("REASONEDIT_EDITOR__RETRIEVAL__MAX_K"), "{}", stderr(&wrong));

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("reasonedit.toml"), "[server]\nbind = \"here\"\n").unwrap();
    let wrong = run_in(folder.path(), &["config"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("`server.bind` in reasonedit.toml"), "{}", stderr(&wrong));
}

#[test]
fn layers_stand_over_one_another() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("reasonedit.toml"),
        "data = \"from-file\"\n[editor.limits]\nchoices = 1\ntags = 10\nstatements = 11\n",
    )
    .unwrap();
    let variables = [("REASONEDIT_EDITOR__LIMITS__CHOICES", "2"), ("REASONEDIT_EDITOR__LIMITS__TAGS", "20")];
    let output = run_in(folder.path(), &["config", "--set", "editor.limits.choices=3"], &variables);
    assert!(output.status.success(), "{}", stderr(&output));
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(settings["data"], "from-file");
    let limits = &settings["editor"]["limits"];
    assert_eq!(limits["choices"], 3);
    assert_eq!(limits["tags"], 20);
    assert_eq!(limits["statements"], 11);
    assert_eq!(limits["boxes"], 8);
}

#[test]
fn the_printed_defaults_are_a_usable_file() {
    let folder = tempfile::tempdir().unwrap();
    let defaults = run_in(folder.path(), &["config", "defaults"], &[]);
    assert!(defaults.status.success());
    assert!(stdout(&defaults).contains("\n#bind = \"127.0.0.1:8080\"\n"));
    std::fs::write(folder.path().join("mine.toml"), &defaults.stdout).unwrap();
    let with = run_in(folder.path(), &["config", "--config", "mine.toml"], &[]);
    let without = run_in(folder.path(), &["config"], &[]);
    assert!(with.status.success(), "{}", stderr(&with));
    assert_eq!(stdout(&with), stdout(&without));
}

#[test]
fn a_missing_picture_is_told_by_its_name() {
    let output = run(&["query", "--image", "gone.png", "--question", "What is it?"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("gone.png"), "{}", stderr(&output));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--bind", &address], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn a_world_is_written_and_is_the_same_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let output =
            run_in(folder.path(), &["world", "--seed", "1000001", "--count", "2", "--out", name], &[]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let read = |name: &str| std::fs::read(folder.path().join(name).join("edits.jsonl")).unwrap();
    assert_eq!(read("a"), read("b"));
    for line in String::from_utf8(read("a")).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let image = folder.path().join("a").join(record["image"].as_str().unwrap());
        assert!(image.is_file(), "{}", image.display());
    }
}

#[test]
fn known_models_are_listed_with_their_memory() {
    let output = run(&["models", "list"], &[]);
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(text.contains("Qwen/Qwen3-VL-4B-Instruct") && text.contains("qwen2_5_vl"), "{text}");
    let output = run(&["models", "list", "--json"], &[]);
    let models: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = &models[0]["weights_bytes"];
    let of = |name: &str| bytes[name].as_u64().unwrap();
    assert!(of("q4_k") < of("q8_0") && of("q8_0") < of("bf16") && of("bf16") * 2 == of("f32"), "{bytes}");
}

#[test]
fn the_help_of_eval_names_every_editor() {
    let help = stdout(&run(&["eval", "--help"], &[]));
    for name in [
        "unedited",
        "reasonedit",
        "oracle",
        "ike",
        "ike-cot",
        "grace",
        "grace-cot",
        "single-vision",
        "no-gate",
    ] {
        assert!(help.contains(&format!(" {name}")), "{name}: {help}");
    }
    for name in reasonedit_evaluation::editor_names() {
        assert!(help.contains(&name), "{name}: {help}");
    }
}

/// Everything in a folder and below.
fn content(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(content(&path));
        }
    }
    found.sort();
    found
}

/// Commands that read a codebook.
const READERS: [&[&str]; 6] = [
    &["export", "--format", "trl", "--out", "out"],
    &["export", "--format", "trl", "--out", "out.tar"],
    &["codebook", "stats"],
    &["codebook", "export", "out.tar"],
    &["codebook", "verify"],
    &["adapt", "--out", "out"],
];

#[test]
fn a_folder_without_codebooks_is_a_mistake_of_whoever_reads_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let before = content(folder.path());
    for command in READERS {
        for data in ["dtaa", "empty"] {
            let output = run_in(folder.path(), &[command, &["--data", data]].concat(), &[]);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
            assert!(told.contains(data) && told.contains("no codebooks"), "{command:?}: {told}");
            assert_eq!(content(folder.path()), before, "{command:?}");
        }
    }
}

#[test]
fn a_codebook_that_is_not_there_is_a_mistake_of_whoever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let specimen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples/specimen.jpg");
    let edit = ["edit", "--codebook", "ward-3", "--image", specimen, "--question", "What is it?"];
    let edit = [&edit[..], &["--answer", "pumpkin", "--reasoning", "It has a jagged border."]].concat();
    let made = run_in(folder.path(), &edit, &[]);
    assert!(made.status.success(), "{}", stderr(&made));
    let outside = |folder: &Path| {
        let data = folder.join("data").display().to_string();
        content(folder).into_iter().filter(|path| !path.starts_with(&data)).collect::<Vec<_>>()
    };
    let before = outside(folder.path());
    for command in READERS {
        let output = run_in(folder.path(), &[command, &["--codebook", "ward-4"]].concat(), &[]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
        assert!(told.contains("there is no codebook ward-4"), "{command:?}: {told}");
        assert_eq!(outside(folder.path()), before, "{command:?}");
    }
    let there = run_in(folder.path(), &[READERS[0], &["--codebook", "ward-3"]].concat(), &[]);
    assert!(there.status.success(), "{}", stderr(&there));
    assert!(folder.path().join("out/manifest.json").is_file());
}

#[test]
fn a_data_folder_goes_into_backups_and_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| run_in(folder.path(), arguments, &[]);
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let refused = |arguments: &[&str], why: &str| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
    };
    refused(&["backup", "create", "backups"], "no codebooks here");
    refused(&["backup", "verify", "backups"], "no backups here");
    assert!(!path("backups").exists() && !path("data").exists());
    let specimen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples/specimen.jpg");
    let edit = ["edit", "--image", specimen, "--question", "What is it?", "--answer", "pumpkin"];
    done(&[&edit[..], &["--reasoning", "It has a jagged border."]].concat());
    done(&["token", "create", "--name", "ops", "--role", "admin"]);

    let made: serde_json::Value =
        serde_json::from_str(&done(&["backup", "create", "backups", "--json"])).unwrap();
    assert_eq!((&made["edits"], &made["new_bytes"]), (&1.into(), &made["bytes"]), "{made}");
    let again: serde_json::Value =
        serde_json::from_str(&done(&["backup", "create", "backups", "--check", "--json"])).unwrap();
    // The audit trail has a line of the backup before.
    let new = again["new_bytes"].as_u64().unwrap();
    assert!(again["new_pictures"] == 0 && (1..8192).contains(&new), "{again}");
    assert_eq!(done(&["backup", "list", "backups"]).lines().count(), 3);
    assert!(done(&["backup", "verify", "backups"]).contains("2 backups"));
    assert!(done(&["backup", "prune", "backups", "--keep", "1"]).contains("1 backups removed"));
    done(&["restore", "backups", "restored"]);
    assert!(done(&["codebook", "verify", "--data", "restored"]).contains("sound; 1 edits"));
    let stats = |data: &str| done(&["codebook", "stats", "--json", "--data", data]);
    assert_eq!(stats("restored"), stats("data"));
    let tokens = |data: &str| std::fs::read(path(data).join("tokens.json")).unwrap();
    assert_eq!(tokens("restored"), tokens("data"));
    refused(&["restore", "backups", "restored"], "not empty");
    refused(&["backup", "create", "data"], "in the data folder that they are of");
    refused(&["backup", "create", "restored"], "something else than backups");

    let picture = content(&path("backups/images")).pop().unwrap();
    std::fs::write(&picture, b"x").unwrap();
    refused(&["backup", "verify", "backups"], "1 files are damaged");
    refused(&["restore", "backups", "again"], "is changed");
    assert_eq!(content(&path("again")), Vec::<String>::new());
    // What can be had is, and what can't is named.
    let partly = run(&["restore", "backups", "partly", "--incomplete"]);
    assert_eq!(partly.status.code(), Some(1), "{}", stderr(&partly));
    assert!(stdout(&partly).contains("is lost") && stdout(&partly).contains("1 edits, 0 pictures"));
    assert_eq!(tokens("partly"), tokens("data"));
    assert_eq!(run(&["codebook", "verify", "--data", "partly"]).status.code(), Some(1));
    done(&["backup", "create", "backups"]);
    done(&["restore", "backups", "again"]);

    // A letter of the folder that is JSON as before: no other repository begins where the disk isn't mounted.
    let known = path("data/backups.json");
    let text = std::fs::read_to_string(&known).unwrap();
    std::fs::write(&known, text.replacen("/backups\"", "/cackups\"", 1)).unwrap();
    let output = run(&["codebook", "verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("files: backups.json of the data folder is damaged"),
        "{}",
        stdout(&output)
    );
    std::fs::rename(path("backups"), path("away")).unwrap();
    refused(&["backup", "create", "backups"], "backups.json of the data folder is damaged");
    assert!(!path("backups").exists());
}

#[test]
fn an_operators_key_that_is_none_is_a_mistake_of_the_settings_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/keys"), b"").unwrap();
    let rotate =
        |variable, value: &str| run_in(folder.path(), &["keys", "rotate", "--remove"], &[(variable, value)]);
    let wide: Vec<u8> = format!("\u{feff}{key}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, why) in [
        (format!("\"{key}\"\n").into_bytes(), "quotation marks"),
        (wide, "UTF-16"),
        (key.as_bytes()[..10].to_vec(), "too few digits"),
        (Vec::new(), "empty"),
    ] {
        std::fs::write(folder.path().join("key"), bytes).unwrap();
        let output = rotate("REASONEDIT_STORAGE__ENCRYPTION_KEY_FILE", "key");
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why) && told.contains("key") && !told.contains(&key[..8]), "{told}");
    }
    for (variable, value) in [
        ("REASONEDIT_STORAGE__ENCRYPTION_KEY_FILE", "nokey"),
        ("REASONEDIT_STORAGE__ENCRYPTION_KEY", &format!("'{key}'")),
    ] {
        let output = rotate(variable, value);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
}

#[test]
fn an_operators_key_that_is_no_random_one_opens_nothing_and_is_rotated_away() {
    use reasonedit_keyring::{Keyring, OperatorKey};

    let folder = tempfile::tempdir().unwrap();
    let specimen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples/specimen.jpg");
    let edit = ["edit", "--image", specimen, "--question", "What is it?", "--answer", "pumpkin"];
    let same = "a".repeat(64);
    let under = |key: &str, arguments: &[&str]| {
        run_in(folder.path(), arguments, &[("REASONEDIT_STORAGE__ENCRYPTION_KEY", key)])
    };
    let refused = |output: &Output| {
        let told = stderr(output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("`reasonedit keys new`") && !told.contains(&same[..8]), "{told}");
        told
    };
    let told = refused(&under(&same, &[&edit[..], &["--reasoning", "It has a jagged border."]].concat()));
    assert!(told.contains("setting `storage.encryption_key`"), "{told}");
    assert!(!folder.path().join("data/keys").exists() && !folder.path().join("data/codebooks").exists());

    // A folder that was put under one before that was refused.
    let keys = folder.path().join("data/keys");
    drop(Keyring::open(&keys, Some(&OperatorKey::parse_former(&same).unwrap())).unwrap());
    let before = std::fs::read(&keys).unwrap();
    std::fs::write(folder.path().join("zeros"), "0".repeat(64)).unwrap();
    refused(&under(&same, &["keys", "rotate", "--new-key-file", "zeros"]));
    assert!(refused(&under(&same, &edit)).contains("`reasonedit keys rotate`"));
    assert_eq!(std::fs::read(&keys).unwrap(), before);
    let new = stdout(&run_in(folder.path(), &["keys", "new"], &[]));
    std::fs::write(folder.path().join("new"), &new).unwrap();
    let rotated = under(&same, &["keys", "rotate", "--new-key-file", "new"]);
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    let made = under(new.trim(), &[&edit[..], &["--reasoning", "It has a jagged border."]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
}
