//! Many codebooks by name, over one store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::RwLock;
use reasonedit_keyring::Keyring;

use crate::book::{Codebook, Page};
use crate::commits::Listeners;
use crate::config::CodebookConfig;
use crate::ids::{CodebookName, EditId};
use crate::journal::Journal;
use crate::store::{CodebookStore, DumpReport, DumpedRow};
use crate::{CodebookError, Result};

/// A codebook of a library.
#[derive(Clone)]
pub enum Shelved {
    /// One that can be worked with.
    Open(Arc<Codebook>),
    /// One that was set aside: it can't be read, and nothing is written to it.
    Damaged {
        /// Which.
        name: CodebookName,
        /// What was found, as the error says it.
        reason: String,
    },
}

impl Shelved {
    /// Its name.
    pub fn name(&self) -> &CodebookName {
        match self {
            Self::Open(book) => book.name(),
            Self::Damaged { name, .. } => name,
        }
    }

    fn open(&self) -> Result<Arc<Codebook>> {
        match self {
            Self::Open(book) => Ok(Arc::clone(book)),
            Self::Damaged { name, reason } => {
                Err(CodebookError::Damaged { name: name.clone(), reason: reason.clone() })
            }
        }
    }
}

/// All codebooks of a store. A codebook begins with its first edit; the default one is always there. One that
/// can't be read when the store is opened is set aside, and the others are served.
pub struct Library {
    store: Arc<dyn CodebookStore>,
    config: Arc<CodebookConfig>,
    books: RwLock<BTreeMap<CodebookName, Shelved>>,
    listeners: Arc<Listeners>,
}

impl Library {
    /// Opens every codebook of the store, and sets those aside that are damaged.
    ///
    /// # Errors
    /// `Store` if the disk refuses, `Corrupt` if not even names can be read, `InvalidConfig`.
    pub fn open(store: Arc<dyn CodebookStore>, config: CodebookConfig) -> Result<Self> {
        let (config, listeners) = (Arc::new(config), Arc::<Listeners>::default());
        let mut names = store.names()?;
        names.push(CodebookName::default());
        let mut books = BTreeMap::new();
        for name in names {
            if let Entry::Vacant(vacant) = books.entry(name) {
                let name = vacant.key().clone();
                let (store, config) = (Arc::clone(&store), Arc::clone(&config));
                vacant.insert(shelve(store, name, config, Arc::clone(&listeners))?);
            }
        }
        Ok(Self { store, config, books: RwLock::new(books), listeners })
    }

    /// A codebook to read from.
    ///
    /// # Errors
    /// `UnknownCodebook` if it is not the default one and was never written to, `Damaged` if it was set
    /// aside.
    pub fn get(&self, name: &CodebookName) -> Result<Arc<Codebook>> {
        let books = self.books.read();
        books.get(name).ok_or_else(|| CodebookError::UnknownCodebook(name.clone()))?.open()
    }

    /// A codebook to write to. A new one is empty, and in the store with its first edit.
    ///
    /// # Errors
    /// `Damaged` if it was set aside, `Corrupt` or `Store` if it can't be read.
    pub fn get_or_create(&self, name: &CodebookName) -> Result<Arc<Codebook>> {
        match self.get(name) {
            Err(CodebookError::UnknownCodebook(_)) => {}
            known => return known,
        }
        let mut books = self.books.write();
        if let Some(book) = books.get(name) {
            return book.open();
        }
        let (store, config) = (Arc::clone(&self.store), Arc::clone(&self.config));
        let book = Codebook::open_heard(store, name.clone(), config, Arc::clone(&self.listeners))?;
        let book = Arc::new(book);
        books.insert(name.clone(), Shelved::Open(Arc::clone(&book)));
        Ok(book)
    }

    /// Sees whether anything can be stored; see [`CodebookStore::recover`].
    ///
    /// # Errors
    /// As there.
    pub fn recover(&self) -> Result<()> {
        self.store.recover()
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

    /// At most `limit` of the codebooks that are wanted and ever had an edit, and the default one if it is
    /// wanted, in order of their names, from the one after `cursor` on.
    pub fn page(
        &self,
        cursor: Option<&CodebookName>,
        limit: usize,
        wanted: impl Fn(&CodebookName) -> bool,
    ) -> Page<Shelved, CodebookName> {
        let books = self.books.read();
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let begun = |name: &CodebookName, book: &Shelved| match book {
            Shelved::Open(book) => book.recorded() > 0 || *name == CodebookName::default(),
            Shelved::Damaged { .. } => true,
        };
        let after = books.range((from, Bound::Unbounded));
        let after = after.filter(|(name, book)| wanted(name) && begun(name, book));
        let after = after.map(|(_, book)| book.clone());
        Page::take(after, limit, |book: &Shelved| book.name().clone())
    }

    /// All codebooks that are open, in order of their names.
    pub fn books(&self) -> Vec<Arc<Codebook>> {
        self.books.read().values().filter_map(|book| book.open().ok()).collect()
    }

    /// The codebooks that were set aside, in order of their names, as [`CodebookError::Damaged`].
    pub fn damaged(&self) -> Vec<(CodebookName, CodebookError)> {
        let books = self.books.read();
        books.iter().filter_map(|(name, book)| Some((name.clone(), book.open().err()?))).collect()
    }

    /// Whether an edit of this id was erased, in whichever codebook, one that is set aside included.
    pub fn was_erased(&self, edit: EditId) -> bool {
        self.books.read().keys().any(|name| self.store.erased(name, edit).is_some())
    }

    /// Everything that is stored of a codebook, set aside or not, and can't be read or is missing. Reads all
    /// of it.
    pub fn examine(&self, name: &CodebookName) -> Vec<CodebookError> {
        self.store.examine(name)
    }

    /// Hands on every row of the store as it is at one moment, for a backup; see [`CodebookStore::dump`].
    ///
    /// # Errors
    /// As there.
    pub fn dump(&self, take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>) -> Result<Option<DumpReport>> {
        self.store.dump(take)
    }

    /// What the store's values are sealed by; see [`CodebookStore::keys`].
    pub fn keys(&self) -> Option<Arc<Keyring>> {
        self.store.keys()
    }

    /// Folders that hold what the store was before its values were sealed; see
    /// [`CodebookStore::unsealed_copies`].
    pub fn unsealed_copies(&self) -> Vec<String> {
        self.store.unsealed_copies()
    }

    /// What is wrong with the store as a whole, in words for whoever runs it.
    pub fn store_faults(&self) -> Vec<String> {
        self.store.faults()
    }
}

/// Opens a codebook, or sets it aside if it is damaged.
fn shelve(
    store: Arc<dyn CodebookStore>,
    name: CodebookName,
    config: Arc<CodebookConfig>,
    listeners: Arc<Listeners>,
) -> Result<Shelved> {
    let of = name.clone();
    // The database below has assertions of its own about what it reads.
    let opened = catch_unwind(AssertUnwindSafe(|| Codebook::open_heard(store, of, config, listeners)));
    let reason = match opened {
        Ok(Ok(book)) => return Ok(Shelved::Open(Arc::new(book))),
        Ok(Err(error @ CodebookError::Corrupt { .. })) => error.to_string(),
        Ok(Err(error)) => return Err(error),
        Err(_) => "the database can't make sense of it".to_owned(),
    };
    tracing::error!(codebook = %name, %reason, "this codebook is damaged and set aside; the others are served");
    Ok(Shelved::Damaged { name, reason })
}

#[cfg(test)]
mod tests;
