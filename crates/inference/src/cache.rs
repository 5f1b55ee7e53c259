//! What was computed of pictures, kept within a byte budget: least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use reasonedit_nn::kv_cache::KvCache;
use reasonedit_nn::sequence::ImageFeatures;
use reasonedit_nn::taps::{PooledTaps, TapName};

use crate::request::FeatureKey;

/// A prompt up to and including its picture, as run once.
#[derive(Debug)]
pub(super) struct Prefix {
    /// Keys and values after it.
    pub(super) kv: Arc<KvCache>,
    /// Language taps pooled over its tokens; empty unless they were asked for.
    pub(super) taps: PooledTaps,
}

/// Identity of a prefix: its pictures in order, and all tokens before, between and right behind them
/// (`u32::MAX` marks a picture).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PrefixKey {
    pub(super) images: Box<[FeatureKey]>,
    pub(super) tokens: Arc<[u32]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Features(FeatureKey),
    Prefix(PrefixKey),
}

#[derive(Clone, Debug)]
enum Value {
    Features(Arc<ImageFeatures>),
    Prefix(Arc<Prefix>),
}

#[derive(Debug)]
struct Slot {
    value: Value,
    bytes: usize,
    /// Place in the order of eviction: background work's entries go before all others, then the longest
    /// unused.
    rank: (bool, u64),
}

/// Least-recently-used cache of image features and prefix key–value caches.
#[derive(Debug)]
pub(super) struct FeatureCache {
    budget: usize,
    used: usize,
    clock: u64,
    slots: HashMap<Key, Slot>,
    order: BTreeMap<(bool, u64), Key>,
}

impl FeatureCache {
    /// An empty cache that holds at most `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, used: 0, clock: 0, slots: HashMap::new(), order: BTreeMap::new() }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.used
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.order.clear();
        self.used = 0;
    }

    /// Features of a picture, if they carry all of `taps`.
    pub(super) fn features(
        &mut self,
        key: FeatureKey,
        taps: &[TapName],
        urgent: bool,
    ) -> Option<Arc<ImageFeatures>> {
        match self.get(&Key::Features(key), urgent)? {
            Value::Features(features) if covers(&features.taps, taps) => Some(features),
            _ => None,
        }
    }

    /// A prefix, if it carries all of `taps`.
    pub(super) fn prefix(&mut self, key: &PrefixKey, taps: &[TapName], urgent: bool) -> Option<Arc<Prefix>> {
        match self.get(&Key::Prefix(key.clone()), urgent)? {
            Value::Prefix(prefix) if covers(&prefix.taps, taps) => Some(prefix),
            _ => None,
        }
    }

    /// Keeps a picture's features, in place of what was known of it.
    pub(super) fn insert_features(&mut self, key: FeatureKey, features: &Arc<ImageFeatures>, urgent: bool) {
        let bytes = features.bytes() + tap_bytes(&features.taps);
        self.insert(Key::Features(key), Value::Features(Arc::clone(features)), bytes, urgent);
    }

    /// Keeps a prefix.
    pub(super) fn insert_prefix(&mut self, key: PrefixKey, prefix: &Arc<Prefix>, urgent: bool) {
        let bytes = prefix.kv.bytes() + tap_bytes(&prefix.taps);
        self.insert(Key::Prefix(key), Value::Prefix(Arc::clone(prefix)), bytes, urgent);
    }

    fn get(&mut self, key: &Key, urgent: bool) -> Option<Value> {
        let slot = self.slots.get_mut(key)?;
        self.order.remove(&slot.rank);
        self.clock += 1;
        slot.rank = (slot.rank.0 || urgent, self.clock);
        self.order.insert(slot.rank, key.clone());
        Some(slot.value.clone())
    }

    fn insert(&mut self, key: Key, value: Value, bytes: usize, urgent: bool) {
        let old = self.remove(&key);
        if bytes > self.budget {
            return;
        }
        self.clock += 1;
        let rank = (urgent || old.is_some_and(|slot| slot.rank.0), self.clock);
        self.order.insert(rank, key.clone());
        self.slots.insert(key, Slot { value, bytes, rank });
        self.used += bytes;
        while self.used > self.budget {
            let Some((_, last)) = self.order.pop_first() else { break };
            if let Some(slot) = self.slots.remove(&last) {
                self.used -= slot.bytes;
            }
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.order.remove(&slot.rank);
        self.used -= slot.bytes;
        Some(slot)
    }
}

fn covers(have: &PooledTaps, want: &[TapName]) -> bool {
    want.iter().all(|tap| have.contains_key(tap))
}

fn tap_bytes(taps: &PooledTaps) -> usize {
    taps.values().map(|p| (p.mean.len() + p.last.len()) * size_of::<f32>()).sum()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use proptest::prelude::*;

    use super::*;
    use reasonedit_nn::taps::Pooled;

    fn key(n: u8) -> FeatureKey {
        FeatureKey { image: [n; 32], area: None }
    }

    /// Features of `floats` f32 values.
    fn features(floats: usize) -> Arc<ImageFeatures> {
        Arc::new(ImageFeatures {
            tokens: Tensor::zeros((1, floats), DType::F32, &Device::Cpu).unwrap(),
            deepstack: Vec::new(),
            grid: (1, 1, 1),
            taps: PooledTaps::new(),
        })
    }

    #[test]
    fn the_least_recently_used_goes_first_and_background_before_all() {
        let mut cache = FeatureCache::new(12);
        cache.insert_features(key(1), &features(1), true);
        cache.insert_features(key(2), &features(1), true);
        cache.insert_features(key(3), &features(1), false);
        assert!(cache.features(key(1), &[], true).is_some());
        cache.insert_features(key(4), &features(1), true);
        assert!(cache.features(key(3), &[], true).is_none(), "background entries go first");
        cache.insert_features(key(5), &features(1), true);
        assert!(cache.features(key(2), &[], true).is_none(), "then the longest unused");
        assert!(cache.features(key(1), &[], true).is_some());
        assert_eq!((cache.bytes(), cache.len()), (12, 3));
    }

    #[test]
    fn what_is_larger_than_the_budget_is_not_kept() {
        let mut cache = FeatureCache::new(8);
        cache.insert_features(key(1), &features(1), true);
        cache.insert_features(key(2), &features(3), true);
        assert!(cache.features(key(2), &[], true).is_none());
        assert!(cache.features(key(1), &[], true).is_some());
        cache.insert_features(key(1), &features(3), true);
        assert_eq!((cache.bytes(), cache.len()), (0, 0), "a replaced entry is gone");
    }

    #[test]
    fn features_without_a_wanted_tap_are_no_hit() {
        let tap = TapName("vision.1".into());
        let mut cache = FeatureCache::new(1024);
        cache.insert_features(key(1), &features(1), true);
        assert!(cache.features(key(1), std::slice::from_ref(&tap), true).is_none());
        let mut with = (*features(1)).clone();
        with.taps.insert(tap.clone(), Pooled { mean: vec![0.0; 2], last: vec![0.0; 2] });
        cache.insert_features(key(1), &Arc::new(with), true);
        assert!(cache.features(key(1), &[tap], true).is_some());
        assert_eq!(cache.bytes(), 4 + 16);
    }

    proptest! {
        #[test]
        fn the_account_is_right_and_within_budget(ops in prop::collection::vec((0u8..6, 1usize..5, any::<bool>(), any::<bool>()), 0..80)) {
            let mut cache = FeatureCache::new(40);
            for (n, floats, urgent, insert) in ops {
                if insert {
                    cache.insert_features(key(n), &features(floats), urgent);
                } else {
                    let _ = cache.features(key(n), &[], urgent);
                }
                let sum: usize = cache.slots.values().map(|s| s.bytes).sum();
                prop_assert_eq!(cache.bytes(), sum);
                prop_assert!(sum <= 40);
                prop_assert_eq!(cache.order.len(), cache.slots.len());
                for (rank, key) in &cache.order {
                    prop_assert_eq!(&cache.slots[key].rank, rank);
                }
            }
        }
    }
}
