//! Old backups go, and nothing that another one needs.

use reasonedit_backup::{BackupError, BackupId, BackupSource, CreateOptions};

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
    let pruned = data.repository().prune(2, &go_on).unwrap();
    assert_eq!((pruned.kept, pruned.removed), (2, 3));
    assert!(pruned.freed_bytes > 0);
    assert_eq!(ids(&data), [made[3].id.clone(), made[4].id.clone()]);
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
    for (at, edits) in [(3, 76), (4, 95)] {
        let out = data.path(&format!("restored-{at}"));
        let restored = data.repository().restore(Some(&made[at].id), &out, &folders, None, &go_on).unwrap();
        assert_eq!(restored.edits, edits);
        contents_of(&out);
    }
    // Again there is nothing to do; and the last one is never removed.
    let pruned = data.repository().prune(2, &go_on).unwrap();
    assert_eq!((pruned.removed, pruned.freed_bytes), (0, 0));
    assert_eq!(data.repository().prune(0, &go_on).unwrap().kept, 1);
    let all = data.repository().verify(None, &go_on).unwrap();
    assert_eq!((all.harmed.len(), all.bytes), (0, made[4].bytes));

    // A backup does the same when it is asked to.
    let next = data.try_backup(CreateOptions { keep: 1, ..CreateOptions::default() }).unwrap();
    assert_eq!(next.pruned.unwrap().removed, 1);
    assert_eq!(ids(&data), [next.id]);
}

#[test]
fn where_it_is_not_known_what_is_needed_nothing_is_removed() {
    let data = Data::new();
    data.edit("default", 1);
    let first = data.backup();
    data.edit("default", 2);
    let second = data.backup();
    let path = data.path("backups/snapshots").join(format!("{}.json", second.id));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(data.repository().prune(1, &go_on), Err(BackupError::Harmed(_))));
    assert_eq!(ids(&data).len(), 2);
    let third = data.try_backup(CreateOptions { keep: 2, ..CreateOptions::default() }).unwrap();
    assert!(third.pruned.is_none() && third.not_pruned.unwrap().contains("snapshots/"));
    let listed = data.repository().list().unwrap();
    assert!(listed.iter().map(|one| one.manifest.is_some()).eq([true, false, true]));
    data.repository().restore(Some(&first.id), &data.path("restored"), &folders, None, &go_on).unwrap();
    // Behind those that are kept it goes like any other.
    assert_eq!(data.repository().prune(1, &go_on).unwrap().removed, 2);
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
