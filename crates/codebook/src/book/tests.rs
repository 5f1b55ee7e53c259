mod by_definition;
mod histories;

use super::*;
use crate::store::{MemoryStore, SledStore};
use crate::testing;

pub(super) const DIM: usize = 5;
/// Of these, the vision half's.
const VISION: usize = DIM - 1;

pub(super) fn open(store: Arc<dyn CodebookStore>, config: CodebookConfig) -> Codebook {
    Codebook::open(store, CodebookName::default(), Arc::new(config)).unwrap()
}

fn memory(config: CodebookConfig) -> Codebook {
    open(Arc::new(MemoryStore::new()), config)
}

pub(super) fn apply(book: &Codebook, n: u128, spread: f32) -> AppliedEdit {
    let members = testing::members(n, 3, DIM, spread);
    book.apply(record(n), members, &generation()).unwrap()
}

pub(super) fn record(n: u128) -> EditRecord {
    testing::record(n, 2)
}

pub(super) fn generation() -> Generation {
    testing::generation(DIM as u32)
}

fn archived(numbers: impl Iterator<Item = u128>) -> Vec<SharedEdit> {
    testing::shared(numbers.map(|n| (record(n), testing::members(n, 3, DIM, 0.1))))
}

#[test]
fn many_edits_taken_in_are_those_made_one_by_one() {
    let (one_by_one, at_once) = (memory(CodebookConfig::default()), memory(CodebookConfig::default()));
    for n in 1..=40 {
        apply(&one_by_one, n, 0.1);
    }
    for n in [3, 17] {
        apply(&at_once, n, 0.1);
    }
    // In an order of their own, some of them there already.
    let new = at_once.import(archived((1..=40).rev()), &generation()).unwrap();
    assert_eq!(new.len(), 38);
    assert_eq!(at_once.snapshot().canonical(), one_by_one.snapshot().canonical());
    assert!(at_once.verify().unwrap().ok());
    assert_eq!(at_once.import(archived(1..=40), &generation()).unwrap(), []);
    assert_eq!(at_once.recorded(), 40);
}

#[test]
fn what_cannot_be_taken_in_whole_is_not_taken_in() {
    let book = memory(CodebookConfig::default());
    apply(&book, 1, 0.1);
    apply(&book, 2, 0.1);
    book.revert(testing::edit_id(2)).unwrap();
    let before = book.snapshot();
    let with = |at: usize, change: fn(&mut EditRecord, &mut Vec<Member>)| {
        let mut edits: Vec<_> = (3..=6).map(|n| (record(n), testing::members(n, 3, DIM, 0.1))).collect();
        let (record, members) = &mut edits[at];
        change(record, members);
        testing::shared(edits)
    };
    let other = |record: &mut EditRecord, _: &mut _| {
        record.embedding = testing::other_generation(1, DIM as u32).embedding.id;
    };
    let bad = [
        with(2, |_, members| members[1].key[0] = f32::NAN),
        with(3, |_, members| {
            members[0].key.pop();
        }),
        with(1, other),
        archived(2..=6),
    ];
    for edits in bad {
        assert!(book.import(edits, &generation()).is_err());
        assert!(Arc::ptr_eq(&before, &book.snapshot()));
        assert!(book.verify().unwrap().ok());
    }
    assert_eq!(book.import(archived(3..=6), &generation()).unwrap().len(), 4);
}

#[test]
fn an_idempotency_key_stays_with_the_edit_that_was_made_here() {
    let book = memory(CodebookConfig::default());
    let keyed = |n: u128| {
        let idempotency = Some(crate::Idempotency { key: "case 7".to_owned(), body: [n as u8; 32] });
        (EditRecord { idempotency, ..record(n) }, testing::members(n, 3, DIM, 0.1))
    };
    let import = |book: &Codebook, edits: Vec<(EditRecord, Vec<Member>)>| {
        book.import(testing::shared(edits), &generation()).unwrap().len()
    };
    let (made, members) = keyed(1);
    book.apply(made, members, &generation()).unwrap();
    assert_eq!(import(&book, vec![keyed(2)]), 1);
    assert_eq!(book.idempotency("case 7").unwrap(), Some(([1; 32], testing::edit_id(1))));
    assert_eq!(book.record(testing::edit_id(2)).unwrap().idempotency, None);
    let elsewhere = memory(CodebookConfig::default());
    assert_eq!(import(&elsewhere, vec![keyed(2), keyed(3)]), 2);
    assert_eq!(elsewhere.idempotency("case 7").unwrap(), Some(([2; 32], testing::edit_id(2))));
}

#[test]
fn one_edit_is_gated_by_its_own_radius() {
    let book = memory(CodebookConfig::default());
    let query = vec![0.0; DIM];
    let empty = book.retrieve(&query, &RetrievalParams::default()).unwrap();
    assert!(empty.rejected && empty.threshold.is_none() && empty.nearest.is_none());

    let mut answer = testing::members(1, 1, DIM, 0.1);
    answer[0].radius = 0.5;
    let key = answer[0].key.clone();
    book.apply(testing::record(1, 0), answer, &generation()).unwrap();
    let at = |offset: f32, hubness: bool| {
        let mut query = key.clone();
        query[0] += offset;
        book.retrieve(&query, &RetrievalParams { hubness, ..RetrievalParams::default() }).unwrap()
    };
    for hubness in [false, true] {
        assert_eq!(at(0.9, hubness).threshold, Some(1.0));
        assert!(!at(0.9, hubness).rejected);
        let far = at(1.1, hubness);
        assert!(far.rejected && far.facts.is_empty());
        assert_eq!(far.nearest.unwrap().edit_ids, [testing::edit_id(1)]);
        assert!((far.nearest_distance.unwrap() - 1.1).abs() < 1e-6);
    }
}

#[test]
fn warm_up_opens_the_gate_of_a_small_codebook() {
    let mut config = CodebookConfig::default();
    config.gate.percentile = 1.0;
    let (narrow, mut wide) = (memory(config), config);
    wide.gate.warm_up = true;
    let wide = memory(wide);
    for n in 0..4 {
        apply(&narrow, n, 0.5);
        apply(&wide, n, 0.5);
    }
    let at = |book: &Codebook, percentile| {
        book.snapshot().threshold(&RetrievalParams { reject_percentile: percentile, ..Default::default() })
    };
    // Four edits: 100/4 = 25.
    assert_eq!(at(&wide, None), at(&narrow, Some(25.0)));
    assert!(at(&wide, None) > at(&narrow, None));
    assert_eq!(at(&wide, Some(60.0)), at(&narrow, Some(60.0)));
}

#[test]
fn unusable_queries_are_refused() {
    let book = memory(CodebookConfig::default());
    apply(&book, 1, 0.1);
    let params = RetrievalParams::default();
    let wrong = book.retrieve(&[0.0; DIM - 1], &params);
    assert!(matches!(wrong, Err(CodebookError::DimensionMismatch { expected: DIM, actual: 4 })));
    let nan = book.retrieve(&[f32::NAN; DIM], &params);
    assert!(matches!(nan, Err(CodebookError::InvalidQuery(_))));
    for percentile in [-1.0, 101.0, f64::NAN] {
        let params = RetrievalParams { reject_percentile: Some(percentile), ..params };
        assert!(matches!(book.retrieve(&[0.0; DIM], &params), Err(CodebookError::InvalidQuery(_))));
    }
}

#[test]
fn an_edit_reports_its_merges_and_can_be_found() {
    let book = memory(CodebookConfig::default());
    let first = book
        .apply(
            testing::record(1, 0),
            vec![testing::member(testing::edit_id(1), 0, vec![0.0; DIM], 1.0)],
            &generation(),
        )
        .unwrap();
    let second = book
        .apply(
            testing::record(2, 0),
            vec![testing::member(testing::edit_id(2), 0, vec![0.01; DIM], 1.0)],
            &generation(),
        )
        .unwrap();
    assert_eq!(first.entries[0].merged_into, None);
    assert_eq!(second.entries[0].merged_into, Some(first.entries[0].id));
    // The first edit's snapshot stays as it was.
    assert_eq!((first.snapshot.key_count(), first.snapshot.edit_count()), (1, 1));
    let stats = book.stats();
    assert_eq!((stats.edits, stats.members, stats.keys), (2, 2, 1));
    assert!(stats.bytes_merged < stats.bytes_unmerged);

    book.put_outcome(testing::edit_id(2), b"after").unwrap();
    let view = book.edit(testing::edit_id(2)).unwrap();
    assert_eq!(view.record.question, record(2).question);
    assert_eq!(view.outcome.unwrap(), b"after");
    book.revert(testing::edit_id(1)).unwrap();
    assert_eq!(book.edit(testing::edit_id(2)).unwrap().entries[0].merged_into, None);
    assert!(matches!(book.edit(testing::edit_id(1)), Err(CodebookError::UnknownEdit(_))));
    assert!(matches!(book.revert(testing::edit_id(1)), Err(CodebookError::UnknownEdit(_))));
    assert_eq!(book.history().unwrap().len(), 3);
}

#[test]
fn lists_are_paged() {
    let book = memory(CodebookConfig::default());
    for n in 0..10 {
        apply(&book, n, 0.1);
    }
    let ids = |page: &Page<Arc<EditRecord>, EditId>| page.items.iter().map(|e| e.id).collect::<Vec<_>>();
    let edits = |ns: &[u128]| ns.iter().map(|n| testing::edit_id(*n)).collect::<Vec<_>>();
    let all = EditFilter::default();
    let first = book.edits(&all, None, 4);
    assert_eq!(ids(&first), edits(&[9, 8, 7, 6]));
    let second = book.edits(&all, first.next, 4);
    assert_eq!(ids(&second), edits(&[5, 4, 3, 2]));
    let third = book.edits(&all, second.next, 4);
    assert_eq!((ids(&third), third.next), (edits(&[1, 0]), None));
    assert_eq!(book.edits(&all, None, 10).next, None);

    let of = |filter| ids(&book.edits(&filter, None, 100));
    let (author, tag) = (Some("author-1".to_owned()), Some("tag-1".to_owned()));
    assert_eq!(of(EditFilter { author: author.clone(), ..Default::default() }), edits(&[7, 4, 1]));
    assert_eq!(of(EditFilter { author, tag, ..Default::default() }), edits(&[7, 1]));
    assert_eq!(of(EditFilter { q: Some("LESION 3".to_owned()), ..Default::default() }), edits(&[3]));

    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = book.entries(cursor, 3);
        keys.extend(page.items.iter().map(|key| key.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(keys, book.snapshot().keys().map(|key| key.id).collect::<Vec<_>>());
}

#[test]
fn unusable_edits_change_nothing() {
    let book = memory(CodebookConfig::default());
    apply(&book, 1, 0.1);
    let before = book.snapshot().canonical();
    let good = || testing::members(2, 3, DIM, 0.1);
    let tried = |change: &dyn Fn(&mut Vec<Member>)| {
        let mut members = good();
        change(&mut members);
        book.apply(record(2), members, &generation()).unwrap_err()
    };
    assert!(matches!(tried(&|m| m[1].key[0] = f32::INFINITY), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m[1].radius = -1.0), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m[1].radius = f32::NAN), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m[1].key = vec![1e30; DIM]), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m[1].statement = Some(9)), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m.swap(0, 1)), CodebookError::InvalidMember { .. }));
    assert!(matches!(tried(&|m| m[0].key.truncate(1)), CodebookError::DimensionMismatch { .. }));
    assert!(matches!(tried(&Vec::clear), CodebookError::Conflict(_)));
    let other = book.apply(record(2), testing::members(3, 3, DIM, 0.1), &generation());
    assert!(matches!(other, Err(CodebookError::InvalidMember { .. })));
    let twice = book.apply(record(1), testing::members(1, 3, DIM, 0.1), &generation());
    assert!(matches!(twice, Err(CodebookError::Conflict(_))));
    assert_eq!(book.snapshot().canonical(), before);
    apply(&book, 2, 0.1);
}

#[test]
fn records_that_would_not_read_back_are_refused() {
    let book = memory(CodebookConfig::default());
    let tried = |record: EditRecord| book.apply(record, testing::members(1, 3, DIM, 0.1), &generation());
    let opinion = |probability| Some(crate::Opinion { answer: "no".to_owned(), probability });
    let refused = tried(EditRecord { before: opinion(f64::NAN), ..record(1) });
    assert!(matches!(refused, Err(CodebookError::InvalidRecord(_))));
    let mut deep = serde_json::Value::Null;
    for _ in 0..200 {
        deep = serde_json::Value::Array(vec![deep]);
    }
    let refused = tried(EditRecord { metadata: deep, ..record(1) });
    assert!(matches!(refused, Err(CodebookError::InvalidRecord(_))));
    tried(EditRecord { before: opinion(0.1 + 0.2), ..record(1) }).unwrap();
}

#[test]
fn an_idempotency_key_makes_one_edit() {
    let book = memory(CodebookConfig::default());
    let keyed = |n, body| EditRecord {
        idempotency: Some(crate::Idempotency { key: "key".to_owned(), body: [body; 32] }),
        ..record(n)
    };
    book.apply(keyed(1, 5), testing::members(1, 3, DIM, 0.1), &generation()).unwrap();
    let again = book.apply(keyed(2, 6), testing::members(2, 3, DIM, 0.1), &generation());
    assert!(matches!(again, Err(CodebookError::AlreadyMade { edit, body })
        if edit == testing::edit_id(1) && body == [5; 32]));
    assert_eq!(book.stats().edits, 1);
    assert_eq!(book.idempotency("key").unwrap(), Some(([5; 32], testing::edit_id(1))));
}

#[test]
fn a_codebook_on_disk_comes_back_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (canonical, stats) = {
        let book = open(Arc::new(SledStore::open(folder.path()).unwrap()), CodebookConfig::default());
        for n in [4, 1, 3, 2, 9, 7] {
            apply(&book, n, 0.05);
        }
        book.revert(testing::edit_id(3)).unwrap();
        (book.snapshot().canonical(), book.stats())
    };
    let book = open(Arc::new(SledStore::open(folder.path()).unwrap()), CodebookConfig::default());
    assert_eq!(book.snapshot().canonical(), canonical);
    assert_eq!(book.stats(), stats);
    let report = book.verify().unwrap();
    assert!(report.ok() && report.edits == 5 && report.events == 7, "{report:?}");
}

#[test]
fn verify_sees_a_store_that_changed_underneath() {
    let book = memory(CodebookConfig::default());
    apply(&book, 1, 0.1);
    apply(&book, 2, 0.1);
    book.store.commit_revert(book.name(), testing::edit_id(2)).unwrap();
    assert!(!book.verify().unwrap().ok());
}
