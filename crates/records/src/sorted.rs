//! A sorted map whose copies share structure: copying it costs a pointer per hundred entries, changing a copy
//! one chunk.
//!
//! Snapshots hand the same map to readers while the writer changes its own copy.

use std::sync::Arc;

/// Entries per chunk at most. A change copies one chunk.
const CHUNK: usize = 128;

/// Sorted chunks of sorted entries; no chunk is empty.
#[derive(Debug)]
pub struct SortedMap<K, V> {
    chunks: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

impl<K, V> Clone for SortedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> SortedMap<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Index of the chunk that holds `key` or would.
    fn chunk_of(&self, key: &K) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(k, _)| k <= key));
        after.saturating_sub(1)
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(&chunk[at].1)
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.chunks.is_empty() {
            self.chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        }
        let index = self.chunk_of(&key);
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        let at = match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => return Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        if chunk.len() < CHUNK {
            chunk.insert(at, (key, value));
        } else if at == chunk.len() {
            // Keys mostly come in order: a full chunk is left full rather than split in halves.
            self.chunks.insert(index + 1, Arc::new(vec![(key, value)]));
        } else {
            let mut upper = chunk.split_off(CHUNK / 2);
            if at <= chunk.len() {
                chunk.insert(at, (key, value));
            } else {
                upper.insert(at - CHUNK / 2, (key, value));
            }
            self.chunks.insert(index + 1, Arc::new(upper));
        }
        None
    }

    /// Removes `key` and returns the value it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let index = self.chunk_of(key);
        let at = self.chunks.get(index)?.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        let (_, value) = chunk.remove(at);
        if chunk.is_empty() {
            self.chunks.remove(index);
        }
        self.len -= 1;
        Some(value)
    }

    /// All entries in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(k, v)| (k, v))
    }

    /// The entries from `key` on (itself included) in ascending order.
    pub fn from<'a>(&'a self, key: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let index = self.chunk_of(key);
        let skip = self.chunks.get(index).map_or(0, |chunk| chunk.partition_point(|(k, _)| k < key));
        self.chunks[index.min(self.chunks.len())..]
            .iter()
            .flat_map(|chunk| chunk.iter())
            .skip(skip)
            .map(|(k, v)| (k, v))
    }

    /// The entries below `key` in descending order.
    pub fn below<'a>(&'a self, key: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let index = self.chunk_of(key);
        let keep = self.chunks.get(index).map_or(0, |chunk| chunk.partition_point(|(k, _)| k < key));
        let (before, own): (&[_], &[_]) = match self.chunks.get(index) {
            Some(chunk) => (&self.chunks[..index], &chunk[..keep]),
            None => (&[], &[]),
        };
        own.iter().rev().chain(before.iter().rev().flat_map(|chunk| chunk.iter().rev())).map(|(k, v)| (k, v))
    }
}

#[cfg(test)]
mod tests;
