//! Kills a writer with SIGKILL at random moments: whatever it said was done must be there, and nothing by
//! halves.
//!
//! The writer is this test binary itself, run again on the ignored test below. Killing a process does not
//! lose what the kernel holds, so this shows that writes are atomic and acknowledged in order; that they
//! reach the disk rests on the flush before each acknowledgement.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reasonedit_codebook::*;
use reasonedit_imaging::PixelRules;
use time::OffsetDateTime;
use ulid::Ulid;

const FOLDER: &str = "REASONEDIT_CRASH_TEST_FOLDER";
const ROUNDS: u64 = 14;
const DIM: u32 = 300;

fn generation(n: u64) -> Generation {
    let embedding = Embedding {
        id: GenerationId(Ulid::from_parts(1, n.into())),
        model_fingerprint: "model".to_owned(),
        tap: "vision.3".to_owned(),
        pooling: "mean".to_owned(),
        lambda: n as f64,
        encoder_fingerprint: "encoder".to_owned(),
        vision_dim: DIM,
        sentence_dim: 0,
        pixels: PixelRules::CURRENT,
        seeds: Seeds::CURRENT,
    };
    Generation { embedding, chosen: n > 0 }
}

fn edit_id(n: u64) -> EditId {
    EditId(Ulid::from_parts(n, 7))
}

/// Every generation has other keys: its λ stands in them.
fn members(n: u64, embedding: &Embedding) -> Vec<Member> {
    let edit = edit_id(n);
    (0..4)
        .map(|ordinal| Member {
            id: MemberId::derive(edit, ordinal),
            edit,
            ordinal,
            kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
            statement: ordinal.checked_sub(1),
            image: ImageId::of(&n.to_be_bytes()),
            area: None,
            sentence: format!("Sentence {ordinal} of {n}."),
            key: (0..DIM)
                .map(|i| ((n % 5) as f32 + ordinal as f32) * (i % 7) as f32 + embedding.lambda as f32)
                .collect(),
            radius: 1.0,
        })
        .collect()
}

fn record(n: u64, embedding: &Embedding) -> EditRecord {
    EditRecord {
        warnings: Vec::new(),
        id: edit_id(n),
        created_at: OffsetDateTime::UNIX_EPOCH,
        image: ImageInfo { id: ImageId::of(&n.to_be_bytes()), width: 6, height: 4 },
        question: format!("Question {n}?"),
        answer: "yes".to_owned(),
        choices: vec![],
        reasoning: (0..3)
            .map(|i| Statement {
                statement: format!("Statement {i}."),
                evidence: vec![],
                p_yes: None,
                prior: None,
            })
            .collect(),
        author: None,
        tags: vec![],
        metadata: serde_json::Value::String("x".repeat(10_000)),
        embedding: embedding.id,
        before: None,
        timings_ms: BTreeMap::new(),
        relations: reasonedit_codebook::Relations::default(),
        idempotency: Some(Idempotency { key: n.to_string(), body: [n as u8; 32] }),
    }
}

#[allow(clippy::unwrap_used)] // A test's helper: clippy only knows the functions marked as tests.
fn open(folder: &Path) -> (Arc<SledStore>, Arc<Codebook>) {
    let store = Arc::new(SledStore::open(folder).unwrap());
    let book = Codebook::open(store.clone(), CodebookName::default(), Arc::default()).unwrap();
    (store, Arc::new(book))
}

/// Edits, reverts and swaps of all keys, each named on the standard output once it is done.
#[test]
#[ignore = "the writer that the crash test runs and kills"]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (_store, book) = open(Path::new(&folder));
    let mut out = std::io::stdout().lock();
    let done = book.history().unwrap().len() as u64;
    writeln!(out, "ready").unwrap();
    let mut n = book.snapshot().edits().next_back().map_or(1, |e| e.id.0.timestamp_ms() + 1).max(done + 1);
    loop {
        let current = book.snapshot().generation().unwrap_or_else(|| generation(0));
        book.apply(record(n, &current.embedding), members(n, &current.embedding), &current).unwrap();
        writeln!(out, "edited {n}").unwrap();
        if n % 3 == 0 {
            book.put_outcome(edit_id(n), &[9; 6000]).unwrap();
            writeln!(out, "outcome {n}").unwrap();
        }
        if n % 4 == 0 {
            book.revert(edit_id(n)).unwrap();
            writeln!(out, "reverted {n}").unwrap();
        }
        if n % 7 == 0 {
            let mut build = if n % 14 == 0 && book.snapshot().previous().is_some() {
                book.begin_rollback(None, true).unwrap()
            } else {
                book.begin(generation(n), [0; 32]).unwrap()
            };
            let target = build.generation().embedding.clone();
            for edit in build.prepare().edits {
                build.add(members(edit.0.timestamp_ms(), &target)).unwrap();
            }
            build.finish().unwrap().unwrap();
            writeln!(out, "embedded {}", target.id.0.random()).unwrap();
        }
        n += 1;
    }
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        assert!(lines.any(|line| line.ends_with("ready")), "the writer of round {round} did not begin");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Some way into the work, then at a moment of its own within the next write.
        let mut heard: Vec<String> = lines.by_ref().take(1 + random as usize % 40).collect();
        std::thread::sleep(Duration::from_micros(random >> 32 & 0x1FFF));
        child.kill().unwrap();
        child.wait().unwrap();
        heard.extend(lines);
        for line in heard {
            // A line may be cut where the process ended; what was said in full counts.
            if let Some((what, n)) = line.split_once(' ')
                && let Ok(n) = n.parse()
            {
                acknowledged.push((what.to_owned(), n));
            }
        }

        let (store, book) = open(folder.path());
        let report = book.verify().unwrap();
        assert!(report.ok(), "round {round}: {report:?}");
        // Being killed is no damage.
        assert_eq!(store.faults(), Vec::<String>::new(), "round {round}");
        assert!(store.examine(book.name()).is_empty(), "round {round}");
        let history = book.history().unwrap();
        let snapshot = book.snapshot();
        for (what, n) in &acknowledged {
            let id = edit_id(*n);
            let event = match what.as_str() {
                "edited" => Event::Edited(id),
                "reverted" => Event::Reverted(id),
                "embedded" => Event::Reembedded(generation(*n).embedding.id),
                "outcome" => {
                    let kept = store.outcome(book.name(), id).unwrap();
                    assert_eq!(kept.as_deref(), Some(&[9; 6000][..]), "round {round}: {n}");
                    continue;
                }
                other => panic!("{other}"),
            };
            assert!(history.contains(&event), "round {round}: {what} {n} was acknowledged and is gone");
        }
        for edit in snapshot.edits() {
            let n = edit.id.0.timestamp_ms();
            assert_eq!(edit.question, record(n, &generation(0).embedding).question);
            assert_eq!(
                snapshot.members_of(edit.id).map(|m| m.as_ref().clone()).collect::<Vec<_>>(),
                members(n, snapshot.embedding().unwrap())
            );
            assert_eq!(book.idempotency(&n.to_string()).unwrap(), Some(([n as u8; 32], edit.id)));
        }
    }
    let edits = acknowledged.iter().filter(|(what, _)| what == "edited").count();
    assert!(edits >= ROUNDS as usize, "only {edits} edits were acknowledged");
    assert_eq!(std::fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
}
