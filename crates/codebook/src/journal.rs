//! A small durable table beside the codebooks: what goes on in the background, and how far it is.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ulid::Ulid;

use crate::store::{CodebookStore, RowKey};
use crate::{CodebookError, Result};

/// Most bytes of a row: what is larger belongs into a file.
pub const MAX_ROW_BYTES: usize = 1 << 20;

/// A table of rows, small byte values in the caller's own form. Writes are atomic, and durable when they
/// return. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn CodebookStore>,
    table: &'static str,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journal").field(&self.table).finish()
    }
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn CodebookStore>, table: &'static str) -> Self {
        Self { store, table }
    }

    /// Writes a row, in place of the one that stands there if any.
    ///
    /// # Errors
    /// `InvalidRecord` above [`MAX_ROW_BYTES`], `Store` if the disk refuses.
    pub fn put(&self, id: Ulid, number: u64, value: &[u8]) -> Result<()> {
        if value.len() > MAX_ROW_BYTES {
            return Err(CodebookError::InvalidRecord("a row of the journal is too large"));
        }
        self.store.journal().put_row(self.table, RowKey { id, number }, value)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn get(&self, id: Ulid, number: u64) -> Result<Option<Vec<u8>>> {
        self.store.journal().row(self.table, RowKey { id, number })
    }

    /// At most `limit` rows of an id, in order, from the row `from` on.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn rows(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let rows = self.scan(RowKey { id, number: from }..=RowKey { id, number: u64::MAX }, limit)?;
        Ok(rows.into_iter().map(|(key, value)| (key.number, value)).collect())
    }

    /// At most `limit` rows within `keys`, in order.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn scan(&self, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>> {
        // What lies before its own beginning is nothing; sorted maps would panic.
        if keys.start() > keys.end() {
            return Ok(Vec::new());
        }
        self.store.journal().rows(self.table, keys, limit)
    }

    /// All rows of the table, in order.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn all(&self) -> Result<Vec<(RowKey, Vec<u8>)>> {
        let (first, last) = (Ulid::from_bytes([0; 16]), Ulid::from_bytes([0xFF; 16]));
        self.scan(RowKey { id: first, number: 0 }..=RowKey { id: last, number: u64::MAX }, usize::MAX)
    }

    /// Removes all rows of an id at once. There need not be any.
    ///
    /// # Errors
    /// `Store`.
    pub fn remove(&self, id: Ulid) -> Result<()> {
        self.store.journal().remove_rows(self.table, id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::{MemoryStore, SledStore};

    fn id(n: u8) -> Ulid {
        Ulid::from_bytes([n; 16])
    }

    /// What every store must do; `restart` gives it as it comes back after the process ended.
    fn conforms(mut restart: impl FnMut() -> Arc<dyn CodebookStore>) {
        let large = vec![7; MAX_ROW_BYTES];
        {
            let store = restart();
            let jobs = Journal::new(Arc::clone(&store), "jobs");
            assert_eq!(jobs.get(id(1), 0).unwrap(), None);
            assert_eq!(jobs.all().unwrap(), []);
            jobs.remove(id(1)).unwrap();
            for (n, number, value) in [(2, 1, "c"), (1, 300, "b"), (1, 2, "old"), (1, 2, "a"), (3, 0, "")] {
                jobs.put(id(n), number, value.as_bytes()).unwrap();
            }
            // One table's name begins with the other's.
            let other = Journal::new(store, "jobs-2");
            other.put(id(1), 2, &large).unwrap();
            assert!(matches!(
                other.put(id(1), 3, &vec![0; MAX_ROW_BYTES + 1]),
                Err(CodebookError::InvalidRecord(_))
            ));
        }
        let store = restart();
        let (jobs, other) = (Journal::new(Arc::clone(&store), "jobs"), Journal::new(store, "jobs-2"));
        let row = |number: u64, value: &str| (number, value.as_bytes().to_vec());
        assert_eq!(jobs.rows(id(1), 0, 10).unwrap(), [row(2, "a"), row(300, "b")]);
        assert_eq!(jobs.rows(id(1), 3, 10).unwrap(), [row(300, "b")]);
        assert_eq!(jobs.rows(id(1), 0, 1).unwrap(), [row(2, "a")]);
        assert_eq!(jobs.rows(id(1), 301, 10).unwrap(), []);
        let all: Vec<(u8, u64)> =
            jobs.all().unwrap().iter().map(|(key, _)| (key.id.to_bytes()[0], key.number)).collect();
        assert_eq!(all, [(1, 2), (1, 300), (2, 1), (3, 0)]);
        assert_eq!(jobs.get(id(3), 0).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(other.get(id(1), 2).unwrap().unwrap(), large);
        jobs.remove(id(1)).unwrap();
        drop((jobs, other));
        let store = restart();
        let (jobs, other) = (Journal::new(Arc::clone(&store), "jobs"), Journal::new(store, "jobs-2"));
        assert_eq!(jobs.all().unwrap().len(), 2);
        assert_eq!(other.all().unwrap().len(), 1, "of another table nothing is removed");
    }

    #[test]
    fn memory_conforms() {
        let store: Arc<dyn CodebookStore> = Arc::new(MemoryStore::new());
        conforms(|| Arc::clone(&store));
    }

    #[test]
    fn sled_conforms() {
        let folder = tempfile::tempdir().unwrap();
        conforms(|| Arc::new(SledStore::open(folder.path()).unwrap()));
        assert_eq!(std::fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn sled_does_what_a_sorted_map_does(
            writes in prop::collection::vec((0..4u8, 0..6u64, 0..9000usize, prop::bool::weighted(0.2)), 1..40),
            from in 0..6u64,
            limit in 0..8usize,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let journal = Journal::new(Arc::new(SledStore::open(folder.path()).unwrap()), "t");
            let mut model: BTreeMap<RowKey, Vec<u8>> = BTreeMap::new();
            for (n, number, length, remove) in writes {
                if remove {
                    journal.remove(id(n)).unwrap();
                    model.retain(|key, _| key.id != id(n));
                } else {
                    let value = vec![n; length];
                    journal.put(id(n), number, &value).unwrap();
                    model.insert(RowKey { id: id(n), number }, value);
                }
            }
            prop_assert_eq!(journal.all().unwrap(), model.clone().into_iter().collect::<Vec<_>>());
            for n in 0..4 {
                let wanted: Vec<(u64, Vec<u8>)> = model
                    .iter()
                    .filter(|(key, _)| key.id == id(n) && key.number >= from)
                    .take(limit)
                    .map(|(key, value)| (key.number, value.clone()))
                    .collect();
                prop_assert_eq!(journal.rows(id(n), from, limit).unwrap(), wanted);
            }
        }

        #[test]
        fn keys_keep_their_order_as_bytes(a: (u128, u64), b: (u128, u64)) {
            let key = |(id, number): (u128, u64)| RowKey { id: Ulid::from(id), number };
            let (a, b) = (key(a), key(b));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(RowKey::from_bytes(&a.to_bytes()), Some(a));
        }
    }
}
