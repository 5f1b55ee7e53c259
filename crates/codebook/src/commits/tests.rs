use std::sync::atomic::AtomicUsize;

use super::*;
use crate::config::CodebookConfig;
use crate::library::Library;
use crate::store::{EventOrigin, MemoryStore};
use crate::testing;

#[test]
fn events_are_told_of_once_they_can_be_read() {
    let library = Arc::new(Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default()).unwrap());
    let (told, seen) = (Arc::new(AtomicUsize::new(0)), Arc::downgrade(&library));
    let counter = Arc::clone(&told);
    library.on_commit(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let recorded: u64 = seen.upgrade().unwrap().books().iter().map(|book| book.recorded()).sum();
        assert_eq!(recorded as usize, counter.load(Ordering::SeqCst));
    });
    let book = library.get_or_create(&"ward-3".parse().unwrap()).unwrap();
    for n in 1..=3 {
        let (record, members) = (testing::record(n, 2), testing::members(n, 3, 2, 0.1));
        book.apply(record, members, &testing::generation(2)).unwrap();
    }
    book.revert(testing::edit_id(2)).unwrap();
    assert!(book.revert(testing::edit_id(2)).is_err());
    let imported = (testing::record(4, 2), testing::members(4, 3, 2, 0.1));
    book.import(testing::shared([imported]), &testing::generation(2)).unwrap();
    assert_eq!((told.load(Ordering::SeqCst), book.recorded()), (5, 5));

    let snapshot = book.snapshot();
    let number = snapshot.revision();
    assert_eq!((snapshot.edit_count(), number), (3, 5));

    let events = book.events(2, 2).unwrap();
    assert_eq!(events[0].event, Event::Edited(testing::edit_id(3)));
    assert_eq!((events.len(), events[1].event), (2, Event::Reverted(testing::edit_id(2))));
    let last = book.events(4, 100).unwrap();
    assert_eq!((last.len(), last[0].origin), (1, EventOrigin::Imported));
    assert!(last[0].at.unwrap() >= events[0].at.unwrap());
    assert_eq!(book.events(5, 100).unwrap(), []);
    assert_eq!(book.events(u64::MAX, 100).unwrap(), []);
    // What was reverted is still known.
    assert_eq!(*book.record(testing::edit_id(2)).unwrap(), testing::record(2, 2));
    assert!(matches!(book.record(testing::edit_id(9)), Err(CodebookError::UnknownEdit(_))));
}
