use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_records::relations::{OnConflict, Relations, Version};
use time::{Duration, OffsetDateTime};
use ulid::Ulid;

use super::*;
use crate::config::CodebookConfig;
use crate::records::Generation;
use crate::store::{CodebookStore, MemoryStore, SledStore};
use crate::testing;

const DIM: usize = 5;

fn generation() -> Generation {
    testing::generation(DIM as u32)
}

fn open(store: Arc<dyn CodebookStore>) -> Codebook {
    Codebook::open(store, "ward".parse().unwrap(), Arc::new(CodebookConfig::default())).unwrap()
}

fn on_disk(folder: &Path) -> Codebook {
    open(Arc::new(SledStore::open(folder).unwrap()))
}

fn memory() -> Codebook {
    open(Arc::new(MemoryStore::new()))
}

/// Makes the `n`-th edit; its author is one of three.
fn apply(book: &Codebook, n: u128, change: impl FnOnce(&mut EditRecord)) {
    let mut record = EditRecord { embedding: generation().embedding.id, ..testing::record(n, 2) };
    change(&mut record);
    book.apply(record, testing::members(n, 3, DIM, 0.05), &generation()).unwrap();
}

fn ids(numbers: impl IntoIterator<Item = u128>) -> Vec<EditId> {
    numbers.into_iter().map(testing::edit_id).collect()
}

fn revert(n: u128) -> RevertId {
    RevertId(Ulid::from_parts(1_700_000_000_000, n))
}

fn by(author: &str) -> EditSelection {
    let filter = EditFilter { author: Some(author.to_owned()), ..EditFilter::default() };
    EditSelection { filter, ..EditSelection::default() }
}

fn edits(taken: &RevertedEdits) -> Vec<EditId> {
    taken.edits.iter().map(|one| one.edit).collect()
}

/// What has to be the same before a step and after it was undone: keys, records, order, and what stands.
fn whole(book: &Codebook) -> (Vec<u8>, Vec<EditRecord>, Vec<Option<EditId>>) {
    let now = book.snapshot();
    let records: Vec<EditRecord> = now.edits().map(|record| record.as_ref().clone()).collect();
    let standing = records.iter().map(|record| now.superseded_by(record.id).map(|by| by.id)).collect();
    (now.canonical(), records, standing)
}

#[test]
fn what_an_author_said_goes_in_one_step_and_comes_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (before, alone) = {
        let book = on_disk(folder.path());
        (1..=30).for_each(|n| apply(&book, n, |_| ()));
        let before = whole(&book);
        let taken = book.revert_selected(&by("author-1"), revert(7), Some("Dr. Ada")).unwrap();
        assert_eq!(edits(&taken), ids((1..=30).filter(|n| n % 3 == 1)));
        assert!(taken.edits.iter().all(|one| one.whole && one.versions == [one.edit]));
        assert!(book.verify().unwrap().ok());
        // What is left is what it would be had the others never been made.
        let fresh = memory();
        (1..=30).filter(|n| n % 3 != 1).for_each(|n| apply(&fresh, n, |_| ()));
        assert_eq!(whole(&fresh), whole(&book));
        (before, whole(&book))
    };
    let book = on_disk(folder.path());
    assert_eq!(whole(&book), alone, "it is on the disk");
    let told = book.revert_step(revert(7)).unwrap();
    assert_eq!((told.edits.len(), told.by.as_deref(), told.undone), (10, Some("Dr. Ada"), None));
    let back = book.undo_revert(revert(7), Some("Dr. Eve")).unwrap();
    assert_eq!((back.edits, back.erased), (ids((1..=30).filter(|n| n % 3 == 1)), Vec::new()));
    assert!(book.verify().unwrap().ok());
    assert_eq!(whole(&book), before);
    assert!(matches!(book.undo_revert(revert(7), None), Err(CodebookError::Conflict(_))));
    assert!(matches!(book.undo_revert(revert(8), None), Err(CodebookError::UnknownRevert(_))));
    let undone = book.revert_step(revert(7)).unwrap().undone.unwrap();
    assert_eq!(undone.1.as_deref(), Some("Dr. Eve"));
    drop(book);
    let book = on_disk(folder.path());
    assert_eq!(whole(&book), before, "that too");
    // As the codebook was in between can still be asked.
    let between = book.past(40).unwrap();
    assert_eq!((between.snapshot.edit_count(), between.erased), (20, Vec::new()));
    assert_eq!(book.past(30).unwrap().snapshot.canonical(), before.0);
}

#[test]
fn all_conditions_hold_together_and_nothing_is_a_step_of_its_own() {
    let book = memory();
    (1..=12).for_each(|n| apply(&book, n, |_| ()));
    let at = |n: i64| Some(OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(n));
    let filter =
        EditFilter { tag: Some("tag-0".to_owned()), from: at(3), to: at(10), ..by("author-1").filter };
    let of = |edits: Option<&[u128]>| EditSelection {
        filter: filter.clone(),
        edits: edits.map(|edits| ids(edits.iter().copied()).into_iter().collect()),
        among: None,
    };
    let selected = |selection: &EditSelection| -> Vec<EditId> {
        book.snapshot().selected(selection).unwrap().into_iter().map(|one| one.edit).collect()
    };
    assert_eq!(selected(&of(None)), ids([4]), "10 is too late");
    assert_eq!(selected(&of(Some(&[4, 7]))), ids([4]));
    assert_eq!(selected(&of(Some(&[7]))), []);
    let unknown = book.revert_selected(&of(Some(&[4, 99])), revert(1), None);
    assert!(matches!(unknown, Err(CodebookError::UnknownEdit(id)) if id == testing::edit_id(99)));
    let before = book.recorded();
    assert!(book.revert_selected(&of(Some(&[7])), revert(1), None).unwrap().edits.is_empty());
    assert_eq!((book.recorded(), book.snapshot().edit_count()), (before, 12));
    assert!(book.reverts(None, 10).unwrap().items.is_empty());
    let seen = book.snapshot().without_selected(&of(None)).unwrap();
    assert_eq!((edits(&seen), book.recorded()), (ids([4]), before), "looking changes nothing");
    book.revert_selected(&of(None), revert(1), None).unwrap();
    book.revert_selected(&by("author-2"), revert(2), None).unwrap();
    let page = book.reverts(None, 1).unwrap();
    assert_eq!((page.items[0].id, page.next), (revert(2), Some(revert(2))), "the last one first");
    assert_eq!(book.reverts(page.next, 1).unwrap().items[0].edits, ids([4]));
}

#[test]
fn what_came_with_an_import_is_known_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let book = on_disk(folder.path());
    let made = |numbers: std::ops::Range<u128>| {
        let one = |n| {
            let record = EditRecord { embedding: generation().embedding.id, ..testing::record(n, 2) };
            (record, testing::members(n, 3, DIM, 0.05))
        };
        testing::shared(numbers.map(one))
    };
    let (first, second) = (Ulid::from_parts(1, 1), Ulid::from_parts(1, 2));
    book.import_as(made(1..4), &generation(), Some(first)).unwrap();
    book.import_as(made(3..7), &generation(), Some(second)).unwrap();
    apply(&book, 9, |_| ());
    drop(book);
    let book = on_disk(folder.path());
    let came = book.imported_by(second).unwrap();
    assert_eq!(came, ids([4, 5, 6]), "3 was there");
    book.revert(testing::edit_id(5)).unwrap();
    let among = Some(came.into_iter().collect());
    let taken = book.revert_selected(&EditSelection { among, ..Default::default() }, revert(1), None);
    assert_eq!(edits(&taken.unwrap()), ids([4, 6]), "5 is gone already");
    assert_eq!(book.snapshot().edits().map(|record| record.id).collect::<Vec<_>>(), ids([1, 2, 3, 9]));
}

/// A version of the first edit.
fn amend(book: &Codebook, n: u128, after: u128, number: u32, author: &str) {
    apply(book, n, |record| {
        let first = testing::record(1, 2);
        let of = first.id;
        (record.image, record.question) = (first.image, first.question);
        record.author = Some(author.to_owned());
        record.answer = format!("answer {n}");
        let said_at = record.created_at;
        let version = Version { of, after: testing::edit_id(after), number, said_at };
        record.relations = Relations { version: Some(version), ..Relations::default() };
    });
}

#[test]
fn versions_go_from_the_newest_on_as_long_as_they_are_the_authors() {
    let book = memory();
    apply(&book, 1, |_| ());
    let first = whole(&book);
    amend(&book, 2, 1, 2, "Eve");
    amend(&book, 3, 2, 3, "Eve");
    let before = whole(&book);
    let taken = book.revert_selected(&by("Eve"), revert(1), None).unwrap();
    assert_eq!(
        taken.edits,
        [SelectedEdit { edit: testing::edit_id(1), versions: ids([3, 2]), whole: false }]
    );
    assert_eq!(whole(&book), first);
    // Another second version: those that were taken back follow on the first, which is not the newest.
    amend(&book, 4, 1, 2, "Ada");
    assert!(matches!(book.undo_revert(revert(1), None), Err(CodebookError::Conflict(_))));
    assert!(book.revert_selected(&by("Eve"), revert(2), None).unwrap().edits.is_empty());
    book.undo_version(testing::edit_id(1), 2, None).unwrap();
    book.undo_revert(revert(1), None).unwrap();
    assert_eq!(whole(&book), before);
    amend(&book, 5, 3, 4, "Ada");
    // What Ada said last stands on it.
    assert!(book.revert_selected(&by("Eve"), revert(3), None).unwrap().edits.is_empty());
    // Who said it first takes all of it along.
    let taken = book.revert_selected(&by("author-1"), revert(4), None).unwrap();
    assert!(taken.edits[0].whole && taken.edits[0].versions == ids([5, 3, 2, 1]));
    assert_eq!(book.snapshot().edit_count(), 0);
    book.undo_revert(revert(4), None).unwrap();
    assert_eq!(book.snapshot().newest_version(testing::edit_id(1)), Some(testing::edit_id(5)));
}

#[test]
fn older_edits_stand_again_and_stand_back_again() {
    let book = memory();
    apply(&book, 1, |_| ());
    apply(&book, 2, |record| {
        let first = testing::record(1, 2);
        (record.image, record.question) = (first.image, first.question);
        record.answer = "benign".to_owned();
        record.relations = Relations { on_conflict: OnConflict::Supersede, ..Relations::default() };
    });
    let before = whole(&book);
    assert_eq!(before.2, [Some(testing::edit_id(2)), None]);
    let taken = book.revert_selected(&by("author-2"), revert(1), None).unwrap();
    assert_eq!(taken.standing, ids([1]));
    assert_eq!(whole(&book).2, [None]);
    book.undo_revert(revert(1), None).unwrap();
    assert_eq!(whole(&book), before);
}

#[test]
fn what_was_erased_meanwhile_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let book = on_disk(folder.path());
    (1..=9).for_each(|n| apply(&book, n, |_| ()));
    book.revert_selected(&by("author-1"), revert(1), None).unwrap();
    book.erase(testing::edit_id(4), None).unwrap();
    let back = book.undo_revert(revert(1), None).unwrap();
    assert_eq!((back.edits, back.erased), (ids([1, 7]), ids([4])));
    assert!(book.verify().unwrap().ok());
    book.revert_selected(&by("author-2"), revert(2), None).unwrap();
    for n in [2, 5, 8] {
        book.erase(testing::edit_id(n), None).unwrap();
    }
    let before = book.recorded();
    assert!(matches!(book.undo_revert(revert(2), None), Err(CodebookError::Conflict(_))));
    assert_eq!(book.recorded(), before);
}

const FOLDER: &str = "REASONEDIT_REVERT_TEST_FOLDER";
const MADE: u128 = 600;

fn even() -> EditSelection {
    let filter = EditFilter { tag: Some("tag-0".to_owned()), ..EditFilter::default() };
    EditSelection { filter, ..EditSelection::default() }
}

/// Takes back and undoes until it is killed.
#[test]
#[ignore = "the process that the test below kills"]
fn reverting() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let book = on_disk(Path::new(&folder));
    println!("\nopen");
    loop {
        let id = RevertId(Ulid::new());
        book.revert_selected(&even(), id, None).unwrap();
        book.undo_revert(id, None).unwrap();
    }
}

#[test]
fn a_step_is_whole_or_not_at_all_whenever_the_process_is_killed() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let before = {
        let book = on_disk(folder.path());
        let made = (1..=MADE).map(|n| {
            let record = EditRecord { embedding: generation().embedding.id, ..testing::record(n, 2) };
            (record, testing::members(n, 3, DIM, 0.05))
        });
        book.import(testing::shared(made), &generation()).unwrap();
        whole(&book)
    };
    let mut states = BTreeSet::new();
    for kill in 0..16u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "reverts::tests::reverting", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "open"), "it opens what the one before left");
        std::thread::sleep(std::time::Duration::from_millis(5 + kill * 23 % 160));
        child.kill().unwrap();
        child.wait().unwrap();
        let book = on_disk(folder.path());
        assert!(book.verify().unwrap().ok());
        let live = book.snapshot().edit_count();
        assert!(live == MADE as usize || live == MADE as usize / 2, "{live} are live");
        states.insert(live);
        if live == MADE as usize / 2 {
            let steps = book.reverts(None, usize::MAX).unwrap().items;
            let open: Vec<_> = steps.into_iter().filter(|step| step.undone.is_none()).collect();
            assert_eq!((open.len(), open[0].edits.len()), (1, MADE as usize / 2));
            book.undo_revert(open[0].id, None).unwrap();
        }
        assert!(whole(&book) == before, "after kill {kill}");
    }
    assert_eq!(states.len(), 2, "it was killed before steps and after them");
}

/// How long the writer is held by 2,000 edits of 4,000: `cargo test -p reasonedit-codebook --release --lib
/// two_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute; prints figures"]
fn two_thousand_edits_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let book = on_disk(folder.path());
    let made = (1..=4_000).map(|n| {
        let record = EditRecord { embedding: generation().embedding.id, ..testing::record(n, 2) };
        (record, testing::members(n, 3, DIM, 0.05))
    });
    book.import(testing::shared(made), &generation()).unwrap();
    let before = whole(&book);
    let filter = EditFilter { tag: Some("tag-1".to_owned()), ..EditFilter::default() };
    let selection = EditSelection { filter, ..EditSelection::default() };
    let began = Instant::now();
    let seen = book.snapshot().without_selected(&selection).unwrap();
    println!("seen beforehand, {} edits: {:?}", seen.edits.len(), began.elapsed());
    let began = Instant::now();
    book.revert_selected(&selection, revert(1), None).unwrap();
    println!("reverted: {:?}", began.elapsed());
    let began = Instant::now();
    book.undo_revert(revert(1), None).unwrap();
    println!("undone: {:?}", began.elapsed());
    assert!(whole(&book) == before);
}
