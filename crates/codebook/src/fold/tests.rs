use proptest::prelude::*;

use super::*;
use crate::merge::MergeRule;
use crate::testing;

const DIM: usize = 5;

/// The fold by its definition: every member against every key, nothing remembered.
fn naive(config: MergeConfig, members: &[Arc<Member>]) -> Vec<Key> {
    let mut keys: Vec<Vec<Arc<Member>>> = Vec::new();
    for member in members {
        let nearest = keys
            .iter()
            .enumerate()
            .filter_map(|(i, list)| {
                let state = KeyState::of(list).unwrap();
                let d = geometry::distance(&member.key, state.row.as_slice());
                config.merges(member.radius, state.radius, d).then_some((d, list[0].id, i))
            })
            .min_by(|a, b| a.partial_cmp(b).unwrap());
        match nearest {
            Some((_, _, i)) => keys[i].push(Arc::clone(member)),
            None => keys.push(vec![Arc::clone(member)]),
        }
    }
    keys.iter().map(|list| Key::new(list, &KeyState::of(list).unwrap()).unwrap()).collect()
}

fn members(edit: u128, count: u32, spread: f32) -> Vec<Arc<Member>> {
    testing::members(edit, count, DIM, spread).into_iter().map(Arc::new).collect()
}

fn scratch(config: MergeConfig, members: impl IntoIterator<Item = Arc<Member>>) -> Fold {
    let mut fold = Fold::new(config);
    fold.insert(members);
    fold
}

fn configs() -> impl Strategy<Value = MergeConfig> {
    prop::sample::select(vec![
        MergeConfig::default(),
        MergeConfig { rule: MergeRule::Any, ..MergeConfig::default() },
        MergeConfig { overlap: 0.5, distance: 0.4, ..MergeConfig::default() },
        MergeConfig { overlap: 0.6, distance: 0.3, rule: MergeRule::Any, ..MergeConfig::default() },
        MergeConfig { enabled: false, ..MergeConfig::default() },
    ])
}

#[test]
fn the_data_of_these_tests_merges() {
    // The property tests below would show nothing if every key stood alone, or if all fell into one.
    for spread in [0.02, 0.05, 0.1] {
        let all: Vec<_> = (0..25).flat_map(|n| members(n, 3, spread)).collect();
        let fold = scratch(MergeConfig::default(), all.iter().cloned());
        assert!(fold.key_count() < fold.member_count() && fold.key_count() > 5, "{}", fold.key_count());
    }
}

#[test]
fn a_key_is_the_mean_of_its_members_and_covers_them() {
    let edit = testing::edit_id;
    let a = Arc::new(testing::member(edit(1), 0, vec![0.0, 0.0], 1.0));
    let b = Arc::new(testing::member(edit(2), 0, vec![0.04, 0.0], 1.02));
    let fold = scratch(MergeConfig::default(), [a.clone(), b.clone()]);
    let key = fold.keys().next().unwrap();
    assert_eq!(fold.key_count(), 1);
    assert_eq!(key.id, a.id);
    assert_eq!(key.members, [a.id, b.id]);
    assert_eq!(key.vector(), [0.02, 0.0]);
    let needed = geometry::distance(key.vector(), &b.key) + f64::from(b.radius);
    assert_eq!(key.radius, geometry::round_up(needed));
    assert_eq!(key.sentences.len(), 2);
    assert_eq!(key.sentences[1].edit_ids, [b.edit]);
    assert_eq!(fold.members_of(b.edit).next().unwrap().1, Some(a.id));
    assert_eq!(fold.members_of(a.edit).next().unwrap().1, None);
}

#[test]
fn a_late_edit_draws_later_members_to_its_key_and_gives_them_back() {
    let at = |n: u128, x: f32| Arc::new(testing::member(testing::edit_id(n), 0, vec![x, 0.0], 1.0));
    // `last` would merge with either; `late` is nearer and too far from `first` to merge with it.
    let (first, late, last) = (at(1, 0.0), at(2, 0.12), at(3, 0.07));
    let joined = |fold: &Fold| fold.members_of(last.edit).next().unwrap().1;
    let mut fold = scratch(MergeConfig::default(), [first.clone(), last.clone()]);
    assert_eq!(joined(&fold), Some(first.id));
    let changed = fold.insert([late.clone()]);
    assert_eq!(joined(&fold), Some(late.id));
    assert_eq!(changed, BTreeSet::from([first.place(), late.place()]));
    assert_eq!(fold.key(first.place()).unwrap().radius, first.radius);
    fold.change([], [late.edit]);
    assert_eq!(joined(&fold), Some(first.id));
    fold.change([], [first.edit]);
    assert_eq!((joined(&fold), fold.key_count()), (None, 1));
}

#[test]
fn equal_sentences_are_one_with_both_edits() {
    let a = Arc::new(testing::member(testing::edit_id(1), 0, vec![0.0, 0.0], 1.0));
    let mut b = testing::member(testing::edit_id(2), 0, vec![0.04, 0.0], 1.0);
    b.sentence.clone_from(&a.sentence);
    let fold = scratch(MergeConfig::default(), [a.clone(), Arc::new(b)]);
    let key = fold.keys().next().unwrap();
    assert_eq!(key.sentences.len(), 1);
    assert_eq!(key.sentences[0].edit_ids, [testing::edit_id(1), testing::edit_id(2)]);
}

#[test]
fn ties_go_to_the_lowest_id() {
    let ends = [vec![0.0, 0.0], vec![0.16, 0.0]];
    let [a, b] =
        [0, 1].map(|i| Arc::new(testing::member(testing::edit_id(i as u128 + 1), 0, ends[i].clone(), 1.0)));
    let middle = Arc::new(testing::member(testing::edit_id(3), 0, vec![0.08, 0.0], 1.0));
    let fold = scratch(MergeConfig::default(), [a.clone(), b.clone(), middle.clone()]);
    assert_eq!(geometry::distance(&a.key, &middle.key), geometry::distance(&b.key, &middle.key));
    assert_eq!(fold.members_of(middle.edit).next().unwrap().1, Some(a.id.min(b.id)));
}

proptest! {
    #[test]
    fn the_fold_is_its_definition(
        config in configs(), edits in prop::collection::btree_set(0u128..60, 1..25),
        count in 1u32..4, spread in prop::sample::select(vec![0.02f32, 0.05, 0.1, 0.2]),
    ) {
        let all: Vec<_> = edits.iter().flat_map(|n| members(*n, count, spread)).collect();
        let fold = scratch(config, all.iter().cloned());
        let expected = naive(config, &all);
        prop_assert_eq!(format!("{:?}", fold.keys().collect::<Vec<_>>()), format!("{expected:?}"));
    }

    #[test]
    fn any_history_gives_the_fold_from_scratch(
        config in configs(),
        steps in prop::collection::vec((any::<bool>(), 0u128..40), 1..60),
        count in 1u32..4, spread in prop::sample::select(vec![0.02f32, 0.05, 0.1, 0.2]),
    ) {
        let mut fold = Fold::new(config);
        let mut live = BTreeSet::new();
        for (insert, edit) in steps {
            let before: BTreeMap<MemberPosition, Vec<MemberId>> =
                fold.keys().map(|key| (key.place, key.members)).collect();
            let changed = if live.remove(&edit) {
                fold.change([], [testing::edit_id(edit)])
            } else if insert || live.len() < 5 {
                live.insert(edit);
                fold.insert(members(edit, count, spread))
            } else {
                BTreeSet::new()
            };
            let all = live.iter().flat_map(|n| members(*n, count, spread));
            let expected = scratch(config, all);
            prop_assert_eq!(fold.canonical(), expected.canonical());
            prop_assert_eq!(fold.states.len(), fold.members.len());
            // What changed is among what was reported.
            let after: BTreeMap<MemberPosition, Vec<MemberId>> =
                fold.keys().map(|key| (key.place, key.members)).collect();
            for place in before.keys().chain(after.keys()) {
                prop_assert!(before.get(place) == after.get(place) || changed.contains(place));
            }
        }
    }
}
