//! Whatever becomes of a file of the repository is found, keeps what needs it from being restored, and is
//! healed by the next backup.

use std::fs;
use std::path::{Path, PathBuf};

use reasonedit_backup::{BackupError, CreateOptions, ObjectHarm, RestoreOptions};
use reasonedit_codebook::CodebookError;

use crate::data::{Data, go_on, picture};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn backed_up() -> Data {
    let data = Data::new();
    for n in 0..12 {
        data.edit(if n % 2 == 0 { "ward-3" } else { "default" }, n);
    }
    data.revert("default", 5);
    fs::write(data.path("data/tokens.json"), b"{\"version\": 1}").unwrap();
    data.backup();
    data
}

/// What is done to a file: its bytes then, `None` if it is gone.
fn harms(whole: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut harms = vec![None, Some(Vec::new()), Some(whole[..whole.len() - 1].to_vec())];
    harms.push(Some([whole, b"x"].concat()));
    for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        harms.push(Some(bytes));
    }
    harms
}

#[test]
fn whatever_becomes_of_a_file_is_found_and_nothing_is_restored_of_it() {
    let data = backed_up();
    let root = data.path("backups");
    let mut tried = 0;
    for file in files(&root).into_iter().filter(|file| !file.ends_with("lock")) {
        let place = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let whole = fs::read(&file).unwrap();
        for harm in harms(&whole) {
            match &harm {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            tried += 1;
            let opened = reasonedit_backup::BackupRepository::open(&root);
            let restored = opened.and_then(|repository| {
                repository.restore(
                    &data.path("out"),
                    &crate::data::folders,
                    RestoreOptions::default(),
                    &go_on,
                )
            });
            // What the folder is, the rest of it says as well; and the keys lie there twice.
            let says = ["form", "repository"].contains(&place.as_str());
            let twice = says || place.starts_with("keys");
            assert_eq!(restored.is_ok(), twice, "{place}: {restored:?}");
            if twice {
                fs::remove_dir_all(data.path("out")).unwrap();
            }
            let out = fs::read_dir(data.path("out")).map_or(0, Iterator::count);
            assert_eq!(out, 0, "{place}: nothing is left of it");
            let found = reasonedit_backup::BackupRepository::open(&root)
                .and_then(|repository| repository.verify(None, &go_on));
            match found {
                Ok(found) => {
                    assert_eq!(found.harmed.len(), 1, "{place}");
                    let of = usize::from(!twice);
                    assert_eq!((&found.harmed[0].place, found.harmed[0].of.len()), (&place, of));
                    assert_eq!(found.harmed[0].harm == ObjectHarm::Missing, harm.is_none());
                }
                // There is no backup then.
                Err(error) => {
                    let known = harm.is_none() && place.starts_with("snapshots/");
                    assert!(known, "{place}: {error}");
                }
            }
            if says {
                data.repository();
                assert_eq!(fs::read(&file).unwrap(), whole, "{place}: it is written anew");
            }
            fs::write(&file, &whole).unwrap();
        }
    }
    assert!(tried > 150, "{tried}");
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}

#[test]
fn the_next_backup_heals_what_is_cut_or_gone_and_with_a_check_whatever_it_is() {
    let data = backed_up();
    let root = data.path("backups");
    let objects = ["rows", "images", "files"].map(|kind| files(&root.join(kind)));
    for file in objects.concat() {
        let whole = fs::read(&file).unwrap();
        for (at, harm) in harms(&whole).into_iter().enumerate() {
            match harm {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            // The first four change how long it is.
            let made = data.try_backup(CreateOptions { check: at >= 4, keep: 1 }).unwrap();
            assert_eq!(made.new_bytes, whole.len() as u64, "{}", file.display());
            assert_eq!(fs::read(&file).unwrap(), whole);
        }
    }
    let made = data.try_backup(CreateOptions { check: true, keep: 1 }).unwrap();
    assert_eq!((made.new_bytes, made.new_packs, made.new_pictures), (0, 0, 0));
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}

#[test]
fn a_picture_that_is_damaged_is_named_and_there_is_no_backup() {
    let data = backed_up();
    let (needed, reverted) = (picture(4), picture(5));
    let file = |bytes: &[u8]| {
        let id = reasonedit_codebook::ImageId::of(bytes).to_string();
        (data.path("data/images").join(&id[..2]).join(&id), id)
    };
    let (path, id) = file(&needed);
    for harm in harms(&needed) {
        fs::remove_dir_all(data.path("backups/images")).unwrap();
        match harm {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let refused = data.try_backup(CreateOptions::default()).unwrap_err();
        let named = matches!(&refused, BackupError::Codebook(CodebookError::HarmedImages(harmed))
            if harmed.len() == 1 && harmed[0].id.to_string() == id);
        assert!(named, "{refused}");
        assert_eq!(data.repository().list().unwrap().len(), 1);
        fs::write(&path, &needed).unwrap();
    }
    // Nobody is shown the picture of an edit that was taken back; the rest is worth keeping.
    let (path, id) = file(&reverted);
    fs::write(&path, b"x").unwrap();
    let made = data.backup();
    assert_eq!(made.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(), [id]);
    assert_eq!(made.pictures, 11);
    data.try_restore("restored").unwrap();
    // Tokens that can't be read would keep the restored service from starting.
    fs::write(data.path("data/tokens.json"), b"{\"version\": ").unwrap();
    let refused = data.try_backup(CreateOptions::default()).unwrap_err();
    assert!(matches!(&refused, BackupError::Source { name, .. } if name == "tokens.json"), "{refused}");
}

/// A disk for backups that isn't mounted, another one in its place, and one that is to be begun.
#[test]
fn a_repository_that_is_gone_is_not_begun_anew_without_a_word() {
    let data = backed_up();
    let (backups, unmounted) = (data.path("backups"), data.path("unmounted"));
    fs::rename(&backups, &unmounted).unwrap();
    // The mount point is there, as it is without the disk; or not even that.
    for there in [false, true] {
        if there {
            fs::create_dir(&backups).unwrap();
        }
        let refused = data.try_repository("backups", false).unwrap_err();
        assert!(matches!(refused, BackupError::Gone), "{refused}");
        assert!(refused.to_string().contains("isn't mounted"), "{refused}");
        assert_eq!(fs::read_dir(&backups).map_or(0, Iterator::count), 0);
    }
    // A folder elsewhere is another one, and is begun.
    data.try_repository("elsewhere", false).unwrap();
    // Another disk in its place: said once, it is known like the first; they may take turns.
    data.try_repository("backups", true).unwrap();
    data.backup();
    let second = data.path("second");
    for _ in 0..2 {
        fs::rename(&backups, &second).unwrap();
        fs::rename(&unmounted, &backups).unwrap();
        data.backup();
        fs::rename(&backups, &unmounted).unwrap();
        fs::rename(&second, &backups).unwrap();
        data.backup();
    }
    // One that nobody named is refused, and nothing is written to it.
    let foreign = Data::new();
    foreign.edit("default", 1);
    foreign.backup();
    fs::rename(&backups, &second).unwrap();
    fs::rename(foreign.path("backups"), &backups).unwrap();
    let before = files(&backups);
    assert!(data.try_repository("backups", false).is_err());
    assert!(data.try_repository("backups", true).is_err(), "its keys are another folder's");
    assert_eq!(files(&backups), before);
    // What is known of them decays: it isn't guessed.
    let known = data.path("data/backups.json");
    fs::write(&known, b"").unwrap();
    assert!(matches!(data.try_repository("backups", false), Err(BackupError::Source { .. })));
    // A folder that was restored knows of none, and goes on with the one that is there.
    fs::remove_dir_all(&backups).unwrap();
    fs::rename(&second, &backups).unwrap();
    fs::remove_file(&known).unwrap();
    data.try_repository("backups", false).unwrap();
    assert!(known.is_file());
}

/// A trail of gigabytes is not held in memory: what is copied is the same, and is written once.
#[test]
fn a_large_file_is_copied_piece_by_piece() {
    let data = backed_up();
    let audit = data.path("data/audit");
    fs::create_dir_all(&audit).unwrap();
    let lines: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(audit.join("2026-01-01.jsonl"), &lines).unwrap();
    let back_up = || {
        let files = [data.path("data/tokens.json"), audit.clone()];
        let source =
            reasonedit_backup::BackupSource { images: &data.images, keys: &data.keys, files: &files };
        let dump = |take: &mut dyn FnMut(reasonedit_codebook::DumpedRow<'_>) -> std::ops::ControlFlow<()>| {
            data.library.dump(take)
        };
        data.repository().create(&dump, &source, CreateOptions::default(), &go_on).unwrap()
    };
    assert_eq!(back_up().new_bytes, lines.len() as u64);
    assert_eq!(back_up().new_bytes, 0);
    data.try_restore("restored").unwrap();
    assert_eq!(fs::read(data.path("restored/audit/2026-01-01.jsonl")).unwrap(), lines);
    let unfinished = files(&data.path("backups"));
    assert!(!unfinished.iter().any(|file| file.to_string_lossy().contains(".new-")));
}
