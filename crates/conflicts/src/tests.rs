use std::sync::Arc;

use reasonedit_codebook::{CodebookConfig, CodebookName, EditId, Library, MemoryStore};
use time::OffsetDateTime;
use ulid::Ulid;

use super::*;

fn pair(one: u128, other: u128, reason: ConflictReason) -> NewConflict {
    let edits = [one, other].map(|n| EditId(Ulid::from(n)));
    NewConflict {
        codebook: CodebookName::default(),
        edits,
        said: [one, other].map(said),
        reason,
        statements: [None, Some(1)],
    }
}

fn said(n: u128) -> SaidDigest {
    serde_json::from_value(n.to_string().into()).unwrap()
}

fn decided(decision: Decision) -> Resolution {
    Resolution { decision, note: Some("n".to_owned()), by: None, at: OffsetDateTime::UNIX_EPOCH }
}

#[test]
fn pairs_and_decisions_last_and_go_when_they_are_none_any_more() {
    let store = Arc::new(MemoryStore::new());
    let open = || Arc::new(Library::open(store.clone(), CodebookConfig::default()).unwrap());
    let (book, other) = (CodebookName::default(), "other".parse::<CodebookName>().unwrap());
    let edit = |n: u128| EditId(Ulid::from(n));
    let none = |_: EditId| false;
    let log = ConflictLog::open(&open()).unwrap();
    let (answer, side) = (ConflictReason::Answer, ConflictReason::Side);
    let first = log.found(&book, (edit(2), &said(2)), vec![pair(1, 2, answer)], none).unwrap().remove(0);
    let second =
        log.found(&book, (edit(3), &said(3)), vec![pair(1, 3, side), pair(2, 3, answer)], none).unwrap();
    assert!(second[0].id > first.id && second[1].id > second[0].id);
    let kept = log.decide(&book, first.id, decided(Decision::KeepBoth)).unwrap();
    assert_eq!(kept.resolution().map(|one| one.decision), Some(Decision::KeepBoth));
    assert!(matches!(log.get(&other, first.id), Err(ConflictError::Unknown(_))));
    assert!(matches!(log.decide(&other, first.id, decided(Decision::Ask)), Err(ConflictError::Unknown(_))));
    // All of it is there after a start.
    let again = ConflictLog::open(&open()).unwrap();
    assert_eq!(again.of(&book, None), log.of(&book, None));
    let ids = |pairs: Vec<FoundConflict>| pairs.into_iter().map(|pair| pair.id).collect::<Vec<_>>();
    assert_eq!(ids(again.of(&book, None)), [second[1].id, second[0].id, first.id]);
    assert_eq!(ids(again.of(&book, Some(second[0].id))), [first.id]);
    assert_eq!(ids(again.of_edit(&book, edit(1))), [first.id, second[0].id]);
    // The third edit is looked at again: one pair is as before, the other is none any more.
    let found = again.found(&book, (edit(3), &said(3)), vec![pair(2, 3, answer)], none).unwrap();
    assert_eq!(ids(found), [second[1].id]);
    assert_eq!(ids(again.of(&book, None)), [second[1].id, first.id]);
    // It says something else, of which nothing is found: the pair is of what it said before.
    again.found(&book, (edit(3), &said(9)), Vec::new(), none).unwrap();
    assert_eq!(ids(again.of_edit(&book, edit(3))), [second[1].id]);
    // Of one that nothing could be found of the pair stays.
    again.found(&book, (edit(3), &said(3)), Vec::new(), |other| other == edit(2)).unwrap();
    assert_eq!(ids(again.of_edit(&book, edit(3))), [second[1].id]);
    let opened = again.decide(&book, first.id, decided(Decision::Reopen)).unwrap();
    assert_eq!((opened.resolution(), opened.resolutions.len()), (None, 2));
    assert_eq!(ids(ConflictLog::open(&open()).unwrap().of(&book, None)), [second[1].id, first.id]);
}
