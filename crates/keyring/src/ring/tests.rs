use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::*;

pub(crate) fn id(n: u64) -> KeyId {
    KeyId::of("thing", &[&n.to_le_bytes()])
}

pub(crate) fn new() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    (folder, path)
}

#[test]
fn what_is_sealed_is_bound_to_its_key_and_place_and_comes_back_after_a_restart() {
    let (_folder, path) = new();
    let keys = Keyring::open(&path, None).unwrap();
    assert!(matches!(keys.seal(id(1), b"", b"x"), Err(KeyringError::Unknown)));
    keys.ensure(&[id(1), id(2), id(1)]).unwrap();
    let sealed = keys.seal(id(1), b"here", b"effusion").unwrap();
    assert!(!sealed.windows(8).any(|part| part == b"effusion"));
    assert_eq!(sealed.len(), 8 + 40);
    drop(keys);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().len(), 4 * 128);

    let keys = Keyring::open(&path, None).unwrap();
    assert_eq!(keys.unseal(id(1), b"here", &sealed).unwrap(), b"effusion");
    assert!(matches!(keys.unseal(id(1), b"there", &sealed), Err(KeyringError::Changed)));
    assert!(matches!(keys.unseal(id(2), b"here", &sealed), Err(KeyringError::Changed)));
    assert!(matches!(keys.unseal(id(3), b"here", &sealed), Err(KeyringError::Unknown)));
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert!(matches!(keys.unseal(id(1), b"here", &flipped), Err(KeyringError::Changed)));
        assert!(matches!(keys.unseal(id(1), b"here", &sealed[..at]), Err(KeyringError::Changed)));
    }
    assert!(matches!(Keyring::open(&path, None), Err(KeyringError::Locked)), "one process at a time");
}

#[test]
fn what_is_erased_leaves_no_byte_of_its_key_and_stays_erased() {
    let (_folder, path) = new();
    let keys = Keyring::open(&path, None).unwrap();
    keys.ensure(&[id(1), id(2)]).unwrap();
    let before = fs::read(&path).unwrap();
    let number = fs::metadata(&path).unwrap().ino();
    let sealed = keys.seal(id(1), b"", b"effusion").unwrap();
    let long = "Dr. Ä".repeat(20);
    let erasure = keys.erase(&[id(1), id(1)], Some(&long)).unwrap();
    assert!(
        long.starts_with(erasure.by.as_deref().unwrap()) && erasure.by.as_deref().unwrap().len() <= MAX_BY
    );

    let after = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), number, "written over, not beside");
    let place = [2, 3].map(|n| n * 128).into_iter().find(|at| before[at + 8..at + 40] == id(1).0).unwrap();
    let wrapped = &before[place + 64..place + 112];
    assert!(!after.windows(16).any(|part| wrapped.windows(16).any(|own| own == part)));
    drop(keys);

    let keys = Keyring::open(&path, None).unwrap();
    assert_eq!(keys.erased(id(1)), Some(erasure.clone()));
    assert!(matches!(keys.unseal(id(1), b"", &sealed), Err(KeyringError::Erased(found)) if found == erasure));
    assert!(matches!(keys.ensure(&[id(3), id(1)]), Err(KeyringError::Erased(_))));
    assert!(!keys.has(id(3)) && keys.has(id(2)) && !keys.has(id(1)));
    let again = keys.erase(&[id(1), id(9)], None).unwrap();
    assert_eq!(keys.erased(id(1)), Some(erasure), "the first stands");
    assert_eq!(keys.erased(id(9)), Some(again), "also of what there was no key for");
}

#[test]
fn places_of_what_is_forgotten_are_taken_again() {
    let (_folder, path) = new();
    let keys = Keyring::open(&path, None).unwrap();
    keys.ensure(&[id(1), id(2)]).unwrap();
    keys.forget(&[id(1), id(7)]).unwrap();
    assert!(matches!(keys.seal(id(1), b"", b"x"), Err(KeyringError::Unknown)));
    keys.ensure(&[id(3)]).unwrap();
    keys.ensure(&[id(1)]).unwrap();
    drop(keys);
    assert_eq!(fs::metadata(&path).unwrap().len(), 5 * 128);
    let keys = Keyring::open(&path, None).unwrap();
    assert!([1, 2, 3].into_iter().all(|n| keys.has(id(n))));
}

#[test]
fn an_operators_key_is_asked_for_told_from_another_and_changed() {
    let (_folder, path) = new();
    let (first, second) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
    let keys = Keyring::open(&path, None).unwrap();
    keys.ensure(&[id(1)]).unwrap();
    let sealed = keys.seal(id(1), b"", b"effusion").unwrap();
    let root = *keys.head.root;
    drop(keys);
    let holds_root = || fs::read(&path).unwrap().windows(32).any(|part| part == root);
    assert!(holds_root());

    let keys = Keyring::open(&path, Some(&first)).unwrap();
    assert!(keys.is_wrapped() && !holds_root(), "wrapped from now on");
    keys.rewrap(Some(&second)).unwrap();
    drop(keys);
    assert!(matches!(Keyring::open(&path, None), Err(KeyringError::KeyNeeded)));
    assert!(matches!(Keyring::open(&path, Some(&first)), Err(KeyringError::WrongKey)));
    let keys = Keyring::open(&path, Some(&second)).unwrap();
    assert_eq!(keys.unseal(id(1), b"", &sealed).unwrap(), b"effusion");
    keys.rewrap(None).unwrap();
    drop(keys);
    let keys = Keyring::open(&path, None).unwrap();
    assert!(!keys.is_wrapped());
    assert_eq!(keys.unseal(id(1), b"", &sealed).unwrap(), b"effusion");
}

#[test]
fn a_change_of_the_operators_key_that_was_interrupted_opens_by_either() {
    let (_folder, path) = new();
    let (first, second) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
    let keys = Keyring::open(&path, Some(&first)).unwrap();
    let head = keys.head.block(Some(&second)).unwrap();
    drop(keys);
    let mut bytes = fs::read(&path).unwrap();
    bytes[128..256].copy_from_slice(&*head);
    for key in [&first, &second] {
        fs::write(&path, &bytes).unwrap();
        drop(Keyring::open(&path, Some(key)).unwrap());
        drop(Keyring::open(&path, Some(key)).unwrap());
        let healed = fs::read(&path).unwrap();
        assert_eq!(healed[..128], healed[128..256]);
    }
}

#[test]
fn damage_costs_what_it_hits_and_is_told() {
    let (_folder, path) = new();
    let keys = Keyring::open(&path, None).unwrap();
    keys.ensure(&[id(1), id(2)]).unwrap();
    keys.erase(&[id(2)], None).unwrap();
    drop(keys);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let keys = Keyring::open(&path, None).unwrap();
        let standing = usize::from(keys.has(id(1))) + usize::from(keys.erased(id(2)).is_some());
        assert_eq!((standing, keys.damaged()), if at < 256 { (2, 0) } else { (1, 1) }, "{at}");
    }
    // A record that a killed process was adding.
    for end in [whole.len() - 127, whole.len() - 1] {
        fs::write(&path, &whole[..end]).unwrap();
        let keys = Keyring::open(&path, None).unwrap();
        assert_eq!(keys.damaged(), 0);
        keys.ensure(&[id(5)]).unwrap();
        drop(keys);
        let keys = Keyring::open(&path, None).unwrap();
        assert!(keys.has(id(5)));
    }
    for end in [0, 1, 255] {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(matches!(Keyring::open(&path, None), Err(KeyringError::Malformed(_))), "{end}");
    }
    let mut both = whole;
    both[40] ^= 1;
    both[168] ^= 1;
    fs::write(&path, &both).unwrap();
    assert!(matches!(Keyring::open(&path, None), Err(KeyringError::Malformed(_))));
}

#[derive(Debug, Clone)]
enum Step {
    Ensure(Vec<u64>),
    Erase(Vec<u64>),
    Forget(Vec<u64>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::vec(0u64..8, 1..4);
    prop_oneof![
        some().prop_map(Step::Ensure),
        some().prop_map(Step::Erase),
        some().prop_map(Step::Forget),
        Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// `Some(true)`: has a key; `Some(false)`: erased.
    #[test]
    fn any_course_ends_where_it_says(steps in prop::collection::vec(step(), 1..20)) {
        let (_folder, path) = new();
        let mut keys = Keyring::open(&path, None).unwrap();
        let mut model = [None; 8];
        for step in steps {
            match step {
                Step::Ensure(ids) => {
                    let refused = ids.iter().any(|n| model[*n as usize] == Some(false));
                    let ensured = keys.ensure(&ids.iter().map(|n| id(*n)).collect::<Vec<_>>());
                    prop_assert_eq!(ensured.is_err(), refused);
                    if !refused {
                        for n in ids {
                            model[n as usize] = Some(true);
                        }
                    }
                }
                Step::Erase(ids) => {
                    keys.erase(&ids.iter().map(|n| id(*n)).collect::<Vec<_>>(), None).unwrap();
                    for n in ids {
                        model[n as usize] = Some(false);
                    }
                }
                Step::Forget(ids) => {
                    keys.forget(&ids.iter().map(|n| id(*n)).collect::<Vec<_>>()).unwrap();
                    for n in ids {
                        model[n as usize] = model[n as usize].filter(|has| !*has);
                    }
                }
                Step::Reopen => {
                    drop(keys);
                    keys = Keyring::open(&path, None).unwrap();
                }
            }
            for (n, expected) in model.iter().enumerate() {
                let found = (keys.has(id(n as u64)), keys.erased(id(n as u64)).is_some());
                prop_assert_eq!(found, (*expected == Some(true), *expected == Some(false)));
            }
        }
    }
}
