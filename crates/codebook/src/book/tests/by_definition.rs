//! Retrieval held against its definition.

use proptest::prelude::*;

use super::{DIM, VISION, generation, memory, open, record};
use crate::book::*;
use crate::retrieve::Fact;
use crate::{EntryKind, LookupConfig, geometry, testing};

/// What one look-up gives.
struct Looked {
    rejected: bool,
    nearest_distance: Option<f64>,
    threshold: Option<f64>,
    facts: Vec<Fact>,
    nearest: Option<Fact>,
}

/// Of facts of equal text the nearest.
fn each_once(mut retrieval: Retrieval) -> Retrieval {
    let mut facts: Vec<Fact> = Vec::new();
    for fact in retrieval.facts {
        if facts.iter().all(|known| known.value != fact.value) {
            facts.push(fact);
        }
    }
    retrieval.facts = facts;
    retrieval
}

/// Candidates by their definition, over the keys of the snapshot.
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
            facts.push(Fact { rank: fact.rank + ranks, ..fact.clone() });
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
                    relevance: None,
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
        let params = RetrievalParams { k, reject_percentile: percentile, hubness, gate, familiarity: false };
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
            let naive = naive(&snapshot, &query, &params);
            prop_assert_eq!(snapshot.candidates(&query, &params, None).unwrap(), naive.clone());
            prop_assert_eq!(snapshot.retrieve(&query, &params).unwrap(), each_once(naive));
        }
        let report = book.verify().unwrap();
        prop_assert!(report.ok(), "{report:?}");
        let fresh = open(Arc::clone(&book.store), config);
        prop_assert_eq!(fresh.stats(), book.stats());
        prop_assert_eq!(fresh.snapshot().canonical(), book.snapshot().canonical());
    }
}
