//! What is erased is so in every backup, those included that were made before.

use crate::data::{Data, contents_of, edit_id, folders, go_on, name, open, picture};
use reasonedit_backup::{BackupError, RestoreOptions};
use reasonedit_codebook::ImageId;
use reasonedit_keyring::{Keyring, KeyringError, OperatorKey};

fn shown(folder: &std::path::Path, secret: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return shown(&path, secret);
        }
        std::fs::read(path).unwrap().windows(secret.len()).any(|part| part == secret)
    })
}

#[test]
fn no_backup_shows_what_it_is_of() {
    let data = Data::new();
    data.edit("default", 400);
    data.backup();
    for secret in [&picture(400)[..], b"outcome 400"] {
        assert!(!shown(&data.path("backups"), secret) && !shown(&data.path("data"), secret));
    }
}

#[test]
fn an_earlier_backup_restores_without_what_was_erased_since() {
    let data = Data::new();
    for n in 0..6 {
        data.edit("default", n);
    }
    data.revert("default", 1);
    let first = data.backup();
    let book = data.library.get(&name("default")).unwrap();
    for n in [0, 1] {
        book.erase(edit_id(n), Some("Dr. Ada")).unwrap();
        data.images.erase(ImageId::of(&picture(n)), Some("Dr. Ada")).unwrap();
    }
    data.edit("default", 7);
    // The repository doesn't know of it yet; the data folder's own next backup tells it.
    let second = data.backup();
    assert_eq!((second.edits, second.pictures), (5, 5));
    for (at, id, edits, erased, pictures) in [(1, &first.id, 4, 1, 4), (2, &second.id, 5, 0, 5)] {
        let out = data.path(&format!("restored-{at}"));
        let restored = data
            .repository()
            .restore(
                &out,
                &folders,
                RestoreOptions { snapshot: Some(id), ..RestoreOptions::default() },
                &go_on,
            )
            .unwrap();
        assert_eq!((restored.edits, restored.erased, restored.pictures), (edits, erased, pictures));
        let contents = contents_of(&out);
        assert_eq!(contents.images.len(), pictures);
        let (_store, library, images, _keys) = open(&out);
        let book = library.get(&name("default")).unwrap();
        assert_eq!(book.erased(edit_id(0)).unwrap().by.as_deref(), Some("Dr. Ada"));
        assert!(book.edit(edit_id(0)).is_err() && !images.contains(ImageId::of(&picture(0))));
    }
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}

#[test]
fn a_picture_that_was_erased_and_sent_again_is_in_the_backup_as_it_is_now() {
    let data = Data::new();
    data.edit("default", 1);
    let first = data.backup();
    data.images.erase(ImageId::of(&picture(1)), None).unwrap();
    data.images.put(&picture(1)).unwrap();
    let second = data.backup();
    assert_eq!(second.new_pictures, 1);
    assert!(data.restored("now").images.contains_key(&ImageId::of(&picture(1))));
    let out = data.path("then");
    let restored = data
        .repository()
        .restore(
            &out,
            &folders,
            RestoreOptions { snapshot: Some(&first.id), ..RestoreOptions::default() },
            &go_on,
        )
        .unwrap();
    assert_eq!((restored.edits, restored.pictures), (1, 0), "the file of then was erased");
}

#[test]
fn keys_of_the_backups_are_missed_when_they_decay_and_belong_to_one_data_folder() {
    let data = Data::new();
    data.edit("default", 1);
    data.backup();
    let paths = ["keys", "keys.copy"].map(|name| data.path("backups").join(name));
    let whole = std::fs::read(&paths[0]).unwrap();
    for at in (0..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        // One of them does.
        std::fs::write(&paths[at % 2], &bytes).unwrap();
        let found = data.repository().verify(None, &go_on).unwrap().harmed;
        let place = paths[at % 2].file_name().unwrap().to_str().unwrap();
        assert!(found.len() == 1 && found[0].place == place && found[0].of.is_empty(), "{at}: {found:?}");
        assert_eq!(data.try_restore("out").unwrap().edits, 1);
        std::fs::remove_dir_all(data.path("out")).unwrap();
        std::fs::write(&paths[1 - at % 2], &bytes).unwrap();
        let found = data.repository().verify(None, &go_on).unwrap().harmed;
        assert!(found.len() == 2 && found.iter().all(|harmed| harmed.of.len() == 1), "{at}: {found:?}");
        assert!(matches!(data.try_restore("out"), Err(BackupError::NewestHarmed { whole: None, .. })));
        for path in &paths {
            std::fs::write(path, &whole).unwrap();
        }
    }
    for path in &paths {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(data.repository().verify(None, &go_on).unwrap().harmed.len(), 2);
    // They are healed by the next backup.
    data.backup();
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());

    let other = Keyring::open(&data.path("other-keys"), None).unwrap();
    other.ensure(&[]).unwrap();
    std::fs::copy(data.path("other-keys"), &paths[1]).unwrap();
    let refused = data.try_backup(reasonedit_backup::CreateOptions::default());
    assert!(matches!(refused, Err(BackupError::Keys(KeyringError::OtherFolder))), "{refused:?}");
}

#[test]
fn an_operators_key_is_needed_to_restore() {
    let data = Data::new();
    data.edit("default", 1);
    let operator = OperatorKey::generate().unwrap();
    data.keys.rewrap(Some(&operator)).unwrap();
    data.backup();
    assert!(data.try_restore("without").unwrap_err().to_string().contains("operator's key"));
    let out = data.path("with");
    let restored = data
        .repository()
        .restore(
            &out,
            &folders,
            RestoreOptions { operator: Some(&operator), ..RestoreOptions::default() },
            &go_on,
        )
        .unwrap();
    assert_eq!(restored.edits, 1);
}

#[test]
fn a_picture_that_is_erased_while_it_is_backed_up_is_missed_by_nobody() {
    let data = Data::new();
    for n in 0..3 {
        data.edit("default", n);
    }
    let source = reasonedit_backup::BackupSource { images: &data.images, keys: &data.keys, files: &[] };
    let options = reasonedit_backup::CreateOptions::default();
    let dump = |take: &mut dyn FnMut(reasonedit_codebook::DumpedRow<'_>) -> std::ops::ControlFlow<()>| {
        let report = data.library.dump(take);
        data.library.get(&name("default")).unwrap().erase(edit_id(1), None).unwrap();
        data.images.erase(ImageId::of(&picture(1)), None).unwrap();
        report
    };
    let made = data.repository().create(&dump, &source, options, &go_on).unwrap();
    assert_eq!((made.edits, made.pictures, made.left_out.len()), (3, 2, 0));
    let restored = data.try_restore("restored").unwrap();
    assert_eq!((restored.edits, restored.erased, restored.pictures), (2, 1, 2));
    contents_of(&data.path("restored"));
}

/// A process that died between the two files of keys left the second as it was before.
#[test]
fn a_second_file_of_keys_that_lags_behind_is_named_and_brings_nothing_back() {
    let data = Data::new();
    for n in 0..4 {
        data.edit("default", n);
    }
    data.backup();
    let [first, second] = ["keys", "keys.copy"].map(|name| data.path("backups").join(name));
    let before = std::fs::read(&second).unwrap();
    data.library.get(&name("default")).unwrap().erase(edit_id(0), Some("Dr. Ada")).unwrap();
    data.images.erase(ImageId::of(&picture(0)), Some("Dr. Ada")).unwrap();
    data.backup();
    // The earlier backup alone stays, in which the edit was live.
    let newest = data.repository().list().unwrap().pop().unwrap().id;
    std::fs::remove_file(data.path("backups/snapshots").join(format!("{newest}.json"))).unwrap();
    std::fs::write(&second, before).unwrap();
    let found = data.repository().verify(None, &go_on).unwrap().harmed;
    assert!(found.len() == 1 && found[0].place == "keys.copy" && found[0].of.is_empty(), "{found:?}");
    assert_eq!(data.try_restore("whole").unwrap().edits, 3);
    // Of another edit's key, or picture's, in the first; the second is whole.
    let whole = std::fs::read(&first).unwrap();
    for block in [2, 3] {
        let mut bytes = whole.clone();
        bytes[block * 128 + 70] ^= 1;
        std::fs::write(&first, bytes).unwrap();
        let restored = data.try_restore(&format!("damaged-{block}")).unwrap();
        assert_eq!((restored.edits, restored.erased), (3, 1));
        assert!(restored.harmed.len() == 1 && restored.harmed[0].of.is_empty());
    }
    data.backup();
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}
