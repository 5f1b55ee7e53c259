//! Whatever becomes of a file of the repository is found, keeps what needs it from being restored, and is
//! healed by the next backup.

use std::fs;
use std::path::{Path, PathBuf};

use reasonedit_backup::{BackupError, CreateOptions, ObjectHarm};
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
                repository.restore(None, &data.path("out"), &crate::data::folders, None, &go_on)
            });
            assert!(restored.is_err(), "{place}");
            let out = fs::read_dir(data.path("out")).map_or(0, Iterator::count);
            assert_eq!(out, 0, "{place}: nothing is left of it");
            let found = reasonedit_backup::BackupRepository::open(&root)
                .and_then(|repository| repository.verify(None, &go_on));
            match found {
                Ok(found) => {
                    assert_eq!(found.harmed.len(), 1, "{place}");
                    assert_eq!((&found.harmed[0].place, found.harmed[0].of.len()), (&place, 1));
                    assert_eq!(found.harmed[0].harm == ObjectHarm::Missing, harm.is_none());
                }
                // Without the first it is known to be no repository, without the other there is no backup.
                Err(error) => {
                    let known = place == "form" || harm.is_none() && place.starts_with("snapshots/");
                    assert!(known, "{place}: {error}");
                }
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
