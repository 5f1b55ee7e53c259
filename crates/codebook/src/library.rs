//! Many codebooks by name, over one store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::book::{Codebook, Page};
use crate::commits::Listeners;
use crate::config::CodebookConfig;
use crate::ids::CodebookName;
use crate::journal::Journal;
use crate::store::CodebookStore;
use crate::{CodebookError, Result};

/// All codebooks of a store. A codebook begins with its first edit; the default one is always there.
pub struct Library {
    store: Arc<dyn CodebookStore>,
    config: Arc<CodebookConfig>,
    books: RwLock<BTreeMap<CodebookName, Arc<Codebook>>>,
    listeners: Arc<Listeners>,
}

impl Library {
    /// Opens every codebook of the store.
    ///
    /// # Errors
    /// `Corrupt` or `Store` if one can't be read.
    pub fn open(store: Arc<dyn CodebookStore>, config: CodebookConfig) -> Result<Self> {
        let (config, listeners) = (Arc::new(config), Arc::<Listeners>::default());
        let mut names = store.names()?;
        names.push(CodebookName::default());
        let mut books = BTreeMap::new();
        for name in names {
            if let Entry::Vacant(vacant) = books.entry(name) {
                let name = vacant.key().clone();
                let (store, config) = (Arc::clone(&store), Arc::clone(&config));
                let book = Codebook::open_heard(store, name, config, Arc::clone(&listeners))?;
                vacant.insert(Arc::new(book));
            }
        }
        Ok(Self { store, config, books: RwLock::new(books), listeners })
    }

    /// A codebook to read from.
    ///
    /// # Errors
    /// `UnknownCodebook` if it is not the default one and was never written to.
    pub fn get(&self, name: &CodebookName) -> Result<Arc<Codebook>> {
        let books = self.books.read();
        books.get(name).cloned().ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))
    }

    /// A codebook to write to. A new one is empty, and in the store with its first edit.
    ///
    /// # Errors
    /// `Corrupt` or `Store` if it can't be read.
    pub fn get_or_create(&self, name: &CodebookName) -> Result<Arc<Codebook>> {
        if let Ok(book) = self.get(name) {
            return Ok(book);
        }
        let mut books = self.books.write();
        if let Some(book) = books.get(name) {
            return Ok(Arc::clone(book));
        }
        let (store, config) = (Arc::clone(&self.store), Arc::clone(&self.config));
        let book = Codebook::open_heard(store, name.clone(), config, Arc::clone(&self.listeners))?;
        let book = Arc::new(book);
        books.insert(name.clone(), Arc::clone(&book));
        Ok(book)
    }

    /// A table of small durable rows beside the codebooks, for what goes on in the background.
    pub fn journal(&self, table: &'static str) -> Journal {
        Journal::new(Arc::clone(&self.store), table)
    }

    /// Has `listener` called after every commit to any codebook, when its event can be read. Writers wait for
    /// it, so it must only wake somebody.
    pub fn on_commit(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.listeners.add(Box::new(listener));
    }

    /// At most `limit` codebooks that ever had an edit, and the default one, in order of their names, from
    /// the one after `cursor` on.
    pub fn page(&self, cursor: Option<&CodebookName>, limit: usize) -> Page<Arc<Codebook>, CodebookName> {
        let books = self.books.read();
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let begun =
            |name: &CodebookName, book: &Codebook| book.recorded() > 0 || *name == CodebookName::default();
        let after = books.range((from, Bound::Unbounded)).filter(|(name, book)| begun(name, book));
        let after = after.map(|(_, book)| Arc::clone(book));
        Page::take(after, limit, |book: &Arc<Codebook>| book.name().clone())
    }

    /// All codebooks that are open, in order of their names.
    pub fn books(&self) -> Vec<Arc<Codebook>> {
        self.books.read().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
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
        let page = again.page(None, 1);
        assert_eq!(
            (page.items[0].name(), &page.next),
            (&CodebookName::default(), &Some(CodebookName::default()))
        );
        again.get_or_create(&"ward-4".parse().unwrap()).unwrap();
        let page = again.page(page.next.as_ref(), 1);
        assert_eq!((page.items[0].name(), page.next), (&ward, None));
    }
}
