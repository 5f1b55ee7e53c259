//! What can be had of a backup that is damaged, and that the rest is named.

use std::fs;
use std::path::{Path, PathBuf};

use reasonedit_backup::{BackupError, CreateOptions, ObjectHarm, RestoreOptions, RestoreSummary, Result};
use reasonedit_codebook::ImageId;

use crate::data::{Data, contents_of, folders, go_on, open, picture};

const EDITS: u64 = 60;

/// Two codebooks, an edit of which was taken back, and files beside them.
fn backed_up() -> Data {
    let data = Data::new();
    for n in 0..EDITS {
        data.edit(if n % 2 == 0 { "ward-3" } else { "default" }, n);
    }
    data.revert("default", 5);
    fs::write(data.path("data/tokens.json"), b"{\"version\": 1}").unwrap();
    data.backup();
    data
}

fn had(data: &Data, out: &Path) -> Result<RestoreSummary> {
    let options = RestoreOptions { incomplete: true, ..RestoreOptions::default() };
    data.repository().restore(out, &folders, options, &go_on)
}

/// The files of a kind, and what they hold.
fn of_kind(data: &Data, kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let shards = fs::read_dir(data.path("backups").join(kind)).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn flip(path: &Path, whole: &[u8], at: usize) {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_a_whole_backup_it_is_the_same() {
    let data = backed_up();
    let out = data.path("out");
    let restored = had(&data, &out).unwrap();
    assert!(restored.harmed.is_empty() && restored.lost_pictures.is_empty() && restored.salvaged.is_none());
    assert_eq!(contents_of(&out), data.contents());
}

#[test]
fn a_picture_that_decayed_costs_itself_and_is_healed_by_sending_it_again() {
    let data = backed_up();
    let (path, whole) = of_kind(&data, "images").swap_remove(7);
    flip(&path, &whole, whole.len() / 2);
    assert!(matches!(data.try_restore("out"), Err(BackupError::NewestHarmed { whole: None, .. })));
    let out = data.path("out");
    let restored = had(&data, &out).unwrap();
    assert_eq!((restored.harmed.len(), restored.harmed[0].harm), (1, ObjectHarm::Changed));
    assert_eq!(restored.harmed[0].place, path.strip_prefix(data.path("backups")).unwrap().to_str().unwrap());
    let [lost] = restored.lost_pictures[..] else { panic!("{restored:?}") };
    assert!(restored.salvaged.is_none());
    assert_eq!((restored.edits, restored.pictures), (EDITS as usize - 1, EDITS as usize - 1));
    let mut wanted = data.contents();
    wanted.images.remove(&lost);
    assert_eq!(contents_of(&out), wanted);
    let n = (0..EDITS).find(|n| ImageId::of(&picture(*n)) == lost).unwrap();
    let (_store, _library, images, _keys) = open(&out);
    images.put(&picture(n)).unwrap();
    assert_eq!(images.get(lost).unwrap(), picture(n));
}

/// Each pack in turn, gone or changed: what is served then are the edits that none of it was of.
#[test]
fn a_pack_that_decayed_costs_its_rows_and_every_edit_that_is_lost_is_named() {
    let data = backed_up();
    let packs = of_kind(&data, "rows");
    assert!(packs.len() > 3, "{}", packs.len());
    let (mut saved_most, mut named) = (0, 0);
    for (at, (path, whole)) in packs.iter().enumerate() {
        if at % 2 == 0 {
            fs::remove_file(path).unwrap();
        } else {
            flip(path, whole, whole.len() / 2);
        }
        let out = data.path(&format!("out-{at}"));
        let restored = had(&data, &out).unwrap();
        assert_eq!(restored.harmed.len(), 1);
        let salvaged = restored.salvaged.as_ref().unwrap();
        let (store, library, ..) = open(&out);
        assert_eq!((store.faults(), library.damaged().len()), (Vec::new(), 0));
        let served: usize =
            (library.books().iter()).map(|book| store.load(book.name()).unwrap().edits.len()).sum();
        assert_eq!(served, restored.edits);
        let without: usize = salvaged.codebooks.iter().map(|book| book.without_keys.len()).sum();
        let lost: Vec<&String> = salvaged.codebooks.iter().flat_map(|book| &book.lost).collect();
        let told = lost.iter().filter(|lost| lost.contains("its record is lost")).count();
        assert!(lost.iter().all(|lost| !lost.contains('%')), "ids as people see them: {lost:?}");
        // Each that was live is served, or can be imported, or is named as lost.
        assert_eq!(served + without + told, EDITS as usize - 1, "{salvaged:?}");
        (saved_most, named) = (saved_most.max(served), named + lost.len());
        fs::write(path, whole).unwrap();
    }
    assert!(saved_most >= EDITS as usize / 2 && named > 0, "{saved_most} {named}");
}

#[test]
fn a_key_that_decayed_in_both_files_costs_what_it_sealed() {
    let data = backed_up();
    let whole = fs::read(data.path("backups/keys")).unwrap();
    let blocks = whole.len() / 128;
    for block in (2..blocks - 1).step_by(17) {
        for name in ["keys", "keys.copy"] {
            flip(&data.path("backups").join(name), &whole, block * 128 + 70);
        }
        let out = data.path(&format!("out-{block}"));
        let restored = had(&data, &out).unwrap();
        assert_eq!(restored.harmed[0].place, "keys");
        let all = EDITS as usize;
        assert!(restored.edits + restored.pictures + 1 >= 2 * all - 2, "{block}: {restored:?}");
        let (store, library, ..) = open(&out);
        assert_eq!((store.faults(), library.damaged().len()), (Vec::new(), 0));
    }
    // Nothing can be had where the heads are gone.
    for name in ["keys", "keys.copy"] {
        fs::write(data.path("backups").join(name), &whole[200..]).unwrap();
    }
    assert!(matches!(had(&data, &data.path("none")), Err(BackupError::Harmed(_))));
    assert_eq!(fs::read_dir(data.path("none")).unwrap().count(), 0);
}

/// Without its file of tokens a service would let anybody in; with a damaged one nobody.
#[test]
fn a_damaged_file_of_the_data_folder_is_restored_as_it_is() {
    let data = backed_up();
    let (path, whole) = of_kind(&data, "files").swap_remove(0);
    flip(&path, &whole, 1);
    let restored = had(&data, &data.path("changed")).unwrap();
    assert_eq!(restored.harmed.len(), 1);
    assert_eq!(fs::read(data.path("changed/tokens.json")).unwrap(), fs::read(&path).unwrap());
    fs::remove_file(&path).unwrap();
    had(&data, &data.path("gone")).unwrap();
    assert_eq!(fs::read(data.path("gone/tokens.json")).unwrap(), b"");
}

#[test]
fn a_snapshot_that_decayed_is_passed_over_and_named() {
    let data = backed_up();
    data.edit("default", EDITS);
    let newest = data.try_backup(CreateOptions::default()).unwrap().id;
    let path = data.path("backups/snapshots").join(format!("{newest}.json"));
    let whole = fs::read(&path).unwrap();
    flip(&path, &whole, 40);
    let restored = had(&data, &data.path("out")).unwrap();
    assert_eq!((restored.edits, restored.harmed.len()), (EDITS as usize - 1, 1));
    assert!(restored.harmed[0].place.contains(newest.as_str()) && restored.id != newest);
}
