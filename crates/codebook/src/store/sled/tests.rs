use std::path::PathBuf;

use super::layout::*;
use super::*;
use crate::store::conformance::{self, StoreUnderTest};
use crate::store::contract::Event;
use crate::testing;

/// A folder, and the store that is open in it.
struct Folder {
    folder: tempfile::TempDir,
    store: Option<SledStore>,
}

impl Folder {
    fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(SledStore::open(&folder.path().join("codebooks")).unwrap());
        Self { folder, store }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("codebooks")
    }

    /// No page may have become a file of its own: such files are not durable.
    fn assert_no_blobs(&self) {
        let blobs = std::fs::read_dir(self.path().join("blobs")).unwrap().count();
        assert_eq!(blobs, 0);
    }
}

impl StoreUnderTest for Folder {
    fn store(&self) -> &dyn CodebookStore {
        self.store.as_ref().unwrap()
    }

    fn restart(&mut self) {
        self.assert_no_blobs();
        self.store = None;
        self.store = Some(SledStore::open(&self.path()).unwrap());
    }
}

#[test]
fn sled_conforms() {
    conformance::run(Folder::fresh);
}

fn committed() -> Folder {
    let tested = Folder::fresh();
    let book = CodebookName::default();
    for n in 1..4 {
        let first = (n == 1).then(|| testing::generation(3));
        tested
            .store()
            .commit_edit(
                &book,
                &testing::record(n, 2),
                &testing::members(n, 3, 3, 0.1),
                first.as_ref(),
                EventOrigin::Direct,
            )
            .unwrap();
    }
    tested
}

/// The process is killed at any moment while edits are written at once: of what stood in the trees then,
/// nothing is there or left.
#[test]
fn what_was_staged_vanishes_with_its_process() {
    let book = CodebookName::default();
    let other: CodebookName = "ward-3".parse().unwrap();
    let edits = (10..200).map(|n| (testing::record(n, 2), testing::members(n, 3, 3, 0.1)));
    let edits = testing::shared(edits);
    for lost in 0..4 {
        let mut tested = committed();
        let path = tested.path();
        let store = tested.store.as_ref().unwrap();
        let before = store.load(&book).unwrap();
        let counts = |store: &SledStore| store.trees.each_ref().map(Tree::len);
        let (there, generation) = (counts(store), testing::generation(3).embedding.id);
        for name in [&book, &other] {
            store.stage(name, &edits, generation).unwrap();
        }
        assert_eq!(store.load(&book).unwrap(), before, "what is staged is not there");
        assert_eq!(store.record(&book, testing::edit_id(10)).unwrap(), None);
        // Rows that had not been written yet when it was killed.
        for tree in [VECTORS, MEMBERS, EDITS].into_iter().take(lost) {
            let rows: Vec<_> = store.tree(tree).iter().keys().map(Result::unwrap).collect();
            for key in rows.iter().filter(|key| key.starts_with(b"ward-3")) {
                store.tree(tree).remove(key).unwrap();
            }
        }
        tested.restart();
        let store = tested.store.as_ref().unwrap();
        assert_eq!(store.load(&book).unwrap(), before);
        assert_eq!(counts(store), there, "nothing is left of it");
        assert_eq!(store.names().unwrap(), std::slice::from_ref(&book));
        store.commit_edits(&book, &edits, None, None).unwrap();
        drop(tested.store.take());
        let again = SledStore::open(&path).unwrap();
        assert_eq!(again.load(&book).unwrap().edits.len(), before.edits.len() + edits.len());
    }
}

#[test]
fn a_folder_has_one_process() {
    let tested = Folder::fresh();
    let error = SledStore::open(&tested.path()).err().unwrap();
    assert!(matches!(error, CodebookError::Locked), "{error}");
    assert!(!error.to_string().contains(tested.folder.path().to_str().unwrap()));
}

#[test]
fn newer_data_is_refused() {
    let tested = Folder::fresh();
    let path = tested.path();
    let store = tested.store.unwrap();
    store.schema.clear().unwrap();
    store.set_schema(SCHEMA + 1).unwrap();
    drop(store);
    let error = SledStore::open(&path).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, CodebookError::SchemaTooNew { found, supported } if found == SCHEMA + 1 && supported == SCHEMA)
    );
    assert!(text.contains("newer version"), "{text}");
}

#[test]
fn data_without_a_version_is_refused() {
    let tested = committed();
    let path = tested.path();
    let store = tested.store.unwrap();
    store.schema.clear().unwrap();
    store.db.flush().unwrap();
    drop(store);
    // With the file beside it, it would be known.
    std::fs::remove_file(path.join(seal::FILE)).unwrap();
    assert!(matches!(SledStore::open(&path).err().unwrap(), CodebookError::Corrupt { .. }));
}

/// Every value of every tree in turn: a changed byte is an error that names the value.
#[test]
fn corrupt_values_are_named() {
    let book = CodebookName::default();
    for (tree, read_by_load) in
        [(CODEBOOKS, true), (EDITS, true), (MEMBERS, true), (VECTORS, true), (EVENTS, false)]
    {
        for offset in [3, 12, 40] {
            let tested = committed();
            let store = tested.store.as_ref().unwrap();
            let (key, value) = store.tree(tree).iter().next().unwrap().unwrap();
            let mut bytes = value.to_vec();
            bytes[offset] ^= 0x20;
            store.tree(tree).insert(&key, bytes).unwrap();
            let error = if read_by_load { store.load(&book).err() } else { store.history(&book, 0, 9).err() }
                .unwrap();
            let text = error.to_string();
            assert!(matches!(error, CodebookError::Corrupt { .. }));
            assert!(text.contains(NAMES[tree]) && text.contains("default"), "{text}");
        }
        // A value cut short, and one that is gone.
        let tested = committed();
        let store = tested.store.as_ref().unwrap();
        let (key, value) = store.tree(tree).iter().next().unwrap().unwrap();
        store.tree(tree).insert(&key, &value[..value.len() - 1]).unwrap();
        let error = if read_by_load { store.load(&book).err() } else { store.history(&book, 0, 9).err() };
        assert!(matches!(error.unwrap(), CodebookError::Corrupt { .. }));
        if [EDITS, VECTORS].contains(&tree) {
            store.tree(tree).remove(&key).unwrap();
            assert!(matches!(store.load(&book), Err(CodebookError::Corrupt { .. })));
        }
    }
}

#[test]
fn what_no_generation_owns_is_swept() {
    let tested = committed();
    let book = CodebookName::default();
    let before = tested.store().load(&book).unwrap();
    let store = tested.store.as_ref().unwrap();
    // Keys under ids on both sides of the live one, more pieces than are removed at a time, and another
    // codebook's.
    let other: CodebookName = "default-2".parse().unwrap();
    let sizes = [9000, 6_000_000, 9000, 9000];
    let ids = [(&book, [0; 16]), (&book, [9; 16]), (&book, [255; 16]), (&other, [9; 16])];
    for ((name, id), size) in ids.into_iter().zip(sizes) {
        for n in 0..3 {
            let mut batch = Batch::default();
            let key = under(name, &[id, testing::edit_id(n).to_bytes()].concat());
            values::add(&mut batch, &key, &vec![0; size]);
            store.tree(VECTORS).apply_batch(batch).unwrap();
        }
    }
    tested.store().sweep(&book).unwrap();
    assert_eq!(tested.store().load(&book).unwrap(), before);
    let left = values::scan(store.tree(VECTORS), &under(&book, &[])).unwrap();
    assert_eq!(left.len(), 3, "one value per edit");
    assert_eq!(values::scan(store.tree(VECTORS), &under(&other, &[])).unwrap().len(), 3);
}

#[test]
fn a_head_says_no_more_than_it_must() {
    let tested = committed();
    let store = tested.store.as_ref().unwrap();
    let bytes = values::get(store.tree(CODEBOOKS), b"default").unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!["chosen", "previous", "draft"].iter().any(|field| text.contains(field)), "{text}");
}

/// What stands in the committed fixture; the same edits as [`committed`] and a revert.
fn fill(store: &dyn CodebookStore) {
    let book = CodebookName::default();
    for n in 1..4 {
        let first = (n == 1).then(|| testing::generation(3));
        let mut record = testing::record(n, 2);
        if n == 3 {
            let body = [3; 32];
            record.idempotency = Some(crate::records::Idempotency { key: "three".to_owned(), body });
        }
        let members = testing::members(n, 3, 3, 0.1);
        store.commit_edit(&book, &record, &members, first.as_ref(), EventOrigin::Direct).unwrap();
    }
    store.commit_revert(&book, testing::edit_id(2)).unwrap();
    store.put_outcome(&book, testing::edit_id(3), b"after").unwrap();
}

fn fixture(version: u32) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations/fixtures");
    root.join(format!("v{version}.tar.gz"))
}

#[test]
fn every_older_schema_still_opens() {
    let expected = {
        let store = crate::store::MemoryStore::new();
        fill(&store);
        store
    };
    let book = CodebookName::default();
    for version in 1..=SCHEMA {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(fixture(version)).unwrap();
        let path = folder.path().join("codebooks");
        tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(&path).unwrap();
        let mut tested = Folder { store: Some(SledStore::open(&path).unwrap()), folder };
        // The first form is kept as it was.
        let former = tested.folder.path().join("codebooks.schema-1");
        assert_eq!(version == 1, former.is_dir());
        for _ in 0..2 {
            let store = tested.store();
            assert_eq!(store.load(&book).unwrap(), expected.load(&book).unwrap(), "schema {version}");
            let events = |store: &dyn CodebookStore| -> Vec<Event> {
                store.history(&book, 0, 99).unwrap().into_iter().map(|logged| logged.event).collect()
            };
            assert_eq!(events(store), events(&expected));
            assert_eq!(store.outcome(&book, testing::edit_id(3)).unwrap().unwrap(), b"after");
            let known = store.idempotency(&book, "three").unwrap();
            assert_eq!(known, Some(([3; 32], testing::edit_id(3))));
            tested.restart();
        }
    }
}

/// Makes the fixture of the present schema:
/// `cargo test -p reasonedit-codebook -- --ignored make_the_fixture`, once, when the schema has risen.
/// Fixtures of earlier schemas are never made again.
#[test]
#[ignore = "writes migrations/fixtures"]
fn make_the_fixture() {
    let path = fixture(SCHEMA);
    assert!(
        !path.exists(),
        "the fixture of this schema is there; data written by releases must go on opening"
    );
    let mut tested = Folder::fresh();
    fill(tested.store());
    tested.store = None;
    let file = std::fs::File::create(path).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::best()));
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(".", tested.path()).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}
