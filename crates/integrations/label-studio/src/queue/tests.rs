use std::sync::Arc;

use reasonedit_codebook::{CodebookConfig, CodebookStore, SledStore};

use super::super::dto::OutcomeKind;
use super::*;

fn event(annotation: u64, minute: Option<u32>) -> Event {
    let change = match minute {
        Some(minute) => Change::Withdrawn {
            reason: "x".to_owned(),
            updated_at: format!("2026-11-20T10:{minute:02}:00.5Z"),
        },
        None => Change::Deleted,
    };
    Event { project: "1.5".to_owned(), annotation, change }
}

fn outcome(annotation: u64, kind: OutcomeKind) -> OutcomeDto {
    OutcomeDto {
        proposal: None,
        review: None,
        annotation,
        project: "1.5".to_owned(),
        outcome: kind,
        deleted: false,
        updated_at: None,
        edit: None,
        reverted: Vec::new(),
        detail: None,
        warnings: Vec::new(),
        ended_at: "2026-11-20T10:00:00Z".to_owned(),
    }
}

fn library(folder: &std::path::Path) -> Library {
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder).unwrap());
    Library::open(store, CodebookConfig::default()).unwrap()
}

/// Works everything off; the annotations in order, with whether each was outdated.
fn drain(queue: &Queue) -> Vec<(u64, bool)> {
    let mut done = Vec::new();
    while let Next::Work { id, outdated } = queue.next(Instant::now()) {
        let event = queue.read(id).unwrap();
        done.push((event.annotation, outdated));
        queue.end(id, (!outdated).then(|| outcome(event.annotation, OutcomeKind::Skipped))).unwrap();
    }
    done
}

#[test]
fn what_waited_before_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let (first, second, third) = (Ulid::from_parts(1, 1), Ulid::from_parts(2, 1), Ulid::from_parts(3, 1));
    // Byte for byte as the first version wrote them.
    let rows = [
        (
            first,
            r#"{"received_at":"2026-11-20T10:00:00.5Z","project":"1.5","annotation":7,"change":"says","correction":{"picture":"/data/a.png","question":"q","answer":"a","choices":[],"reasoning":[{"statement":"s","boxes":[]}]},"updated_at":"2026-11-20T10:01:00.5Z","task":3,"by":null}"#,
        ),
        (
            second,
            r#"{"received_at":"2026-11-20T10:00:01Z","project":"1.5","annotation":8,"change":"withdrawn","reason":"x","updated_at":"2026-11-20T10:02:00.5Z"}"#,
        ),
        (
            third,
            r#"{"received_at":"2026-11-20T10:00:02Z","project":"1.5","annotation":9,"change":"deleted"}"#,
        ),
    ];
    for (id, bytes) in rows {
        let row: Row = serde_json::from_str(bytes).unwrap();
        assert_eq!(serde_json::to_string(&row).unwrap(), bytes);
        library.journal("label-studio-events").put(id, 0, bytes.as_bytes()).unwrap();
    }
    let outcome = serde_json::to_vec(&outcome(6, OutcomeKind::Skipped)).unwrap();
    library.journal("label-studio-outcomes").put(Ulid::from_parts(0, 1), 0, &outcome).unwrap();
    let queue = Queue::open(&library, 1000).unwrap();
    assert_eq!(queue.look(), (3, vec![self::outcome(6, OutcomeKind::Skipped)]));
    assert!(matches!(queue.read(first).unwrap().change, Change::Says(said) if said.correction.answer == "a"));
    assert_eq!(drain(&queue), [(7, false), (8, false), (9, false)]);
}

#[test]
fn what_was_taken_up_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let queue = Queue::open(&library(folder.path()), 1000).unwrap();
        queue.push((0..150).map(|n| event(n, Some(0))).collect()).unwrap();
        let Next::Work { id, outdated: false } = queue.next(Instant::now()) else { panic!() };
        queue.end(id, Some(outcome(0, OutcomeKind::Failed))).unwrap();
    }
    let queue = Queue::open(&library(folder.path()), 1000).unwrap();
    assert_eq!(queue.look(), (149, vec![outcome(0, OutcomeKind::Failed)]));
    assert_eq!(drain(&queue), (1..150).map(|n| (n, false)).collect::<Vec<_>>());
    drop(queue);
    assert_eq!(Queue::open(&library(folder.path()), 1000).unwrap().look().0, 0);
}

#[test]
fn of_one_annotation_only_the_last_word_counts() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&library(folder.path()), 1000).unwrap();
    // The update overtook the creation; another annotation is left alone.
    queue.push(vec![event(1, Some(5)), event(2, Some(1)), event(1, Some(3))]).unwrap();
    let last = |queue: &Queue| match queue.next(Instant::now()) {
        Next::Work { id, outdated } => {
            (queue.read(id).unwrap().change.updated_at().map(str::to_owned), outdated)
        }
        Next::Idle(_) => panic!("nothing to do"),
    };
    assert_eq!(last(&queue), (Some("2026-11-20T10:03:00.5Z".to_owned()), true));
    assert_eq!(drain(&queue), [(1, true), (1, false), (2, false)]);
    // What is gone stays gone.
    queue.push(vec![event(3, None), event(3, Some(9))]).unwrap();
    assert_eq!(drain(&queue), [(3, true), (3, false)]);
    queue.push(vec![event(4, Some(1)), event(4, Some(2)), event(4, None)]).unwrap();
    assert_eq!(drain(&queue), [(4, true), (4, true), (4, false)]);
}

#[test]
fn the_queue_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&library(folder.path()), 2).unwrap();
    queue.push(vec![event(1, None), event(2, None)]).unwrap();
    assert_eq!(queue.push(vec![event(3, None)]).unwrap_err().status().as_u16(), 503);
    drain(&queue);
    let huge = Change::Withdrawn { reason: "x".repeat(2 << 20), updated_at: String::new() };
    let huge = Event { project: "1.5".to_owned(), annotation: 4, change: huge };
    assert_eq!(queue.push(vec![huge]).unwrap_err().status().as_u16(), 413);
    for n in 0..2 * KEPT as u64 {
        queue.push(vec![event(n, None)]).unwrap();
        drain(&queue);
    }
    assert_eq!(queue.look().1.len(), KEPT);
    assert_eq!(queue.outcomes.all().unwrap().len(), KEPT);
}

#[test]
fn what_is_put_off_waits_longer_each_time_and_keeps_no_one_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&library(folder.path()), 10).unwrap();
    queue.push(vec![event(1, Some(1)), event(2, Some(1))]).unwrap();
    let now = Instant::now();
    let Next::Work { id, .. } = queue.next(now) else { panic!() };
    let waits: Vec<u64> = (0..11).map(|_| queue.put_off(id, now).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(queue.patience(id).unwrap().tries, 11);
    let Next::Work { id: other, outdated: false } = queue.next(now) else { panic!() };
    assert_ne!(other, id);
    queue.end(other, None).unwrap();
    assert_eq!(queue.next(now), Next::Idle(Some(now + LONGEST_WAIT)));
    assert_eq!(queue.next(now + LONGEST_WAIT), Next::Work { id, outdated: false });
}

#[test]
fn what_was_heard_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&library(folder.path()), 10).unwrap();
    let end = |event: Event, outcome: OutcomeDto| {
        queue.push(vec![event]).unwrap();
        let Next::Work { id, .. } = queue.next(Instant::now()) else { panic!() };
        queue.end(id, Some(outcome)).unwrap();
    };
    end(event(1, None), OutcomeDto { deleted: true, ..outcome(1, OutcomeKind::Reverted) });
    let at = Some("2026-11-20T10:05:00.5Z".to_owned());
    end(event(2, Some(5)), OutcomeDto { updated_at: at, ..outcome(2, OutcomeKind::Skipped) });
    assert!(queue.heard_more(&event(1, Some(59))));
    assert!(queue.heard_more(&event(2, Some(4))));
    assert!(!queue.heard_more(&event(2, Some(5))) && !queue.heard_more(&event(2, Some(6))));
    assert!(!queue.heard_more(&event(3, Some(1))));
    assert!(!queue.heard_more(&Event { project: "2.5".to_owned(), ..event(1, Some(1)) }));
}
