//! `eval --server`, with the built program on both ends and the demo model in one of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A world that no model was trained on; most of its questions the demo model gets wrong.
const DATA: &str = "world:1000417:8";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reasonedit"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("REASONEDIT_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command
}

/// A running service, ended with the test.
struct Service {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = program()
            .current_dir(folder.path())
            .args(["serve", "--bind", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // The log tells the port that was free, and when the model is there.
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            if url.is_none() {
                let port = line
                    .split("127.0.0.1:")
                    .nth(1)
                    .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
                url = port.filter(|port| port != "0").map(|port| format!("http://127.0.0.1:{port}"));
            }
            if line.contains("ready") && !line.contains("listening") {
                break;
            }
        }
        // Read on, so that the service never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.unwrap(), _folder: folder }
    }

    fn edits(&self) -> u64 {
        let output = self.run(&["codebook", "stats", "--codebook", "evaluation", "--json"]);
        if !output.status.success() {
            // Before the first edit there is no codebook.
            assert!(stderr(&output).contains("evaluation"), "{}", stderr(&output));
            return 0;
        }
        let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
        stats["edits"].as_u64().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(arguments).args(["--server", &self.url]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Begins an evaluation that is long enough to be met on its way, and waits until it has made an edit.
    fn begin(&self) -> Child {
        let mut command = self.command(&["eval", "--data", "world:1000417:60", "--edits", "60"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let until = Instant::now() + Duration::from_mins(2);
        while self.edits() == 0 {
            assert!(Instant::now() < until, "no edit was made");
            std::thread::sleep(Duration::from_millis(100));
        }
        child
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_service_is_measured_and_left_as_it_was() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let variant = "one:codebook.retrieval.k=1";
    let arguments =
        ["eval", "--data", DATA, "--edits", "3", "--variant", variant, "--out", out.to_str().unwrap()];
    let output = service.run(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(service.edits(), 0);
    let report = report(&out);
    assert_eq!(report["edits"], 3);
    assert_eq!(report["provenance"]["model_fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(report["provenance"]["encoder_fingerprint"].as_str().unwrap().len(), 64);
    let own = |editor: &str, metric: &str| report["editors"][editor]["metrics"][metric].clone();
    assert_eq!(own("unedited", "reliability")["value"], 0.0);
    assert_eq!(own("reasonedit", "reliability")["n"], 3);
    assert!(own("reasonedit", "reliability")["hit_at_5"].as_f64().unwrap() > 0.5);
    // The variant has the very same edits.
    for size in ["kb_per_edit_merged", "edit_ms"] {
        assert!(report["editors"]["reasonedit"][size].as_f64().unwrap() > 0.0);
        assert_eq!(report["editors"]["one"][size], report["editors"]["reasonedit"][size], "{size}");
    }
    // Once more: nothing is left to do, and the report is the same.
    let again = service.run(&arguments);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(self::report(&out)["editors"], report["editors"]);

    // Editors and settings that only a model in the process can be measured with; a codebook of somebody
    // else.
    for (more, named) in [
        (&["--editors", "ike"][..], "`ike` can't be measured through a service"),
        (&["--variant", "x:embedding.lambda=1"], "`embedding.lambda`"),
        (&["--model", "elsewhere"], "--model"),
        (&["--codebook", "default"], "--codebook default"),
    ] {
        let refused = service.run(&[&["eval", "--data", DATA][..], more].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(named), "{}", stderr(&refused));
    }
    let world = folder.path().join("world");
    let made = program()
        .args(["world", "--seed", "1000417", "--count", "1", "--out", world.to_str().unwrap()])
        .output();
    assert!(made.unwrap().status.success());
    let record: Value = serde_json::from_str(
        std::fs::read_to_string(world.join("edits.jsonl")).unwrap().lines().next().unwrap(),
    )
    .unwrap();
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    let image = world.join(text("image"));
    let (question, answer) = (text("question"), text("answer"));
    let edit = [
        "edit",
        "--codebook",
        "evaluation",
        "--image",
        image.to_str().unwrap(),
        "--question",
        &question,
        "--answer",
        &answer,
    ];
    let output = service.run(&edit);
    assert!(output.status.success(), "{}", stderr(&output));
    let refused = service.run(&["eval", "--data", DATA, "--edits", "1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("1 edits that no evaluation made"), "{}", stderr(&refused));
    assert_eq!(service.edits(), 1);
}

#[cfg(unix)]
#[test]
fn edits_of_an_evaluation_that_was_stopped_or_killed_are_reverted() {
    let service = Service::start();
    // Stopped: it takes them back itself.
    let child = service.begin();
    let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("stopped, and its edits were reverted"), "{}", stderr(&output));
    assert_eq!(service.edits(), 0);
    // Killed: the next one does.
    let mut child = service.begin();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(service.edits() > 0);
    let output = service.run(&["eval", "--data", DATA, "--edits", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("of an evaluation that ended early were reverted"),
        "{}",
        stderr(&output)
    );
    assert_eq!(service.edits(), 0);
}

#[test]
fn settings_are_tuned_on_one_world_and_measured_on_another() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        program().current_dir(folder.path()).arg("eval").args(arguments).output().unwrap()
    };
    let tuned =
        run(&["--data", DATA, "--edits", "4", "--editors", "ike", "--tune", "t.json", "--trials", "3"]);
    assert!(tuned.status.success(), "{}", stderr(&tuned));
    let settings: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("t.json")).unwrap()).unwrap();
    let ike = &settings["editors"]["ike"];
    assert_eq!((ike["trials"].as_array().unwrap().len(), &settings["data"]), (3, &Value::from(DATA)));
    assert!(ike["settings"]["facts"].is_number(), "{ike}");

    let measured = run(&[
        "--editors",
        "ike",
        "--tuned",
        "t.json",
        "--count",
        "6",
        "--seed",
        "1000418",
        "--protocol",
        "single,static",
        "--sizes",
        "2",
        "--out",
        "out",
    ]);
    assert!(measured.status.success(), "{}", stderr(&measured));
    let report = report(&folder.path().join("out"));
    let names: Vec<&String> = report["editors"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["unedited", "ike", "ike@published"]);
    assert_eq!(report["provenance"]["data"], "world:1000418:6");
    assert_eq!(report["editors"]["ike"]["settings"], ike["settings"]);
    assert_eq!(report["sizes"]["ike"][0]["edits"], 2);
    assert_eq!(report["single"]["ike"]["edits"], report["edits"]);
    assert_eq!(report["tuning"]["budget"], 3);

    // What an evaluation has left is none of a tuning's, and the other way round.
    let folder_of = |out: &'static str| ["--data", DATA, "--editors", "ike", "--out", out];
    let mixed = run(&[&folder_of("out")[..], &["--tune", "u.json"]].concat());
    assert_eq!(mixed.status.code(), Some(2), "{}", stderr(&mixed));
    assert!(stderr(&mixed).contains("--out out: the folder is that of an evaluation"), "{}", stderr(&mixed));
    std::fs::create_dir_all(folder.path().join("trials/outcomes")).unwrap();
    std::fs::write(folder.path().join("trials/outcomes/ike@1.jsonl"), "").unwrap();
    let mixed = run(&folder_of("trials"));
    assert_eq!(mixed.status.code(), Some(2), "{}", stderr(&mixed));
    assert!(stderr(&mixed).contains("--out trials: the folder is that of a tuning"), "{}", stderr(&mixed));

    // What it was tuned on is not evaluated.
    let same = run(&["--data", DATA, "--editors", "ike", "--tuned", "t.json"]);
    assert_eq!(same.status.code(), Some(2), "{}", stderr(&same));
    assert!(stderr(&same).contains("and 8 edits (question and reasoning)"), "{}", stderr(&same));
    let unknown = run(&["--data", DATA, "--editors", "oracle", "--tune", "u.json"]);
    assert!(stderr(&unknown).contains("nothing to tune"), "{}", stderr(&unknown));
}

#[test]
fn a_run_of_weight_editors_that_was_killed_goes_on_to_the_same_figures() {
    const EDITORS: [&str; 2] = ["ft", "balancedit-cot"];
    let folder = tempfile::tempdir().unwrap();
    let evaluation = |out: &str| {
        let mut command = program();
        command.current_dir(folder.path()).args(["eval", "--data", "world:1000423:8", "--edits", "4"]);
        command.args(["--editors", &EDITORS.join(","), "--out", out]).stdout(Stdio::null());
        command
    };
    let whole = evaluation("whole").output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));

    // Killed with some of the second editor's questions answered.
    let mut child = evaluation("killed").stderr(Stdio::null()).spawn().unwrap();
    let journal = folder.path().join("killed/outcomes").join(format!("{}.jsonl", EDITORS[1]));
    let until = Instant::now() + Duration::from_mins(2);
    while std::fs::read_to_string(&journal).map_or(0, |text| text.matches("trial").count()) < 5 {
        assert!(Instant::now() < until, "nothing was asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It has told the tensor library how many threads there are.
    if let Ok(environment) = std::fs::read(format!("/proc/{}/environ", child.id())) {
        assert!(String::from_utf8_lossy(&environment).contains("RAYON_NUM_THREADS="));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = std::fs::read_dir(folder.path().join("killed/work/balancedit")).unwrap();
    assert!(left.count() > 0, "a killed one leaves its copies of weights");
    assert!(!folder.path().join("killed/report.json").exists());
    // Both editors at a time, on a model each.
    let again = evaluation("killed").args(["--jobs", "2"]).output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
    // Nor is anything left of what the killed one kept.
    let left = std::fs::read_dir(folder.path().join("killed/work/balancedit")).into_iter().flatten();
    assert_eq!(left.count(), 0);
    let [whole, resumed] = ["whole", "killed"].map(|out| report(&folder.path().join(out)));
    for editor in EDITORS {
        let metrics = |report: &Value| report["editors"][editor]["metrics"].clone();
        assert_eq!(metrics(&resumed)["reliability"]["n"], 4);
        assert_eq!(metrics(&resumed), metrics(&whole), "{editor}");
    }
}

/// Sends a signal to a process.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn an_evaluation_that_is_stopped_says_how_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let evaluation = |more: &[&str]| {
        let mut command = program();
        command.current_dir(folder.path()).args(["eval", "--data", DATA, "--editors", "ike"]).args(more);
        command.env("TMPDIR", folder.path()).stdout(Stdio::null());
        command
    };
    for (more, told) in [
        (&["--out", "out"][..], "stopped; the same command goes on from here, with what is in out"),
        (&[], "stopped, and nothing was kept; with --out DIR the same command would go on"),
    ] {
        let mut child = evaluation(more).stderr(Stdio::piped()).spawn().unwrap();
        let until = Instant::now() + Duration::from_mins(2);
        // The data are there, so that the signal is waited for.
        let begun = || {
            let mut entries = std::fs::read_dir(folder.path()).unwrap().flatten();
            entries.any(|entry| entry.path().join("world/probes.jsonl").is_file())
        };
        while !begun() {
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it has not begun");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
        let left = std::fs::read_dir(folder.path()).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "out").collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let again = evaluation(&["--out", "out", "--edits", "2"]).output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
}
