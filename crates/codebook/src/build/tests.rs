use proptest::prelude::*;

use super::*;
use crate::ids::CodebookName;
use crate::store::{CodebookStore, Event, MemoryStore, SledStore};
use crate::testing;

const DIM: usize = 4;

fn open(store: Arc<dyn CodebookStore>) -> Arc<Codebook> {
    Arc::new(Codebook::open(store, CodebookName::default(), Arc::default()).unwrap())
}

/// The generation with this number; 0 is the one that a codebook begins with.
fn generation(n: u128) -> Generation {
    if n == 0 { testing::generation(DIM as u32) } else { testing::other_generation(n, DIM as u32) }
}

/// Members of the `n`-th edit as this embedding makes them: keys and radii follow from both, and from nothing
/// else.
fn members(n: u128, embedding: &Embedding) -> Vec<Member> {
    let seed = n.wrapping_add(1000 * (embedding.lambda as u128));
    let made = testing::members(seed, 3, DIM, 0.1);
    testing::members(n, 3, DIM, 0.1)
        .into_iter()
        .zip(made)
        .map(|(member, made)| Member { key: made.key, radius: made.radius, ..member })
        .collect()
}

fn edit(book: &Codebook, n: u128) {
    let generation = book.snapshot().generation().unwrap_or_else(|| generation(0));
    let record = crate::EditRecord { embedding: generation.embedding.id, ..testing::record(n, 2) };
    book.apply(record, members(n, &generation.embedding), &generation).unwrap();
}

fn number(id: EditId) -> u128 {
    id.0.random()
}

fn add(build: &mut Build, edits: &[EditId]) {
    let embedding = build.generation().embedding.clone();
    build.add(edits.iter().flat_map(|id| members(number(*id), &embedding)).collect()).unwrap();
}

fn complete(build: &mut Build) -> Arc<Snapshot> {
    let missing = build.prepare().edits;
    add(build, &missing);
    build.finish().unwrap().unwrap()
}

/// Asserts that the codebook is, down to the last bit, one in which these edits were made under the
/// generation that is live.
fn assert_made_anew(book: &Codebook, live: &[u128]) {
    let report = book.verify().unwrap();
    assert!(report.ok(), "{report:?}");
    let snapshot = book.snapshot();
    let Some(generation) = snapshot.generation() else { return assert!(live.is_empty()) };
    let fresh = open(Arc::new(MemoryStore::new()));
    for n in live {
        let record = crate::EditRecord { embedding: generation.embedding.id, ..testing::record(*n, 2) };
        fresh.apply(record, members(*n, &generation.embedding), &generation).unwrap();
    }
    let fresh = fresh.snapshot();
    assert_eq!(snapshot.canonical(), fresh.canonical());
    assert!(snapshot.members().eq(fresh.members()));
    assert_eq!(
        snapshot.edits().map(|e| e.id).collect::<Vec<_>>(),
        fresh.edits().map(|e| e.id).collect::<Vec<_>>()
    );
    for query in snapshot.members().map(|member| member.key.clone()).take(3) {
        let params = crate::RetrievalParams::default();
        assert_eq!(snapshot.retrieve(&query, &params).unwrap(), fresh.retrieve(&query, &params).unwrap());
    }
}

/// What may happen to a codebook while a generation is made.
#[derive(Debug, Clone)]
enum Step {
    Edit,
    Revert(usize),
    Begin(u8),
    Rollback,
    Add(usize),
    Finish,
    Discard,
    /// The build is dropped, as when the task that runs it ends.
    Drop,
    /// The process ends and begins again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Edit),
        2 => any::<usize>().prop_map(Step::Revert),
        2 => (0u8..2).prop_map(Step::Begin),
        2 => Just(Step::Rollback),
        5 => (1usize..4).prop_map(Step::Add),
        4 => Just(Step::Finish),
        1 => Just(Step::Discard),
        1 => Just(Step::Drop),
        1 => Just(Step::Reopen),
    ]
}

/// Runs the steps on a store, checking after each what readers see.
fn run(steps: Vec<Step>, mut reopen: impl FnMut() -> Arc<dyn CodebookStore>) {
    let mut book = open(reopen());
    let (mut live, mut next_edit, mut next_generation) = (Vec::new(), 1u128, 0u128);
    let mut build: Option<Build> = None;
    for step in steps {
        match step {
            Step::Edit => {
                edit(&book, next_edit);
                live.push(next_edit);
                next_edit += 1;
            }
            Step::Revert(which) if !live.is_empty() => {
                let n = live.remove(which % live.len());
                book.revert(testing::edit_id(n)).unwrap();
            }
            Step::Begin(recipe) => {
                next_generation += 1;
                match book.begin(generation(next_generation), [recipe; 32]) {
                    Ok(begun) => build = Some(begun),
                    Err(CodebookError::UnknownCodebook(_)) => assert_eq!(next_edit, 1),
                    Err(CodebookError::Conflict(_)) => assert!(build.is_some()),
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Rollback => match book.begin_rollback(None, true) {
                Ok(begun) => build = Some(begun),
                Err(CodebookError::UnknownCodebook(_)) => assert_eq!(next_edit, 1),
                Err(CodebookError::Conflict(_)) => {
                    assert!(build.is_some() || book.snapshot().previous().is_none());
                }
                Err(error) => panic!("{error}"),
            },
            Step::Add(count) => {
                if let Some(build) = &mut build {
                    let mut missing = build.prepare().edits;
                    missing.truncate(count);
                    add(build, &missing);
                }
            }
            Step::Finish => {
                if let Some(mut building) = build.take() {
                    let before = book.snapshot();
                    let target = building.generation().clone();
                    let whole = building.prepare().edits.is_empty();
                    let published = building.finish().unwrap();
                    assert_eq!(published.is_some(), whole);
                    if published.is_some() {
                        let now = book.snapshot();
                        assert_eq!(now.generation(), Some(target));
                        assert_eq!(now.previous().map(|p| p.as_ref().clone()), before.generation());
                    } else {
                        assert!(Arc::ptr_eq(&before, &book.snapshot()));
                        build = Some(building);
                    }
                }
            }
            Step::Discard => {
                if let Some(mut building) = build.take() {
                    building.discard().unwrap();
                    assert!(building.finish().is_err());
                }
            }
            Step::Drop => build = None,
            Step::Reopen => {
                build = None;
                drop(book);
                book = open(reopen());
            }
            Step::Revert(_) => {}
        }
        assert_made_anew(&book, &live);
    }
    // However it stands, the next build and the way back come to their ends.
    drop(build);
    if next_edit > 1 {
        let before = book.snapshot().canonical();
        complete(&mut book.begin(generation(1000), [7; 32]).unwrap());
        assert_made_anew(&book, &live);
        complete(&mut book.begin_rollback(None, true).unwrap());
        assert_made_anew(&book, &live);
        assert_eq!(book.snapshot().canonical(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Whatever happens while generations are made, swapped, given up and rolled back: readers see the live
    /// edits as the live generation makes them.
    #[test]
    fn any_interleaving_is_as_if_made_under_the_live_generation(steps in prop::collection::vec(step(), 1..40)) {
        let store = Arc::new(MemoryStore::new());
        run(steps, || store.clone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_interleaving_on_disk(steps in prop::collection::vec(step(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        run(steps, || Arc::new(SledStore::open(folder.path()).unwrap()));
    }
}

#[test]
fn what_was_half_made_is_gone_on_with() {
    let store = Arc::new(MemoryStore::new());
    let book = open(store.clone());
    for n in 1..=6 {
        edit(&book, n);
    }
    let mut build = book.begin(generation(1), [7; 32]).unwrap();
    let missing = build.prepare();
    assert_eq!((missing.edits.len(), missing.of), (6, 6));
    add(&mut build, &missing.edits[..4]);
    assert!(build.finish().unwrap().is_none());
    drop((build, book));

    let book = open(store);
    let asked = Generation { chosen: false, ..generation(1) };
    let asked =
        Generation { embedding: Embedding { id: generation(2).embedding.id, ..asked.embedding }, ..asked };
    let mut build = book.begin(asked, [7; 32]).unwrap();
    // Under the id that it began with; whether it is a choice is for the present caller to say.
    assert_eq!(build.generation(), &Generation { chosen: false, ..generation(1) });
    assert_eq!(build.prepare().edits, missing.edits[4..]);
    complete(&mut build);
    assert_made_anew(&book, &[1, 2, 3, 4, 5, 6]);
    assert!(!book.snapshot().chosen());
}

#[test]
fn a_rollback_loses_no_edit_and_undoes_no_revert() {
    let book = open(Arc::new(MemoryStore::new()));
    assert!(matches!(book.begin(generation(1), [0; 32]), Err(CodebookError::UnknownCodebook(_))));
    assert!(matches!(book.begin_rollback(None, true), Err(CodebookError::UnknownCodebook(_))));
    for n in 1..=4 {
        edit(&book, n);
    }
    assert!(matches!(book.begin_rollback(None, true), Err(CodebookError::Conflict(_))));
    complete(&mut book.begin(generation(1), [0; 32]).unwrap());
    edit(&book, 5);
    book.revert(testing::edit_id(2)).unwrap();
    edit(&book, 6);
    book.revert(testing::edit_id(6)).unwrap();

    let mut back = book.begin_rollback(None, false).unwrap();
    assert_eq!(back.prepare().edits, [testing::edit_id(5)], "only what was made since lacks keys");
    assert!(back.finish().unwrap().is_none());
    complete(&mut back);
    assert_eq!(book.snapshot().generation(), Some(generation(0)));
    assert_made_anew(&book, &[1, 3, 4, 5]);
    // And forward again, if that is what is meant.
    drop(back);
    let other = book.begin_rollback(Some(generation(9).embedding.id), true);
    assert!(matches!(other, Err(CodebookError::Conflict(_))));
    let forward = Some(generation(1).embedding.id);
    assert!(complete(&mut book.begin_rollback(forward, true).unwrap()).chosen());
    assert_made_anew(&book, &[1, 3, 4, 5]);
    let swaps = book.history().unwrap().iter().filter(|e| matches!(e, Event::Reembedded(_))).count();
    assert_eq!(swaps, 3);
}

#[test]
fn one_build_at_a_time_and_none_after_its_end() {
    let book = open(Arc::new(MemoryStore::new()));
    edit(&book, 1);
    let mut build = book.begin(generation(1), [0; 32]).unwrap();
    assert!(matches!(book.begin(generation(2), [0; 32]), Err(CodebookError::Conflict(_))));
    assert!(matches!(book.begin_rollback(None, true), Err(CodebookError::Conflict(_))));
    build.discard().unwrap();
    assert!(matches!(build.add(members(1, &embedding(1))), Err(CodebookError::Conflict(_))));
    assert!(build.discard().is_err());
    drop(build);
    let in_use = book.begin(generation(0), [0; 32]);
    assert!(matches!(in_use, Err(CodebookError::Conflict(_))), "an id of its own");
    let mut build = book.begin(generation(2), [0; 32]).unwrap();
    add(&mut build, &[testing::edit_id(1)]);
    assert!(matches!(book.discard_draft(), Err(CodebookError::Conflict(_))));
    drop(build);
    book.discard_draft().unwrap();
    let mut build = book.begin(generation(2), [0; 32]).unwrap();
    assert_eq!(build.prepare().edits.len(), 1, "nothing to go on with");
    complete(&mut build);
}

#[test]
fn keys_that_can_not_stand_there_are_refused() {
    let book = open(Arc::new(MemoryStore::new()));
    edit(&book, 1);
    let mut build = book.begin(generation(1), [0; 32]).unwrap();
    let tried = |build: &mut Build, change: &dyn Fn(&mut Vec<Member>)| {
        let mut members = members(1, &embedding(1));
        change(&mut members);
        build.add(members).unwrap_err()
    };
    let invalid = |error| matches!(error, CodebookError::InvalidMember { .. });
    assert!(invalid(tried(&mut build, &|m| m[0].key[0] = f32::NAN)));
    assert!(invalid(tried(&mut build, &|m| drop(m.pop()))), "an edit is added whole");
    assert!(invalid(tried(&mut build, &|m| m.swap(0, 2))));
    let short = tried(&mut build, &|m| m[1].key.truncate(2));
    assert!(matches!(short, CodebookError::DimensionMismatch { .. }));
    let endless = Generation { embedding: Embedding { lambda: f64::INFINITY, ..embedding(5) }, chosen: true };
    assert!(matches!(book.begin(endless, [0; 32]), Err(CodebookError::InvalidRecord(_))));
    complete(&mut build);
}

#[test]
fn the_live_embedding_can_become_the_codebooks_own() {
    let store = Arc::new(MemoryStore::new());
    let book = open(store.clone());
    assert!(matches!(book.choose_live(), Err(CodebookError::UnknownCodebook(_))));
    edit(&book, 1);
    let before = book.snapshot().canonical();
    book.choose_live().unwrap();
    for book in [book, open(store)] {
        assert!(book.snapshot().chosen() && book.snapshot().previous().is_none());
        assert_eq!(book.snapshot().canonical(), before);
        assert!(book.verify().unwrap().ok());
    }
}

#[test]
fn edits_keep_to_the_generation_that_is_live() {
    let book = open(Arc::new(MemoryStore::new()));
    edit(&book, 1);
    complete(&mut book.begin(generation(1), [0; 32]).unwrap());
    let stale = book.apply(testing::record(2, 2), members(2, &embedding(0)), &generation(0));
    assert!(matches!(stale, Err(CodebookError::EmbeddingMismatch { stored, .. }) if *stored == embedding(1)));
    edit(&book, 2);
    assert_made_anew(&book, &[1, 2]);
    assert_eq!(book.edit(testing::edit_id(1)).unwrap().generation, embedding(1).id);
}

fn embedding(n: u128) -> Embedding {
    generation(n).embedding
}
