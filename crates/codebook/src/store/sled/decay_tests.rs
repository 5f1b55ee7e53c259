//! What is found of what has decayed, and what goes on beside it.

use std::sync::Arc;

use super::layout::*;
use super::*;
use crate::book::Codebook;
use crate::config::CodebookConfig;
use crate::library::{Library, Shelved};
use crate::records::Idempotency;
use crate::testing;

const DIM: usize = 3;
pub(super) const BOOKS: [&str; 3] = ["default", "ward-3", "ward-3-b"];

pub(super) fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

/// Three codebooks: four edits with all that can be stored of one, the second reverted.
pub(super) fn fill(folder: &Path) {
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder).unwrap());
    let library = Library::open(store, CodebookConfig::default()).unwrap();
    for book in BOOKS {
        let book = library.get_or_create(&name(book)).unwrap();
        for n in 1..5 {
            edit(&book, n).unwrap();
            book.put_outcome(testing::edit_id(n), &[n as u8; 9000]).unwrap();
        }
        book.revert(testing::edit_id(2)).unwrap();
    }
}

pub(super) fn edit(book: &Codebook, n: u128) -> Result<()> {
    let mut record = testing::record(n, 2);
    record.idempotency = Some(Idempotency { key: format!("key {n}"), body: [n as u8; 32] });
    record.metadata = "x".repeat(9000).into();
    book.apply(record, testing::members(n, 3, DIM, 0.1), &testing::generation(DIM as u32)).map(drop)
}

fn contents(store: &SledStore, of: &CodebookName) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let rows = |tree: usize| store.tree(tree).iter().map(move |row| (tree, row.unwrap()));
    let all = (0..NAMES.len()).flat_map(rows);
    let own =
        all.filter(|(_, (key, _))| key.starts_with(&under(of, &[])) || key.len() == of.as_str().len() + 4);
    own.map(|(tree, (key, value))| (tree, key.to_vec(), value.to_vec())).collect()
}

/// One way of one value to decay.
#[derive(Clone, Copy, Debug)]
enum Decay {
    Flipped,
    Cut,
    Gone,
}

/// Every value of one codebook in turn, by every kind of decay: it alone is set aside, by name, if what is
/// damaged is read at the opening; else it is found by who examines it; and the others go on.
#[test]
fn a_damaged_codebook_is_set_aside_by_name_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Arc::new(SledStore::open(folder.path()).unwrap());
    let (hurt, whole) = (name("ward-3"), [name("default"), name("ward-3-b")]);
    let open =
        || Library::open(Arc::clone(&store) as Arc<dyn CodebookStore>, CodebookConfig::default()).unwrap();
    assert!(open().damaged().is_empty());
    for book in BOOKS {
        assert!(open().examine(&name(book)).is_empty(), "{book}");
    }
    let rows = contents(&store, &hurt);
    assert!(rows.len() > 40, "{}", rows.len());
    let mut aside = [0; NAMES.len()];
    for (tree, key, value) in &rows {
        if store.tree(*tree).contains_key(key).unwrap() && !key.starts_with(b"ward-3") {
            continue;
        }
        for decay in [Decay::Flipped, Decay::Cut, Decay::Gone] {
            match decay {
                Decay::Flipped => {
                    let mut bytes = value.clone();
                    *bytes.last_mut().unwrap() ^= 1;
                    store.tree(*tree).insert(key, bytes).unwrap();
                }
                Decay::Cut => drop(store.tree(*tree).insert(key, &value[..value.len() / 2]).unwrap()),
                Decay::Gone => drop(store.tree(*tree).remove(key).unwrap()),
            }
            let (place, before) = (format!("{} {decay:?}", NAMES[*tree]), contents(&store, &hurt));
            let library = open();
            // What came out of an edit can be absent: whether it ever was there, nothing says. Keys of a
            // reverted edit nobody needs.
            let reverted = [&testing::edit_id(2).to_bytes()[..], &[0; 4]].concat();
            let may_be_gone = (*tree == OUTCOMES && key.ends_with(&[0; 4]))
                || (*tree == VECTORS && key.ends_with(&reverted));
            let found = library.examine(&hurt);
            assert!(may_be_gone && matches!(decay, Decay::Gone) || !found.is_empty(), "{place}");
            assert!(found.iter().all(|fault| fault.to_string().contains("ward-3")), "{place}: {found:?}");
            let damaged = library.damaged();
            if let [(book, error)] = damaged.as_slice() {
                aside[*tree] += 1;
                assert_eq!(book, &hurt);
                assert!(error.to_string().contains("the codebook ward-3 is damaged"), "{error}");
                let refused = |result: Result<Arc<Codebook>>| {
                    assert!(matches!(result, Err(CodebookError::Damaged { name, .. }) if name == hurt));
                };
                refused(library.get(&hurt));
                refused(library.get_or_create(&hurt));
                let listed = library.page(None, 9, |_| true).items;
                assert_eq!(listed.len(), 3);
                assert!(matches!(&listed[1], Shelved::Damaged { name, .. } if *name == hurt));
                assert_eq!(library.books().len(), 2);
                assert_eq!(contents(&store, &hurt), before, "{place}: nothing is written to it");
            } else {
                assert!(damaged.is_empty(), "{place}");
            }
            for book in &whole {
                assert!(library.examine(book).is_empty(), "{place}");
                let book = library.get(book).unwrap();
                assert!(book.verify().unwrap().ok());
                assert_eq!(book.stats().edits, 3);
            }
            store.tree(*tree).insert(key, value.as_slice()).unwrap();
        }
    }
    assert!(open().damaged().is_empty());
    for tree in [CODEBOOKS, EDITS, MEMBERS, VECTORS, EVENTS, REVERTS] {
        assert!(aside[tree] > 0, "{}", NAMES[tree]);
    }
    let again = open();
    for book in BOOKS {
        edit(&again.get(&name(book)).unwrap(), 9).unwrap();
    }
}

/// A head of before: what a lost write would leave.
#[test]
fn an_earlier_state_of_a_value_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = SledStore::open(folder.path()).unwrap();
    let book = name("default");
    let head = piece(&store, CODEBOOKS, b"default");
    store.commit_revert(&book, testing::edit_id(3)).unwrap();
    assert!(store.load(&book).is_ok());
    store.tree(CODEBOOKS).insert([&b"default"[..], &[0; 4]].concat(), head).unwrap();
    let error = store.load(&book).unwrap_err().to_string();
    assert!(error.contains("an earlier state"), "{error}");
    assert_eq!(store.examine(&book).len(), 1);
}

fn piece(store: &SledStore, tree: usize, key: &[u8]) -> sled::IVec {
    store.tree(tree).get([key, &[0; 4]].concat()).unwrap().unwrap()
}

/// The mark of an import that can't be read belongs to one codebook.
#[test]
fn a_mark_that_cannot_be_read_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    {
        let store = SledStore::open(folder.path()).unwrap();
        let edits = testing::shared([(testing::record(50, 2), testing::members(50, 3, DIM, 0.1))]);
        for book in BOOKS {
            store.stage(&name(book), &edits, testing::generation(DIM as u32).embedding.id).unwrap();
        }
        let mark = [&under(&name("ward-3"), &testing::edit_id(50).to_bytes())[..], &[0; 4]].concat();
        store.tree(STAGED).insert(mark, b"nonsense").unwrap();
    }
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder.path()).unwrap());
    let library = Library::open(Arc::clone(&store), CodebookConfig::default()).unwrap();
    let damaged: Vec<CodebookName> = library.damaged().into_iter().map(|(name, _)| name).collect();
    assert_eq!(damaged, [name("ward-3")]);
    assert!(library.examine(&name("default")).is_empty());
    assert_eq!(library.get(&name("default")).unwrap().stats().edits, 3);
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

fn library(folder: &Path) -> Library {
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder).unwrap());
    Library::open(store, CodebookConfig::default()).unwrap()
}

/// What is left of a store whose end was cut is consistent; that there was more is told, as often as it is
/// opened and whatever is written since, until somebody takes note of it.
#[test]
fn a_store_whose_end_is_gone_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let earlier = copied(folder.path());
    let untouched = library(earlier.path());
    assert!(untouched.store_faults().is_empty());
    drop(untouched);
    {
        let library = library(folder.path());
        assert!(library.store_faults().is_empty());
        edit(&library.get(&name("ward-3")).unwrap(), 20).unwrap();
        library.get(&name("ward-3")).unwrap().revert(testing::edit_id(20)).unwrap();
        edit(&library.get_or_create(&name("new")).unwrap(), 1).unwrap();
    }
    std::fs::copy(folder.path().join(seal::FILE), earlier.path().join(seal::FILE)).unwrap();
    for round in 0..3 {
        let library = library(earlier.path());
        let faults = library.store_faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("the codebook new 1 of 1 events"), "{faults:?}");
        assert!(faults[1].contains("the codebook ward-3 2 of 7 events"), "{faults:?}");
        // Of one of them something is left, which is served.
        let damaged: Vec<CodebookName> = library.damaged().into_iter().map(|(name, _)| name).collect();
        assert_eq!(damaged, [name("new")]);
        assert_eq!(library.examine(&name("new")).len(), 1);
        edit(&library.get(&name("ward-3")).unwrap(), 30 + round).unwrap();
    }
    std::fs::remove_file(earlier.path().join(seal::FILE)).unwrap();
    let library = library(earlier.path());
    assert!(library.store_faults().is_empty() && library.damaged().is_empty());
}

#[test]
fn files_that_can_be_made_anew_keep_nobody_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    drop(library(folder.path()));
    let before = library(copied(folder.path()).path()).get(&name("ward-3")).unwrap().snapshot().canonical();
    let files = |folder: &Path, prefix: &str| -> Vec<std::path::PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect()
    };
    for (prefixes, at) in
        [(&["conf"][..], 3), (&["conf"], 40), (&["snap."], 0), (&["snap."], 90), (&["conf", "snap."], 8)]
    {
        let folder = copied(folder.path());
        for prefix in prefixes {
            let file = files(folder.path(), prefix).pop().unwrap();
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[at] ^= 4;
            std::fs::write(&file, bytes).unwrap();
        }
        let opened = library(folder.path());
        assert_eq!(opened.store_faults().len(), prefixes.len(), "{:?}", opened.store_faults());
        assert!(opened.damaged().is_empty());
        let book = opened.get(&name("ward-3")).unwrap();
        assert_eq!(book.snapshot().canonical(), before);
        edit(&book, 40).unwrap();
        drop((book, opened));
        let again = library(folder.path());
        assert!(again.store_faults().is_empty());
        assert!(again.get(&name("ward-3")).unwrap().verify().unwrap().ok());
    }
    // The number of the form, too, is known without its row.
    let store = SledStore::open(folder.path()).unwrap();
    store.schema.insert(b"version\0\0\0\0", b"nonsense").unwrap();
    drop(store);
    assert_eq!(library(folder.path()).store_faults().len(), 1);
    assert!(library(folder.path()).store_faults().is_empty());
}

/// What is stored of a codebook, as far as anybody can ask for it.
fn content(library: &Library, book: &str) -> String {
    let book = library.get(&name(book)).unwrap();
    let snapshot = book.snapshot();
    let outcomes: Vec<_> = snapshot.edits().map(|edit| book.edit(edit.id).unwrap().outcome).collect();
    let keys: Vec<_> = (1..9).map(|n| book.idempotency(&format!("key {n}")).unwrap()).collect();
    let members: Vec<_> = snapshot.members().collect();
    let history = book.events(0, usize::MAX).unwrap();
    format!("{:?}{members:?}{outcomes:?}{keys:?}{history:?}", snapshot.edits().collect::<Vec<_>>())
}

/// Salvages a folder whose keys lie in another.
pub(super) fn salvaged(from: &Path, keys: &Path, into: &Path) -> Result<SalvagedStore> {
    std::fs::copy(keys.join(OWN_KEYS), into.join(OWN_KEYS)).unwrap();
    salvage(from, into, own_keys(into)?)
}

#[test]
fn what_is_whole_is_salvaged_as_it_was() {
    let (folder, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    let busy = library(folder.path());
    assert!(matches!(salvaged(folder.path(), folder.path(), into.path()), Err(CodebookError::Locked)));
    let before: Vec<String> = BOOKS.iter().map(|book| content(&busy, book)).collect();
    drop(busy);
    let saved = salvaged(folder.path(), folder.path(), into.path()).unwrap();
    assert_eq!(saved.faults, Vec::<String>::new());
    assert!(saved.codebooks.iter().all(|book| book.whole && book.edits == 3 && book.lost.is_empty()));
    let library = library(into.path());
    assert_eq!(BOOKS.map(|book| content(&library, book)).to_vec(), before);
    assert!(library.store_faults().is_empty());
    edit(&library.get(&name("ward-3")).unwrap(), 9).unwrap();
}

/// A byte flipped anywhere in the log, the log cut anywhere: every edit is saved, or named as lost; nothing
/// is saved that wasn't there; and the damaged folder stays as it was.
#[test]
fn every_edit_is_salvaged_or_named() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    // Once more, so that some of it lies before the last start.
    let whole = library(folder.path());
    for book in BOOKS {
        edit(&whole.get(&name(book)).unwrap(), 8).unwrap();
    }
    let edits = |library: &Library, book: &str| -> Vec<EditRecord> {
        let Ok(book) = library.get(&name(book)) else { return Vec::new() };
        book.snapshot().edits().map(|edit| edit.as_ref().clone()).collect()
    };
    let before = BOOKS.map(|book| edits(&whole, book));
    drop(whole);
    let bytes = std::fs::read(folder.path().join("db")).unwrap();
    let (mut wholes, mut saved_edits, mut runs) = (0, 0, 0);
    for step in 0..90 {
        let at = bytes.len() * step / 90 + step * 131 % (bytes.len() / 90);
        let damaged = copied(folder.path());
        let mut harmed = bytes.clone();
        if step % 9 == 8 {
            harmed.truncate(at);
        } else {
            harmed[at] ^= 1 << (step % 8);
        }
        std::fs::write(damaged.path().join("db"), &harmed).unwrap();
        let into = tempfile::tempdir().unwrap();
        let saved = salvaged(damaged.path(), damaged.path(), into.path()).unwrap();
        assert!(std::fs::read(damaged.path().join("db")).unwrap() == harmed);
        let library = library(into.path());
        assert!(library.damaged().is_empty(), "{at}");
        runs += BOOKS.len();
        for (book, before) in BOOKS.iter().zip(&before) {
            let report = saved.codebooks.iter().find(|report| report.name == name(book)).unwrap();
            let there = edits(&library, book);
            assert!(library.examine(&name(book)).is_empty(), "{at}");
            assert_eq!(there.len(), report.edits);
            // Where the history isn't whole, a revert may be what is lost.
            let told = report.lost.iter().any(|what| what.contains("history is incomplete"));
            let known = |edit: &EditRecord| before.contains(edit) || told && edit.id == testing::edit_id(2);
            assert!(there.iter().chain(&report.without_keys).all(known), "{at}: {:?}", report.lost);
            assert!(!report.whole || there == *before, "{at}");
            let said = report.lost.join("\n");
            let all = there.len() + report.without_keys.len() == before.len();
            assert!(report.whole || !said.is_empty(), "{at}");
            assert!(
                all || before.iter().all(|edit| {
                    there.contains(edit)
                        || report.without_keys.contains(edit)
                        || said.contains(&edit.id.to_string())
                        || said.contains("missing")
                }),
                "{at}: {said}"
            );
            wholes += usize::from(report.whole);
            saved_edits += there.len();
        }
    }
    // One byte is no reason to lose much.
    assert!(wholes * 10 > runs * 7, "{wholes} of {runs}");
    assert!(saved_edits * 10 > runs * 4 * 8, "{saved_edits} of {}", runs * 4);
}

/// sled wipes what follows the first message that it can't read: what it did to the folder can't be undone,
/// and so a copy is made before.
#[test]
fn a_damaged_log_is_kept_as_it_was_before_it_is_opened() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("codebooks");
    let copy = parent.path().join("codebooks.damaged");
    fill(&folder);
    drop(SledStore::open(&folder).unwrap());
    assert!(!copy.exists(), "a whole one needs none");
    let db = folder.join("db");
    let whole = std::fs::read(&db).unwrap();
    let keys = std::fs::read(folder.join(OWN_KEYS)).unwrap();
    // Nor is one looked at that another process has open, and writes to.
    let busy = SledStore::open(&folder).unwrap();
    let mut harmed = whole.clone();
    harmed[whole.len() / 2] ^= 1;
    std::fs::write(&db, &harmed).unwrap();
    assert!(matches!(open::database(&folder), Err(CodebookError::Locked)));
    assert!(!copy.exists());
    drop(busy);
    let (mut kept, mut lost) = (0, 0);
    for step in 0..12 {
        let mut harmed = whole.clone();
        harmed[whole.len() * (step + 1) / 14] ^= 1;
        std::fs::remove_dir_all(&folder).unwrap();
        drop(std::fs::remove_dir_all(&copy));
        fill(&folder);
        std::fs::write(&db, &harmed).unwrap();
        std::fs::write(folder.join(OWN_KEYS), &keys).unwrap();
        let seen = !reasonedit_sled_log::damage(&db).unwrap().is_empty();
        // Some of it opens, shorter or not, and some doesn't.
        let opened = SledStore::open(&folder);
        assert_eq!(copy.exists(), seen);
        if !seen {
            continue;
        }
        kept += 1;
        lost += usize::from(std::fs::read(&db).unwrap() != harmed);
        assert!(std::fs::read(copy.join("db")).unwrap() == harmed);
        if let Ok(store) = &opened {
            assert!(store.faults().iter().any(|fault| fault.contains("`codebooks.damaged`")));
        }
        drop(opened);
        let into = tempfile::tempdir().unwrap();
        let saved = salvaged(&copy, &folder, into.path()).unwrap();
        assert_eq!(saved.codebooks.len(), BOOKS.len());
        // Another start makes no other.
        drop(SledStore::open(&folder));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 2);
    }
    assert!(kept > 4 && lost > 0, "{kept} copies, {lost} of which sled wrote over");
}
