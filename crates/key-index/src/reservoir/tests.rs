use proptest::prelude::*;

use super::*;
use crate::testing;

fn naive(reservoir: &Reservoir, keys: &[Key], percentile: f64, scaled: bool) -> Option<f64> {
    let mut taken: Vec<&Key> = keys.iter().collect();
    taken.sort_by_key(|key| reservoir.rank(key));
    taken.truncate(reservoir.capacity);
    let mut values = Vec::new();
    for (i, a) in taken.iter().enumerate() {
        for (j, b) in taken.iter().enumerate() {
            let d = geometry::distance(a.vector(), b.vector());
            if scaled && i != j {
                values.push(d / scale(b.id));
            } else if i < j {
                values.push(d);
            }
        }
    }
    values.sort_by(f64::total_cmp);
    let rank = percentile / 100.0 * (values.len().checked_sub(1)? as f64);
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    Some(low + (high - low) * (rank - rank.floor()))
}

fn scale(id: MemberId) -> f64 {
    1.0 + (id.0.random() % 5) as f64
}

#[test]
fn percentiles_are_those_of_numpy() {
    // numpy.percentile([5, 1, 4, 2], [0, 10, 30, 50, 100])
    let at = |p| select(vec![5.0, 1.0, 4.0, 2.0], p).unwrap();
    for (p, expected) in [(0.0, 1.0), (10.0, 1.3), (30.0, 1.9), (50.0, 3.0), (100.0, 5.0)] {
        assert!((at(p) - expected).abs() < 1e-12, "{p}");
    }
    assert_eq!(select(vec![], 50.0), None);
}

proptest! {
    #[test]
    fn history_does_not_matter(
        seed in any::<u64>(), capacity in 1usize..20, percentile in 0f64..=100.0,
        steps in prop::collection::vec((0u8..4, 0u128..40), 1..120), scaled in any::<bool>(),
        by_content in any::<bool>(),
    ) {
        let mut random = testing::Random::new(seed);
        let seeds = if by_content { Seeds::Content } else { Seeds::Ids };
        let mut reservoir = Reservoir::new(capacity, seed, seeds);
        let mut keys: Vec<Key> = Vec::new();
        for (action, id) in steps {
            let key = testing::lone_key(id, vec![random.unit(), random.unit(), random.unit()]);
            let gone = keys.iter().position(|k| k.id == key.id).map(|at| keys.swap_remove(at).id);
            if action == 0 {
                reservoir.update(gone, []);
            } else {
                keys.push(key.clone());
                reservoir.update(gone, [Arc::new(key)]);
            }
        }
        let divisor = scaled.then_some(&scale as &dyn Fn(MemberId) -> f64);
        prop_assert_eq!(
            reservoir.percentile(percentile, divisor),
            naive(&reservoir, &keys, percentile, scaled)
        );
        prop_assert!(reservoir.rows.len() == keys.len().min(capacity));
    }
}

#[test]
fn a_sample_by_content_is_the_same_under_other_ids() {
    let percentile = |seeds, first_id: u128| {
        let mut random = testing::Random::new(7);
        let mut reservoir = Reservoir::new(20, 0, seeds);
        for id in first_id..first_id + 200 {
            reservoir.update([], [Arc::new(testing::lone_key(id, vec![random.unit(), random.unit()]))]);
        }
        reservoir.percentile(30.0, None).unwrap()
    };
    assert_eq!(percentile(Seeds::Content, 1), percentile(Seeds::Content, 1000));
    assert_ne!(percentile(Seeds::Ids, 1), percentile(Seeds::Ids, 1000));
}
