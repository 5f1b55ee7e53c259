use std::collections::BTreeMap;

use proptest::prelude::*;
use reasonedit_records::relations::{Relations, Version};
use serde_json::{from_value, json};
use time::{Duration, OffsetDateTime};

use super::*;
use crate::cycle;

fn id(n: u8) -> EditId {
    EditId::from_bytes([n; 16])
}

/// The `n`-th edit, one of few pictures, questions and answers, made at one of few times.
fn record(n: u8, picture: u8, question: &str, answer: &str, at: i64) -> EditRecord {
    let created_at = OffsetDateTime::UNIX_EPOCH + Duration::seconds(at);
    let mut record: EditRecord = from_value(json!({
        "id": id(n), "created_at": "2026-01-01T00:00:00Z", "question": question, "answer": answer,
        "image": {"id": ImageId::of(&[picture]), "width": 60, "height": 45},
        "choices": [], "reasoning": [], "author": null, "tags": [], "metadata": null,
        "embedding": id(255), "before": null, "timings_ms": {}, "idempotency": null,
    }))
    .unwrap();
    record.created_at = created_at;
    record.relations.shares_keys = true;
    record
}

fn related(mut record: EditRecord, relations: Relations) -> EditRecord {
    record.relations = relations;
    record
}

fn superseding(record: EditRecord, named: &[u8]) -> EditRecord {
    let supersedes = named.iter().map(|n| id(*n)).collect();
    let relations = record.relations.clone();
    related(record, Relations { supersedes, ..relations })
}

fn keeping(record: EditRecord) -> EditRecord {
    let relations = record.relations.clone();
    related(record, Relations { on_conflict: OnConflict::KeepBoth, ..relations })
}

fn version(record: EditRecord, of: &EditRecord, number: u32) -> EditRecord {
    let said_at = if record.answer == of.answer { of.said_at() } else { record.created_at };
    let version = Some(Version { of: of.known_as(), after: of.id, number, said_at });
    let relations = record.relations.clone();
    related(record, Relations { version, ..relations })
}

fn standing<'r>(records: impl IntoIterator<Item = &'r EditRecord>) -> Standing {
    let mut standing = Standing::default();
    standing.insert(records);
    standing
}

fn by(standing: &Standing, edits: std::ops::RangeInclusive<u8>) -> Vec<Option<u8>> {
    edits.map(|n| standing.superseded_by(id(n)).map(|by| by.to_bytes()[0])).collect()
}

#[test]
fn the_newest_answer_stands_and_the_one_before_comes_back() {
    let all = [
        record(1, 1, "What is it?", "a square", 1),
        record(2, 1, "What is it?", "a circle", 2),
        record(3, 1, "What is it?", "a square", 3),
        record(4, 2, "What is it?", "a circle", 4),
        record(5, 1, "What colour is it?", "red", 5),
    ];
    let mut standing = standing(&all);
    assert_eq!(by(&standing, 1..=5), [None, Some(3), None, None, None]);
    assert_eq!(standing.conflicts(&all[2]), [id(2)], "the same answer again is no conflict");
    assert_eq!(standing.conflicts(&all[1]), [id(1)]);
    assert!(standing.conflicts(&all[0]).is_empty());
    standing.remove(&all[2]);
    assert_eq!(by(&standing, 1..=5), [Some(2), None, None, None, None]);
    standing.remove(&all[1]);
    assert!(standing.all_stand());
}

#[test]
fn texts_that_look_alike_are_one() {
    let one = record(1, 1, "What is it?", "a square", 1);
    let mut standing = standing([&one, &record(2, 1, " What  is\u{A0}it?\u{200B}", "a\u{A0}square ", 2)]);
    assert!(standing.all_stand() && !standing.carries(id(2)));
    standing.insert(&[record(4, 2, "Où ?", "é", 1), record(5, 2, "Ou\u{300} ?", "e\u{301}", 2)]);
    assert!(standing.all_stand());
    standing.insert([&record(3, 1, "What is it?\n", "a Square", 3)]);
    assert_eq!(standing.superseded_by(one.id), Some(id(3)), "case is told apart");
    assert_eq!(standing.conflicts(&record(3, 1, "What is it?", "a Square", 3)).len(), 2);
}

#[test]
fn what_a_live_edit_names_does_not_stand() {
    let all = [
        record(1, 1, "A?", "x", 1),
        record(2, 2, "B?", "y", 2),
        superseding(record(3, 3, "C?", "z", 3), &[1, 2]),
        superseding(record(4, 4, "D?", "z", 4), &[3]),
    ];
    let mut live = standing(&all);
    assert_eq!(by(&live, 1..=4), [Some(3), Some(3), Some(4), None], "named by one that is itself named");
    assert_eq!(by(&standing(all.iter().rev()), 1..=4), by(&live, 1..=4));
    live.remove(&all[2]);
    assert_eq!(by(&live, 1..=4), [None; 4]);
    live.insert([&all[2]]);
    live.remove(&all[3]);
    assert_eq!(by(&live, 1..=3), [Some(3), Some(3), None]);
}

#[test]
fn an_edit_may_keep_those_that_it_contradicts() {
    let (first, kept) = (record(1, 1, "A?", "x", 1), keeping(record(2, 1, "A?", "y", 2)));
    let mut live = standing([&first, &kept]);
    assert!(live.all_stand());
    assert_eq!((live.conflicts(&kept), live.in_the_way(&kept)), (vec![id(1)], vec![id(1)]));
    // One that does not keep them.
    let ruling = record(3, 1, "A?", "z", 3);
    assert_eq!(live.in_the_way(&ruling), [id(2), id(1)]);
    assert_eq!(live.in_the_way(&superseding(ruling.clone(), &[2])), [id(1)]);
    live.insert([&ruling]);
    assert_eq!(by(&live, 1..=3), [Some(3), Some(3), None]);
    let after = keeping(record(4, 1, "A?", "x", 4));
    live.insert([&after]);
    assert_eq!(by(&live, 1..=4), [Some(3), Some(3), None, None]);
    assert_eq!(live.in_the_way(&record(5, 1, "A?", "w", 5)), [id(4), id(3)]);
}

#[test]
fn a_fact_is_carried_by_the_first_that_says_it() {
    let all = [record(1, 1, "A?", "x", 1), record(2, 1, "A? ", "x", 2), record(3, 1, "A?", "x", 3)];
    let mut live = standing(&all[1..]);
    assert!(live.carries(id(2)) && !live.carries(id(3)));
    assert_eq!(live.insert([&all[0]]), [id(2)], "an older one comes later");
    assert_eq!([1, 2, 3].map(|n| live.carrier(id(n))), [id(1); 3]);
    assert_eq!([0, 1, 2].map(|n| live.duplicate_of(&all[n])), [None, Some(id(1)), Some(id(1))]);
    assert_eq!(live.remove(&all[1]), None);
    assert_eq!(live.remove(&all[0]), Some(id(3)));
    assert!(live.carries(id(3)));
}

#[test]
fn edits_of_before_keys_were_shared_have_their_own() {
    let mut all = [record(1, 1, "A?", "x", 1), record(2, 1, "A?", "x", 2), record(3, 1, "A?", "x", 3)];
    all[0].relations = Relations::default();
    all[1].relations = Relations::default();
    let mut live = standing(&all[1..]);
    assert_eq!([2, 3].map(|n| live.carrier(id(n))), [id(2), id(2)]);
    assert!(live.insert([&all[0]]).is_empty(), "none gives up its keys");
    assert_eq!([1, 2, 3].map(|n| live.carrier(id(n))), [id(1), id(2), id(1)]);
    assert_eq!(live.remove(&all[0]), None);
    assert_eq!(live.remove(&all[1]), Some(id(3)));
}

#[test]
fn a_fact_stands_while_one_that_says_it_does() {
    let first = record(1, 1, "A?", "x", 1);
    let namer = superseding(record(2, 9, "B?", "y", 2), &[1]);
    let mut live = standing([&first, &namer]);
    assert_eq!((live.speaker(id(1)), live.superseded_by(id(1))), (None, Some(id(2))));
    let again = record(3, 1, "A?", "x", 3);
    live.insert([&again]);
    assert!(live.carries(id(1)) && !live.carries(id(3)));
    assert_eq!((live.speaker(id(1)), live.superseded_by(id(3))), (Some(id(3)), None));
}

#[test]
fn drawn_boxes_are_part_of_a_fact_and_found_ones_are_not() {
    let said = |n: u8, evidence: serde_json::Value| {
        let mut record = record(n, 1, "A?", "x", i64::from(n));
        record.reasoning = from_value(json!([{"statement": "It is round.", "evidence": evidence}])).unwrap();
        record
    };
    let area = |x: u8, source: &str| json!([{"x": x, "y": 0, "width": 9, "height": 9, "source": source}]);
    let live =
        [said(1, json!([])), said(2, area(1, "model")), said(3, area(1, "user")), said(4, area(2, "user"))];
    let standing = standing(&live);
    assert_eq!([1, 2, 3, 4].map(|n| standing.carrier(id(n))), [id(1), id(1), id(3), id(4)]);
    assert_eq!(standing.near_duplicates(&live[3]), [id(3), id(2), id(1)]);
    assert_eq!(standing.near_duplicates(&live[0]), [id(4), id(3)]);
}

#[test]
fn of_the_versions_of_an_edit_the_newest_stands() {
    let first = record(1, 1, "A?", "x", 1);
    let second = version(record(3, 1, "A?", "y", 3), &first, 2);
    let third = version(record(4, 1, "A?", "y", 4), &second, 3);
    let mut live = standing([&first, &second, &third]);
    assert_eq!((live.superseded_by(id(1)), live.superseded_by(id(3))), (Some(id(4)), Some(id(4))));
    assert_eq!(live.newest_version(id(1)), Some(id(4)));
    assert_eq!(live.versions(id(1)), [id(1), id(3), id(4)]);
    assert!(live.conflicts(&third).is_empty(), "what it said before is no contradiction");
    // Another's, made before the answer was changed.
    let other = record(2, 1, "A?", "z", 2);
    live.insert([&other]);
    assert_eq!(live.superseded_by(id(2)), Some(id(4)));
    live.remove(&third);
    assert_eq!(live.superseded_by(id(2)), Some(id(3)));
    live.remove(&second);
    assert_eq!((live.superseded_by(id(1)), live.superseded_by(id(2))), (Some(id(2)), None));
    // Other tags don't make an old answer the newest.
    let tagged = version(record(5, 1, "A?", "x", 5), &first, 2);
    live.insert([&tagged]);
    assert_eq!((live.superseded_by(id(5)), live.superseded_by(id(2))), (Some(id(2)), None));
    assert!(live.carries(id(1)) && !live.carries(id(5)), "nothing new is said");
}

#[test]
fn who_names_an_edit_names_what_it_said_until_then() {
    let first = record(1, 1, "A?", "x", 1);
    let namer = superseding(record(2, 9, "B?", "y", 2), &[1]);
    let (same, other) =
        (version(record(3, 1, "A?", "x", 3), &first, 2), version(record(4, 1, "A?", "w", 4), &first, 3));
    let mut live = standing([&first, &namer, &same]);
    assert_eq!(live.superseded_by(id(3)), Some(id(2)));
    live.insert([&other]);
    assert_eq!(live.superseded_by(id(4)), None, "it answers otherwise since");
}

#[test]
fn circles_are_found() {
    let plain = |n: u8, named: &[u8]| superseding(record(n, n, "A?", "x", i64::from(n)), named);
    assert_eq!(cycle(&[plain(1, &[]), plain(2, &[1]), plain(3, &[1, 2, 77])]), None);
    assert_eq!(cycle(&[plain(1, &[1])]), Some(id(1)));
    assert!(cycle(&[plain(1, &[3]), plain(2, &[1]), plain(3, &[2])]).is_some());
    let first = plain(1, &[]);
    let mut later = version(record(2, 1, "A?", "x", 2), &first, 2);
    later.relations.supersedes = vec![id(3)];
    assert!(cycle(&[first, later, plain(3, &[1])]).is_some(), "over a version of it");
}

/// What is drawn of an edit: picture, question, answer, time, whether it keeps both, which it names, whether
/// it is a version of the one that it names first, whether it has keys of its own.
type Drawn = (u8, usize, usize, i64, bool, Vec<prop::sample::Index>, bool, bool);

fn history(drawn: &[Drawn]) -> Vec<EditRecord> {
    let mut all: Vec<EditRecord> = Vec::new();
    for (n, (picture, question, answer, at, keeps, names, amends, own)) in drawn.iter().enumerate() {
        let mut made = record(n as u8 + 1, *picture, ["A?", "B?"][*question], ["x", "y"][*answer], *at);
        made.relations.shares_keys = !own;
        if *keeps {
            made.relations.on_conflict = OnConflict::KeepBoth;
        }
        let named: Vec<EditRecord> =
            names.iter().filter(|_| !all.is_empty()).map(|at| all[at.index(all.len())].clone()).collect();
        match named.first() {
            Some(of) if *amends => {
                made.image = of.image;
                made.question.clone_from(&of.question);
                let newest = all.iter().rfind(|other| other.known_as() == of.known_as()).unwrap();
                made = version(made, newest, newest.version() + 1);
            }
            _ => made.relations.supersedes = named.iter().map(|record| record.id).collect(),
        }
        all.push(made);
    }
    all
}

proptest! {
    #[test]
    fn it_follows_from_the_live_records_alone(
        drawn in prop::collection::vec(
            (0u8..2, 0usize..2, 0usize..2, 0i64..4, any::<bool>(),
             prop::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>(), prop::bool::weighted(0.2)),
            1..14,
        ),
        order in prop::collection::vec(any::<prop::sample::Index>(), 14),
        gone in prop::collection::vec(any::<bool>(), 14),
    ) {
        let all = history(&drawn);
        let mut waiting: Vec<&EditRecord> = all.iter().collect();
        let mut standing = Standing::default();
        // What keys are there, kept as a codebook keeps them.
        let mut carrying = BTreeSet::new();
        for index in &order {
            if !waiting.is_empty() {
                let record = waiting.remove(index.index(waiting.len()));
                for displaced in standing.insert([record]) {
                    prop_assert!(carrying.remove(&displaced));
                }
                if standing.carries(record.id) {
                    carrying.insert(record.id);
                }
            }
        }
        standing.insert(waiting);
        let live: Vec<&EditRecord> =
            all.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(record, _)| record).collect();
        for record in all.iter().zip(&gone).filter(|(_, gone)| **gone).map(|(record, _)| record) {
            let next = standing.remove(record);
            carrying.remove(&record.id);
            carrying.extend(next);
        }
        prop_assert_eq!(cycle(live.iter().copied()), None);

        // By its definition, over all live edits.
        let moment = |record: &EditRecord| (record.said_at(), record.id);
        let fact = |record: &EditRecord| (record.image.id, record.question.clone(), record.answer.clone());
        let mut newest = BTreeMap::<EditId, &EditRecord>::new();
        for record in &live {
            let of = newest.entry(record.known_as()).or_insert(record);
            if (of.version(), moment(of)) < (record.version(), moment(record)) {
                *of = record;
            }
        }
        for one in &live {
            let own = one.known_as();
            let expected = if newest[&own].id == one.id {
                let names = |other: &&&EditRecord| {
                    let named = |id: EditId| other.relations.supersedes.contains(&id);
                    other.known_as() != own
                        && (named(one.id) || one.id != own && named(own) && moment(other) > moment(one))
                };
                let named = live.iter().filter(names).map(|other| moment(other)).max();
                let about = |other: &&&EditRecord| {
                    (other.image.id, &other.question) == (one.image.id, &one.question)
                        && newest[&other.known_as()].id == other.id
                        && other.relations.on_conflict != OnConflict::KeepBoth
                };
                let ruling = live.iter().filter(about).max_by_key(|other| moment(other));
                let overruled =
                    ruling.filter(|r| moment(r) > moment(one) && r.answer != one.answer).map(|r| moment(r));
                named.max(overruled).map(|(_, id)| id)
            } else {
                Some(newest[&own].id)
            };
            prop_assert_eq!(standing.superseded_by(one.id), expected);
            let first = live.iter().filter(|other| fact(other) == fact(one)).min_by_key(|other| moment(other));
            let carrier = if one.relations.shares_keys { first.unwrap().id } else { one.id };
            prop_assert_eq!(standing.carrier(one.id), carrier);
            prop_assert_eq!(standing.carries(one.id), carrying.contains(&one.id));
            prop_assert_eq!(standing.newest_version(own), Some(newest[&own].id));
        }
        let scratch = self::standing(live.iter().copied());
        prop_assert!(scratch.superseded.iter().eq(standing.superseded.iter()));
        prop_assert!(scratch.facts.iter().eq(standing.facts.iter()));
        prop_assert!(scratch.named.iter().eq(standing.named.iter()));
        prop_assert!(scratch.versions.iter().eq(standing.versions.iter()));
        prop_assert_eq!(scratch.places.len(), standing.places.len());
    }
}
