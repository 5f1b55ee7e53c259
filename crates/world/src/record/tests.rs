//! Records are true in their universe.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::scene::Condition;
use crate::vocabulary::{EVALUATION_SEED_START, Split};

const SEED: u64 = EVALUATION_SEED_START + 17;

fn objects(set: &RecordSet) -> HashMap<&str, Vec<Traits>> {
    set.pictures
        .iter()
        .map(|picture| {
            (
                picture.path.as_str(),
                picture.scene.objects.iter().map(|object| object.traits).collect::<Vec<_>>(),
            )
        })
        .collect()
}

/// The kinds of question that the edited answer can belong to.
fn kinds_of(universe: &Universe, record: &NativeRecord, focus: Traits) -> Vec<KnowledgeKind> {
    std::iter::once(KnowledgeKind::Name)
        .chain(KnowledgeKind::properties())
        .filter(|kind| {
            let answer = universe.answer(&focus, *kind);
            !answer.default && answer.text == record.answer
        })
        .collect()
}

#[test]
fn answers_follow_from_the_rules_on_every_picture() {
    let set = records(SEED, 60).unwrap();
    let (universe, objects) = (Universe::new(SEED), objects(&set));
    for record in &set.records {
        let focus = objects[record.image.as_str()][0];
        let truly = |kind: KnowledgeKind| {
            let answer = universe.answer(&focus, kind);
            let holds = |query: &NativeQuestion, default: bool| {
                let truth = universe.answer(&objects[query.image.as_str()][0], kind);
                truth.text == query.answer && truth.default == default
            };
            answer.rules.len() == record.evidence.iter().filter(|boxes| boxes.is_empty()).count()
                && record.related.iter().all(|query| holds(query, false) && query.answer == record.answer)
                && record.contrast.iter().all(|query| holds(query, true) && query.answer != record.answer)
        };
        assert!(kinds_of(&universe, record, focus).into_iter().any(truly), "{record:?}");
        let similar = |path: &String| objects[path.as_str()] == objects[record.image.as_str()];
        assert!(record.similar_images.iter().all(similar));
    }
}

#[test]
fn choices_are_distinct_and_hold_the_answer() {
    let set = records(SEED + 1, 60).unwrap();
    for record in &set.records {
        let queries = record
            .related
            .iter()
            .chain(&record.rationale_questions)
            .chain(&record.unrelated)
            .chain(&record.contrast);
        let of_queries = queries.map(|query| (&query.answer, &query.choices));
        for (answer, choices) in of_queries.chain([(&record.answer, &record.choices)]) {
            assert!(choices.len() == 4 || *choices == ["yes", "no"], "{choices:?}");
            assert_eq!(choices.iter().collect::<HashSet<_>>().len(), choices.len());
            assert!(choices.contains(answer));
        }
        assert!(record.contrast.iter().all(|query| query.choices.contains(&record.answer)));
    }
}

#[test]
fn evidence_lies_in_the_picture_around_the_object() {
    let set = records(SEED + 2, 40).unwrap();
    for record in &set.records {
        let scene = &set.pictures.iter().find(|picture| picture.path == record.image).unwrap().scene;
        assert_eq!(record.evidence.len(), record.reasoning.len());
        let object = &scene.objects[0];
        for bounds in record.evidence.iter().flatten() {
            assert!(bounds.validate(scene.width, scene.height).is_ok());
            let inside = |center: f32, start: u32, length: u32| {
                center > start as f32 && center < (start + length) as f32
            };
            assert!(inside(object.x, bounds.x, bounds.width) && inside(object.y, bounds.y, bounds.height));
        }
        assert!(!record.evidence[0].is_empty() && record.evidence[record.evidence.len() - 1].is_empty());
    }
}

#[test]
fn unrelated_questions_share_neither_picture_nor_question_with_an_edit() {
    let set = records(SEED + 3, 60).unwrap();
    let edited = |pick: fn(&NativeRecord) -> &String| set.records.iter().map(pick).collect::<HashSet<_>>();
    let (images, questions) = (edited(|record| &record.image), edited(|record| &record.question));
    for query in set.records.iter().flat_map(|record| &record.unrelated) {
        assert!(!images.contains(&query.image) && !questions.contains(&query.question), "{query:?}");
    }
}

#[test]
fn questions_and_rules_recur_as_in_a_clinic() {
    let set = records(SEED + 4, 100).unwrap();
    let questions: HashSet<&String> = set.records.iter().map(|record| &record.question).collect();
    assert!(questions.len() < 75, "{}", questions.len());
    let multiple = set
        .pictures
        .iter()
        .filter(|picture| picture.path.ends_with("edit.png") && picture.scene.objects.len() > 1);
    assert!((5..=35).contains(&multiple.count()));
    for record in &set.records {
        assert!((2..=3).contains(&record.paraphrases.len()), "{:?}", record.paraphrases);
        assert!(!record.paraphrases.contains(&record.question));
    }
}

#[test]
fn every_picture_is_named_and_every_name_has_a_picture() {
    let set = records(SEED + 5, 20).unwrap();
    let drawn: Vec<&str> = set.pictures.iter().map(|picture| picture.path.as_str()).collect();
    let mut named: HashSet<&str> = HashSet::new();
    for record in &set.records {
        named.insert(&record.image);
        named.extend(record.similar_images.iter().map(String::as_str));
        let queries = record
            .related
            .iter()
            .chain(&record.rationale_questions)
            .chain(&record.unrelated)
            .chain(&record.contrast);
        named.extend(queries.map(|query| query.image.as_str()));
    }
    assert_eq!(drawn.len(), named.len());
    assert!(drawn.iter().all(|path| named.contains(path)));
}

#[test]
fn names_belong_to_the_split_of_the_seed() {
    let universe = Universe::new(SEED);
    assert!(
        universe.exceptions(KnowledgeKind::Name).iter().all(|chain| Split::Evaluation.admits(&chain.answer))
    );
    let training = Universe::new(17);
    assert!(
        training.exceptions(KnowledgeKind::Name).iter().all(|chain| Split::Training.admits(&chain.answer))
    );
}

#[test]
fn near_misses_are_common_among_contrast_pictures() {
    let set = records(SEED + 6, 60).unwrap();
    let (universe, objects) = (Universe::new(SEED + 6), objects(&set));
    let near = set.records.iter().flat_map(|record| record.contrast.iter().map(move |query| (record, query)));
    let near = near.filter(|(record, query)| {
        let focus = objects[record.image.as_str()][0];
        let other = objects[query.image.as_str()][0];
        let misses = |condition: &Condition| condition.misses(&other) == 1;
        let kinds = kinds_of(&universe, record, focus);
        kinds
            .iter()
            .any(|kind| universe.exception(*kind, &focus).is_some_and(|chain| misses(&chain.condition)))
    });
    assert!(near.count() > 90);
}

#[test]
fn a_record_does_not_depend_on_how_many_follow() {
    assert_eq!(records(SEED, 5).unwrap().records, records(SEED, 9).unwrap().records[..5]);
}

/// Guards the file format and the determinism of records across versions. Made by
/// `cargo run --example world -- records --seed 1000001 --count 1 --out DIR`, first line of `edits.jsonl`.
#[test]
fn the_first_record_of_a_seed_is_what_it_always_was() {
    let golden: NativeRecord = serde_json::from_str(include_str!("../../tests/golden/record.json")).unwrap();
    assert_eq!(records(1_000_001, 1).unwrap().records[0], golden);
}
