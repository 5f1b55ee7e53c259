//! Commands and the audit trail of the data folder that they work in: a line before they read or give out
//! anything, and one of what came of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SPECIMEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples/specimen.jpg");
const REFUSE: [&str; 2] = ["--set", "audit.on_failure=refuse"];

/// A folder to run the program in, without any variable that would set something.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With an edit and a token in its data folder.
    fn filled() -> Self {
        let place = Self::new();
        let edit = ["edit", "--image", SPECIMEN, "--question", "What is it?", "--answer", "pumpkin"];
        place.done(&[&edit[..], &["--reasoning", "It has a jagged border."]].concat());
        place.done(&["token", "create", "--name", "ops", "--role", "admin"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reasonedit"));
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("REASONEDIT_") || name == "RUST_LOG")
        {
            command.env_remove(name);
        }
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines that are in the trail now.
    fn lines(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path("data/audit")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        files.sort();
        let texts = files.into_iter().map(|file| fs::read_to_string(file).unwrap());
        texts.collect::<String>().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What they tell of commands: which, and what came of it.
    fn told(&self) -> Vec<(String, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let lines = self.lines().into_iter().filter(|line| line["event"] == "command");
        lines.map(|line| (text(&line["detail"]).unwrap(), text(&line["outcome"]))).collect()
    }

    /// A service, once it writes the trail.
    fn serve(&self) -> Service {
        let opened = || self.lines().iter().filter(|line| line["event"] == "opened").count();
        let before = opened();
        let child = self
            .command(&["serve", "--bind", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let service = Service(child);
        until("it writes the trail", || opened() > before);
        service
    }

    /// Every file of the data folder, with its bytes.
    fn data(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn add(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    add(&path, found);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    found.insert(path, bytes);
                }
            }
        }
        let mut found = BTreeMap::new();
        add(&self.path("data"), &mut found);
        found
    }
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A line that begins, and one of an outcome.
fn both(what: &str, outcome: &str) -> [(String, Option<String>); 2] {
    [(what.to_owned(), None), (what.to_owned(), Some(outcome.to_owned()))]
}

#[test]
fn a_command_has_a_line_that_it_begins_and_one_of_its_outcome() {
    let place = Place::new();
    place.done(&["token", "create", "--name", "ops", "--role", "admin"]);
    let listed: Value = serde_json::from_str(&place.done(&["token", "list", "--json"])).unwrap();
    place.done(&["token", "revoke", "ops"]);
    place.done(&["keys", "new"]);
    // It has no codebooks: it comes to nothing, and that is told too.
    for arguments in [
        &["codebook", "export", "--codebook", "ward-3", "out.tar"][..],
        &["adapt", "--codebook", "ward-3", "--out", "out"],
        &["token", "revoke", "nobody"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    }
    // The folder was made by the first one.
    let mut expected = vec![("token create".to_owned(), Some("answered".to_owned()))];
    expected.extend(both("token list", "answered"));
    expected.extend(both("token revoke", "answered"));
    for what in ["codebook export", "adapt", "token revoke"] {
        expected.extend(both(what, "failed"));
    }
    assert_eq!(place.told(), expected);
    let lines = place.lines();
    for line in &lines {
        assert_eq!((&line["event"], &line["caller"]["kind"]), (&"command".into(), &"cli".into()), "{line}");
        assert!(!line["caller"]["name"].as_str().unwrap().is_empty());
        assert_eq!(line["request_id"].as_str().unwrap().len(), 26);
    }
    for of_one in lines[1..].chunks(2) {
        assert_eq!(of_one[0]["request_id"], of_one[1]["request_id"]);
    }
    assert_ne!(lines[1]["request_id"], lines[3]["request_id"]);
    let id = &listed["tokens"][0]["id"];
    assert!(lines[1]["tokens"].is_null() && [0, 2, 4].into_iter().all(|at| lines[at]["tokens"][0] == *id));
    assert_eq!((&lines[5]["codebook"], &lines[6]["whole"]), (&"ward-3".into(), &true.into()));
    // What is handed out begins before it ends.
    let exported = place.done(&["audit", "export"]);
    assert_eq!(exported.lines().count(), lines.len() + 1);
    assert!(exported.lines().last().unwrap().contains("\"audit export\""), "{exported}");
    let verified = place.done(&["audit", "verify"]);
    assert!(verified.starts_with("sound; 13 lines in 1 files\n"), "{verified}");
}

#[test]
fn a_command_that_is_killed_has_begun_in_the_trail() {
    let place = Place::filled();
    let before = place.told().len();
    // It waits for its standard input.
    let import = place.command(&["codebook", "import"]).stdin(Stdio::piped()).spawn().unwrap();
    let import = Service(import);
    until("it has begun", || place.told().len() > before);
    drop(import);
    assert_eq!(place.told()[before..], [("codebook import".to_owned(), None)]);
    let verified = place.done(&["audit", "verify"]);
    assert!(
        verified.contains("sound") && verified.contains("1 commands began and have no outcome"),
        "{verified}"
    );
}

#[test]
fn nothing_is_done_that_is_not_in_a_trail_whose_settings_refuse_that() {
    let place = Place::filled();
    fs::write(place.path("key"), place.done(&["keys", "new"])).unwrap();
    place.done(&["codebook", "export", "there.tar"]);
    let (trail, away) = (place.path("data/audit"), place.path("away"));
    fs::rename(&trail, &away).unwrap();
    fs::write(&trail, b"in its place").unwrap();
    let before = place.data();
    let edit = ["edit", "--image", SPECIMEN, "--question", "What is it?", "--answer", "squash"];
    for arguments in [
        &edit[..],
        &["query", "--image", SPECIMEN, "--question", "What is it?"],
        &["export", "--format", "trl", "--out", "out"],
        &["adapt", "--out", "out"],
        &["modularity", "--source", "codebook", "--out", "out"],
        &["codebook", "export", "-"],
        &["codebook", "import", "there.tar"],
        &["codebook", "salvage", "out"],
        &["backup", "create", "out"],
        &["keys", "rotate", "--new-key-file", "key"],
        &["token", "create", "--name", "eve", "--role", "admin"],
        &["token", "list"],
        &["token", "revoke", "ops"],
        &["audit", "export"],
    ] {
        let output = place.run(&[arguments, &REFUSE].concat());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("not in the audit trail") && told.contains("nothing was done"), "{told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(place.data() == before && !place.path("out").exists(), "{arguments:?}");
    }
    // What has no line does its work, and so does the rest where the settings let it, with a warning.
    place.done(&[&["codebook", "stats"], &REFUSE[..]].concat());
    let output = place.run(&["token", "list"]);
    assert!(output.status.success() && stderr(&output).contains("WARNING"), "{}", stderr(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("ops"));

    fs::remove_file(&trail).unwrap();
    fs::rename(&away, &trail).unwrap();
    let at = place.told().len();
    place.done(&[&["token", "list"], &REFUSE[..]].concat());
    assert_eq!(place.told()[at..], both("token list", "answered"));
}

#[test]
fn beside_a_service_a_line_is_in_the_trail_before_anything_is_given_out() {
    let place = Place::filled();
    // What says that tokens were given is made anew by a start and by a command.
    let lock = place.path("data/tokens.lock");
    fs::remove_file(&lock).unwrap();
    place.done(&["token", "list"]);
    assert!(lock.metadata().unwrap().len() > 0);
    fs::remove_file(&lock).unwrap();
    let service = place.serve();
    assert!(lock.metadata().unwrap().len() > 0);
    let at = place.told().len();
    place.done(&[&["token", "create", "--name", "eve", "--role", "reader"], &REFUSE[..]].concat());
    assert_eq!(place.told()[at..], both("token create", "answered"));
    drop(service);
    // What one left that was killed as well is taken in by whoever writes next.
    let inbox = place.path("data/audit/inbox");
    let left = |name: &str, text: &str| fs::write(inbox.join(name), text).unwrap();
    left(".audit-cut", "{\"event\":");
    left("1-1.json", r#"{"event":"command","caller":{"kind":"cli","name":"ada"},"detail":"token list"}"#);
    left("2-1.json", "{\"event\":");
    let output = place.run(&["audit", "verify"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("inbox/2-1.json: ") && told.contains("1 left by commands"), "{told}");
    let service = place.serve();
    until("it is taken in", || !inbox.join("1-1.json").exists());
    drop(service);
    assert!(!inbox.join(".audit-cut").exists() && inbox.join("2-1.json").exists());
    assert_eq!(place.told().last().unwrap().0, "token list");
    fs::remove_file(inbox.join("2-1.json")).unwrap();
    assert!(place.done(&["audit", "verify"]).starts_with("sound"));
}

#[test]
fn both_folders_of_a_salvage_tell_of_it() {
    let place = Place::filled();
    place.done(&["codebook", "salvage", "saved"]);
    let mut told = place.told();
    assert_eq!(told.split_off(told.len() - 2), both("codebook salvage", "answered"));
    let file = fs::read_dir(place.path("saved/audit")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "jsonl")).unwrap();
    let saved: Vec<Value> =
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // That it began was copied, before the folder that is made had anything to give out.
    let [.., begun, ended] = &saved[..] else { panic!("{saved:?}") };
    assert_eq!(begun["request_id"], ended["request_id"]);
    assert_eq!((&begun["outcome"], &ended["outcome"]), (&Value::Null, &"answered".into()));
    place.done(&["audit", "verify", "--data", "saved"]);
}
