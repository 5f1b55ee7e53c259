//! What is erased is nowhere: in no file, in no copy, whenever the process dies.

use super::layout::*;
use super::*;
use crate::records::Idempotency;
use crate::store::contract::Event;
use crate::store::dump::RestoredStore;
use crate::store::journal::RowKey;
use crate::testing;

const SECRET: &str = "effusion at the left base";

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

/// Two codebooks of three edits that all say the secret, the second of each taken back.
fn filled(folder: &Path) -> SledStore {
    let store = SledStore::open(folder).unwrap();
    for book in ["default", "ward-3"] {
        for n in 1..4 {
            let mut record = testing::record(n, 2);
            record.answer = SECRET.to_owned();
            record.idempotency = Some(Idempotency { key: format!("key {n}"), body: [n as u8; 32] });
            let mut members = testing::members(n, 3, 3, 0.1);
            for member in &mut members {
                member.sentence = format!("It shows {SECRET}.");
            }
            let first = (n == 1).then(|| testing::generation(3));
            let book = name(book);
            store.commit_edit(&book, &record, &members, first.as_ref(), EventOrigin::Direct).unwrap();
            store
                .put_outcome(&book, record.id, format!("{SECRET}, {}", "x".repeat(9000)).as_bytes())
                .unwrap();
        }
        store.commit_revert(&name(book), testing::edit_id(2)).unwrap();
    }
    store
}

fn shown(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return shown(&path);
        }
        std::fs::read(path).unwrap().windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
    })
}

fn rows_of(store: &SledStore, table: &str, keys: std::ops::RangeInclusive<RowKey>) -> Vec<(RowKey, Vec<u8>)> {
    let rows = store.rows(table, keys, 9).unwrap();
    rows.into_iter().map(|(key, value)| (key, value.unwrap())).collect()
}

fn live(store: &SledStore, book: &str) -> Vec<EditId> {
    store.load(&name(book)).unwrap().edits.iter().map(|edit| edit.id).collect()
}

#[test]
fn no_file_shows_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let row = RowKey { id: ulid::Ulid::from_parts(1, 1), number: 3 };
    store.put_row("queue", row, SECRET.as_bytes()).unwrap();
    assert_eq!(store.row("queue", row).unwrap().unwrap(), SECRET.as_bytes());
    assert_eq!(rows_of(&store, "queue", row..=row), [(row, SECRET.as_bytes().to_vec())]);
    assert!(!shown(folder.path()));
    let key = journal_key(b"queue", &row.id.to_bytes());
    assert!(store.keys.has(key));
    store.remove_rows("queue", row.id).unwrap();
    assert!(!store.keys.has(key), "what sled's log still has of it nobody can read");
    drop(store);
    assert!(!shown(folder.path()));
}

/// The key is gone and the rows are not: whoever opens the store next ends it.
#[test]
fn an_erasure_that_was_interrupted_is_ended_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let [first, reverted] = [1, 2].map(testing::edit_id);
    let keys = [first, reverted].map(|edit| key_of(&name("ward-3"), edit));
    store.keys.erase(&keys, Some("Dr. Ada")).unwrap();
    drop(store);
    for _ in 0..2 {
        let store = SledStore::open(folder.path()).unwrap();
        assert_eq!(live(&store, "ward-3"), [testing::edit_id(3)]);
        assert_eq!(live(&store, "default").len(), 2);
        assert_eq!(store.faults(), Vec::<String>::new());
        let events = store.history(&name("ward-3"), 4, 9).unwrap();
        let [back, gone, other] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((back.event, gone.event), (Event::Reverted(first), Event::Erased(first)));
        assert_eq!((gone.by.as_deref(), other.event), (Some("Dr. Ada"), Event::Erased(reverted)));
        for book in ["default", "ward-3"] {
            assert!(store.examine(&name(book)).is_empty());
        }
    }
}

#[test]
fn rows_of_before_make_a_store_in_which_it_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("a"));
    let passing = RowKey { id: ulid::Ulid::from_parts(1, 1), number: 0 };
    store.put_row("jobs", passing, b"over soon").unwrap();
    let mut rows = Vec::new();
    let report = store.dump(&mut |row| {
        rows.push((row.tree.to_owned(), row.key.to_vec(), row.value.to_vec()));
        ControlFlow::Continue(())
    });
    let report = report.unwrap().unwrap();
    assert!(rows.iter().all(|(_, _, value)| !value.windows(8).any(|part| part == &SECRET.as_bytes()[..8])));
    store.erase(&name("default"), testing::edit_id(1), Some("Dr. Ada")).unwrap();
    store.erase(&name("default"), testing::edit_id(2), None).unwrap();
    store.remove_rows("jobs", passing.id).unwrap();

    let into = folder.path().join("b");
    let mut restore = restored::StoreRestore::begin(&into, report.schema, Arc::clone(&store.keys)).unwrap();
    for (tree, key, value) in &rows {
        restore.put(DumpedRow { tree, key, value }).unwrap();
    }
    let restored = restore.finish().unwrap();
    let expected = RestoredStore { codebooks: 2, edits: 3, rows: report.rows, erased: 1 };
    assert_eq!(restored, expected);
    let restored = SledStore::open_with(&into, Arc::clone(&store.keys)).unwrap();
    assert_eq!(live(&restored, "default"), [testing::edit_id(3)]);
    assert_eq!(restored.row("jobs", passing).unwrap(), None);
    assert!(restored.erased(&name("default"), testing::edit_id(1)).is_some());
}

#[test]
fn keys_of_another_folder_are_told_and_lost_ones_too() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    std::fs::rename(folder.path().join(OWN_KEYS), folder.path().join("elsewhere")).unwrap();
    let refused = SledStore::open(folder.path());
    assert!(matches!(refused, Err(CodebookError::Keys(KeyringError::OtherFolder))));
    std::fs::rename(folder.path().join("elsewhere"), folder.path().join(OWN_KEYS)).unwrap();
    assert_eq!(live(&SledStore::open(folder.path()).unwrap(), "default").len(), 2);
}

/// A lost or flipped record of the keys costs the edit that it was of, and is found.
#[test]
fn each_byte_of_the_keys_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    let path = folder.path().join(OWN_KEYS);
    let whole = std::fs::read(&path).unwrap();
    for at in (256..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        let store = SledStore::open(folder.path()).unwrap();
        let found: Vec<_> = store.names().unwrap().iter().flat_map(|name| store.examine(name)).collect();
        assert!(!found.is_empty(), "{at}");
        assert_eq!(store.keys.damaged(), 1);
        drop(store);
        std::fs::write(&path, &whole).unwrap();
    }
    let store = SledStore::open(folder.path()).unwrap();
    assert!(store.names().unwrap().iter().all(|name| store.examine(name).is_empty()));
}

#[test]
fn what_has_lost_its_key_keeps_nothing_else_from_going_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let [lost, kept] =
        [(1, 7), (2, 7)].map(|(id, number)| RowKey { id: ulid::Ulid::from_parts(id, 1), number });
    for row in [lost, kept] {
        store.put_row("jobs", row, b"a job").unwrap();
    }
    store.keys.forget(&[journal_key(b"jobs", &lost.id.to_bytes())]).unwrap();
    store.keys.forget(&[key_of(&name("ward-3"), testing::edit_id(2))]).unwrap();
    assert!(matches!(store.row("jobs", lost), Err(CodebookError::Corrupt { .. })));
    let rows = store.rows_reached("jobs").unwrap();
    assert!(rows[0].1.is_err() && rows[1].1.as_ref().unwrap() == b"a job");
    assert_eq!(store.journal_faults().len(), 1);
    store.put_row("jobs", lost, b"another").unwrap();
    assert_eq!(store.row("jobs", lost).unwrap().unwrap(), b"another");
    // Of an edit that was taken back: it is found damaged, and others can be erased.
    assert_eq!(store.reverted_edits(&name("ward-3")).unwrap(), []);
    assert!(!store.examine(&name("ward-3")).is_empty());
    store.erase(&name("ward-3"), testing::edit_id(2), None).unwrap();
    assert!(store.examine(&name("ward-3")).is_empty());
}

#[test]
fn unsealed_copies_are_named_those_of_damaged_logs_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codebooks");
    let store = filled(&path);
    assert!(store.unsealed_copies().is_empty() && rewrite::is_sealed(&path).unwrap());
    let fixture =
        std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/fixtures/v1.tar.gz"));
    let damaged = folder.path().join("codebooks.damaged");
    tar::Archive::new(flate2::read::GzDecoder::new(fixture.unwrap())).unpack(&damaged).unwrap();
    assert!(!rewrite::is_sealed(&damaged).unwrap());
    assert_eq!(store.unsealed_copies(), ["codebooks.damaged"]);
    std::fs::create_dir(folder.path().join("codebooks.schema-1")).unwrap();
    assert_eq!(store.unsealed_copies(), ["codebooks.schema-1", "codebooks.damaged"]);
}
