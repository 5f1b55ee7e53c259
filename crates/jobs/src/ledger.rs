//! What is kept of all jobs: their records, what they came to piece by piece, and their inputs.

use std::sync::Arc;

use reasonedit_codebook::Journal;
use reasonedit_resilience::blocking;
use ulid::Ulid;

use crate::entry::JobEntry;
use crate::error::Result;
use crate::record::JobRecord;
use crate::spool::{Spool, SpooledUpload};
use crate::stub;

/// What is kept of all jobs; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) records: Journal,
    pub(crate) rows: Journal,
    /// What jobs that have not ended have done already and are to go on with.
    pub(crate) work: Journal,
    /// What jobs are known by where their records have decayed.
    pub(crate) stubs: Journal,
    pub(crate) spool: Spool,
}

impl Ledger {
    /// Makes a record durable. Blocks.
    pub(crate) fn write(&self, record: &JobRecord) -> Result<()> {
        Ok(self.records.put(record.id, 0, &serde_json::to_vec(record)?)?)
    }

    /// Keeps a new job and its input.
    pub(crate) async fn enter(&self, record: JobRecord, upload: Option<SpooledUpload>) -> Result<()> {
        let ledger = self.clone();
        blocking(move || {
            if let Some(upload) = upload {
                ledger.spool.keep(upload, record.id)?;
            }
            let written = ledger.write(&record).and_then(|()| stub::keep(&ledger.stubs, &record));
            written.inspect_err(|_| {
                ledger.spool.remove(record.id);
                // Nobody was told of it.
                if let Err(error) = ledger.forget(record.id) {
                    tracing::warn!(job = %record.id, %error, "a job that was not taken may be there");
                }
            })
        })
        .await
    }

    /// Keeps a job that goes on after it had failed, with its input.
    pub(crate) async fn enter_again(&self, record: JobRecord, upload: Option<SpooledUpload>) -> Result<()> {
        let ledger = self.clone();
        blocking(move || {
            if let Some(upload) = upload {
                // What may be left of the one before.
                ledger.spool.remove(record.id);
                ledger.spool.keep(upload, record.id)?;
            }
            ledger.write(&record).inspect_err(|_| ledger.spool.remove(record.id))
        })
        .await
    }

    /// Changes the record of a job that has not ended: first in the journal, then for everyone to see.
    pub(crate) async fn change(
        &self,
        job: &Arc<JobEntry>,
        change: impl FnOnce(&mut JobRecord) + Send + 'static,
    ) -> Result<()> {
        let (ledger, job) = (self.clone(), Arc::clone(job));
        blocking(move || {
            let _writing = job.writing.lock();
            let mut next = job.record.borrow().clone();
            // A worker that was dropped while it waited for this has nothing more to say.
            if next.state.ended() {
                return Ok(());
            }
            change(&mut next);
            ledger.write(&next)?;
            // Progress is told without the journal and may have gone on.
            job.record.send_modify(|record| {
                next.progress.clone_from(&record.progress);
                *record = next;
            });
            Ok(())
        })
        .await
    }

    /// Keeps one piece of what a job comes to.
    pub(crate) async fn append(&self, id: Ulid, number: u64, bytes: Vec<u8>) -> Result<()> {
        let rows = self.rows.clone();
        blocking(move || Ok(rows.put(id, number, &bytes)?)).await
    }

    /// Keeps what a job is to go on with.
    pub(crate) async fn keep(&self, id: Ulid, number: u64, bytes: Vec<u8>) -> Result<()> {
        let work = self.work.clone();
        blocking(move || Ok(work.put(id, number, &bytes)?)).await
    }

    /// At most `limit` of what a job is to go on with, from the number `from` on.
    pub(crate) async fn kept(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let work = self.work.clone();
        blocking(move || Ok(work.rows(id, from, limit)?)).await
    }

    /// Removes the input of a job that has ended, and what it was to go on with, also where it still may:
    /// what people gave lies nowhere longer than the job works on it. Blocks.
    pub(crate) fn tidy(&self, id: Ulid) -> Result<()> {
        self.spool.remove(id);
        self.remove_work(id)
    }

    /// Most jobs have none, and removing waits for the disk.
    fn remove_work(&self, id: Ulid) -> Result<()> {
        if self.work.rows(id, 0, 1).is_ok_and(|rows| rows.is_empty()) {
            return Ok(());
        }
        Ok(self.work.remove(id)?)
    }

    /// At most `limit` of a job's pieces, from the number `from` on.
    pub(crate) async fn pieces(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let rows = self.rows.clone();
        blocking(move || Ok(rows.rows(id, from, limit)?)).await
    }

    /// Forgets a job. Blocks.
    pub(crate) fn forget(&self, id: Ulid) -> Result<()> {
        // The record last: what a crash leaves is found again.
        self.rows.remove(id)?;
        self.remove_work(id)?;
        self.stubs.remove(id)?;
        Ok(self.records.remove(id)?)
    }
}
