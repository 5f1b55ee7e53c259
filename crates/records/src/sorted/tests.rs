use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn behaves_like_a_tree_and_leaves_copies_alone(
        steps in prop::collection::vec((any::<bool>(), 0u16..700, any::<u8>()), 0..1500),
        probe in 0u16..700,
    ) {
        let mut map = SortedMap::default();
        let mut tree = BTreeMap::new();
        let mut earlier = None;
        for (i, (insert, key, value)) in steps.iter().enumerate() {
            if i == steps.len() / 2 {
                earlier = Some((map.clone(), tree.clone()));
            }
            if *insert || i % 3 > 0 {
                prop_assert_eq!(map.insert(*key, *value), tree.insert(*key, *value));
            } else {
                prop_assert_eq!(map.remove(key), tree.remove(key));
            }
        }
        for (map, tree) in earlier.into_iter().chain([(map, tree)]) {
            prop_assert_eq!(map.len(), tree.len());
            prop_assert!(map.iter().eq(tree.iter()));
            prop_assert!(map.iter().rev().eq(tree.iter().rev()));
            prop_assert!(map.from(&probe).eq(tree.range(probe..)));
            prop_assert!(map.below(&probe).eq(tree.range(..probe).rev()));
            prop_assert_eq!(map.get(&probe), tree.get(&probe));
        }
    }
}
