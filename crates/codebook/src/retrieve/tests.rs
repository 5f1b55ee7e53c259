use std::collections::BTreeSet;

use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::config::{CodebookConfig, LookupConfig};
use crate::member::Member;
use crate::merge::MergeConfig;
use crate::records::EditRecord;
use crate::store::{CodebookStore, MemoryStore};
use crate::{Codebook, CodebookName, RelevantStatement, testing};

const DIM: usize = 4;
/// Where the edits' keys lie: a picture's answers in one place, its statements in another.
const ANSWER: [f32; DIM] = [1.0, 0.0, 0.0, 0.0];
const STATEMENT: [f32; DIM] = [0.0, 1.0, 0.0, 0.0];

/// The `n`-th edit, about a picture; the question is always the same.
fn edit(n: u128, picture: u8, answer: &str, statements: &[&str]) -> (EditRecord, Vec<Member>) {
    let mut record = testing::record(n, statements.len());
    record.image.id = ImageId::of(&[picture]);
    record.question = "What is it?".to_owned();
    record.answer = answer.to_owned();
    let member = |ordinal: usize, at: [f32; DIM], text: String| {
        let mut member = testing::member(record.id, ordinal as u32, at.to_vec(), 0.5);
        // Another picture lies a little beside it.
        member.key[3] = f32::from(picture) * 0.3;
        member.sentence = text;
        member.image = record.image.id;
        member.area = (ordinal > 0).then_some(PixelBox { x: n as u32, y: 0, width: 1, height: 1 });
        member
    };
    let mut members = vec![member(0, ANSWER, format!("The answer is {answer}."))];
    let said = statements.iter().enumerate();
    members.extend(said.map(|(i, text)| member(i + 1, STATEMENT, (*text).to_owned())));
    (record, members)
}

fn configs() -> Vec<CodebookConfig> {
    let apart = LookupConfig { by_kind: true, ..LookupConfig::default() };
    let merging = [true, false].map(|enabled| MergeConfig { enabled, ..MergeConfig::default() });
    let of = |merge| [LookupConfig::default(), apart].map(|lookup| (merge, lookup));
    let config = |(merge, lookup)| CodebookConfig { merge, lookup, ..CodebookConfig::default() };
    merging.into_iter().flat_map(of).map(config).collect()
}

fn book(config: CodebookConfig, edits: &[&(EditRecord, Vec<Member>)]) -> Codebook {
    let store: Arc<dyn CodebookStore> = Arc::new(MemoryStore::new());
    let book = Codebook::open(Arc::clone(&store), CodebookName::default(), Arc::new(config)).unwrap();
    for (record, members) in edits {
        book.apply(record.clone(), members.clone(), &testing::generation(DIM as u32)).unwrap();
    }
    // As it is read back.
    Codebook::open(store, CodebookName::default(), Arc::new(config)).unwrap()
}

fn retrieve(book: &Codebook, at: [f32; DIM], k: usize) -> Retrieval {
    let params = RetrievalParams { k, gate: false, ..RetrievalParams::default() };
    book.snapshot().retrieve(&at, &params).unwrap()
}

fn values(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.value.as_str()).collect()
}

fn withheld(retrieval: &Retrieval) -> Vec<(&str, &[EditId])> {
    retrieval.superseded.iter().map(|one| (one.fact.value.as_str(), one.by.as_slice())).collect()
}

#[test]
fn of_answers_about_the_same_the_newest_is_found_whatever_the_order_they_came_in() {
    let old = edit(1, 0, "a square", &["It has corners.", "It is dark."]);
    let new = edit(2, 0, "a circle", &["It is round.", "It is dark."]);
    for config in configs() {
        let plain = book(config, &[&old]);
        for order in [[&old, &new], [&new, &old]] {
            let book = book(config, &order);
            let by = [new.0.id];
            for k in [1, 2, 8] {
                let found = retrieve(&book, ANSWER, k);
                assert_eq!(found.facts[0].value, "The answer is a circle.", "{config:?}, k = {k}");
                assert!(!values(&found.facts).contains(&"The answer is a square."));
                assert!(withheld(&found).contains(&("The answer is a square.", &by)));
                assert_eq!(found.nearest.as_ref(), found.facts.first());
            }
            let all = retrieve(&book, STATEMENT, 8);
            let mut facts = values(&all.facts);
            facts.sort_unstable();
            assert_eq!(facts, ["It is dark.", "It is round.", "The answer is a circle."]);
            let mut gone: Vec<&str> = all.superseded.iter().map(|one| one.fact.value.as_str()).collect();
            gone.sort_unstable();
            assert_eq!(gone, ["It has corners.", "The answer is a square."]);
            // What both say is told of the one that stands.
            let dark = all.facts.iter().find(|fact| fact.value == "It is dark.").unwrap();
            assert_eq!((dark.edit_ids.as_slice(), dark.evidence.unwrap().x), (&by[..], 2));

            let snapshot = book.snapshot();
            assert_eq!(snapshot.superseded_by(old.0.id).map(|record| record.id), Some(new.0.id));
            assert!(snapshot.superseded_by(new.0.id).is_none() && snapshot.conflicts(old.0.id).is_empty());
            assert_eq!(snapshot.conflicts(new.0.id)[0].answer, "a square");

            book.revert(new.0.id).unwrap();
            assert_eq!(book.snapshot().canonical(), plain.snapshot().canonical());
            assert_eq!(retrieve(&book, STATEMENT, 8), retrieve(&plain, STATEMENT, 8));
        }
    }
}

#[test]
fn what_another_edit_says_too_stays() {
    let old = edit(1, 0, "a square", &["It has corners."]);
    let new = edit(2, 0, "a circle", &[]);
    let elsewhere = edit(3, 1, "a square", &["It has corners."]);
    for config in configs() {
        let book = book(config, &[&old, &new, &elsewhere]);
        let found = retrieve(&book, STATEMENT, 8);
        assert!(found.superseded.is_empty(), "{:?}", withheld(&found));
        for text in ["It has corners.", "The answer is a square."] {
            let fact = found.facts.iter().find(|fact| fact.value == text).unwrap();
            assert_eq!((fact.edit_ids.as_slice(), fact.image_id), (&[elsewhere.0.id][..], ImageId::of(&[1])));
        }
    }
}

#[test]
fn many_superseded_edits_do_not_take_the_places_of_those_that_stand() {
    let mut edits: Vec<_> = (0..40).map(|n| edit(n, 0, &format!("number {n}"), &[])).collect();
    edits.push(edit(40, 1, "elsewhere", &[]));
    // The newest by its time, whatever its id.
    edits[17].0.created_at += Duration::days(1);
    for config in configs() {
        let book = book(config, &edits.iter().collect::<Vec<_>>());
        let found = retrieve(&book, ANSWER, 2);
        assert_eq!(values(&found.facts)[0], "The answer is number 17.");
        assert_eq!(found.superseded.len(), 39);
        assert!(found.superseded.iter().all(|one| one.by == [edits[17].0.id]));
        assert_eq!(book.snapshot().conflicts(edits[17].0.id).len(), 39);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// What is looked among is what is left of everything, in the order of everything.
    #[test]
    fn only_what_bears_on_the_question_is_found(
        edits in 1u128..12, of_edits in prop::collection::vec(0u8..4, 12), said in any::<u8>(), k in 1usize..8,
        (merging, hubness) in any::<(bool, bool)>(),
    ) {
        let merge = MergeConfig { enabled: merging, ..MergeConfig::default() };
        let config = Arc::new(CodebookConfig { merge, ..CodebookConfig::default() });
        let store: Arc<dyn CodebookStore> = Arc::new(MemoryStore::new());
        let book = Codebook::open(store, CodebookName::default(), config).unwrap();
        for n in 0..edits {
            let members = testing::members(n, 4, DIM, 0.05);
            book.apply(testing::record(n, 3), members, &testing::generation(DIM as u32)).unwrap();
        }
        let snapshot = book.snapshot();
        let mut relevant = Relevant::default();
        for (n, chance) in (0..edits).zip(&of_edits) {
            if *chance == 0 {
                relevant.edits.insert(testing::edit_id(n), 0.5 + n as f64 / 100.0);
            }
        }
        for n in 0..8u8 {
            if said & (1 << n) > 0 {
                let stating = (0..edits).map(testing::edit_id).filter(|id| id.to_bytes()[15] % 3 != n % 3);
                let statement = RelevantStatement { score: 0.6, edits: stating.collect() };
                relevant.statements.insert(format!("Sentence {n}."), statement);
            }
        }
        let query = testing::members(3, 1, DIM, 0.3).remove(0).key;
        let params = RetrievalParams { k: 1000, gate: false, hubness, ..RetrievalParams::default() };
        let all = snapshot.candidates(&query, &params, None).unwrap();
        let mut keys = BTreeSet::new();
        let mut expected = Vec::new();
        for mut fact in all.facts {
            let score = |id: &EditId| relevant.score(fact.kind, &fact.value, *id);
            fact.relevance = fact.edit_ids.iter().filter_map(score).max_by(f64::total_cmp);
            let bearing: Vec<EditId> = fact.edit_ids.iter().copied().filter(|id| score(id).is_some()).collect();
            if bearing.is_empty() {
                continue;
            }
            if fact.edit_ids.first() != bearing.first() {
                let (image, area) = snapshot.said_at(bearing[0], fact.entry_id, &fact.value).unwrap();
                (fact.image_id, fact.evidence) = (image, area);
            }
            fact.edit_ids = bearing;
            keys.insert(fact.rank);
            fact.rank = keys.len();
            expected.push(fact);
        }
        expected.retain(|fact| fact.rank <= k);
        let found = snapshot.candidates(&query, &RetrievalParams { k, ..params }, Some(&relevant)).unwrap();
        prop_assert_eq!(found.rejected, expected.is_empty());
        prop_assert_eq!(&found.facts, &expected);
        prop_assert_eq!((found.nearest, found.nearest_distance), (all.nearest, all.nearest_distance));
        prop_assert_eq!(found.relevance, Some(relevant.held_against));
    }
}
