//! Kills an editor with SIGKILL at random moments of re-embeddings, while edits and reverts go on: whatever
//! it said was done must be there, and the codebook must be the one of an editor that nobody stopped.
//!
//! The editor that is killed is this test binary itself, run again on the ignored test below.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reasonedit_codebook::{EditId, Event};
use reasonedit_inference::{EngineHandle, Pooling};

use super::*;
use crate::testing::{self, assert_made_anew, book, choice, edit, engine, open};

const FOLDER: &str = "REASONEDIT_KILL_TEST_FOLDER";
/// Kills in the midst of a re-embedding or a rollback.
const KILLS: usize = 24;
/// Live edits above which the oldest are reverted.
const EDITS: usize = 36;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Moves between embeddings without end; beside that, edits and reverts. Everything is said before it begins
/// and after it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the editor that the kill test runs and kills"]
async fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let editor = open(Path::new(&folder), &engine("mpnet-1"), testing::config()).await.unwrap();
    let name = CodebookName::default();
    let mut seed = book(&editor).history().unwrap().len() as u64;
    say("\nready");
    for _ in 0..3 {
        say(&format!("edited {}", edit(&editor, seed).await.record.id));
        seed += 1;
    }
    let editing = async {
        loop {
            seed += 1;
            say(&format!("edited {}", edit(&editor, seed).await.record.id));
            let snapshot = book(&editor).snapshot();
            let gone = match snapshot.edit_count() {
                many if many > EDITS => snapshot.edits().next(),
                _ if seed.is_multiple_of(5) => snapshot.edits().nth(seed as usize % snapshot.edit_count()),
                _ => None,
            };
            if let Some(record) = gone {
                say(&format!("reverting {}", record.id));
                editor.revert(&name, record.id).await.unwrap();
                say(&format!("reverted {}", record.id));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let moving = async {
        let choices = [
            choice("vision.0", Pooling::Mean, 3.0),
            choice("merger", Pooling::Last, 0.5),
            choice("vision.0", Pooling::Last, 40.0),
        ];
        // Where the process before stopped, so that its work is gone on with.
        let mut turn =
            book(&editor).history().unwrap().iter().filter(|e| matches!(e, Event::Reembedded(_))).count();
        loop {
            say("moving");
            let back = turn % 4 == 3 && book(&editor).snapshot().previous().is_some();
            let quiet = |_: ReembedProgress| {};
            let id = if back {
                editor.rollback(&name, None, quiet, std::future::pending()).await
            } else {
                editor.reembed(&name, &choices[turn % 4 % 3], quiet, std::future::pending()).await
            };
            say(&format!("live {}", id.unwrap()));
            turn += 1;
        }
    };
    let ((), ()) = tokio::join!(editing, moving);
}

/// What the victims said.
#[derive(Default)]
struct Heard {
    edited: BTreeSet<EditId>,
    reverting: BTreeSet<EditId>,
    reverted: BTreeSet<EditId>,
    live: Vec<GenerationId>,
}

impl Heard {
    fn take(&mut self, line: &str) {
        // A line may be cut where the process ended; what was said in full counts.
        let Some((what, id)) = line.split_once(' ') else { return };
        let edit = id.parse::<EditId>().ok();
        match what {
            "edited" => self.edited.extend(edit),
            "reverting" => self.reverting.extend(edit),
            "reverted" => self.reverted.extend(edit),
            "live" => self.live.extend(id.parse::<GenerationId>().ok()),
            _ => {}
        }
    }
}

/// Lets a victim run until some time into its work; whether that was in the midst of a move.
fn run_and_kill(folder: &Path, heard: &mut Heard, random: u64) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reembed::kill_tests::victim", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"), "the victim did not begin");
    let mut said: Vec<String> = Vec::new();
    // Into one of the first moves, and then to any moment of it.
    for line in lines.by_ref() {
        let begun = line == "moving" && said.iter().filter(|l| *l == "moving").count() as u64 == random % 3;
        said.push(line);
        if begun {
            break;
        }
    }
    std::thread::sleep(Duration::from_micros((random >> 8) % 250_000));
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(lines);
    for line in &said {
        heard.take(line);
    }
    let last = said.iter().rfind(|line| *line == "moving" || line.starts_with("live "));
    last.is_some_and(|line| line == "moving")
}

/// What must hold after any kill.
async fn check(folder: &Path, engine: &EngineHandle, heard: &Heard) {
    let editor = open(folder, engine, testing::config()).await.unwrap();
    let history = book(&editor).history().unwrap();
    let snapshot = book(&editor).snapshot();
    for id in &heard.edited {
        let live = snapshot.edit(*id).is_some();
        if heard.reverted.contains(id) {
            assert!(!live, "the reverting of {id} was acknowledged");
        } else if !heard.reverting.contains(id) {
            assert!(live, "the edit {id} was acknowledged");
        }
    }
    // One generation is live, the last that the history names; whatever was said to be live has been.
    let swaps: Vec<GenerationId> = history
        .iter()
        .filter_map(|event| if let Event::Reembedded(id) = event { Some(*id) } else { None })
        .collect();
    let live = snapshot.embedding().unwrap().id;
    assert!(swaps.last().is_none_or(|last| *last == live));
    let mut later = swaps.iter();
    assert!(heard.live.iter().all(|said| later.any(|swap| swap == said)), "{:?} of {swaps:?}", heard.live);
    assert_made_anew(&editor).await;
}

#[test]
fn whatever_was_acknowledged_survives_being_killed_while_keys_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = runtime.block_on(async { engine("mpnet-1") });
    let mut heard = Heard::default();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        rounds += 1;
        assert!(rounds < 4 * KILLS, "only {kills} of {rounds} kills met a re-embedding");
        kills += usize::from(run_and_kill(folder.path(), &mut heard, random));
        runtime.block_on(check(folder.path(), &engine, &heard));
    }
    assert!(heard.edited.len() > KILLS && !heard.reverted.is_empty() && !heard.live.is_empty());
    let blobs = std::fs::read_dir(folder.path().join("codebooks").join("blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}
