//! What a process was writing when it was killed is no damage.

use std::sync::Arc;

use super::decay_tests::{BOOKS, edit, fill, name, salvaged};
use super::*;
use crate::config::CodebookConfig;
use crate::library::Library;

/// sled writes its buffers in any order, and the message that begins a batch after the batch: who is killed
/// meanwhile leaves places empty, or with what stood there before the segment was used again.
#[test]
fn a_batch_that_was_being_written_is_no_damage() {
    const PAGE_OF_A_BATCH: [u8; 9] = [255, 0x65, 0xFD, 255, 255, 255, 255, 255, 255];
    // Sum, kind, length and segment lie before the page, the place of the batch's last message behind it.
    const BEFORE: usize = 7;
    const SEGMENT: usize = 512 << 10;
    const LENGTH: usize = BEFORE + PAGE_OF_A_BATCH.len() + 8;
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let db = folder.path().join("db");
    // The place in the log of a segment, which stands in its header behind a sum.
    let begun = |log: &[u8], segment: usize| {
        log[segment * SEGMENT + 4..]
            .first_chunk::<8>()
            .map_or(0, |place| i64::from_le_bytes(*place) ^ i64::MAX)
    };
    // The segment that was begun last, wherever it lies, and the batches in it that aren't what was there
    // before the segment was used again.
    let newest = |log: &[u8]| (0..log.len().div_ceil(SEGMENT)).max_by_key(|at| begun(log, *at)).unwrap();
    let own =
        |log: &[u8], at: usize| i64::from(log[at + BEFORE - 1]) == begun(log, at / SEGMENT) / SEGMENT as i64;
    let heads = |log: &[u8]| -> Vec<usize> {
        let found = (BEFORE..log.len()).filter(|at| log[*at..].starts_with(&PAGE_OF_A_BATCH));
        found.map(|at| at - BEFORE).filter(|at| own(log, *at)).collect()
    };
    // More than a segment, and two batches in the last.
    let mut edits = 10..;
    let (whole, first, last, before) = loop {
        let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder.path()).unwrap());
        let library = Library::open(store.clone(), CodebookConfig::default()).unwrap();
        let book = library.get_or_create(&name(BOOKS[0])).unwrap();
        edits.by_ref().take(40).for_each(|n| edit(&book, n).unwrap());
        drop((book, library, store));
        let log = std::fs::read(&db).unwrap();
        let (heads, newest) = (heads(&log), newest(&log));
        let mut written = heads.iter().rev().filter(|at| *at / SEGMENT == newest);
        let former = heads.iter().find(|at| *at / SEGMENT != newest);
        if let (Some(last), Some(before), Some(first)) = (written.next(), written.next(), former) {
            break (log, *first, *last, *before);
        }
    };
    let with = |at: usize, write: &dyn Fn(&mut [u8])| {
        let mut log = whole.clone();
        write(&mut log[at..at + LENGTH]);
        std::fs::write(&db, log).unwrap();
        reasonedit_sled_log::damage(&db).unwrap().len()
    };
    let empty: &dyn Fn(&mut [u8]) = &|bytes| bytes.fill(0);
    let older: &dyn Fn(&mut [u8]) = &|bytes| (0..).zip(bytes).for_each(|(i, byte)| *byte = 77 + i);
    for never_written in [empty, older] {
        assert_eq!(with(last, never_written), 0);
        assert_eq!(with(before, never_written), 0);
        assert_eq!(with(first, never_written), 1, "all of it was written when a segment behind it began");
    }
    for flipped in 0..LENGTH {
        // What has nothing behind it can't be told from the end.
        assert_eq!(with(before, &|bytes| bytes[flipped] ^= 1), 1, "byte {flipped}");
    }
    // What is saved of it ends there, too.
    with(last, empty);
    let into = tempfile::tempdir().unwrap();
    let saved = salvaged(folder.path(), folder.path(), into.path()).unwrap();
    assert_eq!(saved.faults, Vec::<String>::new());
    assert_eq!(saved.codebooks.len(), BOOKS.len());
}

/// sled names its snapshot otherwise while it writes it, and takes what is left of one for a damaged one.
#[test]
fn what_a_process_was_writing_beside_the_log_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let left = ["snap.00000000FFFFFFFF.generating", "sealedAbC123"];
    for name in left {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    assert!(sled::open(folder.path()).is_err(), "sled can do it by itself now");
    let store = SledStore::open(folder.path()).unwrap();
    assert_eq!(store.faults(), Vec::<String>::new());
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(left.iter().all(|name| !names.contains(&(*name).to_owned())), "{names:?}");
    assert!(names.iter().all(|name| !name.contains("set-aside")), "{names:?}");
}
