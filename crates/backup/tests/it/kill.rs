//! Processes that are killed while they make a backup or restore one: nothing looks finished that isn't.
//!
//! The process is this test binary itself, run again on the ignored tests below; it ends itself without a
//! word at a moment that it is told.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use reasonedit_backup::{BackupRepository, BackupSource, CreateOptions, RestoreOptions};

use crate::data::{Data, contents_of, folders, go_on, open};

const FOLDER: &str = "REASONEDIT_BACKUP_TEST_FOLDER";
const MOMENT: &str = "REASONEDIT_BACKUP_TEST_MOMENT";

fn asked() -> Option<(PathBuf, u64)> {
    Some((std::env::var(FOLDER).ok()?.into(), std::env::var(MOMENT).ok()?.parse().ok()?))
}

/// Ends the process when it is told for the `moment`-th time how far work is.
fn dying(moment: u64) -> impl Fn(reasonedit_backup::BackupProgress) -> ControlFlow<()> {
    let left = std::cell::Cell::new(moment);
    move |_| {
        if left.get() == 0 {
            std::process::abort();
        }
        left.set(left.get() - 1);
        ControlFlow::Continue(())
    }
}

#[test]
#[ignore = "the process that the test below kills"]
fn backing_up() {
    let Some((place, moment)) = asked() else { return };
    let (store, _library, images, keys) = open(&place.join("data"));
    let repository = BackupRepository::open_or_create(
        &place.join("backups"),
        &place.join("data/backups.json"),
        &keys,
        false,
    )
    .unwrap();
    let source = BackupSource { images: &images, keys: &keys, files: &[] };
    let options = CreateOptions { keep: 1, ..CreateOptions::default() };
    repository.create(&|take| store.dump(take), &source, options, &dying(moment)).unwrap();
}

#[test]
#[ignore = "the process that the test below kills"]
fn restoring() {
    let Some((place, moment)) = asked() else { return };
    let repository = BackupRepository::open(&place.join("backups")).unwrap();
    let out = place.join(format!("restored-{moment}"));
    repository.restore(&out, &folders, RestoreOptions::default(), &dying(moment)).unwrap();
}

/// Whether it came to its end.
fn run(test: &str, place: &Path, moment: u64) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env(FOLDER, place)
        .env(MOMENT, moment.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    status.unwrap().success()
}

#[test]
fn nothing_looks_finished_that_a_killed_process_left() {
    let data = Data::new();
    for n in 0..25 {
        data.edit("default", n);
    }
    let contents = data.contents();
    let Data { place, store, library, images, keys } = data;
    drop((store, library, images, keys));
    let (mut moment, mut killed) = (0, 0);
    while !run("kill::backing_up", place.path(), moment) {
        let repository = BackupRepository::open(&place.path().join("backups")).unwrap();
        for listed in repository.list().unwrap() {
            assert!(listed.manifest.is_some());
            assert!(repository.verify(Some(&listed.id), &go_on).unwrap().harmed.is_empty());
        }
        (moment, killed) = (moment + 3, killed + 1);
        assert!(moment < 1000);
    }
    assert!(killed > 5, "{killed}");
    let repository = BackupRepository::open(&place.path().join("backups")).unwrap();
    assert_eq!(repository.list().unwrap().len(), 1);
    let left = |folder: &Path| {
        let found = Command::new("find").arg(folder).args(["-name", ".new-*"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    assert_eq!(left(&place.path().join("backups")), "", "what killed processes were writing is gone");

    let mut moment = 0;
    while !run("kill::restoring", place.path(), moment) {
        let out = place.path().join(format!("restored-{moment}"));
        let names: Vec<String> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(names.iter().all(|name| name.starts_with(".restoring-")), "{names:?}");
        moment += 4;
        assert!(moment < 1000);
    }
    assert!(moment > 20, "{moment}");
    assert!(contents_of(&place.path().join(format!("restored-{moment}"))) == contents);
}
