use proptest::prelude::*;

use super::*;
use crate::testing;

fn naive(index: &Index, query: &[f32], k: usize, divisor: impl Fn(Slot) -> f64) -> Vec<Hit> {
    let mut all: Vec<_> = (0..index.end() as Slot)
        .filter_map(|slot| {
            let key = index.key(slot)?;
            Some((geometry::distance(query, key.vector()) / divisor(slot), key.id, slot))
        })
        .collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.truncate(k);
    all.into_iter().map(|(score, _, slot)| Hit { slot, score }).collect()
}

proptest! {
    #[test]
    fn the_nearest_are_the_nearest(
        seed in any::<u64>(), count in 0usize..200, dim in 1usize..70, k in 0usize..12,
        scale in prop::sample::select(vec![1e-20f32, 1e-3, 1.0, 1e6]),
        near_ties in any::<bool>(), removed in 0usize..50,
    ) {
        let mut random = testing::Random::new(seed);
        let mut index = Index::new(dim);
        let vector = |random: &mut testing::Random| -> Vec<f32> {
            let spread = if near_ties { 1e-4 } else { 1.0 };
            (0..dim).map(|_| scale * (1.0 + spread * random.unit())).collect()
        };
        for i in 0..count {
            let vector = vector(&mut random);
            index.set(testing::lone_key(i as u128, vector));
        }
        for i in 0..removed.min(count) {
            let id = testing::lone_key(i as u128 * 3, vec![]).id;
            index.remove(id);
        }
        index.set(testing::lone_key(1000, vector(&mut random)));
        let query = vector(&mut random);
        let divisor = |slot: Slot| 1.0 + f64::from(slot % 7);
        prop_assert_eq!(index.search(&query, k, divisor, None), naive(&index, &query, k, divisor));
        let even: Vec<Slot> = (0..index.end() as Slot).filter(|slot| slot % 2 == 0).collect();
        let of_even: Vec<Hit> =
            naive(&index, &query, count + 1, divisor).into_iter().filter(|hit| hit.slot % 2 == 0).take(k).collect();
        prop_assert_eq!(index.search_among(&even, &query, k, divisor), of_even);
        let scan = index.scan(&query);
        for slot in 0..index.end() {
            if let Some(key) = index.key(slot as Slot) {
                let d = geometry::distance(&query, key.vector());
                prop_assert!(scan.lower(slot) <= d && d <= scan.upper(slot));
            }
        }
    }
}

#[test]
fn a_copy_keeps_its_keys() {
    let mut index = Index::new(2);
    index.set(testing::lone_key(1, vec![0.0, 0.0]));
    let copy = index.clone();
    index.set(testing::lone_key(1, vec![5.0, 5.0]));
    index.set(testing::lone_key(2, vec![1.0, 1.0]));
    assert_eq!((copy.len(), index.len()), (1, 2));
    assert_eq!(copy.search(&[0.0, 0.0], 1, |_| 1.0, None)[0].score, 0.0);
    assert_eq!(index.search(&[0.0, 0.0], 1, |_| 1.0, None)[0].score, 2f64.sqrt());
}
