use super::*;
use crate::store::MemoryStore;
use crate::testing;

#[test]
fn codebooks_are_apart_and_come_back() {
    let store: Arc<dyn CodebookStore> = Arc::new(MemoryStore::new());
    let library = Library::open(Arc::clone(&store), CodebookConfig::default()).unwrap();
    let ward: CodebookName = "ward-3".parse().unwrap();
    assert!(matches!(library.get(&ward), Err(CodebookError::UnknownCodebook(name)) if name == ward));
    assert_eq!(library.get(&CodebookName::default()).unwrap().stats().edits, 0);

    let book = library.get_or_create(&ward).unwrap();
    book.apply(testing::record(1, 2), testing::members(1, 3, 2, 0.1), &testing::generation(2)).unwrap();
    assert_eq!(library.get(&ward).unwrap().stats().edits, 1);
    assert_eq!(library.get(&CodebookName::default()).unwrap().stats().edits, 0);

    let again = Library::open(store, CodebookConfig::default()).unwrap();
    assert_eq!(again.get(&ward).unwrap().stats(), book.stats());
    assert_eq!(again.books().len(), 2);
    let page = again.page(None, 1, |_| true);
    assert_eq!(
        (page.items[0].name(), &page.next),
        (&CodebookName::default(), &Some(CodebookName::default()))
    );
    again.get_or_create(&"ward-4".parse().unwrap()).unwrap();
    let page = again.page(page.next.as_ref(), 1, |_| true);
    assert_eq!((page.items[0].name(), page.next), (&ward, None));
}
