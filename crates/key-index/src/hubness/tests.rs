use proptest::prelude::*;

use super::*;
use crate::testing;

/// What [`divisor`] is by the definition, over all pairs.
fn naive(index: &Index, slot: Slot, neighbours: usize) -> f64 {
    let own = index.key(slot).unwrap();
    let mut distances: Vec<f64> = (0..index.end() as Slot)
        .filter(|other| *other != slot)
        .filter_map(|other| Some(geometry::distance(own.vector(), index.key(other)?.vector())))
        .collect();
    distances.sort_by(f64::total_cmp);
    distances.truncate(neighbours.min(index.len() - 1));
    let n = distances.len();
    match n {
        0 => 1.0,
        _ if n % 2 == 1 => distances[n / 2] + EPSILON,
        _ => f64::midpoint(distances[n / 2 - 1], distances[n / 2]) + EPSILON,
    }
}

proptest! {
    #[test]
    fn kept_up_to_date_equals_recomputed(
        seed in any::<u64>(), start in 0usize..40, neighbours in 1usize..8, dim in 1usize..6,
        steps in prop::collection::vec(prop::collection::vec((0u8..4, 0u128..60), 1..5), 1..12),
    ) {
        let mut random = testing::Random::new(seed);
        // Few distinct values, so that equal distances are common.
        let mut vector = || (0..dim).map(|_| (random.unit() * 4.0).round()).collect::<Vec<f32>>();
        let mut index = Index::new(dim);
        for i in 0..start {
            index.set(testing::lone_key(i as u128, vector()));
        }
        let mut hubness = Hubness::build(&index, neighbours);
        for step in steps {
            let (mut gone, mut new) = (HashSet::new(), HashSet::new());
            for (action, id) in step {
                let key = testing::lone_key(id, vector());
                if let Some(slot) = index.slot(key.id) {
                    gone.insert(slot);
                }
                if action == 0 {
                    if let Some(slot) = index.remove(key.id) {
                        new.remove(&slot);
                    }
                } else {
                    new.insert(index.set(key));
                }
            }
            hubness.update(&index, &gone, &new);
            for slot in 0..index.end() as Slot {
                if index.key(slot).is_some() {
                    prop_assert_eq!(hubness.divisor(slot).to_bits(), naive(&index, slot, neighbours).to_bits());
                }
            }
        }
    }
}
