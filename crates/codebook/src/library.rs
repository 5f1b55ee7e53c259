//! Many codebooks by name, over one store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};

use crate::book::Codebook;
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
}

impl Library {
    /// Opens every codebook of the store.
    ///
    /// # Errors
    /// `Corrupt` or `Store` if one can't be read.
    pub fn open(store: Arc<dyn CodebookStore>, config: CodebookConfig) -> Result<Self> {
        let config = Arc::new(config);
        let mut names = store.names()?;
        names.push(CodebookName::default());
        let mut books = BTreeMap::new();
        for name in names {
            if let Entry::Vacant(vacant) = books.entry(name) {
                let name = vacant.key().clone();
                let book = Codebook::open(Arc::clone(&store), name, Arc::clone(&config))?;
                vacant.insert(Arc::new(book));
            }
        }
        Ok(Self { store, config, books: RwLock::new(books) })
    }

    /// A codebook to read from.
    ///
    /// # Errors
    /// `UnknownCodebook` if it is not the default one and was never written to.
    pub fn get(&self, name: &CodebookName) -> Result<Arc<Codebook>> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
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
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.get(name) {
            return Ok(Arc::clone(book));
        }
        let book = Arc::new(Codebook::open(Arc::clone(&self.store), name.clone(), Arc::clone(&self.config))?);
        books.insert(name.clone(), Arc::clone(&book));
        Ok(book)
    }

    /// A table of small durable rows beside the codebooks, for what goes on in the background.
    pub fn journal(&self, table: &'static str) -> Journal {
        Journal::new(Arc::clone(&self.store), table)
    }

    /// All codebooks that are open, in order of their names.
    pub fn books(&self) -> Vec<Arc<Codebook>> {
        self.books.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
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
    }
}
