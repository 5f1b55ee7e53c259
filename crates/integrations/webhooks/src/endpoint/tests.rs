use std::ops::RangeInclusive;

use parking_lot::Mutex;
use reasonedit_codebook::store::StoredCodebook;
use reasonedit_codebook::{
    CodebookConfig, CodebookError, CodebookStore, Draft, EditId, EditRecord, Embedding, Erasure, EventOrigin,
    Generation, GenerationId, JournalStore, LoggedEvent, Member, MemoryStore, ReadRow, Result, RevertedEdit,
    Reverting, RowKey, SharedEdit,
};
use reasonedit_resilience::WorkLost;
use ulid::Ulid;

use super::*;
use crate::config::SigningSecret;
use crate::outbox::take_up;

/// What happens to a row that is to be written.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Refused,
    Panic,
}

/// A store in memory whose journal is as good as it is told to be.
struct Unreliable(MemoryStore, Mutex<Fate>);

impl JournalStore for Unreliable {
    fn put_row(&self, table: &str, key: RowKey, value: &[u8]) -> Result<()> {
        let fate = *self.1.lock();
        match fate {
            Fate::Kept => self.0.put_row(table, key, value),
            Fate::Refused => {
                Err(CodebookError::Store { action: "put a row", reason: "no space left".to_owned() })
            }
            Fate::Panic => panic!("a damaged page"),
        }
    }
    fn row(&self, table: &str, key: RowKey) -> Result<Option<Vec<u8>>> {
        self.0.row(table, key)
    }
    fn rows(&self, table: &str, keys: RangeInclusive<RowKey>, most: usize) -> Result<Vec<ReadRow>> {
        self.0.rows(table, keys, most)
    }
    fn rows_reached(&self, table: &str) -> Result<Vec<ReadRow>> {
        self.0.rows_reached(table)
    }
    fn remove_rows(&self, table: &str, id: Ulid) -> Result<()> {
        self.0.remove_rows(table, id)
    }
}

impl CodebookStore for Unreliable {
    fn journal(&self) -> &dyn JournalStore {
        self
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
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()> {
        self.0.commit_edit(name, record, members, first, origin)
    }
    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()> {
        self.0.commit_edits(name, edits, first, import)
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
    fn erase(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure> {
        self.0.erase(name, edit, by)
    }
    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<Erasure> {
        self.0.erased(name, edit)
    }
    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>> {
        self.0.reverted_edits(name)
    }
}

#[tokio::test]
async fn whoever_resumes_is_told_that_it_was_not_written() {
    let store = Arc::new(Unreliable(MemoryStore::new(), Mutex::new(Fate::Kept)));
    let library = Arc::new(Library::open(Arc::clone(&store) as _, CodebookConfig::default()).unwrap());
    let secret = SigningSecret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let config = EndpointConfig::new("https://hooks.example.org/in", secret);
    let named = BTreeMap::from([("audit".to_owned(), config.clone())]);
    let kept = take_up(&library, &named).unwrap().remove("audit").unwrap();
    let sender = Sender::new(&config, Duration::from_secs(1)).unwrap();
    let settings = WebhooksConfig::default();
    let endpoint =
        Endpoint::new(("audit".to_owned(), config), settings, library, sender, kept, AuditSink::default());
    let resume = async |fate| {
        *store.1.lock() = fate;
        endpoint.resume(false).await
    };
    assert!(resume(Fate::Kept).await.is_ok());
    assert!(matches!(resume(Fate::Refused).await, Err(OutboxError::Store(CodebookError::Store { .. }))));
    match resume(Fate::Panic).await {
        Err(OutboxError::Lost(WorkLost::Panicked(said))) => assert_eq!(said, "a damaged page"),
        other => panic!("{other:?}"),
    }
    assert!(resume(Fate::Kept).await.is_ok(), "nothing is left locked");
}
