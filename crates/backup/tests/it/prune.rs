//! Old backups go, and nothing that another one needs.

use reasonedit_backup::{BackupError, BackupId, BackupSource, CreateOptions, RestoreOptions};

use crate::data::{Data, contents_of, folders, go_on};

fn ids(data: &Data) -> Vec<BackupId> {
    data.repository().list().unwrap().into_iter().map(|listed| listed.id).collect()
}

#[test]
fn what_is_kept_is_whole_and_what_nothing_needs_is_gone() {
    let data = Data::new();
    let mut made = Vec::new();
    for round in 0..5 {
        for n in round * 20..(round + 1) * 20 {
            data.edit("default", n);
        }
        data.revert("default", round * 20);
        made.push(data.backup());
    }
    let pruned = data.repository().prune(2, false, &go_on).unwrap();
    assert_eq!((pruned.kept, pruned.removed), (2, 3));
    assert!(pruned.freed_bytes > 0);
    assert_eq!(ids(&data), [made[3].id.clone(), made[4].id.clone()]);
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
    for (at, edits) in [(3, 76), (4, 95)] {
        let out = data.path(&format!("restored-{at}"));
        let restored = data
            .repository()
            .restore(
                &out,
                &folders,
                RestoreOptions { snapshot: Some(&made[at].id), ..RestoreOptions::default() },
                &go_on,
            )
            .unwrap();
        assert_eq!(restored.edits, edits);
        contents_of(&out);
    }
    // Again there is nothing to do; and the last one is never removed.
    let pruned = data.repository().prune(2, false, &go_on).unwrap();
    assert_eq!((pruned.removed, pruned.freed_bytes), (0, 0));
    assert_eq!(data.repository().prune(0, false, &go_on).unwrap().kept, 1);
    let all = data.repository().verify(None, &go_on).unwrap();
    assert_eq!((all.harmed.len(), all.bytes), (0, made[4].bytes));

    // A backup does the same when it is asked to.
    let next = data.try_backup(CreateOptions { keep: 1, ..CreateOptions::default() }).unwrap();
    assert_eq!(next.pruned.unwrap().removed, 1);
    assert_eq!(ids(&data), [next.id]);
}

#[test]
fn a_damaged_backup_takes_no_ones_place_and_nothing_is_removed_that_it_may_need() {
    let data = Data::new();
    data.edit("default", 1);
    let first = data.backup();
    data.edit("default", 2);
    let second = data.backup();
    let path = data.path("backups/snapshots").join(format!("{}.json", second.id));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let pruned = data.repository().prune(1, false, &go_on).unwrap();
    assert_eq!((pruned.kept, pruned.damaged, pruned.removed, pruned.freed_bytes), (1, 1, 0, 0));
    assert_eq!(ids(&data).len(), 2);
    let third = data.try_backup(CreateOptions { keep: 2, ..CreateOptions::default() }).unwrap();
    assert_eq!(third.pruned.unwrap().removed, 0);
    assert!(third.not_pruned.unwrap().contains("1 of the backups are damaged"));
    let listed = data.repository().list().unwrap();
    assert!(listed.iter().map(|one| one.manifest.is_some()).eq([true, false, true]));
    data.repository()
        .restore(
            &data.path("restored"),
            &folders,
            RestoreOptions { snapshot: Some(&first.id), ..RestoreOptions::default() },
            &go_on,
        )
        .unwrap();
    // Behind those that are kept it goes like any other.
    assert_eq!(data.repository().prune(1, false, &go_on).unwrap().removed, 2);
    // Where none is whole, nothing is removed.
    let path = data.path("backups/snapshots").join(format!("{}.json", third.id));
    std::fs::write(path, "{").unwrap();
    assert!(matches!(data.repository().prune(1, false, &go_on), Err(BackupError::Harmed(_))));
    assert_eq!(ids(&data).len(), 1);
}

/// Of the newest a pack is cut, or changed in its place: what is kept in its stead is the one before.
#[test]
fn a_backup_that_lacks_a_file_is_not_counted() {
    for (check, harm) in [(false, &[][..]), (true, b"x"), (false, b"x")] {
        let data = Data::new();
        let mut made = Vec::new();
        for n in 0..3 {
            data.edit("default", n);
            made.push(data.backup().id);
        }
        let newest = data.repository().list().unwrap().pop().unwrap().manifest.unwrap();
        let sum = newest.packs.iter().map(|pack| pack.sum.to_hex().to_string());
        let before = data.repository().list().unwrap()[1].manifest.clone().unwrap();
        let own: Vec<String> =
            sum.filter(|sum| !before.packs.iter().any(|pack| *pack.sum.to_hex() == **sum)).collect();
        let path = data.path("backups/rows").join(&own[0][..2]).join(&own[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        match harm {
            [] => bytes.truncate(3),
            harm => bytes[..1].copy_from_slice(harm),
        }
        std::fs::write(&path, bytes).unwrap();
        // Of what those that go don't have the bytes are compared, whether all are to be read or not.
        let pruned = data.repository().prune(1, check, &go_on).unwrap();
        assert_eq!((pruned.kept, pruned.damaged, pruned.removed), (1, 1, 1));
        assert_eq!(ids(&data), made[1..]);
        let refused = data.try_restore("out").unwrap_err();
        let BackupError::NewestHarmed { newest, harmed, whole } = &refused else { panic!("{refused}") };
        assert_eq!((newest, whole.as_ref()), (&made[2], Some(&made[1])));
        assert!(harmed[0].place.starts_with("rows/"));
        let told = refused.to_string();
        assert!(told.contains(&format!("--snapshot {}", made[1])), "{told}");
        let out = data.path("out");
        let restored = data
            .repository()
            .restore(
                &out,
                &folders,
                RestoreOptions { snapshot: Some(&made[1]), ..RestoreOptions::default() },
                &go_on,
            )
            .unwrap();
        assert_eq!(restored.edits, 2);
    }
}

#[test]
fn what_is_known_to_lack_something_takes_nothings_place() {
    let data = Data::new();
    // The disk of the data isn't there, say.
    let keeps_one = CreateOptions { keep: 1, ..CreateOptions::default() };
    data.backup();
    let empty = data.try_backup(keeps_one).unwrap();
    assert!(empty.pruned.is_none() && empty.not_pruned.unwrap().contains("no codebooks"));
    data.edit("default", 1);
    let source = BackupSource { images: &data.images, keys: &data.keys, files: &[] };
    let torn = data.repository().create(
        &|take| {
            let mut report = data.library.dump(take)?;
            if let Some(report) = &mut report {
                report.faults.push("its end is missing".to_owned());
            }
            Ok(report)
        },
        &source,
        keeps_one,
        &go_on,
    );
    let torn = torn.unwrap();
    assert!(torn.pruned.is_none() && torn.not_pruned.unwrap().contains("not as it was written"));
    assert_eq!(torn.faults, ["its end is missing"]);
    let listed = data.repository().list().unwrap();
    assert_eq!(listed.last().unwrap().manifest.as_ref().unwrap().faults, torn.faults);
    assert_eq!(listed.len(), 3);
    assert_eq!(data.try_backup(keeps_one).unwrap().pruned.unwrap().removed, 3);
}

/// What has decayed in all that go as well can be had of none of them: its bytes are not read.
#[test]
fn what_those_that_go_have_too_is_looked_at_by_its_length() {
    let data = Data::new();
    let mut made = Vec::new();
    for n in 0..3 {
        data.edit("default", n);
        made.push(data.backup().id);
    }
    let shared = data.repository().list().unwrap()[0].manifest.clone().unwrap().pictures[0];
    let sum = shared.sum.to_hex().to_string();
    let path = data.path("backups/images").join(&sum[..2]).join(&sum);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(data.repository().prune(1, true, &go_on), Err(BackupError::Harmed(_))));
    assert_eq!(data.repository().prune(1, false, &go_on).unwrap().removed, 2);
    assert_eq!(ids(&data), made[2..]);
    // The next backup that reads what is there mends it.
    let healed = data.try_backup(CreateOptions { check: true, keep: 1 }).unwrap();
    assert_eq!(healed.pruned.unwrap().removed, 1);
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}
