//! A disk that refuses.

use super::tests::{DIM, apply, generation, open, record};
use super::*;
use crate::records::{Draft, Embedding};
use crate::store::{LoggedEvent, MemoryStore, Reverting};
use crate::testing;

/// A store whose disk fails when told to.
struct Failing(MemoryStore, std::sync::atomic::AtomicBool);

impl CodebookStore for Failing {
    fn journal(&self) -> &dyn crate::store::JournalStore {
        self.0.journal()
    }
    fn names(&self) -> Result<Vec<CodebookName>> {
        self.0.names()
    }
    fn load(&self, name: &CodebookName) -> Result<StoredCodebook> {
        self.0.load(name)
    }
    fn commit_edit(
        &self,
        name: &CodebookName,
        r: &EditRecord,
        m: &[Member],
        f: Option<&Generation>,
        o: EventOrigin,
    ) -> Result<()> {
        if self.1.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(CodebookError::store("commit an edit", "no space left"));
        }
        self.0.commit_edit(name, r, m, f, o)
    }
    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[crate::store::SharedEdit],
        f: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        if self.1.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(CodebookError::store("commit edits", "no space left"));
        }
        self.0.commit_edits(name, edits, f, import)
    }
    fn commit_reverts(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()> {
        self.0.commit_reverts(name, reverting)
    }
    fn commit_restores(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()> {
        self.0.commit_restores(name, restoring)
    }
    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft> {
        self.0.begin_draft(name, draft)
    }
    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>> {
        self.0.members(name, embedding)
    }
    fn kept_edits(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>> {
        self.0.kept_edits(name, edits, embedding)
    }
    fn put_keys(&self, name: &CodebookName, id: GenerationId, members: &[Member]) -> Result<()> {
        self.0.put_keys(name, id, members)
    }
    fn swap(&self, name: &CodebookName, to: &Generation) -> Result<()> {
        self.0.swap(name, to)
    }
    fn discard_draft(&self, name: &CodebookName) -> Result<()> {
        self.0.discard_draft(name)
    }
    fn sweep(&self, name: &CodebookName) -> Result<()> {
        self.0.sweep(name)
    }
    fn history(&self, name: &CodebookName, from: u64, limit: usize) -> Result<Vec<LoggedEvent>> {
        self.0.history(name, from, limit)
    }
    fn events(&self, name: &CodebookName) -> Result<u64> {
        self.0.events(name)
    }
    fn record(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>> {
        self.0.record(name, edit)
    }
    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()> {
        self.0.put_outcome(name, edit, outcome)
    }
    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>> {
        self.0.outcome(name, edit)
    }
    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        self.0.idempotency(name, key)
    }
    fn erase(
        &self,
        name: &CodebookName,
        edit: EditId,
        by: Option<&str>,
    ) -> Result<reasonedit_keyring::Erasure> {
        self.0.erase(name, edit, by)
    }
    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<reasonedit_keyring::Erasure> {
        self.0.erased(name, edit)
    }
    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<crate::RevertedEdit>> {
        self.0.reverted_edits(name)
    }
}

#[test]
fn nothing_is_published_that_the_disk_refused() {
    let store = Arc::new(Failing(MemoryStore::new(), false.into()));
    let book = open(store.clone(), CodebookConfig::default());
    apply(&book, 1, 0.1);
    let before = book.snapshot();
    store.1.store(true, std::sync::atomic::Ordering::SeqCst);
    let failed = book.apply(record(2), testing::members(2, 3, DIM, 0.1), &generation());
    assert!(matches!(failed, Err(CodebookError::Store { .. })));
    assert!(Arc::ptr_eq(&before, &book.snapshot()));
    assert_eq!(book.recorded(), 1);
    // Whether the disk has it is unknown, so the codebook is read anew before anything else is written.
    store.1.store(false, std::sync::atomic::Ordering::SeqCst);
    apply(&book, 2, 0.1);
    assert_eq!(book.recorded(), 2);
    store.1.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(book.apply(record(3), testing::members(3, 3, DIM, 0.1), &generation()).is_err());
    // The disk had it after all.
    let third = testing::members(3, 3, DIM, 0.1);
    store.0.commit_edit(&book.name, &record(3), &third, None, EventOrigin::Direct).unwrap();
    store.1.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(book.snapshot().edit(testing::edit_id(3)).is_none());
    book.revert(testing::edit_id(1)).unwrap();
    assert!(book.snapshot().edit(testing::edit_id(3)).is_some());
    assert_eq!(book.recorded(), 4);
    assert!(book.verify().unwrap().ok());
}
