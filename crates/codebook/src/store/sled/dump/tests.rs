use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use ulid::Ulid;

use crate::store::StoreRestore;
use crate::store::contract::{CodebookStore as _, EventOrigin};
use crate::store::journal::{JournalStore as _, RowKey};
use crate::testing;

type Row = (String, Vec<u8>, Vec<u8>);

fn edited(store: &SledStore, name: &str, ns: std::ops::Range<u128>) {
    for n in ns.clone() {
        let first = (n == ns.start).then(|| testing::generation(3));
        let (record, members) = (testing::record(n, 2), testing::members(n, 3, 3, 0.1));
        let name = name.parse().unwrap();
        store.commit_edit(&name, &record, &members, first.as_ref(), EventOrigin::Direct).unwrap();
    }
}

fn dumped(store: &SledStore) -> Result<(Vec<Row>, DumpReport)> {
    let mut rows = Vec::new();
    let report = store.dump(&mut |row| {
        rows.push((row.tree.to_owned(), row.key.to_vec(), row.value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((rows, report.unwrap()))
}

#[test]
fn a_store_made_of_the_rows_of_another_has_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(&folder.path().join("a")).unwrap();
    edited(&store, "ward-3", 1..6);
    edited(&store, "ward", 11..13);
    store.commit_revert(&"ward-3".parse().unwrap(), testing::edit_id(2)).unwrap();
    store.put_outcome(&"ward".parse().unwrap(), testing::edit_id(11), &[7; 9000]).unwrap();
    let about = ImageId::of(b"a picture of the journal's");
    let row = serde_json::json!({"image": about, "question": "?"}).to_string();
    let at = |id| RowKey { id: Ulid::from_parts(1, id), number: 0 };
    store.put_row("canaries", at(1), row.as_bytes()).unwrap();
    store.put_row("jobs", at(2), br#"{"image": 7}"#).unwrap();
    let (rows, report) = dumped(&store).unwrap();
    assert_eq!((report.codebooks, report.edits, report.rows), (2, 6, rows.len() as u64));
    assert_eq!((report.images.len(), report.other_images.len()), (6, 2));
    assert!(report.other_images.contains(&about));
    assert!(rows.is_sorted_by_key(|(tree, _, _)| NAMES.iter().position(|name| name == tree).unwrap_or(99)));

    let mut restored =
        StoreRestore::begin(&folder.path().join("b"), report.schema, Arc::clone(&store.keys)).unwrap();
    for (tree, key, value) in &rows {
        restored.put(DumpedRow { tree, key, value }).unwrap();
    }
    let restored = restored.finish().unwrap();
    assert_eq!((restored.codebooks, restored.edits, restored.rows), (2, 6, report.rows));
    let again = SledStore::open_with(&folder.path().join("b"), Arc::clone(&store.keys)).unwrap();
    assert_eq!(again.faults(), Vec::<String>::new());
    assert_eq!(dumped(&again).unwrap().0, rows);
    drop(again);
    // What had been acknowledged is known of the restored store as well.
    let seal = std::fs::read_to_string(folder.path().join("b/sealed")).unwrap();
    assert!(seal.contains("events ward 2") && seal.contains("events ward-3 6"), "{seal}");

    let taken = StoreRestore::begin(&folder.path().join("b"), report.schema, Arc::clone(&store.keys));
    assert!(matches!(taken, Err(CodebookError::Conflict(_))));
    let later = StoreRestore::begin(&folder.path().join("c"), SCHEMA + 1, Arc::clone(&store.keys));
    assert!(matches!(later, Err(CodebookError::SchemaTooNew { .. })));
    let mut other = StoreRestore::begin(&folder.path().join("c"), SCHEMA, Arc::clone(&store.keys)).unwrap();
    let unknown = other.put(DumpedRow { tree: "forests", key: b"k", value: b"v" });
    assert!(matches!(unknown, Err(CodebookError::Corrupt { .. })));
}

#[test]
fn a_store_that_lacks_anything_is_neither_dumped_nor_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(&folder.path().join("a")).unwrap();
    edited(&store, "ward", 1..5);
    store.commit_revert(&"ward".parse().unwrap(), testing::edit_id(2)).unwrap();
    let (rows, report) = dumped(&store).unwrap();
    for (at, (tree, key, value)) in rows.iter().enumerate() {
        let kept = match NAMES.iter().position(|name| name == tree) {
            Some(index) => store.tree(index),
            None => continue,
        };
        let pieces: Vec<_> = kept.scan_prefix(key).map(Result::unwrap).collect();
        for (key, _) in &pieces {
            kept.remove(key).unwrap();
        }
        // The keys of an edit that was taken back serve nobody.
        let needed = *tree != "vectors" || !key.ends_with(&testing::edit_id(2).to_bytes());
        let refused = dumped(&store);
        assert_eq!(matches!(refused, Err(CodebookError::Damaged { .. })), needed, "{tree} {refused:?}");
        for (key, piece) in &pieces {
            kept.insert(key, piece).unwrap();
        }

        let mut restored = StoreRestore::begin(
            &folder.path().join(format!("b{at}")),
            report.schema,
            Arc::clone(&store.keys),
        )
        .unwrap();
        for (_, row) in rows.iter().enumerate().filter(|(other, _)| *other != at) {
            restored.put(DumpedRow { tree: &row.0, key: &row.1, value: &row.2 }).unwrap();
        }
        assert_eq!(restored.finish().is_err(), needed, "{tree}");

        let (first, piece) = &pieces[0];
        kept.insert(first, [&piece[..], b"x"].concat()).unwrap();
        let refused = dumped(&store);
        assert!(matches!(refused, Err(CodebookError::Corrupt { .. })), "{tree} {refused:?}");
        kept.insert(first, piece).unwrap();
        assert!(value.len() < 4000, "one piece");
    }
    assert_eq!(dumped(&store).unwrap().0, rows);
}

#[test]
fn writers_wait_while_rows_are_read_and_readers_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    edited(&store, "ward", 1..4);
    let (name, written): (CodebookName, _) = ("ward".parse().unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let mut begun = false;
        let report = store.dump(&mut |_| {
            if !std::mem::replace(&mut begun, true) {
                scope.spawn(|| {
                    store.commit_revert(&name, testing::edit_id(1)).unwrap();
                    written.store(true, Ordering::SeqCst);
                });
                std::thread::sleep(Duration::from_millis(60));
            }
            assert_eq!(store.load(&name).unwrap().edits.len(), 3);
            assert!(!written.load(Ordering::SeqCst));
            ControlFlow::Continue(())
        });
        let report = report.unwrap().unwrap();
        assert_eq!(report.edits, 3);
        assert!(report.writers_waited >= Duration::from_millis(60));
    });
    assert_eq!(dumped(&store).unwrap().1.edits, 2);
    assert_eq!(store.dump(&mut |_| ControlFlow::Break(())).unwrap(), None);
    // Nobody waits for one that was broken off.
    store.commit_revert(&name, testing::edit_id(2)).unwrap();
}
