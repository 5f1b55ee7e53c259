//! What every store must do, run on each of them.

use super::*;
use crate::records::Idempotency;
use crate::testing;

/// A store under test, and how it comes back after the process ended.
pub(super) trait Subject {
    fn store(&self) -> &dyn CodebookStore;
    fn restart(&mut self);
}

const DIM: usize = 3;

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

fn commit(store: &dyn CodebookStore, name: &CodebookName, n: u128, first: bool) -> Result<()> {
    let embedding = testing::embedding(DIM as u32);
    let members = testing::members(n, 3, DIM, 0.1);
    store.commit_edit(name, &testing::record(n, 2), &members, first.then_some(&embedding))
}

fn expected(edits: &[u128]) -> StoredCodebook {
    StoredCodebook {
        embedding: Some(testing::embedding(DIM as u32)),
        edits: edits.iter().map(|n| testing::record(*n, 2)).collect(),
        members: edits.iter().flat_map(|n| testing::members(*n, 3, DIM, 0.1)).collect(),
    }
}

/// Runs the whole suite, with a fresh subject for each part.
pub(super) fn run<S: Subject>(mut fresh: impl FnMut() -> S) {
    edits_last(&mut fresh());
    edits_may_come_out_of_order(&mut fresh());
    conflicts_change_nothing(&mut fresh());
    codebooks_are_apart(&mut fresh());
    large_values_last(&mut fresh());
    idempotency_and_outcomes_last(&mut fresh());
    keys_are_replaced_at_once(&mut fresh());
}

fn edits_last(subject: &mut impl Subject) {
    let book = name("default");
    assert_eq!(subject.store().load(&book).unwrap(), StoredCodebook::default());
    assert_eq!(subject.store().names().unwrap(), []);
    commit(subject.store(), &book, 1, true).unwrap();
    commit(subject.store(), &book, 2, false).unwrap();
    commit(subject.store(), &book, 3, false).unwrap();
    subject.store().commit_revert(&book, testing::edit_id(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(subject.store().load(&book).unwrap(), expected(&[1, 3]));
        assert_eq!(subject.store().names().unwrap(), [name("default")]);
        let history = [
            Event::Edited(testing::edit_id(1)),
            Event::Edited(testing::edit_id(2)),
            Event::Edited(testing::edit_id(3)),
            Event::Reverted(testing::edit_id(2)),
        ];
        assert_eq!(subject.store().history(&book).unwrap(), history);
        subject.restart();
    }
}

fn edits_may_come_out_of_order(subject: &mut impl Subject) {
    let book = name("default");
    for (i, n) in [300, 7, 100, 2].into_iter().enumerate() {
        commit(subject.store(), &book, n, i == 0).unwrap();
    }
    subject.restart();
    assert_eq!(subject.store().load(&book).unwrap(), expected(&[2, 7, 100, 300]));
}

fn conflicts_change_nothing(subject: &mut impl Subject) {
    let book = name("default");
    let store = subject.store();
    assert!(matches!(commit(store, &book, 1, false), Err(CodebookError::Conflict(_))));
    assert_eq!(store.names().unwrap(), []);
    assert!(matches!(store.commit_revert(&book, testing::edit_id(1)), Err(CodebookError::UnknownEdit(_))));
    commit(store, &book, 1, true).unwrap();
    assert!(matches!(commit(store, &book, 2, true), Err(CodebookError::Conflict(_))));
    assert!(matches!(commit(store, &book, 1, false), Err(CodebookError::Conflict(_))));
    store.commit_revert(&book, testing::edit_id(1)).unwrap();
    let again = store.commit_revert(&book, testing::edit_id(1));
    assert!(matches!(again, Err(CodebookError::UnknownEdit(id)) if id == testing::edit_id(1)));
    // A reverted edit's id stays used.
    assert!(matches!(commit(store, &book, 1, false), Err(CodebookError::Conflict(_))));
    subject.restart();
    assert_eq!(subject.store().load(&book).unwrap(), expected(&[]));
    assert_eq!(subject.store().history(&book).unwrap().len(), 2);
}

fn codebooks_are_apart(subject: &mut impl Subject) {
    // One name begins with the other: prefixes must not run into each other.
    let (short, long) = (name("ward"), name("ward-3"));
    commit(subject.store(), &long, 1, true).unwrap();
    commit(subject.store(), &short, 1, true).unwrap();
    commit(subject.store(), &short, 2, false).unwrap();
    subject.store().commit_revert(&short, testing::edit_id(1)).unwrap();
    subject.restart();
    assert_eq!(subject.store().names().unwrap(), [short.clone(), long.clone()]);
    assert_eq!(subject.store().load(&short).unwrap(), expected(&[2]));
    assert_eq!(subject.store().load(&long).unwrap(), expected(&[1]));
    assert_eq!(subject.store().history(&long).unwrap().len(), 1);
}

/// Two dozen edits with metadata of 200 KB and keys of 5,000 dimensions.
fn large_values_last(subject: &mut impl Subject) {
    let book = name("default");
    let embedding = testing::embedding(5000);
    let make = |n: u128| {
        let mut record = testing::record(n, 2);
        record.metadata = serde_json::Value::String("é".repeat(100_000));
        (record, testing::members(n, 3, 5000, 0.1))
    };
    for n in 0..24 {
        let (record, members) = make(n);
        subject.store().commit_edit(&book, &record, &members, (n == 0).then_some(&embedding)).unwrap();
    }
    subject.restart();
    let stored = subject.store().load(&book).unwrap();
    assert_eq!(stored.edits, (0..24).map(|n| make(n).0).collect::<Vec<_>>());
    assert_eq!(stored.members, (0..24).flat_map(|n| make(n).1).collect::<Vec<_>>());
}

fn idempotency_and_outcomes_last(subject: &mut impl Subject) {
    let (book, id) = (name("default"), testing::edit_id(1));
    let mut record = testing::record(1, 2);
    record.idempotency = Some(Idempotency { key: "clé/\0 1".to_owned(), body: [7; 32] });
    let members = testing::members(1, 3, DIM, 0.1);
    assert_eq!(subject.store().idempotency(&book, "clé/\0 1").unwrap(), None);
    assert!(matches!(subject.store().put_outcome(&book, id, b"x"), Err(CodebookError::UnknownEdit(_))));
    let embedding = testing::embedding(DIM as u32);
    subject.store().commit_edit(&book, &record, &members, Some(&embedding)).unwrap();
    assert_eq!(subject.store().outcome(&book, id).unwrap(), None);
    subject.store().put_outcome(&book, id, &[1; 10_000]).unwrap();
    subject.store().put_outcome(&book, id, b"shorter").unwrap();
    for _ in 0..2 {
        assert_eq!(subject.store().idempotency(&book, "clé/\0 1").unwrap(), Some(([7; 32], id)));
        assert_eq!(subject.store().idempotency(&book, "another").unwrap(), None);
        assert_eq!(subject.store().idempotency(&name("other"), "clé/\0 1").unwrap(), None);
        assert_eq!(subject.store().outcome(&book, id).unwrap().unwrap(), b"shorter");
        assert_eq!(subject.store().load(&book).unwrap().edits, std::slice::from_ref(&record));
        subject.restart();
    }
}

fn keys_are_replaced_at_once(subject: &mut impl Subject) {
    let book = name("default");
    let wider = Embedding {
        id: GenerationId(ulid::Ulid::from_parts(1_600_000_000_000, 2)),
        ..testing::embedding(DIM as u32 + 2)
    };
    let unknown = subject.store().replace_embedding(&book, &wider, &[]);
    assert!(matches!(unknown, Err(CodebookError::UnknownCodebook(_))));
    commit(subject.store(), &book, 1, true).unwrap();
    commit(subject.store(), &book, 2, false).unwrap();
    subject.store().commit_revert(&book, testing::edit_id(1)).unwrap();
    commit(subject.store(), &book, 3, false).unwrap();
    let new = |n: u128| -> Vec<Member> {
        let old = testing::members(n, 3, DIM, 0.1);
        let keys = testing::members(n, 3, DIM + 2, 0.3);
        old.into_iter()
            .zip(keys)
            .map(|(old, new)| Member { key: new.key, radius: new.radius + 1.0, ..old })
            .collect()
    };
    let incomplete = subject.store().replace_embedding(&book, &wider, &new(2));
    let expected_missing: Vec<MemberId> = new(3).iter().map(|m| m.id).collect();
    assert!(matches!(incomplete, Err(CodebookError::MissingMembers(ids)) if ids == expected_missing));
    assert_eq!(subject.store().load(&book).unwrap(), expected(&[2, 3]));

    // A reverted edit's members may come along.
    let all: Vec<Member> = [1, 2, 3].into_iter().flat_map(new).collect();
    subject.store().replace_embedding(&book, &wider, &all).unwrap();
    let mut after = expected(&[2, 3]);
    after.embedding = Some(wider.clone());
    after.members = [2, 3].into_iter().flat_map(new).collect();
    assert_eq!(subject.store().load(&book).unwrap(), after);
    subject.restart();
    assert_eq!(subject.store().load(&book).unwrap(), after);

    // Edits go on in the new embedding.
    subject.store().commit_edit(&book, &testing::record(4, 2), &new(4), None).unwrap();
    subject.restart();
    assert_eq!(subject.store().load(&book).unwrap().members[6..], new(4));
    assert_eq!(subject.store().history(&book).unwrap()[4], Event::Reembedded(wider.id));
}
