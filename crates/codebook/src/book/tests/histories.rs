//! Edits that stand to each other in any way, in any order: the codebook is what its live records make it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use time::Duration;

use super::{DIM, generation, memory, open};
use crate::book::*;
use crate::relations::check_import;
use crate::{ImageId, OnConflict, Relations, Version, testing};

/// One of few things that edits say, said by the `n`-th.
fn said(n: u128, topic: u8, answer: u8) -> EditRecord {
    let mut record = testing::record(n, 1);
    record.image.id = ImageId::of(&[topic]);
    record.question = "What is it?".to_owned();
    record.answer = ["x", "y"][usize::from(answer % 2)].to_owned();
    record.relations = Relations { shares_keys: true, ..Relations::default() };
    record
}

fn members(n: u128) -> Vec<Member> {
    testing::members(n, 2, DIM, 0.05)
}

fn made(book: &Codebook, record: EditRecord, n: u128) -> Result<EditId> {
    let id = record.id;
    book.apply(record, members(n), &generation()).map(|_| id)
}

/// A version of an edit that follows on its newest.
fn amended(book: &Codebook, of: EditId, n: u128, answer: Option<u8>) -> EditRecord {
    let snapshot = book.snapshot();
    let newest = snapshot.edit(snapshot.newest_version(of).unwrap()).unwrap();
    let mut record = EditRecord { id: testing::edit_id(n), ..newest.as_ref().clone() };
    record.created_at = testing::record(n, 1).created_at;
    record.tags = vec![format!("version {n}")];
    if let Some(answer) = answer {
        record.answer = ["x", "y"][usize::from(answer % 2)].to_owned();
    }
    let said_at = if record.answer == newest.answer { newest.said_at() } else { record.created_at };
    record.relations = Relations {
        version: Some(Version {
            of: newest.known_as(),
            after: newest.id,
            number: newest.version() + 1,
            said_at,
        }),
        ..record.relations
    };
    record.relations.supersedes.clear();
    record
}

fn shared(book: &Codebook) -> Vec<SharedEdit> {
    let snapshot = book.snapshot();
    let with_members =
        |record: &Arc<EditRecord>| (Arc::clone(record), snapshot.members_of(record.id).cloned().collect());
    snapshot.edits().map(with_members).collect()
}

/// The codebook against its definition: keys are those of the first edit of each fact, folded in order.
fn assert_defined(book: &Codebook) {
    let report = book.verify().unwrap();
    assert!(report.ok(), "{report:?}");
    let live = book.snapshot();
    let mut first = BTreeMap::new();
    for record in live.edits() {
        let fact = (record.image.id, record.question.clone(), record.answer.clone());
        let moment = (record.said_at(), record.id);
        let known = first.entry(fact).or_insert(moment);
        *known = moment.min(*known);
    }
    let alone = memory(CodebookConfig::default());
    for (_, id) in first.values().collect::<BTreeSet<_>>() {
        let record =
            EditRecord { relations: Relations::default(), ..live.edit(*id).unwrap().as_ref().clone() };
        let members = live.members_of(*id).map(|member| member.as_ref().clone()).collect();
        alone.apply(record, members, &generation()).unwrap();
    }
    assert_eq!(live.canonical(), alone.snapshot().canonical());
    let params = RetrievalParams { k: 4, ..RetrievalParams::default() };
    assert_eq!(live.threshold(&params), alone.snapshot().threshold(&params));
    assert_eq!(live.stats().keys, alone.stats().keys);
    // Read back, and taken in elsewhere at once.
    let copy = memory(CodebookConfig::default());
    copy.import(shared(book), &generation()).unwrap();
    let again = open(Arc::clone(&book.store), CodebookConfig::default());
    for other in [copy.snapshot(), again.snapshot()] {
        assert_eq!(other.canonical(), live.canonical());
        for record in live.edits() {
            let standing = |of: &Snapshot| {
                let standing = of.standing();
                (
                    standing.superseded_by(record.id),
                    standing.carrier(record.id),
                    standing.speaker(record.id),
                    standing.newest_version(record.known_as()),
                )
            };
            assert_eq!(standing(&other), standing(&live));
        }
    }
}

#[test]
fn a_version_is_undone_bit_for_bit_and_all_of_them_at_once() {
    let book = memory(CodebookConfig::default());
    let other = made(&book, said(1, 1, 0), 1).unwrap();
    let before = book.snapshot();
    let edit = made(&book, said(2, 1, 1), 2).unwrap();
    let first = book.snapshot();
    let second = made(&book, amended(&book, edit, 3, Some(0)), 3).unwrap();
    let third = made(&book, amended(&book, edit, 4, None), 4).unwrap();
    assert_defined(&book);
    let snapshot = book.snapshot();
    assert_eq!(snapshot.newest_version(second), Some(third));
    assert_eq!((snapshot.known_as(third), snapshot.known_edits()), (Some(edit), 2));
    assert_eq!(book.edits(&EditFilter::default(), None, 9).items.len(), 2);
    assert!(matches!(book.undo_version(edit, 2, None), Err(CodebookError::Conflict(_))), "not the newest");
    let stale = book.undo_version(edit, 3, Some(second));
    assert!(matches!(stale, Err(CodebookError::OtherVersion { .. })));
    assert!(matches!(book.revert_expected(edit, Some(edit)), Err(CodebookError::OtherVersion { .. })));
    assert_eq!(book.undo_version(third, 3, Some(third)).unwrap(), second);
    assert_eq!(book.undo_version(edit, 2, None).unwrap(), edit);
    assert_eq!(book.snapshot().canonical(), first.canonical());
    assert_eq!(book.snapshot().superseded_by(other).map(|record| record.id), Some(edit));
    assert!(matches!(book.undo_version(edit, 1, None), Err(CodebookError::Conflict(_))), "the first");
    // What was made of a version that isn't the newest any more.
    let late = amended(&book, edit, 5, Some(0));
    made(&book, amended(&book, edit, 6, None), 6).unwrap();
    assert!(matches!(made(&book, late, 5), Err(CodebookError::OtherVersion { .. })));
    assert_eq!(book.stored_versions(edit).unwrap(), [6, 4, 3, 2].map(testing::edit_id));
    book.revert(edit).unwrap();
    assert_eq!(book.snapshot().canonical(), before.canonical());
    assert!(matches!(book.revert(edit), Err(CodebookError::UnknownEdit(_))));
    assert_eq!(book.stored_versions(edit).unwrap(), [6, 4, 3, 2].map(testing::edit_id));
    assert_defined(&book);
}

#[test]
fn what_cannot_stand_to_the_others_as_it_says_is_not_made() {
    let book = memory(CodebookConfig::default());
    let first = made(&book, said(1, 1, 0), 1).unwrap();
    let named = |n: u128, named: &[u128], change: fn(&mut Relations)| {
        let mut record = said(n, 2, 0);
        record.relations.supersedes = named.iter().map(|n| testing::edit_id(*n)).collect();
        change(&mut record.relations);
        record
    };
    let refused = made(&book, named(2, &[1, 9], |_| {}), 2);
    assert!(matches!(refused, Err(CodebookError::NotToSupersede(id)) if id == testing::edit_id(9)));
    let mut contradicting = said(2, 1, 1);
    contradicting.relations.on_conflict = OnConflict::Refuse;
    let refused = made(&book, contradicting, 2);
    assert!(matches!(refused, Err(CodebookError::Contradicted(ids)) if ids == [first]));
    // An answer that was admitted may be kept, whatever stands beside it by now.
    let mut strict = said(20, 3, 0);
    strict.relations.on_conflict = OnConflict::Refuse;
    let strict = made(&book, strict, 20).unwrap();
    let mut beside = said(21, 3, 1);
    beside.relations.on_conflict = OnConflict::KeepBoth;
    let beside = made(&book, beside, 21).unwrap();
    let refused = made(&book, EditRecord { answer: "z".to_owned(), ..amended(&book, strict, 22, None) }, 22);
    assert!(matches!(refused, Err(CodebookError::Contradicted(ids)) if ids == [beside]));
    made(&book, amended(&book, strict, 22, None), 22).unwrap();
    book.revert(strict).unwrap();
    book.revert(beside).unwrap();
    let before = book.snapshot();
    let mut of_nothing = amended(&book, first, 2, None);
    of_nothing.relations.version.as_mut().unwrap().of = testing::edit_id(9);
    assert!(matches!(made(&book, of_nothing, 2), Err(CodebookError::UnknownEdit(_))));
    // Archives can say anything.
    let circle = [named(2, &[3], |_| {}), named(3, &[2], |_| {})];
    let orphan = [amended(&book, first, 2, None)].map(|mut record| {
        record.relations.version.as_mut().unwrap().of = testing::edit_id(9);
        record
    });
    let elsewhere = [amended(&book, first, 2, None)].map(|mut record| {
        record.question = "What else is it?".to_owned();
        record
    });
    let archives = [circle.to_vec(), orphan.to_vec(), elsewhere.to_vec()];
    for archive in archives {
        assert!(check_import(&before, archive.iter()).is_err());
        let edits = archive.into_iter().map(|record| {
            let n = record.id.0.random();
            (record, members(n))
        });
        let taken = book.import(testing::shared(edits), &generation());
        assert!(matches!(taken, Err(CodebookError::Conflict(_))), "{taken:?}");
        assert!(Arc::ptr_eq(&before, &book.snapshot()));
    }
    assert_defined(&book);
}

#[test]
fn with_an_edit_all_its_versions_are_erased_and_come_back_by_no_archive() {
    let book = memory(CodebookConfig::default());
    let edit = made(&book, said(1, 1, 0), 1).unwrap();
    let copy = memory(CodebookConfig::default());
    copy.import(shared(&book), &generation()).unwrap();
    made(&copy, amended(&copy, edit, 7, Some(1)), 7).unwrap();
    made(&book, amended(&book, edit, 2, Some(1)), 2).unwrap();
    for version in book.stored_versions(edit).unwrap() {
        book.erase(version, None).unwrap();
    }
    assert_eq!(book.import(shared(&copy), &generation()).unwrap(), [], "a version made elsewhere neither");
    assert_eq!(book.snapshot().edit_count(), 0);
    assert_defined(&copy);
}

#[derive(Debug, Clone)]
enum Step {
    Say {
        topic: u8,
        answer: u8,
        keeps: bool,
        names: Option<prop::sample::Index>,
    },
    Amend {
        which: prop::sample::Index,
        answer: Option<u8>,
    },
    Undo(prop::sample::Index),
    Revert(prop::sample::Index),
    Erase(prop::sample::Index),
    /// Takes in what another codebook made of this one: a version and an edit of its own.
    Import {
        which: prop::sample::Index,
        topic: u8,
        answer: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<prop::sample::Index>;
    let say = (0u8..2, 0u8..2, any::<bool>(), prop::option::weighted(0.3, which()));
    prop::collection::vec(
        prop_oneof![
            4 => say.prop_map(|(topic, answer, keeps, names)| Step::Say { topic, answer, keeps, names }),
            3 => (which(), prop::option::of(0u8..2)).prop_map(|(which, answer)| Step::Amend { which, answer }),
            1 => which().prop_map(Step::Undo),
            2 => which().prop_map(Step::Revert),
            1 => which().prop_map(Step::Erase),
            1 => (which(), 0u8..2, 0u8..2)
                .prop_map(|(which, topic, answer)| Step::Import { which, topic, answer }),
        ],
        1..16,
    )
}

/// A version that was made, with the codebook and the edit's newest version before it.
type Made = (EditId, (Vec<u8>, Option<EditId>));

fn known(book: &Codebook) -> Vec<EditId> {
    let snapshot = book.snapshot();
    snapshot.edits().filter(|record| record.version() == 1).map(|record| record.id).collect()
}

fn one_of(book: &Codebook, which: prop::sample::Index) -> Option<EditId> {
    let known = known(book);
    (!known.is_empty()).then(|| known[which.index(known.len())])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_is_what_its_live_records_make_it(steps in steps()) {
        let book = memory(CodebookConfig::default());
        // The version made last, and what was before it, as long as nothing else was done.
        let mut last: Option<Made> = None;
        for (n, step) in (1u128..).map(|n| n * 10).zip(steps) {
            match step {
                Step::Say { topic, answer, keeps, names } => {
                    let mut record = said(n, topic, answer);
                    record.relations.supersedes = names.and_then(|at| one_of(&book, at)).into_iter().collect();
                    if keeps {
                        record.relations.on_conflict = OnConflict::KeepBoth;
                    }
                    made(&book, record, n).unwrap();
                }
                Step::Amend { which, answer } => {
                    let Some(edit) = one_of(&book, which) else { continue };
                    let before = (book.snapshot().canonical(), book.snapshot().newest_version(edit));
                    let version = made(&book, amended(&book, edit, n, answer), n).unwrap();
                    last = Some((version, before));
                    assert_defined(&book);
                    continue;
                }
                Step::Undo(which) => {
                    let Some(edit) = one_of(&book, which) else { continue };
                    let snapshot = book.snapshot();
                    let newest = snapshot.edit(snapshot.newest_version(edit).unwrap()).unwrap();
                    if newest.version() == 1 {
                        prop_assert!(book.undo_version(edit, 1, None).is_err());
                        continue;
                    }
                    book.undo_version(edit, newest.version(), Some(newest.id)).unwrap();
                    // Right after it was made, it leaves what was before it.
                    if let Some((version, before)) = &last
                        && *version == newest.id
                    {
                        let now = (book.snapshot().canonical(), book.snapshot().newest_version(edit));
                        prop_assert_eq!(&now, before);
                    }
                }
                Step::Revert(which) => {
                    let Some(edit) = one_of(&book, which) else { continue };
                    book.revert(edit).unwrap();
                }
                Step::Erase(which) => {
                    let Some(edit) = one_of(&book, which) else { continue };
                    for version in book.stored_versions(edit).unwrap() {
                        book.erase(version, None).unwrap();
                    }
                }
                Step::Import { which, topic, answer } => {
                    let copy = memory(CodebookConfig::default());
                    copy.import(shared(&book), &generation()).unwrap();
                    if let Some(edit) = one_of(&copy, which) {
                        made(&copy, amended(&copy, edit, n, Some(answer)), n).unwrap();
                    }
                    made(&copy, said(n + 1, topic, answer), n + 1).unwrap();
                    book.import(shared(&copy), &generation()).unwrap();
                    // Older than all that is there.
                    let mut older = said(n + 2, topic, answer);
                    older.created_at -= Duration::days(1);
                    book.import(testing::shared([(older, members(n + 2))]), &generation()).unwrap();
                }
            }
            last = None;
            assert_defined(&book);
        }
    }
}
