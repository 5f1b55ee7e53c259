//! What is restored is what was backed up, at every size; and the next backup writes what is new alone.

use reasonedit_backup::{BackupError, BackupRepository, CreateOptions, RestoreOptions};
use ulid::Ulid;

use crate::data::{Data, contents_of, folders, go_on, open};

#[test]
fn a_restored_folder_is_what_was_backed_up_at_every_size() {
    for size in [0u64, 1, 30, 300] {
        let data = Data::new();
        for n in 0..size {
            data.edit(if n % 3 == 0 { "ward-3" } else { "default" }, n);
            if n % 5 == 4 {
                data.revert(if n % 3 == 0 { "ward-3" } else { "default" }, n);
            }
        }
        if size > 3 {
            let live = |n: &u64| !n.is_multiple_of(3) && n % 5 != 4;
            data.reembed("default", &(0..size).filter(live).collect::<Vec<_>>());
        }
        data.library.journal("jobs").put(Ulid::nil(), 7, b"a job").unwrap();
        for (name, text) in [("tokens.json", "{\"version\": 1}"), ("tokens.lock", "tokens were given\n")] {
            std::fs::write(data.path("data").join(name), text).unwrap();
        }
        let made = data.backup();
        assert_eq!(made.new_bytes, made.bytes);
        assert_eq!((made.pictures, made.left_out.len(), made.faults.len()), (size, 0, 0));
        let restored = data.restored("restored");
        let data = data.restarted();
        assert!(restored == data.contents(), "{size}");
        for name in ["tokens.json", "tokens.lock"] {
            let read = |folder: &str| std::fs::read(data.path(folder).join(name)).unwrap();
            assert_eq!(read("restored"), read("data"));
        }

        // A backup of what was restored is the same again, to the last byte.
        let (store, _library, images, keys) = open(&data.path("restored"));
        let files = ["tokens.json", "tokens.lock"].map(|name| data.path("restored").join(name));
        let source = reasonedit_backup::BackupSource { images: &images, keys: &keys, files: &files };
        let again =
            data.repository().create(&|take| store.dump(take), &source, CreateOptions::default(), &go_on);
        let again = again.unwrap();
        assert_eq!((again.new_bytes, again.edits, again.bytes), (0, made.edits, made.bytes), "{size}");
    }
}

#[test]
fn a_second_backup_writes_what_is_new_alone() {
    let data = Data::new();
    for n in 0..600 {
        data.edit("default", n);
    }
    let first = data.backup();
    assert!(first.new_packs > 5 && first.new_pictures == 600, "{first:?}");
    let same = data.backup();
    assert_eq!((same.new_packs, same.new_pictures, same.new_bytes), (0, 0, 0));
    assert_eq!(same.bytes, first.bytes);
    data.edit("default", 600);
    data.revert("default", 3);
    let next = data.backup();
    assert_eq!((next.new_pictures, next.edits), (1, 600));
    // The last pack of each tree, and no more of the keys than one.
    assert!(next.new_packs < first.new_packs && next.new_bytes < first.bytes / 2, "{next:?}");
    let restored = data.restored("restored");
    assert!(restored == data.contents());

    // An earlier one is what was there then.
    let ids: Vec<_> = data.repository().list().unwrap().into_iter().map(|listed| listed.id).collect();
    assert_eq!(ids, [first.id.clone(), same.id, next.id]);
    let early = data.path("early");
    let summary = data
        .repository()
        .restore(
            &early,
            &folders,
            RestoreOptions { snapshot: Some(&first.id), ..RestoreOptions::default() },
            &go_on,
        )
        .unwrap();
    assert_eq!((summary.edits, summary.pictures), (600, 600));
    assert_eq!(contents_of(&early).images.len(), 600);
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let keys = reasonedit_keyring::Keyring::ephemeral().unwrap();
    let known = place.path().join("backups.json");
    let open = |name: &str| BackupRepository::open_or_create(&place.path().join(name), &known, &keys, false);
    std::fs::create_dir(place.path().join("home")).unwrap();
    std::fs::write(place.path().join("home/letter.txt"), b"x").unwrap();
    assert!(matches!(open("home"), Err(BackupError::NoRepository)));
    assert_eq!(std::fs::read_dir(place.path().join("home")).unwrap().count(), 1);
    // The root of a new disk, and what a process left that was killed here before.
    std::fs::create_dir_all(place.path().join("disk/lost+found")).unwrap();
    std::fs::write(place.path().join("disk/.new-abc"), b"reas").unwrap();
    open("disk").unwrap();
    open("disk").unwrap();
    open("new/below").unwrap();
    assert!(matches!(BackupRepository::open(&place.path().join("gone")), Err(BackupError::Nothing)));
    std::fs::write(place.path().join("disk/form"), b"reasonedit backups 2\n").unwrap();
    open("disk").unwrap();
    std::fs::write(place.path().join("disk/form"), b"reasonedit backups 2\n").unwrap();
    std::fs::remove_file(place.path().join("disk/repository")).unwrap();
    assert!(matches!(open("disk"), Err(BackupError::FormTooNew { found: 2, known: 1 })));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(place.path().join("new/below")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let data = Data::new();
    data.edit("default", 1);
    data.backup();
    let busy = data.path("busy");
    std::fs::create_dir(&busy).unwrap();
    std::fs::write(busy.join("letter.txt"), b"x").unwrap();
    assert!(matches!(data.try_restore("busy"), Err(BackupError::NotEmpty)));
    assert!(matches!(data.try_restore("data"), Err(BackupError::NotEmpty)));
    std::fs::create_dir(data.path("empty")).unwrap();
    data.try_restore("empty").unwrap();
    let gone = "20260101T000000Z-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let refused = data.repository().restore(
        &data.path("other"),
        &folders,
        RestoreOptions { snapshot: Some(&gone), ..RestoreOptions::default() },
        &go_on,
    );
    assert!(matches!(refused, Err(BackupError::Unknown(_))) && !data.path("other").exists());
}
