//! What a worker has at hand.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reasonedit_codebook::CodebookName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::drive::{Job, blocking};
use super::pace::Pace;
use super::system::Jobs;
use crate::problem::{Problem, Result};

/// The job that is worked on; cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    jobs: Jobs,
    job: Arc<Job>,
    pace: Arc<Mutex<Pace>>,
}

impl Context {
    pub(super) fn new(jobs: Jobs, job: Arc<Job>) -> Self {
        Self { jobs, job, pace: Arc::default() }
    }

    /// Id of the job.
    pub(crate) fn id(&self) -> Ulid {
        self.job.record.borrow().id
    }

    /// The codebook that it works on.
    pub(crate) fn codebook(&self) -> CodebookName {
        self.job.record.borrow().codebook.clone()
    }

    /// What was asked for.
    ///
    /// # Errors
    /// 500 when it is of another form: an earlier version may have submitted it.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.job.record.borrow().input).map_err(|error| Problem::internal(&error))
    }

    /// Where the upload lies that it was submitted with, if it was.
    pub(crate) fn upload(&self) -> PathBuf {
        self.jobs.spool().path(self.id())
    }

    /// The checkpoint to go on from; `None` at the beginning.
    ///
    /// # Errors
    /// 500 when it is of another form.
    pub(crate) fn resumed_from<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let record = self.job.record.borrow();
        record.checkpoint.as_ref().map(T::deserialize).transpose().map_err(|error| Problem::internal(&error))
    }

    /// Keeps a checkpoint: durable when this returns. A job that gets from one to the next is tried again
    /// without end. At most a megabyte; what is larger belongs into rows or a file.
    ///
    /// # Errors
    /// 500 when the disk refuses.
    pub(crate) async fn checkpoint(&self, checkpoint: &impl Serialize) -> Result<()> {
        let checkpoint = serde_json::to_value(checkpoint).map_err(|error| Problem::internal(&error))?;
        self.jobs
            .change(&self.job, |record| {
                record.checkpoint = Some(checkpoint);
                record.attempts = 0;
            })
            .await
    }

    /// Keeps one piece of what the job comes to, durable when this returns; `GET /jobs/{id}/results` gives
    /// them in order. A piece is a checkpoint too: what it is about must not be done again.
    ///
    /// # Errors
    /// 500 when the disk refuses.
    pub(crate) async fn append(&self, number: u64, row: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(row).map_err(|error| Problem::internal(&error))?;
        let (rows, id) = (self.jobs.shared().rows.clone(), self.id());
        blocking(move || Ok(rows.put(id, number, &bytes)?)).await?;
        if self.job.record.borrow().attempts > 0 {
            self.jobs.change(&self.job, |record| record.attempts = 0).await?;
        }
        Ok(())
    }

    /// At most `limit` pieces kept so far, from the number `from` on.
    ///
    /// # Errors
    /// 500 when they can't be read.
    pub(crate) async fn pieces(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        self.jobs.rows(self.id(), from, limit).await
    }

    /// Says how far the job is. Cheap; not kept beyond the process.
    pub(crate) fn progress(&self, stage: &str, done: u64, total: u64) {
        let remaining = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.remaining_ms(stage, done, total, Instant::now())
        };
        self.job.record.send_if_modified(|record| {
            // A part of a dropped worker that still runs has nothing more to say.
            if record.state.ended() {
                return false;
            }
            stage.clone_into(&mut record.progress.stage);
            record.progress.done = done;
            record.progress.total = Some(total);
            record.progress.remaining_ms = remaining;
            true
        });
    }

    /// Whether someone has cancelled the job: what it half did is of no more use.
    pub(crate) fn cancelled(&self) -> bool {
        self.job.cancel_asked.load(Ordering::SeqCst)
    }

    /// Fires when the job is cancelled or the service stops. The worker itself is dropped then; this is for
    /// what it has running elsewhere.
    pub(crate) fn halted(&self) -> CancellationToken {
        self.job.halt.clone()
    }
}
