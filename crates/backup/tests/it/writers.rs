//! Backups of a folder in use.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reasonedit_backup::{BackupError, BackupRepository, BackupSource, CreateOptions, RestoreOptions};
use reasonedit_codebook::{CodebookStore, Event};

use crate::data::{Contents, Data, contents_of, edit_id, go_on, name};

/// The history of a codebook as it was restored or is.
fn history(data: &Data, folder: Option<&str>) -> Vec<Event> {
    let read = |store: &dyn CodebookStore| -> Vec<Event> {
        let logged = store.history(&name("default"), 0, usize::MAX).unwrap();
        logged.into_iter().map(|logged| logged.event).collect()
    };
    match folder {
        None => read(&*data.store),
        Some(folder) => {
            let (store, ..) = crate::data::open(&data.path(folder));
            read(&*store)
        }
    }
}

#[test]
fn a_backup_beside_writers_is_a_state_that_was() {
    let data = Data::new();
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                data.edit("default", n);
                if n % 3 == 2 {
                    data.revert("default", n - 1);
                }
                data.library.journal("jobs").put(ulid::Ulid::nil(), n % 7, b"how far").unwrap();
                acknowledged.store(n + 1, Ordering::SeqCst);
                n += 1;
            }
        });
        for round in 0..6 {
            while acknowledged.load(Ordering::SeqCst) < round * 15 {
                assert!(!writer.is_finished(), "it writes on");
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::SeqCst);
            let made = data.backup();
            assert!(made.edits_waited_ms > 0.0 && made.edits_waited_ms <= made.ms, "{made:?}");
            let folder = format!("restored-{round}");
            data.try_restore(&folder).unwrap();
            // Opened as a service does: everything fits together.
            let Contents { images, .. } = contents_of(&data.path(&folder));
            let (then, now) = (history(&data, Some(&folder)), history(&data, None));
            assert!(now.starts_with(&then), "what was restored had happened just so");
            for n in 0..before {
                assert!(then.contains(&Event::Edited(edit_id(n))), "{n} was acknowledged before");
            }
            assert!(images.len() as u64 >= before);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(data.repository().verify(None, &go_on).unwrap().harmed.is_empty());
}

#[test]
fn one_at_a_time_works_in_a_repository() {
    let data = Data::new();
    data.edit("default", 1);
    data.backup();
    let source = BackupSource { images: &data.images, keys: &data.keys, files: &[] };
    let inside = std::cell::Cell::new(0);
    let watch = |_| {
        inside.set(inside.get() + 1);
        let other = BackupRepository::open(&data.path("backups")).unwrap();
        assert!(matches!(other.prune(1, false, &go_on), Err(BackupError::InUse)));
        assert!(matches!(other.verify(None, &go_on), Err(BackupError::InUse)));
        assert!(matches!(data.try_restore("restored"), Err(BackupError::InUse)));
        assert!(matches!(data.try_backup(CreateOptions::default()), Err(BackupError::InUse)));
        assert_eq!(other.list().unwrap().len(), 1, "who only looks needn't wait");
        ControlFlow::Continue(())
    };
    let repository = data.repository();
    repository.create(&|take| data.library.dump(take), &source, CreateOptions::default(), &watch).unwrap();
    assert!(inside.get() > 0);
    // Readers don't keep one another out.
    let beside = |_| {
        data.repository().verify(None, &go_on).unwrap();
        assert!(matches!(data.try_backup(CreateOptions::default()), Err(BackupError::InUse)));
        ControlFlow::Continue(())
    };
    repository.verify(None, &beside).unwrap();
}

#[test]
fn what_is_stopped_is_not_there_and_the_next_one_is_whole() {
    let data = Data::new();
    for n in 0..40 {
        data.edit("default", n);
    }
    let source = BackupSource { images: &data.images, keys: &data.keys, files: &[] };
    let (mut at, mut stopped) = (0, 0);
    loop {
        let seen = std::cell::Cell::new(0);
        let watch = |_| {
            seen.set(seen.get() + 1);
            if seen.get() > at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let repository = data.repository();
        match repository.create(&|take| data.library.dump(take), &source, CreateOptions::default(), &watch) {
            Err(BackupError::Stopped) => stopped += 1,
            made => {
                made.unwrap();
                break;
            }
        }
        assert!(data.repository().list().unwrap().is_empty());
        assert!(matches!(data.try_restore("restored"), Err(BackupError::Nothing)));
        at += 7;
    }
    assert!(stopped > 4, "{stopped}");
    let restored = data.restored("restored");
    assert!(restored == data.contents());

    // Nor is what is restored there before it is whole.
    let seen = std::cell::Cell::new(0);
    let watch = |_| {
        seen.set(seen.get() + 1);
        if seen.get() > 30 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let out = data.path("stopped");
    let refused = data.repository().restore(&out, &crate::data::folders, RestoreOptions::default(), &watch);
    assert!(matches!(refused, Err(BackupError::Stopped)));
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}
