use std::fs;

use super::*;
use crate::cipher::OperatorKey;
use crate::ring::tests::{id, new};

#[test]
fn a_backups_keys_follow_and_an_erasure_wins_whichever_side_it_is_on() {
    let (folder, path) = new();
    let backup = folder.path().join("backup-keys");
    let keys = Keyring::open(&path, None).unwrap();
    keys.ensure(&[id(1), id(2), id(3)]).unwrap();
    keys.ensure_for(&[id(4)], Lifetime::Passing).unwrap();
    keys.merge_into(&[&backup]).unwrap();
    let before = fs::read(&backup).unwrap();
    let sealed = keys.seal(id(2), b"", b"effusion").unwrap();
    keys.erase(&[id(1)], Some("Dr. Ada")).unwrap();
    keys.forget(&[id(2), id(4)]).unwrap();
    keys.ensure(&[id(5)]).unwrap();
    keys.merge_into(&[&backup]).unwrap();
    let after = Keyring::open(&backup, None).unwrap();
    assert_eq!(after.erased(id(1)).unwrap().by.as_deref(), Some("Dr. Ada"));
    assert!([2, 3, 5].into_iter().all(|n| after.has(id(n))) && !after.has(id(4)));
    assert_eq!(after.unseal(id(2), b"", &sealed).unwrap(), b"effusion");
    drop(after);

    // A data folder that was restored from before: what the backup knows to be erased stays so.
    drop(keys);
    fs::write(&path, &before).unwrap();
    let earlier = Keyring::open(&path, None).unwrap();
    assert!(earlier.has(id(1)));
    earlier.merge_into(&[&backup]).unwrap();
    assert!(Keyring::open(&backup, None).unwrap().erased(id(1)).is_some());

    let whole = fs::read(&backup).unwrap();
    assert_eq!(is_whole(&backup).unwrap(), Some(true));
    assert_eq!(is_whole(&folder.path().join("none")).unwrap(), None);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&backup, &bytes).unwrap();
        assert_eq!(is_whole(&backup).unwrap(), Some(false), "{at}");
        fs::write(&backup, &whole[..at]).unwrap();
        assert_eq!(is_whole(&backup).unwrap(), Some(false), "{at}");
    }
    fs::write(&backup, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(is_whole(&backup).unwrap(), Some(false));
    fs::write(&backup, &whole).unwrap();
    // Opened to be added to, it is like any other.
    let opened = Keyring::open(&backup, None).unwrap();
    opened.ensure(&[id(70), id(71)]).unwrap();
    drop(opened);
    let opened = Keyring::open(&backup, None).unwrap();
    assert!(opened.has(id(70)) && opened.has(id(71)) && opened.has(id(5)) && opened.damaged() == 0);
    drop(opened);

    // Emptied, or cut off within its head, it is written anew.
    for length in [0, 1, 127, 128, 255] {
        fs::write(&backup, &whole[..length]).unwrap();
        earlier.check_merge(&[&backup]).unwrap();
        earlier.merge_into(&[&backup]).unwrap();
        assert_eq!(is_whole(&backup).unwrap(), Some(true), "{length}");
    }

    let other = Keyring::open(&folder.path().join("other"), None).unwrap();
    other.ensure(&[id(1)]).unwrap();
    assert!(matches!(other.merge_into(&[&backup]), Err(KeyringError::OtherFolder)));
    let lasts = Keyring::ephemeral().unwrap();
    lasts.ensure(&[id(1)]).unwrap();
    let sealed = lasts.seal(id(1), b"", b"x").unwrap();
    assert_eq!(lasts.unseal(id(1), b"", &sealed).unwrap(), b"x");
}

#[test]
fn one_copy_that_is_whole_is_enough_and_two_damaged_ones_give_what_either_has() {
    let (folder, path) = new();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let copies = [first.as_path(), second.as_path()];
    let keys = Keyring::open(&path, None).unwrap();
    let all: Vec<KeyId> = (0..6).map(id).collect();
    keys.ensure(&all).unwrap();
    keys.erase(&[id(5)], None).unwrap();
    keys.merge_into(&copies).unwrap();
    let whole = fs::read(&first).unwrap();
    assert_eq!(fs::read(&second).unwrap(), whole);
    let flipped = |places: &[usize]| {
        let mut bytes = whole.clone();
        for place in places {
            bytes[*place] ^= 1;
        }
        bytes
    };
    for at in 0..whole.len() {
        for (harmed, other) in [(&first, &second), (&second, &first)] {
            fs::write(harmed, flipped(&[at])).unwrap();
            let bytes = whole_copy(&copies).or_else(|| salvaged_copy(&copies));
            assert_eq!(bytes.as_ref(), Some(&whole), "{at}");
            fs::write(other, &whole).unwrap();
            keys.check_merge(&copies).unwrap();
            if at % 31 == 0 {
                keys.merge_into(&copies).unwrap();
                assert_eq!(
                    (fs::read(&first).unwrap(), fs::read(&second).unwrap()),
                    (whole.clone(), whole.clone())
                );
            }
            fs::write(harmed, &whole).unwrap();
        }
    }
    // A record of each, the head and the end of one.
    fs::write(&first, flipped(&[0, 130, 2 * BLOCK + 9, whole.len() - 1])).unwrap();
    fs::write(&second, flipped(&[3 * BLOCK + 9])).unwrap();
    assert!(whole_copy(&copies).is_none());
    let united = salvaged_copy(&copies).unwrap();
    assert_eq!(united, whole);
    // The same one of both.
    fs::write(&first, flipped(&[2 * BLOCK + 9])).unwrap();
    fs::write(&second, flipped(&[2 * BLOCK + 70, 130])).unwrap();
    fs::write(&path, salvaged_copy(&copies).unwrap()).unwrap();
    drop(keys);
    let left = Keyring::open(&path, None).unwrap();
    let standing = all.iter().filter(|id| left.has(**id) || left.erased(**id).is_some()).count();
    assert_eq!((standing, left.damaged()), (5, 0));
    assert_eq!(fs::read(&path).unwrap().len(), whole.len() - BLOCK);
    for copy in copies {
        fs::write(copy, flipped(&[0, 130])).unwrap();
    }
    assert!(salvaged_copy(&copies).is_none());
    assert!(matches!(left.check_merge(&copies), Err(KeyringError::Malformed(_))));
}

/// The process died between the two: the second is whole, and of before an erasure and another operator's
/// key.
#[test]
fn a_second_copy_of_before_gives_nothing_back() {
    let (folder, path) = new();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let copies = [first.as_path(), second.as_path()];
    let keys = Keyring::open(&path, None).unwrap();
    let all: Vec<KeyId> = (0..6).map(id).collect();
    keys.ensure(&all).unwrap();
    keys.merge_into(&copies).unwrap();
    keys.erase(&[id(1)], None).unwrap();
    let operator = OperatorKey::generate().unwrap();
    keys.rewrap(Some(&operator)).unwrap();
    keys.merge_into(&copies[..1]).unwrap();
    drop(keys);
    let whole = fs::read(&first).unwrap();
    assert_eq!((is_whole(&first).unwrap(), is_whole(&second).unwrap()), (Some(true), Some(true)));
    let mut erased = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&first, bytes).unwrap();
        assert!(whole_copy(&copies).is_none());
        fs::write(&path, salvaged_copy(&copies).unwrap()).unwrap();
        // The operator's key of now opens it, whichever of its heads is damaged.
        let had = Keyring::open(&path, Some(&operator)).unwrap();
        assert!(all.iter().all(|id| had.has(*id) || had.erased(*id).is_some()), "{at}");
        erased += usize::from(had.erased(id(1)).is_some());
    }
    // But where it is the note of the erasure itself that decayed.
    assert_eq!(erased, whole.len() - BLOCK);
}
