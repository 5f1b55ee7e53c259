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
