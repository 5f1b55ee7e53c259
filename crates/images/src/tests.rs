use super::*;
use reasonedit_records::records::{ImageHarm, ImageInfo};

#[test]
fn images_come_back_by_their_hash() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(&folder.path().join("images")).unwrap();
    let id = images.put(b"a picture").unwrap();
    assert_eq!(id, ImageId::of(b"a picture"));
    assert_eq!(images.put(b"a picture").unwrap(), id);
    assert_eq!(images.get(id).unwrap(), b"a picture");
    assert!(images.contains(id));
    // One image, and nothing half-written beside it.
    let files: Vec<_> = fs::read_dir(images.shard(id)).unwrap().collect();
    assert_eq!(files.len(), 1);

    let other = ImageId::of(b"another");
    assert!(!images.contains(other));
    assert!(matches!(images.get(other), Err(CodebookError::UnknownImage(unknown)) if unknown == other));
}

#[test]
fn staged_images_are_there_once_they_are_installed() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let old = images.put(b"old").unwrap();
    let mut staged = images.stage().unwrap();
    let new = staged.put(b"new").unwrap();
    assert_eq!((staged.put(b"old").unwrap(), staged.put(b"new").unwrap()), (old, new));
    assert!(staged.contains(new) && staged.contains(old) && !images.contains(new));
    assert_eq!((staged.get(new).unwrap(), staged.get(old).unwrap()), (b"new".to_vec(), b"old".to_vec()));
    staged.install().unwrap();
    staged.install().unwrap();
    drop(staged);
    assert_eq!(images.get(new).unwrap(), b"new");

    let mut dropped = images.stage().unwrap();
    let gone = dropped.put(b"gone").unwrap();
    drop(dropped);
    assert!(!images.contains(gone));
    assert!(fs::read_dir(folder.path()).unwrap().all(|e| e.unwrap().file_name().len() == 2));
}

#[test]
fn what_a_killed_process_staged_is_removed_unless_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let mut staged = images.stage().unwrap();
    let ids = [b"a", b"b", b"c"].map(|bytes| staged.put(bytes).unwrap());
    staged.install().unwrap();
    let later = images.stage().unwrap();
    // Another editor of this process begins.
    images.sweep_unfinished(|_| false).unwrap();
    assert!(ids.iter().all(|id| images.contains(*id)));
    // As if the process were gone: nothing is cleaned up.
    std::mem::forget((staged, later));
    for (number, entry) in fs::read_dir(folder.path()).unwrap().flatten().enumerate() {
        if entry.file_name().to_string_lossy().starts_with(STAGED) {
            fs::rename(entry.path(), folder.path().join(format!("{STAGED}{number}"))).unwrap();
        }
    }
    images.sweep_unfinished(|id| id == ids[1]).unwrap();
    assert_eq!(ids.map(|id| images.contains(id)), [false, true, false]);
    assert!(fs::read_dir(folder.path()).unwrap().all(|e| e.unwrap().file_name().len() == 2));
    images.sweep_unfinished(|_| false).unwrap();
    assert!(images.contains(ids[1]));
}

#[test]
fn a_file_that_was_never_finished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let id = images.put(b"a picture").unwrap();
    let left = images.shard(id).join(".new-abc123");
    fs::write(&left, b"half a pic").unwrap();
    images.sweep_unfinished(|_| false).unwrap();
    assert!(!left.exists());
    assert_eq!(images.get(id).unwrap(), b"a picture", "what was finished stays, wanted or not");
}

/// Whatever became of a file, the same bytes sent again take its place.
#[test]
fn a_decayed_image_is_an_error_until_its_bytes_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let (id, other) = (images.put(b"a picture").unwrap(), images.put(b"another").unwrap());
    for (decayed, harm) in [
        (Some(&b"b picture"[..]), ImageHarm::Changed),
        (Some(b"a pict"), ImageHarm::Changed),
        (Some(b"a picture and more"), ImageHarm::Changed),
        (Some(b""), ImageHarm::Empty),
        (None, ImageHarm::Missing),
    ] {
        for how in 0..3 {
            match decayed {
                Some(bytes) => fs::write(images.path(id), bytes).unwrap(),
                None => fs::remove_file(images.path(id)).unwrap(),
            }
            let error = images.get(id).unwrap_err();
            match &error {
                CodebookError::HarmedImages(harmed) => assert_eq!(harmed, &[HarmedImage { id, harm }]),
                CodebookError::UnknownImage(unknown) => assert_eq!((unknown, decayed), (&id, None)),
                other => panic!("{other}"),
            }
            assert!(error.to_string().contains(&id.to_string()), "{error}");
            assert!(!error.to_string().contains(folder.path().to_str().unwrap()));
            assert_eq!(images.harmed([id, other]), [HarmedImage { id, harm }]);
            match how {
                0 => assert_eq!(images.put(b"a picture").unwrap(), id),
                1 => images.put_under(id, b"a picture").unwrap(),
                _ => {
                    let mut staged = images.stage().unwrap();
                    staged.put(b"a picture").unwrap();
                    assert_eq!(staged.get(id).unwrap(), b"a picture");
                    staged.install().unwrap();
                }
            }
            assert_eq!(images.get(id).unwrap(), b"a picture");
            assert_eq!(images.harmed([id, other]), []);
        }
    }
}

#[test]
fn every_stored_image_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let mut ids: Vec<ImageId> = (0..40u8).map(|n| images.put(&[n]).unwrap()).collect();
    ids.sort_unstable();
    fs::write(images.shard(ids[0]).join(".new-left"), b"x").unwrap();
    fs::write(folder.path().join("notes.txt"), b"x").unwrap();
    // In a folder where nobody looks for it.
    fs::write(images.shard(ids[0]).join(ImageId::of(b"stray").to_string()), b"stray").unwrap();
    assert_eq!(images.ids().unwrap(), ids);
}

fn sealed(folder: &Path) -> (ImageStore, Arc<Keyring>) {
    let keys = Keyring::open(&folder.join("keys"), None).unwrap();
    (ImageStore::open_with(&folder.join("images"), Arc::clone(&keys)).unwrap(), keys)
}

fn any_file_holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        if entry.path().is_dir() {
            any_file_holds(&entry.path(), bytes)
        } else {
            fs::read(entry.path()).unwrap().windows(bytes.len()).any(|part| part == bytes)
        }
    })
}

#[test]
fn sealed_images_come_back_and_no_file_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let (images, keys) = sealed(folder.path());
    let id = images.put(b"a picture of a patient").unwrap();
    let first = images.stamp(id).unwrap();
    assert_eq!(images.put(b"a picture of a patient").unwrap(), id);
    assert_eq!(images.stamp(id), Some(first), "the same bytes twice are written once");
    let mut staged = images.stage().unwrap();
    let other = staged.put(b"another patient").unwrap();
    assert_eq!(staged.get(other).unwrap(), b"another patient");
    assert!(!any_file_holds(folder.path(), b"patient"));
    staged.install().unwrap();
    drop(staged);
    assert!(!any_file_holds(folder.path(), b"patient"));
    drop((images, keys));
    let (images, _keys) = sealed(folder.path());
    assert_eq!(images.get(id).unwrap(), b"a picture of a patient");
    assert_eq!(images.get(other).unwrap(), b"another patient");
    assert_eq!(images.harmed([id, other]), []);
    let file = fs::read(images.path(id)).unwrap();
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 1;
        fs::write(images.path(id), &flipped).unwrap();
        assert_eq!(images.harmed([id]), [HarmedImage { id, harm: ImageHarm::Changed }], "{at}");
    }
    // One under another's name.
    fs::write(images.path(id), fs::read(images.path(other)).unwrap()).unwrap();
    assert!(images.get(id).is_err());
    images.put(b"a picture of a patient").unwrap();
    assert_eq!(images.get(id).unwrap(), b"a picture of a patient");
}

#[test]
fn an_erased_image_is_gone_from_copies_as_well_and_may_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let (images, keys) = sealed(folder.path());
    let id = images.put(b"a picture of a patient").unwrap();
    let copy = images.stored(id).unwrap();
    let erasure = images.erase(id, Some("Dr. Ada")).unwrap().unwrap();
    assert_eq!(erasure.by.as_deref(), Some("Dr. Ada"));
    assert!(matches!(images.get(id), Err(CodebookError::UnknownImage(_))) && !images.contains(id));
    assert!(matches!(images.erase(id, None), Err(CodebookError::UnknownImage(_))));
    fs::write(images.path(id), &copy).unwrap();
    assert!(matches!(images.get(id), Err(CodebookError::UnknownImage(_))), "a file that came back");
    fs::remove_file(images.path(id)).unwrap();
    assert!(!images.put_stored(id, &copy).unwrap() && !images.contains(id));
    assert!(matches!(images.put_stored(id, b"something else"), Err(CodebookError::HarmedImages(_))));

    assert!(images.was_erased(id));
    images.put(b"a picture of a patient").unwrap();
    assert_eq!(images.get(id).unwrap(), b"a picture of a patient");
    assert!(!images.was_erased(id));
    assert!(!images.put_stored(id, &copy).unwrap(), "what was erased stays so");
    images.intend_erasing(id).unwrap();
    images.sweep_unfinished(|_| false).unwrap();
    assert_eq!((images.intended().unwrap(), images.ids().unwrap()), (vec![id], vec![id]));
    images.settle_erasing(id).unwrap();
    images.settle_erasing(id).unwrap();
    assert_eq!(images.intended().unwrap(), []);
    drop(keys);
}

#[test]
fn images_that_were_not_sealed_are_sealed_once() {
    let folder = tempfile::tempdir().unwrap();
    let plain = ImageStore::open(&folder.path().join("images")).unwrap();
    let ids: Vec<ImageId> = (0..5).map(|n| plain.put(format!("patient {n}").as_bytes()).unwrap()).collect();
    fs::write(plain.path(ids[1]), b"patient decayed").unwrap();
    let (images, _keys) = sealed(folder.path());
    assert_eq!(images.get(ids[0]).unwrap(), b"patient 0");
    images.erase(ids[4], None).unwrap();
    assert_eq!(images.seal_all(|_, _| {}).unwrap(), 4);
    assert_eq!(images.seal_all(|_, _| {}).unwrap(), 0);
    assert!(!any_file_holds(folder.path(), b"patient 0") && any_file_holds(folder.path(), b"decayed"));
    assert_eq!(images.get(ids[0]).unwrap(), b"patient 0");
    assert_eq!(images.harmed(ids[..4].iter().copied()).len(), 1);
    images.put(b"patient 1").unwrap();
    assert_eq!(images.harmed(ids[..4].iter().copied()), []);
    assert_eq!(images.ids().unwrap().len(), 4);
}

/// As another process would have named what this one staged.
fn as_of_another(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix(own(STAGED).as_str()) {
            fs::rename(entry.path(), folder.join(format!("{STAGED}{}-{rest}", Ulid::new()))).unwrap();
        }
    }
}

#[test]
fn what_was_staged_for_work_is_gone_on_with_until_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open_with(folder.path(), Keyring::ephemeral().unwrap()).unwrap();
    let (work, other) = (Ulid::new(), Ulid::new());
    let info = |id| ImageInfo { id, width: 3, height: 2 };
    let mut staged = images.stage_for(work).unwrap();
    let ids = [b"a", b"b", b"c"].map(|bytes| staged.put(bytes).unwrap());
    staged.note(info(ids[0])).unwrap();
    staged.note(info(ids[1])).unwrap();
    images.stage_for(other).unwrap().put(b"of another").unwrap();
    // Some had been put into the store; one was being written.
    staged.install().unwrap();
    let path = |id: ImageId| {
        let of_work =
            |entry: &fs::DirEntry| staged::work_of(&entry.file_name().to_string_lossy()) == Some(work);
        fs::read_dir(folder.path()).unwrap().flatten().find(of_work).unwrap().path().join(id.to_string())
    };
    fs::write(path(ids[1]), b"cut sh").unwrap();
    let lines = path(ids[0]).with_file_name("checked");
    fs::write(&lines, [&fs::read(&lines).unwrap()[..], ids[2].to_string().as_bytes(), b" 3 "].concat())
        .unwrap();
    drop(staged);
    as_of_another(folder.path());
    images.sweep_unfinished(|_| false).unwrap();
    assert!(ids.iter().all(|id| !images.contains(*id)), "none of it is wanted yet");

    let written = |id| fs::metadata(path(id)).unwrap().modified().unwrap();
    let before = ids.map(written);
    let mut again = images.stage_for(work).unwrap();
    assert_eq!(ids.map(|id| again.checked(id)), [Some(info(ids[0])), Some(info(ids[1])), None]);
    assert!(!again.contains(ids[0]), "what is gone on with is named again");
    for (bytes, id) in [b"a", b"b", b"c"].into_iter().zip(ids) {
        assert_eq!((again.put(bytes).unwrap(), again.get(id).unwrap()), (id, bytes.to_vec()));
    }
    assert_eq!([before[0], before[2]], [ids[0], ids[2]].map(written), "what is there isn't written again");
    again.install().unwrap();
    assert_eq!(images.get(ids[1]).unwrap(), b"b");
    drop(again);

    // Its own stays, what is left of work that is over goes.
    images.sweep_staged(|of| of == other).unwrap();
    let left = || fs::read_dir(folder.path()).unwrap().flatten().filter(|e| e.file_name().len() > 6).count();
    assert_eq!(left(), 1);
    images.sweep_staged(|_| true).unwrap();
    assert_eq!(left(), 1, "this process works on it");
    images.unstage(work).unwrap();
    images.unstage(work).unwrap();
    assert_eq!(left(), 0);
    assert_eq!(images.get(ids[0]).unwrap(), b"a");
}
