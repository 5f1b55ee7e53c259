use proptest::prelude::*;

use super::*;
use crate::retrieve::Fact;
use crate::store::{MemoryStore, SledStore};
use crate::{EntryKind, LookupConfig, geometry, testing};

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
    let new = at_once.take_in(archived((1..=40).rev()), &generation()).unwrap();
    assert_eq!(new.len(), 38);
    assert_eq!(at_once.snapshot().canonical(), one_by_one.snapshot().canonical());
    assert!(at_once.verify().unwrap().ok());
    assert_eq!(at_once.take_in(archived(1..=40), &generation()).unwrap(), []);
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
        assert!(book.take_in(edits, &generation()).is_err());
        assert!(Arc::ptr_eq(&before, &book.snapshot()));
        assert!(book.verify().unwrap().ok());
    }
    assert_eq!(book.take_in(archived(3..=6), &generation()).unwrap().len(), 4);
}

#[test]
fn an_idempotency_key_stays_with_the_edit_that_was_made_here() {
    let book = memory(CodebookConfig::default());
    let keyed = |n: u128| {
        let idempotency = Some(crate::Idempotency { key: "case 7".to_owned(), body: [n as u8; 32] });
        (EditRecord { idempotency, ..record(n) }, testing::members(n, 3, DIM, 0.1))
    };
    let take_in = |book: &Codebook, edits: Vec<(EditRecord, Vec<Member>)>| {
        book.take_in(testing::shared(edits), &generation()).unwrap().len()
    };
    let (made, members) = keyed(1);
    book.apply(made, members, &generation()).unwrap();
    assert_eq!(take_in(&book, vec![keyed(2)]), 1);
    assert_eq!(book.idempotency("case 7").unwrap(), Some(([1; 32], testing::edit_id(1))));
    assert_eq!(book.record(testing::edit_id(2)).unwrap().idempotency, None);
    let elsewhere = memory(CodebookConfig::default());
    assert_eq!(take_in(&elsewhere, vec![keyed(2), keyed(3)]), 2);
    assert_eq!(elsewhere.idempotency("case 7").unwrap(), Some(([2; 32], testing::edit_id(2))));
}

/// What one look-up gives.
struct Looked {
    rejected: bool,
    nearest_distance: Option<f64>,
    threshold: Option<f64>,
    facts: Vec<Fact>,
    nearest: Option<Fact>,
}

/// Retrieval by its definition, over the keys of the snapshot.
fn naive(snapshot: &Snapshot, query: &[f32], params: &RetrievalParams) -> Retrieval {
    let lookup = snapshot.config().lookup;
    let looked = if lookup.by_kind {
        let answers = RetrievalParams { k: params.k.min(lookup.answers), ..*params };
        vec![
            naive_look_up(snapshot, query, &answers, Some((EntryKind::Answer, lookup.answer_text_weight))),
            naive_look_up(
                snapshot,
                query,
                params,
                Some((EntryKind::Statement, lookup.statement_text_weight)),
            ),
        ]
    } else {
        vec![naive_look_up(snapshot, query, params, None)]
    };
    let mut facts: Vec<Fact> = Vec::new();
    let mut ranks = 0;
    for one in looked.iter().filter(|one| !one.rejected) {
        for fact in &one.facts {
            if facts.iter().all(|known| known.value != fact.value) {
                facts.push(Fact { rank: fact.rank + ranks, ..fact.clone() });
            }
        }
        ranks += one.facts.last().map_or(0, |fact| fact.rank);
    }
    let rejected = looked.iter().all(|one| one.rejected);
    let closeness = |one: &Looked| match (one.nearest_distance, one.threshold) {
        (Some(d), Some(t)) => d / t,
        (Some(d), None) => d,
        _ => f64::INFINITY,
    };
    let first = looked.into_iter().min_by(|a, b| closeness(a).total_cmp(&closeness(b))).unwrap();
    Retrieval {
        rejected,
        nearest_distance: first.nearest_distance,
        threshold: first.threshold,
        k: params.k,
        facts,
        nearest: first.nearest,
        ..Retrieval::default()
    }
}

fn naive_look_up(
    snapshot: &Snapshot,
    query: &[f32],
    params: &RetrievalParams,
    view: Option<(EntryKind, f64)>,
) -> Looked {
    let weighted = |vector: &[f32]| -> Vec<f32> {
        let weight = view.map_or(1.0, |(_, weight)| weight as f32);
        vector.iter().enumerate().map(|(i, x)| if i < VISION { *x } else { x * weight }).collect()
    };
    let shown = |sentence: &crate::Sentence| view.is_none_or(|(kind, _)| sentence.kind == kind);
    let keys: Vec<(Vec<f32>, &Arc<Key>)> = snapshot
        .keys()
        .filter(|key| key.sentences.iter().any(shown))
        .map(|key| (weighted(key.vector()), key))
        .collect();
    let at = weighted(query);
    let edits = snapshot.edit_count();
    let scaled = params.hubness && edits >= 2;
    let divisor = |own: &(Vec<f32>, &Arc<Key>)| {
        let mut near: Vec<f64> = keys
            .iter()
            .filter(|other| other.1.id != own.1.id)
            .map(|other| geometry::distance(&own.0, &other.0))
            .collect();
        near.sort_by(f64::total_cmp);
        near.truncate(30);
        match near.len() {
            n if !scaled || n == 0 => 1.0,
            n if n % 2 == 1 => near[n / 2] + 1e-6,
            n => f64::midpoint(near[n / 2 - 1], near[n / 2]) + 1e-6,
        }
    };
    let mut found: Vec<(f64, MemberId, &Arc<Key>)> =
        keys.iter().map(|own| (geometry::distance(&at, &own.0) / divisor(own), own.1.id, own.1)).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

    let mut pairs = Vec::new();
    for (i, a) in keys.iter().enumerate() {
        for (j, b) in keys.iter().enumerate() {
            if i < j || (scaled && i != j) {
                pairs.push(geometry::distance(&a.0, &b.0) / divisor(b));
            }
        }
    }
    pairs.sort_by(f64::total_cmp);
    let threshold = if !params.gate || snapshot.key_count() == 0 {
        None
    } else if edits < 2 || pairs.is_empty() {
        let first = snapshot.edits().next().unwrap().id;
        let entry = &snapshot.entries_of(first)[0];
        let id = entry.merged_into.unwrap_or(entry.id);
        let widened = view.map_or(1.0, |(_, weight)| weight.max(1.0));
        Some(f64::from(snapshot.keys().find(|key| key.id == id).unwrap().radius) * 2.0 * widened)
    } else {
        let rank = params.reject_percentile.unwrap_or(30.0) / 100.0 * (pairs.len() - 1) as f64;
        let (low, high) = (pairs[rank.floor() as usize], pairs[rank.ceil() as usize]);
        Some(low + (high - low) * (rank - rank.floor()))
    };
    let nearest_distance = found.first().map(|f| f.0);
    let rejected = params.gate
        && match (nearest_distance, threshold) {
            (Some(d), Some(t)) => d > t,
            _ => true,
        };
    let facts = |k: usize| {
        let mut facts: Vec<Fact> = Vec::new();
        for (i, (score, id, key)) in found.iter().take(k).enumerate() {
            let reach = geometry::distance(query, key.vector()) / f64::from(key.radius);
            for sentence in key.sentences.iter().filter(|sentence| shown(sentence)) {
                facts.push(Fact {
                    entry_id: *id,
                    edit_ids: sentence.edit_ids.clone(),
                    kind: sentence.kind,
                    value: sentence.value.clone(),
                    distance: *score,
                    reach: Some(reach),
                    image_id: sentence.image_id,
                    evidence: sentence.evidence,
                    rank: i + 1,
                });
            }
        }
        facts
    };
    Looked {
        rejected,
        nearest_distance,
        threshold,
        facts: facts(params.k),
        nearest: facts(1).into_iter().next(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Index, hubness, gate and fold, kept up to date through any history, retrieve what the definition says,
    /// and stand as if the live edits had been made in order.
    #[test]
    fn any_history_retrieves_by_definition(
        steps in prop::collection::vec((any::<bool>(), 0u128..25), 1..25),
        spread in prop::sample::select(vec![0.05f32, 0.1, 0.5]),
        seed in any::<u64>(), k in 0usize..8,
        percentile in prop::option::of(0f64..=100.0), hubness in any::<bool>(), gate in any::<bool>(),
        by_kind in any::<bool>(),
    ) {
        let lookup = LookupConfig { by_kind, ..LookupConfig::default() };
        let config = CodebookConfig { lookup, ..CodebookConfig::default() };
        let book = memory(config);
        let params = RetrievalParams { k, reject_percentile: percentile, hubness, gate };
        let mut random = testing::Random::new(seed);
        for (insert, n) in steps {
            if book.snapshot().edit(testing::edit_id(n)).is_some() {
                book.revert(testing::edit_id(n)).unwrap();
            } else if insert || book.snapshot().edit_count() < 3 {
                // A reverted edit's id can't come back in a store, so the check is on a snapshot of its own.
                if book.apply(record(n), testing::members(n, 3, DIM, spread), &generation()).is_err() {
                    continue;
                }
            }
            let snapshot = book.snapshot();
            let query: Vec<f32> = (0..DIM).map(|_| 0.7 * random.unit()).collect();
            prop_assert_eq!(snapshot.retrieve(&query, &params).unwrap(), naive(&snapshot, &query, &params));
        }
        let report = book.verify().unwrap();
        prop_assert!(report.ok(), "{report:?}");
        let fresh = open(Arc::clone(&book.store), config);
        prop_assert_eq!(fresh.stats(), book.stats());
        prop_assert_eq!(fresh.snapshot().canonical(), book.snapshot().canonical());
    }
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
    assert_eq!(of(EditFilter { author, tag, q: None }), edits(&[7, 1]));
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
