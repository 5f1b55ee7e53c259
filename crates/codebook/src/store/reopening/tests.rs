use std::sync::Arc;

use super::*;
use crate::store::conformance::{self, StoreUnderTest};
use crate::{Codebook, CodebookConfig, testing};

fn opened(folder: &Path) -> ReopeningStore {
    ReopeningStore::open(folder, crate::store::own_keys(folder).unwrap()).unwrap()
}

struct Tested {
    folder: tempfile::TempDir,
    store: Option<ReopeningStore>,
}

impl Tested {
    fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(opened(&folder.path().join("codebooks")));
        Self { folder, store }
    }
}

impl StoreUnderTest for Tested {
    fn store(&self) -> &dyn CodebookStore {
        self.store.as_ref().unwrap()
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(opened(&self.folder.path().join("codebooks")));
    }
}

#[test]
fn a_reopening_store_conforms() {
    conformance::run(Tested::fresh);
}

fn edit(book: &Codebook, n: u128) -> Result<()> {
    book.apply(testing::record(n, 2), testing::members(n, 3, 3, 0.1), &testing::generation(3)).map(drop)
}

#[test]
fn after_a_failure_it_is_opened_anew_and_the_codebook_follows() {
    let Tested { store, folder } = Tested::fresh();
    let store = Arc::new(store.unwrap());
    let name = CodebookName::default();
    let book = Codebook::open(store.clone(), name.clone(), Arc::new(CodebookConfig::default())).unwrap();
    edit(&book, 1).unwrap();
    // A write that failed and reached the disk all the same.
    let opened = store.opened.read();
    let inner = &opened.as_ref().unwrap().store;
    let (record, members) = (testing::record(2, 2), testing::members(2, 3, 3, 0.1));
    inner.commit_edit(&name, &record, &members, None, EventOrigin::Direct).unwrap();
    drop(opened);
    store.failed_again(Unwritable::Full);
    for _ in 0..2 {
        let refused = edit(&book, 3);
        assert!(matches!(refused, Err(CodebookError::Unwritable(Unwritable::Full))), "{refused:?}");
    }
    assert_eq!(book.snapshot().edits().count(), 1, "what is there is served meanwhile");
    assert_eq!(store.events(&name).unwrap(), 2);
    std::thread::sleep(PAUSE);
    edit(&book, 3).unwrap();
    assert_eq!(book.snapshot().edits().count(), 3);
    assert!(book.verify().unwrap().ok());
    assert_eq!(store.faults(), Vec::<String>::new());
    drop((book, store));
    let again = SledStore::open(&folder.path().join("codebooks")).unwrap();
    assert_eq!(again.load(&name).unwrap().edits.len(), 3);
}

#[test]
fn a_folder_that_is_moved_away_is_not_written_to_until_it_is_back() {
    let Tested { store, folder } = Tested::fresh();
    let store = Arc::new(store.unwrap());
    let config = Arc::new(CodebookConfig::default());
    let book = Codebook::open(store.clone(), CodebookName::default(), config).unwrap();
    edit(&book, 1).unwrap();
    let (here, there) = (folder.path().join("codebooks"), folder.path().join("elsewhere"));
    fs::rename(&here, &there).unwrap();
    let moved = |result: Result<()>| matches!(result, Err(CodebookError::Unwritable(Unwritable::Moved)));
    assert!(moved(edit(&book, 2)) && moved(store.recover()));
    // Another one in its place is none of this process's.
    drop(SledStore::open(&here).unwrap());
    assert!(moved(book.revert(testing::edit_id(1))));
    fs::remove_dir_all(&here).unwrap();
    fs::rename(&there, &here).unwrap();
    store.recover().unwrap();
    edit(&book, 2).unwrap();
    assert!(book.verify().unwrap().ok());
}

/// As at a start on a full disk: what was there can be read, nothing is written, and once there is room it
/// goes on.
#[test]
fn without_room_for_the_next_start_a_store_can_be_read_alone() {
    let Tested { store, folder } = Tested::fresh();
    let name = CodebookName::default();
    let config = || Arc::new(CodebookConfig::default());
    let open = |store: &Arc<ReopeningStore>| {
        let store: Arc<dyn CodebookStore> = Arc::clone(store) as _;
        crate::Library::open(store, CodebookConfig::default()).unwrap()
    };
    {
        let book = Codebook::open(Arc::new(store.unwrap()), name.clone(), config()).unwrap();
        edit(&book, 1).unwrap();
    }
    let codebooks = folder.path().join("codebooks");
    let reserve = codebooks.join("reserve");
    std::fs::remove_file(&reserve).unwrap();
    // Nothing can be kept there.
    std::fs::create_dir(&reserve).unwrap();
    let store = Arc::new(opened(&codebooks));
    let library = open(&store);
    assert!(library.damaged().is_empty());
    let book = library.get(&name).unwrap();
    assert_eq!(book.stats().edits, 1);
    assert!(matches!(edit(&book, 2), Err(CodebookError::Unwritable(_))));
    assert!(matches!(library.recover(), Err(CodebookError::Unwritable(_))));
    let journal = library.journal("jobs");
    assert!(matches!(journal.put(ulid::Ulid::nil(), 0, b"x"), Err(CodebookError::Unwritable(_))));
    std::fs::remove_dir(&reserve).unwrap();
    library.recover().unwrap();
    edit(&book, 2).unwrap();
    journal.put(ulid::Ulid::nil(), 0, b"x").unwrap();
    assert!(reserve.is_file());
}
