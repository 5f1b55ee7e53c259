use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::testing;

/// The `n`-th edit, one of few pictures, questions and answers, made at one of few times.
fn record(n: u128, picture: u8, question: &str, answer: &str, at: i64) -> EditRecord {
    let mut record = testing::record(n, 0);
    record.image.id = ImageId::of(&[picture]);
    record.created_at += Duration::seconds(at);
    record.question = question.to_owned();
    record.answer = answer.to_owned();
    record
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
    let id = |n: usize| all[n - 1].id;
    let mut supersession = Supersession::default();
    supersession.insert(&all);
    let by =
        |supersession: &Supersession| (1..=5).map(|n| supersession.superseded_by(id(n))).collect::<Vec<_>>();
    assert_eq!(by(&supersession), [None, Some(id(3)), None, None, None]);
    assert_eq!(supersession.conflicts(&all[2]), [id(2)], "the same answer again is no conflict");
    assert_eq!(supersession.conflicts(&all[1]), [id(1)]);
    assert!(supersession.conflicts(&all[0]).is_empty());
    supersession.remove(&all[2]);
    assert_eq!(by(&supersession), [Some(id(2)), None, None, None, None]);
    supersession.remove(&all[1]);
    assert!(supersession.all_stand());
}

#[test]
fn texts_that_look_alike_are_one() {
    let one = record(1, 1, "What is it?", "a square", 1);
    let mut supersession = Supersession::default();
    supersession.insert([&one, &record(2, 1, " What  is\u{A0}it?\u{200B}", "a\u{A0}square ", 2)]);
    assert!(supersession.all_stand());
    let composed = [record(4, 2, "Où ?", "é", 1), record(5, 2, "Ou\u{300} ?", "e\u{301}", 2)];
    supersession.insert(&composed);
    assert!(supersession.all_stand());
    supersession.insert([&record(3, 1, "What is it?\n", "a Square", 3)]);
    assert_eq!(supersession.superseded_by(one.id), Some(testing::edit_id(3)), "case is told apart");
    assert_eq!(supersession.conflicts(&record(3, 1, "What is it?", "a Square", 3)).len(), 2);
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        drawn in prop::collection::vec((0u8..2, 0usize..2, 0usize..3, 0i64..4), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 12),
        gone in prop::collection::vec(any::<bool>(), 12),
    ) {
        let all: Vec<EditRecord> = drawn
            .iter()
            .enumerate()
            .map(|(n, (picture, question, answer, at))| {
                record(n as u128, *picture, ["A?", "B?"][*question], ["x", "y", "z"][*answer], *at)
            })
            .collect();
        let mut waiting: Vec<&EditRecord> = all.iter().collect();
        let mut supersession = Supersession::default();
        for index in &order {
            if !waiting.is_empty() {
                supersession.insert([waiting.remove(index.index(waiting.len()))]);
            }
        }
        supersession.insert(waiting);
        let live: Vec<&EditRecord> =
            all.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(record, _)| record).collect();
        for (record, gone) in all.iter().zip(&gone) {
            if *gone {
                supersession.remove(record);
            }
        }
        for one in &live {
            // By its definition, over all live edits.
            let same = |other: &&&EditRecord| {
                (other.image.id, &other.question) == (one.image.id, &one.question)
            };
            let age = |record: &EditRecord| (record.created_at, record.id);
            let newest = live.iter().filter(same).max_by_key(|other| age(other)).unwrap();
            let expected = (newest.answer != one.answer).then_some(newest.id);
            prop_assert_eq!(supersession.superseded_by(one.id), expected);
            let mut older: Vec<&&EditRecord> = live
                .iter()
                .filter(same)
                .filter(|other| age(other) < age(one) && other.answer != one.answer)
                .collect();
            older.sort_by_key(|other| std::cmp::Reverse(age(other)));
            let ids: Vec<EditId> = older.iter().map(|other| other.id).collect();
            prop_assert_eq!(supersession.conflicts(one), ids);
        }
        let known: BTreeSet<EditId> = live.iter().map(|record| record.id).collect();
        prop_assert!(supersession.superseded.iter().all(|(id, by)| known.contains(id) && known.contains(by)));
    }
}
