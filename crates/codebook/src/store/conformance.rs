//! What every store must do, run on each of them.

use time::OffsetDateTime;

use super::*;
use crate::ids::{CodebookName, EditId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Generation, Idempotency};
use crate::{CodebookError, testing};

/// A store under test, and how it comes back after the process ended.
pub(super) trait StoreUnderTest {
    fn store(&self) -> &dyn CodebookStore;
    fn restart(&mut self);
}

const DIM: usize = 3;

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

fn commit(store: &dyn CodebookStore, name: &CodebookName, n: u128, first: bool) -> Result<()> {
    let generation = testing::generation(DIM as u32);
    let members = testing::members(n, 3, DIM, 0.1);
    let record = testing::record(n, 2);
    store.commit_edit(name, &record, &members, first.then_some(&generation), EventOrigin::Direct)
}

fn expected(edits: &[u128]) -> StoredCodebook {
    StoredCodebook {
        generation: Some(testing::generation(DIM as u32)),
        previous: None,
        edits: edits.iter().map(|n| testing::record(*n, 2)).collect(),
        members: edits.iter().flat_map(|n| testing::members(*n, 3, DIM, 0.1)).collect(),
    }
}

fn happened(store: &dyn CodebookStore, name: &CodebookName) -> Vec<Event> {
    store.history(name, 0, usize::MAX).unwrap().into_iter().map(|logged| logged.event).collect()
}

/// Runs the whole suite, with a fresh store for each part.
pub(super) fn run<S: StoreUnderTest>(mut fresh: impl FnMut() -> S) {
    edits_last(&mut fresh());
    edits_may_come_out_of_order(&mut fresh());
    conflicts_change_nothing(&mut fresh());
    codebooks_are_apart(&mut fresh());
    many_edits_come_at_once_or_not_at_all(&mut fresh());
    large_values_last(&mut fresh());
    idempotency_and_outcomes_last(&mut fresh());
    generations_are_swapped_at_once(&mut fresh());
    drafts_are_gone_on_with_or_leave_nothing(&mut fresh());
    history_is_read_from_any_place(&mut fresh());
    what_is_erased_is_gone_but_for_its_events(&mut fresh());
    edits_taken_back_are_read_with_their_keys(&mut fresh());
}

fn what_is_erased_is_gone_but_for_its_events(tested: &mut impl StoreUnderTest) {
    let (book, other) = (name("default"), name("ward-3"));
    let generation = testing::generation(DIM as u32);
    for (name, n) in [(&book, 1), (&book, 2), (&book, 3), (&other, 1)] {
        let record = EditRecord {
            idempotency: Some(Idempotency { key: format!("key {n}"), body: [n as u8; 32] }),
            ..testing::record(n, 2)
        };
        let (members, first) = (testing::members(n, 3, DIM, 0.1), (n == 1).then_some(&generation));
        tested.store().commit_edit(name, &record, &members, first, EventOrigin::Direct).unwrap();
        tested.store().put_outcome(name, testing::edit_id(n), b"outcome").unwrap();
    }
    let [live, reverted, standing, unknown] = [1, 2, 3, 9].map(testing::edit_id);
    tested.store().commit_revert(&book, reverted).unwrap();
    let image = testing::record(2, 2).image.id;
    let told = crate::RevertedEdit { edit: reverted, known_as: reverted, image };
    assert_eq!(tested.store().reverted_edits(&book).unwrap(), [told]);
    let refused = tested.store().erase(&book, unknown, None);
    assert!(matches!(refused, Err(CodebookError::UnknownEdit(id)) if id == unknown));
    assert!(tested.store().erase(&name("nowhere"), live, None).is_err());
    let said = [live, reverted].map(|edit| tested.store().erase(&book, edit, Some("Dr. Ada")).unwrap());
    for _ in 0..2 {
        let store = tested.store();
        for (edit, said) in [live, reverted].into_iter().zip(&said) {
            assert_eq!(store.erased(&book, edit).as_ref(), Some(said));
            assert_eq!(store.record(&book, edit).unwrap(), None);
            assert_eq!(store.outcome(&book, edit).unwrap(), None);
            assert!(store.put_outcome(&book, edit, b"again").is_err());
            assert!(matches!(store.commit_revert(&book, edit), Err(CodebookError::UnknownEdit(_))));
            assert_eq!(&store.erase(&book, edit, Some("another")).unwrap(), said, "the first stands");
        }
        let known = store.idempotency(&book, "key 1");
        assert!(matches!(known, Err(CodebookError::Erased { edit, .. }) if edit == live), "{known:?}");
        assert_eq!(store.idempotency(&book, "key 3").unwrap().unwrap().1, standing);
        assert_eq!(store.reverted_edits(&book).unwrap(), []);
        let left: Vec<EditId> = store.load(&book).unwrap().edits.iter().map(|edit| edit.id).collect();
        assert_eq!(left, [standing]);
        assert_eq!(store.members(&book, &generation.embedding).unwrap().len(), 3);
        assert!(store.record(&other, live).unwrap().is_some(), "of another codebook with the same id");
        assert!(matches!(commit(store, &book, 1, false), Err(CodebookError::Conflict(_))), "ids stay used");
        let conflict = store.commit_edits(
            &book,
            &testing::shared([(testing::record(1, 2), testing::members(1, 3, DIM, 0.1))]),
            None,
            None,
        );
        assert!(matches!(conflict, Err(CodebookError::Conflict(_))));
        assert!(store.examine(&book).is_empty(), "{:?}", store.examine(&book));
        let history = store.history(&book, 3, 9).unwrap();
        let events: Vec<Event> = history.iter().map(|logged| logged.event).collect();
        let expected =
            [Event::Reverted(reverted), Event::Reverted(live), Event::Erased(live), Event::Erased(reverted)];
        assert_eq!(events, expected);
        assert_eq!(history[2].by.as_deref(), Some("Dr. Ada"));
        assert_eq!(history[2].at, Some(said[0].at));
        tested.restart();
    }
}

fn edits_taken_back_are_read_with_their_keys(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    for n in 1..=3 {
        commit(tested.store(), &book, n, n == 1).unwrap();
    }
    let [live, reverted, erased, unknown] = [1, 2, 3, 9].map(testing::edit_id);
    tested.store().commit_revert(&book, reverted).unwrap();
    tested.store().erase(&book, erased, None).unwrap();
    let asked = [reverted, erased, unknown, live];
    let edit = |n| (testing::record(n, 2), testing::members(n, 3, DIM, 0.1));
    for _ in 0..2 {
        let embedding = testing::generation(DIM as u32).embedding;
        let found = tested.store().kept_edits(&book, &asked, &embedding).unwrap();
        assert_eq!(found, [edit(2), edit(1)], "in the order asked");
        let other = testing::other_generation(1, DIM as u32).embedding;
        assert_eq!(tested.store().kept_edits(&book, &asked, &other).unwrap(), [], "it has no keys");
        assert_eq!(tested.store().kept_edits(&name("nowhere"), &asked, &embedding).unwrap(), []);
        tested.restart();
    }
}

fn edits_last(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    assert_eq!(tested.store().load(&book).unwrap(), StoredCodebook::default());
    assert_eq!(tested.store().names().unwrap(), []);
    commit(tested.store(), &book, 1, true).unwrap();
    commit(tested.store(), &book, 2, false).unwrap();
    commit(tested.store(), &book, 3, false).unwrap();
    tested.store().commit_revert(&book, testing::edit_id(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(tested.store().load(&book).unwrap(), expected(&[1, 3]));
        assert_eq!(tested.store().names().unwrap(), [name("default")]);
        let history = [
            Event::Edited(testing::edit_id(1)),
            Event::Edited(testing::edit_id(2)),
            Event::Edited(testing::edit_id(3)),
            Event::Reverted(testing::edit_id(2)),
        ];
        assert_eq!(happened(tested.store(), &book), history);
        tested.restart();
    }
}

fn edits_may_come_out_of_order(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    for (i, n) in [300, 7, 100, 2].into_iter().enumerate() {
        commit(tested.store(), &book, n, i == 0).unwrap();
    }
    tested.restart();
    assert_eq!(tested.store().load(&book).unwrap(), expected(&[2, 7, 100, 300]));
}

fn conflicts_change_nothing(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    let store = tested.store();
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
    tested.restart();
    assert_eq!(tested.store().load(&book).unwrap(), expected(&[]));
    assert_eq!(happened(tested.store(), &book).len(), 2);
}

fn codebooks_are_apart(tested: &mut impl StoreUnderTest) {
    // One name begins with the other: prefixes must not run into each other.
    let (short, long) = (name("ward"), name("ward-3"));
    commit(tested.store(), &long, 1, true).unwrap();
    commit(tested.store(), &short, 1, true).unwrap();
    commit(tested.store(), &short, 2, false).unwrap();
    tested.store().commit_revert(&short, testing::edit_id(1)).unwrap();
    tested.restart();
    assert_eq!(tested.store().names().unwrap(), [short.clone(), long.clone()]);
    assert_eq!(tested.store().load(&short).unwrap(), expected(&[2]));
    assert_eq!(tested.store().load(&long).unwrap(), expected(&[1]));
    assert_eq!(happened(tested.store(), &long).len(), 1);
}

fn shared(numbers: impl Iterator<Item = u128>) -> Vec<SharedEdit> {
    testing::shared(numbers.map(|n| (testing::record(n, 2), testing::members(n, 3, DIM, 0.1))))
}

fn many_edits_come_at_once_or_not_at_all(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    let (many, more) = (shared(1..=300), shared((301..=310).rev()));
    let generation = testing::generation(DIM as u32);
    let commit_many = |store: &dyn CodebookStore, edits: &[SharedEdit], first: bool| {
        store.commit_edits(&book, edits, first.then_some(&generation), None)
    };
    assert!(matches!(commit_many(tested.store(), &many, false), Err(CodebookError::Conflict(_))));
    assert_eq!(tested.store().names().unwrap(), []);
    commit_many(tested.store(), &many, true).unwrap();
    commit(tested.store(), &book, 400, false).unwrap();
    tested.store().commit_revert(&book, testing::edit_id(7)).unwrap();
    commit_many(tested.store(), &more, false).unwrap();
    // One that is there, one that was reverted, one that comes twice: the others don't come either.
    for bad in [400, 7, 501] {
        let edits = shared([500, 501, bad].into_iter());
        assert!(matches!(commit_many(tested.store(), &edits, false), Err(CodebookError::Conflict(_))));
    }
    tested.restart();
    let live: Vec<u128> = (1..=310).filter(|n| *n != 7).chain([400]).collect();
    assert_eq!(tested.store().load(&book).unwrap(), expected(&live));
    let history = tested.store().history(&book, 0, usize::MAX).unwrap();
    assert_eq!(history.len(), 312);
    assert_eq!(
        (history[0].event, history[0].origin),
        (Event::Edited(testing::edit_id(1)), EventOrigin::Imported)
    );
    assert_eq!(history[302].event, Event::Edited(testing::edit_id(310)), "in the order in which they came");
    assert_eq!(tested.store().events(&book).unwrap(), 312);
    assert_eq!(tested.store().record(&book, testing::edit_id(500)).unwrap(), None);
    commit(tested.store(), &book, 500, false).unwrap();
}

/// Two dozen edits with metadata of 200 KB and keys of 5,000 dimensions.
fn large_values_last(tested: &mut impl StoreUnderTest) {
    let book = name("default");
    let generation = testing::generation(5000);
    let make = |n: u128| {
        let mut record = testing::record(n, 2);
        record.metadata = serde_json::Value::String("é".repeat(100_000));
        (record, testing::members(n, 3, 5000, 0.1))
    };
    for n in 0..24 {
        let (record, members) = make(n);
        let first = (n == 0).then_some(&generation);
        tested.store().commit_edit(&book, &record, &members, first, EventOrigin::Direct).unwrap();
    }
    tested.restart();
    let stored = tested.store().load(&book).unwrap();
    assert_eq!(stored.edits, (0..24).map(|n| make(n).0).collect::<Vec<_>>());
    assert_eq!(stored.members, (0..24).flat_map(|n| make(n).1).collect::<Vec<_>>());
}

fn idempotency_and_outcomes_last(tested: &mut impl StoreUnderTest) {
    let (book, id) = (name("default"), testing::edit_id(1));
    let mut record = testing::record(1, 2);
    record.idempotency = Some(Idempotency { key: "clé/\0 1".to_owned(), body: [7; 32] });
    let members = testing::members(1, 3, DIM, 0.1);
    assert_eq!(tested.store().idempotency(&book, "clé/\0 1").unwrap(), None);
    assert!(matches!(tested.store().put_outcome(&book, id, b"x"), Err(CodebookError::UnknownEdit(_))));
    let generation = testing::generation(DIM as u32);
    tested.store().commit_edit(&book, &record, &members, Some(&generation), EventOrigin::Direct).unwrap();
    assert_eq!(tested.store().outcome(&book, id).unwrap(), None);
    tested.store().put_outcome(&book, id, &[1; 10_000]).unwrap();
    tested.store().put_outcome(&book, id, b"shorter").unwrap();
    for _ in 0..2 {
        assert_eq!(tested.store().idempotency(&book, "clé/\0 1").unwrap(), Some(([7; 32], id)));
        assert_eq!(tested.store().idempotency(&book, "another").unwrap(), None);
        assert_eq!(tested.store().idempotency(&name("other"), "clé/\0 1").unwrap(), None);
        assert_eq!(tested.store().outcome(&book, id).unwrap().unwrap(), b"shorter");
        assert_eq!(tested.store().load(&book).unwrap().edits, std::slice::from_ref(&record));
        tested.restart();
    }
}

/// The `n`-th edit's members with keys of a wider embedding.
fn wide_members(n: u128) -> Vec<Member> {
    let old = testing::members(n, 3, DIM, 0.1);
    let keys = testing::members(n, 3, DIM + 2, 0.3);
    old.into_iter()
        .zip(keys)
        .map(|(old, new)| Member { key: new.key, radius: new.radius + 1.0, ..old })
        .collect()
}

fn wide() -> Draft {
    Draft { generation: testing::other_generation(2, DIM as u32 + 2), recipe: [1; 32] }
}

fn generations_are_swapped_at_once(tested: &mut impl StoreUnderTest) {
    let (book, narrow, wide) = (name("default"), testing::generation(DIM as u32), wide());
    let (old, new) = (narrow.embedding.id, wide.generation.embedding.id);
    let unknown = tested.store().begin_draft(&book, &wide);
    assert!(matches!(unknown, Err(CodebookError::UnknownCodebook(_))));
    commit(tested.store(), &book, 1, true).unwrap();
    commit(tested.store(), &book, 2, false).unwrap();
    let refused = |result: Result<()>| matches!(result, Err(CodebookError::Conflict(_)));
    assert!(refused(tested.store().swap(&book, &wide.generation)), "nobody began it");
    assert!(refused(tested.store().put_keys(&book, new, &wide_members(1))));
    assert!(refused(tested.store().put_keys(&book, old, &wide_members(1))), "live keys stay");

    assert_eq!(tested.store().begin_draft(&book, &wide).unwrap(), wide);
    tested.store().put_keys(&book, new, &[wide_members(1), wide_members(2)].concat()).unwrap();
    tested.store().commit_revert(&book, testing::edit_id(1)).unwrap();
    commit(tested.store(), &book, 3, false).unwrap();
    for _ in 0..2 {
        // Nothing shows of the draft, and of the draft what is live.
        assert_eq!(tested.store().load(&book).unwrap(), expected(&[2, 3]));
        let made = tested.store().members(&book, &wide.generation.embedding).unwrap();
        assert_eq!(made, wide_members(2));
        tested.store().sweep(&book).unwrap();
        tested.restart();
    }
    tested.store().put_keys(&book, new, &wide_members(3)).unwrap();
    tested.store().swap(&book, &wide.generation).unwrap();
    let mut after = StoredCodebook {
        generation: Some(wide.generation.clone()),
        previous: Some(narrow.clone()),
        members: [2, 3].into_iter().flat_map(wide_members).collect(),
        ..expected(&[2, 3])
    };
    assert_eq!(tested.store().load(&book).unwrap(), after);
    tested.store().sweep(&book).unwrap();
    tested.restart();
    assert_eq!(tested.store().load(&book).unwrap(), after);

    // Edits go on in the new one; the one before lacks them until they are added, and may be swapped back.
    let fourth = testing::record(4, 2);
    tested.store().commit_edit(&book, &fourth, &wide_members(4), None, EventOrigin::Imported).unwrap();
    let kept = tested.store().members(&book, &narrow.embedding).unwrap();
    assert_eq!(kept, expected(&[2, 3]).members);
    tested.store().put_keys(&book, old, &testing::members(4, 3, DIM, 0.1)).unwrap();
    tested.store().swap(&book, &Generation { chosen: true, ..narrow.clone() }).unwrap();
    tested.restart();
    after = expected(&[2, 3, 4]);
    after.generation = Some(Generation { chosen: true, ..narrow.clone() });
    after.previous = Some(wide.generation.clone());
    assert_eq!(tested.store().load(&book).unwrap(), after);
    // Of the live one only the choice can be changed, and that is no event.
    tested.store().swap(&book, &narrow).unwrap();
    after.generation = Some(narrow.clone());
    assert_eq!(tested.store().load(&book).unwrap(), after);
    let events = tested.store().history(&book, 4, 10).unwrap();
    let seen: Vec<_> = events.iter().map(|e| (e.event, e.origin, e.generation.clone())).collect();
    let back = Generation { chosen: true, ..narrow.clone() };
    assert_eq!(seen[0], (Event::Reembedded(new), EventOrigin::Direct, Some(wide.generation.clone())));
    assert_eq!(seen[1], (Event::Edited(testing::edit_id(4)), EventOrigin::Imported, None));
    assert_eq!(seen[2..], [(Event::Reembedded(old), EventOrigin::RolledBack, Some(back))]);

    // A third generation takes the place of the one before, whose keys are swept.
    let third = Draft { generation: testing::other_generation(3, DIM as u32), recipe: [1; 32] };
    tested.store().begin_draft(&book, &third).unwrap();
    let keys = expected(&[2, 3, 4]).members;
    tested.store().put_keys(&book, third.generation.embedding.id, &keys).unwrap();
    tested.store().swap(&book, &third.generation).unwrap();
    assert!(refused(tested.store().swap(&book, &wide.generation)), "no longer kept");
    tested.store().sweep(&book).unwrap();
    for generation in [&narrow, &third.generation] {
        assert_eq!(tested.store().members(&book, &generation.embedding).unwrap(), keys);
    }
    assert_eq!(tested.store().members(&book, &wide.generation.embedding).unwrap(), []);
}

fn drafts_are_gone_on_with_or_leave_nothing(tested: &mut impl StoreUnderTest) {
    let (book, draft) = (name("default"), wide());
    commit(tested.store(), &book, 1, true).unwrap();
    commit(tested.store(), &book, 2, false).unwrap();
    tested.store().begin_draft(&book, &draft).unwrap();
    tested.store().put_keys(&book, draft.generation.embedding.id, &wide_members(1)).unwrap();
    tested.restart();
    tested.store().sweep(&book).unwrap();

    // The same under another id: the one that is there goes on.
    let mut again = draft.clone();
    again.generation.embedding.id = testing::other_generation(9, 2).embedding.id;
    assert_eq!(tested.store().begin_draft(&book, &again).unwrap(), draft);
    assert_eq!(tested.store().members(&book, &draft.generation.embedding).unwrap(), wide_members(1));

    // By another recipe: it begins anew.
    let other_keys = Draft { recipe: [2; 32], ..draft.clone() };
    let same_id = tested.store().begin_draft(&book, &other_keys);
    assert!(matches!(same_id, Err(CodebookError::Conflict(_))));
    again.recipe = [2; 32];
    assert_eq!(tested.store().begin_draft(&book, &again).unwrap(), again);
    tested.store().sweep(&book).unwrap();
    assert_eq!(tested.store().members(&book, &draft.generation.embedding).unwrap(), []);
    tested.store().put_keys(&book, again.generation.embedding.id, &wide_members(2)).unwrap();
    tested.store().discard_draft(&book).unwrap();
    tested.store().discard_draft(&book).unwrap();
    tested.store().sweep(&book).unwrap();
    tested.restart();
    assert_eq!(tested.store().members(&book, &again.generation.embedding).unwrap(), []);
    assert!(matches!(tested.store().swap(&book, &again.generation), Err(CodebookError::Conflict(_))));
    assert_eq!(tested.store().load(&book).unwrap(), expected(&[1, 2]));
    assert_eq!(happened(tested.store(), &book).len(), 2);
}

fn history_is_read_from_any_place(tested: &mut impl StoreUnderTest) {
    // One name begins with the other.
    let (book, other) = (name("ward"), name("ward-3"));
    assert_eq!(tested.store().history(&book, 0, 9).unwrap(), []);
    assert_eq!(tested.store().events(&book).unwrap(), 0);
    let began = OffsetDateTime::now_utc();
    // More than a byte counts.
    for n in 0..300 {
        commit(tested.store(), &book, n, n == 0).unwrap();
    }
    commit(tested.store(), &other, 7, true).unwrap();
    tested.store().commit_revert(&book, testing::edit_id(5)).unwrap();
    let whole = tested.store().history(&book, 0, usize::MAX).unwrap();
    assert!(whole.windows(2).all(|pair| began <= pair[0].at.unwrap() && pair[0].at <= pair[1].at));
    for _ in 0..2 {
        let store = tested.store();
        assert_eq!((store.events(&book).unwrap(), store.events(&other).unwrap()), (301, 1));
        for (from, limit) in [(0, 1), (254, 4), (255, 2), (256, 1), (299, 9), (300, 1), (0, 1000)] {
            let part = store.history(&book, from, limit).unwrap();
            let end = (from as usize + limit).min(whole.len());
            assert_eq!(part, whole[from as usize..end], "{limit} from {from}");
        }
        assert_eq!(store.history(&book, 301, 9).unwrap(), []);
        assert_eq!(store.history(&book, u64::MAX, 9).unwrap(), []);
        assert_eq!(store.history(&book, 3, 0).unwrap(), []);
        // Reverted or not.
        for n in [5, 6] {
            assert_eq!(store.record(&book, testing::edit_id(n)).unwrap(), Some(testing::record(n, 2)));
        }
        assert_eq!(store.record(&other, testing::edit_id(5)).unwrap(), None);
        tested.restart();
    }
}
