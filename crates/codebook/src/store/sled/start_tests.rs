//! What a start makes of a folder of which any one value has decayed.

use std::sync::Arc;

use ulid::Ulid;

use super::layout::*;
use super::*;
use crate::config::CodebookConfig;
use crate::journal::Journal;
use crate::library::Library;
use crate::records::Idempotency;
use crate::testing;

const DIM: usize = 3;
/// The tree after those of [`NAMES`], and the one after that.
const OF_JOURNAL: usize = NAMES.len();
const OF_SCHEMA: usize = NAMES.len() + 1;

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

fn id(n: u8) -> Ulid {
    Ulid::from_bytes([n; 16])
}

fn library(folder: &Path) -> Result<Library> {
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder)?);
    Library::open(store, CodebookConfig::default())
}

/// Two codebooks of four edits under keys, one of them reverted and one erased, and rows of two tables.
fn fill(folder: &Path) {
    let library = library(folder).unwrap();
    for book in ["ward-3", "ward-4"] {
        let book = library.get_or_create(&name(book)).unwrap();
        for n in 1..5 {
            let mut record = testing::record(n, 2);
            record.idempotency = Some(Idempotency { key: format!("key {n}"), body: [n as u8; 32] });
            book.apply(record, testing::members(n, 3, DIM, 0.1), &testing::generation(DIM as u32)).unwrap();
        }
        book.revert(testing::edit_id(2)).unwrap();
        book.erase(testing::edit_id(3), Some("Dr. Ada")).unwrap();
    }
    for (table, n) in [("jobs", 1), ("jobs", 2), ("webhooks", 1)] {
        library.journal(table).put(id(n), 0, &[n; 9000]).unwrap();
    }
}

fn tree(store: &SledStore, of: usize) -> &Tree {
    match of {
        OF_JOURNAL => &store.journal,
        OF_SCHEMA => &store.schema,
        of => store.tree(of),
    }
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Decay {
    Flipped,
    Cut,
    Gone,
}

fn harm(store: &SledStore, of: usize, key: &[u8], value: &[u8], decay: Decay) {
    let tree = tree(store, of);
    match decay {
        Decay::Flipped => {
            let mut bytes = value.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            tree.insert(key, bytes).unwrap();
        }
        Decay::Cut => drop(tree.insert(key, &value[..value.len() / 2]).unwrap()),
        Decay::Gone => drop(tree.remove(key).unwrap()),
    }
    store.db.flush().unwrap();
}

/// Whichever value it is: the store opens, the other codebook is served, other rows of the journal are
/// there, and no idempotency key is forgotten without a word.
#[test]
fn one_damaged_value_keeps_nobody_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let rows: Vec<(usize, Vec<u8>, Vec<u8>)> = {
        let store = SledStore::open(folder.path()).unwrap();
        let all = (0..=OF_SCHEMA).flat_map(|of| tree(&store, of).iter().map(move |row| (of, row.unwrap())));
        let wanted = all.filter(|(of, (key, _))| *of >= OF_JOURNAL || key.starts_with(b"ward-3"));
        wanted.map(|(of, (key, value))| (of, key.to_vec(), value.to_vec())).collect()
    };
    assert!(rows.len() > 30, "{}", rows.len());
    let mut told = [0; OF_SCHEMA + 1];
    for (of, key, value) in &rows {
        for decay in [Decay::Flipped, Decay::Cut, Decay::Gone] {
            let place = format!("{of} {} {decay:?}", String::from_utf8_lossy(key));
            let harmed = copied(folder.path());
            let store = SledStore::open(harmed.path()).unwrap();
            harm(&store, *of, key, value, decay);
            drop(store);
            let library = library(harmed.path()).unwrap_or_else(|error| panic!("{place}: {error}"));
            let faults = library.store_faults();
            told[*of] += usize::from(!faults.is_empty());
            let other = library.get(&name("ward-4")).unwrap();
            assert_eq!(other.stats().edits, 2, "{place}");
            assert!(library.examine(&name("ward-4")).is_empty(), "{place}");
            let rows = |table| library.journal(table).all().unwrap();
            let (jobs, webhooks): (Vec<_>, Vec<_>) = (rows("jobs"), rows("webhooks"));
            let lost = usize::from(*of == OF_JOURNAL);
            assert_eq!(jobs.len() + webhooks.len(), 3 - lost, "{place}: {faults:?}");
            assert!(jobs.iter().all(|(key, value)| value == &[key.id.to_bytes()[0]; 9000]), "{place}");
            // Of a value that is gone with all its pieces nothing is left to tell of.
            assert!(lost == 0 || !faults.is_empty(), "{place}");
            if let Ok(book) = library.get(&name("ward-3")) {
                for n in [1, 2, 4] {
                    let found = book.idempotency(&format!("key {n}")).unwrap();
                    assert_eq!(found, Some(([n as u8; 32], testing::edit_id(n))), "{place}");
                }
                let erased = book.idempotency("key 3");
                let gone = *of == IDEMPOTENCY && decay == Decay::Gone;
                assert!(gone || erased.is_err(), "{place}: {erased:?}");
                // And it can be written to.
                book.revert(testing::edit_id(4)).unwrap();
            }
            library.journal("jobs").put(id(3), 0, b"new").unwrap();
            // A backup is made of what is there, unless a codebook isn't whole.
            let aside = !library.damaged().is_empty() || !library.examine(&name("ward-3")).is_empty();
            let dumped = library.dump(&mut |_| ControlFlow::Continue(()));
            assert_eq!(dumped.is_ok(), !aside, "{place}: {dumped:?}");
        }
    }
    assert!(told[IDEMPOTENCY] > 0 && told[OF_JOURNAL] > 0 && told[OF_SCHEMA] > 0, "{told:?}");
}

/// Keys of another folder aren't taken for those of a store that no longer says whose it is.
#[test]
fn a_store_that_forgot_whose_keys_it_has_takes_no_others() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = SledStore::open(folder.path()).unwrap();
    store.schema.insert([KEYS_OF, &[0; 4]].concat(), b"nonsense").unwrap();
    drop(store);
    let own = std::fs::read(folder.path().join(OWN_KEYS)).unwrap();
    std::fs::remove_file(folder.path().join(OWN_KEYS)).unwrap();
    let refused = SledStore::open(folder.path()).map(drop);
    assert!(matches!(refused, Err(CodebookError::Keys(KeyringError::OtherFolder))), "{refused:?}");
    std::fs::write(folder.path().join(OWN_KEYS), own).unwrap();
    assert!(library(folder.path()).unwrap().damaged().is_empty());
}

/// A backup of before the damage had no row twice: what is told of the journal is told once.
#[test]
fn a_damaged_row_is_told_once_and_left_out_of_backups() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = SledStore::open(folder.path()).unwrap();
    let (key, value) = store.journal.iter().next().unwrap().unwrap();
    harm(&store, OF_JOURNAL, &key, &value, Decay::Flipped);
    drop(store);
    let library = library(folder.path()).unwrap();
    let mut rows = 0;
    let report = library.dump(&mut |row| {
        rows += usize::from(row.tree == JOURNAL);
        ControlFlow::Continue(())
    });
    let report = report.unwrap().unwrap();
    assert_eq!((rows, report.faults.len()), (2, 1), "{:?}", report.faults);
    let (kept, damaged) = library.journal("jobs").all_and_damaged().unwrap();
    assert_eq!((kept.len(), damaged.len()), (1, 1));
    assert_eq!(damaged[0].0.id, id(1));
    let journal: Journal = library.journal("jobs");
    assert!(matches!(journal.get(id(1), 0), Err(CodebookError::Corrupt { .. })));
    journal.remove(id(1)).unwrap();
    drop((journal, library));
    assert!(self::library(folder.path()).unwrap().store_faults().is_empty());
}
