use std::collections::BTreeMap;

use proptest::prelude::*;
use reasonedit_imaging::PixelBox;
use time::OffsetDateTime;

use super::*;
use crate::config::{GateConfig, HubnessConfig, LookupConfig, RetrievalParams};
use crate::ids::{CodebookName, ImageId};
use crate::merge::MergeConfig;
use crate::records::ImageInfo;
use crate::store::{CodebookStore, MemoryStore, SledStore};
use crate::testing::{self, Random, edit_id};
use crate::{Relevant, RelevantStatement, Seeds};

const DIM: usize = 5;

/// The `n`-th edit: about one of few pictures and questions, so that newer ones supersede older ones.
fn edit(n: u128) -> (EditRecord, Vec<Member>) {
    let image = ImageInfo { id: ImageId::of(&[(n % 3) as u8]), width: 60, height: 45 };
    let (question, answer) = (format!("Question {}?", n % 2), format!("Answer {}.", n % 5));
    let mut members = testing::members(n, 3, DIM, 0.1);
    for member in &mut members {
        member.image = image.id;
        member.area = Some(PixelBox { x: n as u32, y: 0, width: 5, height: 5 });
    }
    (EditRecord { image, question, answer, ..testing::record(n, 2) }, members)
}

fn open(store: Arc<dyn CodebookStore>, config: CodebookConfig) -> Arc<Codebook> {
    Arc::new(Codebook::open(store, CodebookName::default(), Arc::new(config)).unwrap())
}

fn generation() -> Generation {
    let mut generation = testing::generation(DIM as u32);
    generation.embedding.seeds = Seeds::CURRENT;
    generation
}

fn make(book: &Codebook, n: u128) {
    let (record, members) = edit(n);
    book.apply(record, members, &generation()).unwrap();
}

/// The codebook of these edits, as if nothing else had ever been.
fn rebuilt(config: CodebookConfig, edits: impl IntoIterator<Item = u128>) -> Arc<Snapshot> {
    let book = open(Arc::new(MemoryStore::new()), config);
    edits.into_iter().for_each(|n| make(&book, n));
    book.snapshot()
}

/// What is asked of a snapshot: its keys, and what it retrieves.
fn told(snapshot: &Snapshot) -> (Vec<u8>, Vec<String>, Vec<String>) {
    let edits = snapshot.edits().map(|record| {
        let rival = snapshot.superseded_by(record.id).map(|rival| rival.id);
        format!("{record:?} {rival:?} {:?}", snapshot.entries_of(record.id))
    });
    let edits = edits.collect();
    let mut random = Random::new(7);
    let mut answers = Vec::new();
    for asked in 0..4 {
        let query: Vec<f32> = (0..DIM).map(|_| random.unit()).collect();
        let speaking: Vec<EditId> = snapshot.edits().map(|record| record.id).step_by(2).collect();
        let statements = (0..8).map(|n| {
            let edits = speaking.iter().copied().collect();
            (format!("Sentence {n}."), RelevantStatement { score: 0.5, edits })
        });
        let relevant = Relevant {
            edits: speaking.iter().skip(1).map(|id| (*id, 0.4)).collect(),
            statements: statements.take(asked * 2).collect(),
            ..Relevant::default()
        };
        for hubness in [false, true] {
            for (gate, reject_percentile) in [(true, None), (true, Some(90.0)), (false, None)] {
                let params = RetrievalParams { k: 4, hubness, gate, reject_percentile, familiarity: true };
                answers.push(format!("{:?}", snapshot.retrieve(&query, &params)));
                answers.push(format!("{:?}", snapshot.candidates(&query, &params, Some(&relevant))));
            }
        }
    }
    (snapshot.canonical(), edits, answers)
}

fn configs() -> impl Strategy<Value = CodebookConfig> {
    let base = CodebookConfig {
        hubness: HubnessConfig { neighbours: 3 },
        gate: GateConfig { reservoir: 6, ..GateConfig::default() },
        ..CodebookConfig::default()
    };
    let hubness = RetrievalParams { hubness: true, ..RetrievalParams::default() };
    prop::sample::select(vec![
        base,
        CodebookConfig { retrieval: hubness, ..base },
        CodebookConfig { lookup: LookupConfig { by_kind: true, ..LookupConfig::default() }, ..base },
        CodebookConfig { merge: MergeConfig { enabled: false, ..MergeConfig::default() }, ..base },
    ])
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Make(u128),
    Revert(usize),
    Import(u128),
    Erase(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u128..60).prop_map(Step::Make),
        3 => (0usize..20).prop_map(Step::Revert),
        1 => (0u128..60).prop_map(Step::Import),
        1 => (0usize..40).prop_map(Step::Erase),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After any history each state of it is had again, down to the last bit, but for what was erased since;
    /// and each state without some edits is the one in which they had never been.
    #[test]
    fn every_state_is_that_of_its_edits(config in configs(), steps in steps(), left_out in any::<u64>()) {
        let book = open(Arc::new(MemoryStore::new()), config);
        let (mut used, mut live, mut erased) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut states: BTreeMap<u64, BTreeSet<u128>> = BTreeMap::from([(0, BTreeSet::new())]);
        for step in steps {
            match step {
                Step::Make(n) if used.insert(n) => {
                    make(&book, n);
                    live.insert(n);
                }
                Step::Import(n) => {
                    let new: Vec<u128> = (n..n + 3).filter(|n| used.insert(*n)).collect();
                    book.import(testing::shared(new.iter().map(|n| edit(*n))), &generation()).unwrap();
                    live.extend(new);
                }
                Step::Revert(at) if at < live.len() => {
                    let n = *live.iter().nth(at).unwrap();
                    live.remove(&n);
                    book.revert(edit_id(n)).unwrap();
                }
                Step::Erase(at) if at < used.len() => {
                    let n = *used.iter().nth(at).unwrap();
                    live.remove(&n);
                    erased.insert(n);
                    book.erase(edit_id(n), None).unwrap();
                }
                _ => continue,
            }
            prop_assert_eq!(book.snapshot().revision(), book.recorded());
            states.insert(book.recorded(), live.clone());
        }
        for (revision, then) in &states {
            let past = book.past(*revision).unwrap();
            prop_assert_eq!(past.snapshot.revision(), *revision);
            let lost: Vec<EditId> = then.intersection(&erased).map(|n| edit_id(*n)).collect();
            prop_assert_eq!(&past.erased, &lost);
            let there: BTreeSet<u128> = then.difference(&erased).copied().collect();
            prop_assert!(told(&past.snapshot) == told(&rebuilt(config, there.iter().copied())));

            let (gone, rest): (BTreeSet<u128>, _) = there.iter().partition(|n| left_out >> (*n % 64) & 1 == 1);
            let gone = gone.into_iter().chain([999]).map(edit_id).collect();
            let without = past.snapshot.without_edits(&gone);
            let rest: BTreeSet<u128> = rest;
            prop_assert!(told(&without) == told(&rebuilt(config, rest.iter().copied())));
            // Nothing of it has come into the codebook.
            prop_assert_eq!(book.recorded(), *states.keys().last().unwrap());
        }
        let (record, members) = edit(500);
        let with = book.snapshot().with_hypothetical(record, members, &generation()).unwrap();
        prop_assert!(told(&with) == told(&rebuilt(config, live.iter().copied().chain([500]))));
        prop_assert!(book.verify().unwrap().ok());
    }
}

#[test]
fn moments_are_found_by_number_and_by_time() {
    let book = open(Arc::new(MemoryStore::new()), CodebookConfig::default());
    let before = OffsetDateTime::now_utc();
    for n in 1..=3 {
        make(&book, n);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let at = |n: usize| book.events(0, 9).unwrap()[n].at.unwrap();
    for (moment, expected) in [
        (Moment::Revision(0), 0),
        (Moment::Revision(3), 3),
        (Moment::Time(before - time::Duration::days(9)), 0),
        (Moment::Time(at(0)), 1),
        (Moment::Time(at(1) + time::Duration::nanoseconds(1)), 2),
        (Moment::Time(OffsetDateTime::now_utc() + time::Duration::days(9)), 3),
    ] {
        assert_eq!(book.revision_at(moment).unwrap(), expected, "{moment:?}");
    }
    let late = book.revision_at(Moment::Revision(4));
    assert!(matches!(late, Err(CodebookError::NoSuchRevision { revision: 4, newest: 3 })), "{late:?}");
    assert!(matches!(book.past(4), Err(CodebookError::NoSuchRevision { .. })));
    let past = book.past(0).unwrap().snapshot;
    assert_eq!((past.edit_count(), past.embedding()), (0, None));
}

/// Keys under another generation, for every live edit.
fn rebuild(book: &Arc<Codebook>, to: &Generation, shift: f32) {
    let mut build = book.begin(to.clone(), [0; 32]).unwrap();
    for edit in build.prepare().edits {
        let moved = |member: &Arc<Member>| {
            let key = member.key.iter().map(|x| x + shift).collect();
            Member { key, ..member.as_ref().clone() }
        };
        build.add(book.snapshot().members_of(edit).map(moved).collect()).unwrap();
    }
    build.finish().unwrap().unwrap();
}

#[test]
fn a_past_state_has_the_keys_of_then_as_long_as_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn CodebookStore> = Arc::new(SledStore::open(folder.path()).unwrap());
    let mut book = open(Arc::clone(&store), CodebookConfig::default());
    let mut states = vec![(0, told(&book.snapshot()))];
    let mut note = |book: &Codebook| states.push((book.recorded(), told(&book.snapshot())));
    let of = |n| testing::other_generation(n, DIM as u32);
    for n in 1..=4 {
        make(&book, n);
        note(&book);
    }
    book.revert(edit_id(2)).unwrap();
    note(&book);
    rebuild(&book, &of(1), 1.0);
    note(&book);
    book.revert(edit_id(3)).unwrap();
    note(&book);
    // The generation before is kept: all of it can be had, through a restart too.
    let whole = |book: &Codebook, states: &[(u64, _)]| {
        for (revision, then) in states {
            assert!(told(&book.past(*revision).unwrap().snapshot) == *then, "revision {revision}");
        }
    };
    whole(&book, &states);
    drop(book);
    book = open(Arc::clone(&store), CodebookConfig::default());
    whole(&book, &states);

    // Rolled back, the first keys are the live ones again, and the others the ones before.
    let mut back = book.begin_rollback(None, false).unwrap();
    assert_eq!(back.prepare().edits, []);
    back.finish().unwrap().unwrap();
    drop(back);
    states.push((book.recorded(), told(&book.snapshot())));
    whole(&book, &states);

    // Two further on, neither is kept.
    rebuild(&book, &of(2), 2.0);
    states.push((book.recorded(), told(&book.snapshot())));
    assert_eq!(book.recorded(), 9);
    let lost = |revision| match book.past(revision) {
        Err(CodebookError::KeysNotKept { earliest, .. }) => earliest,
        other => panic!("{other:?}"),
    };
    // The first generation is the previous one once more; the second went.
    whole(&book, &states[..6]);
    assert_eq!([lost(6), lost(7)], [8, 8]);
    whole(&book, &states[8..]);
    rebuild(&book, &of(3), 3.0);
    assert_eq!([lost(1), lost(5), lost(7), lost(8)], [9; 4]);
    whole(&book, &states[9..]);
    assert!(told(&book.past(0).unwrap().snapshot) == states[0].1);
}
