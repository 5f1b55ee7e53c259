//! What work on a job has at hand.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use reasonedit_codebook::CodebookName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::entry::JobEntry;
use crate::error::Result;
use crate::eta::Eta;
use crate::ledger::Ledger;
use crate::spool::UploadFile;

/// A job that is begun, whatever its kind.
#[derive(Clone)]
pub(crate) struct RunningJob {
    pub(crate) ledger: Ledger,
    pub(crate) entry: Arc<JobEntry>,
}

impl RunningJob {
    /// What was asked for.
    pub(crate) fn input<J: DeserializeOwned>(&self) -> Result<J> {
        Ok(J::deserialize(&self.entry.record.borrow().input)?)
    }

    pub(crate) fn context<C>(self) -> JobContext<C> {
        JobContext { running: self, eta: Arc::default(), checkpoint: PhantomData }
    }
}

/// The job that is worked on, with checkpoints of the type `C`; cheap to clone.
pub struct JobContext<C> {
    running: RunningJob,
    eta: Arc<Mutex<Eta>>,
    checkpoint: PhantomData<fn() -> C>,
}

impl<C> Clone for JobContext<C> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone(), eta: Arc::clone(&self.eta), checkpoint: PhantomData }
    }
}

impl<C: Serialize + DeserializeOwned> JobContext<C> {
    /// The checkpoint to go on from; `None` at the beginning.
    ///
    /// # Errors
    /// [`crate::JobsError::Form`] when it is of another form: an earlier version may have left it.
    pub fn resumed_from(&self) -> Result<Option<C>> {
        let record = self.running.entry.record.borrow();
        Ok(record.checkpoint.as_ref().map(C::deserialize).transpose()?)
    }

    /// Keeps a checkpoint: durable when this returns. A job that gets from one to the next is tried again
    /// without end. At most a megabyte; what is larger belongs into rows or a file.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when the disk refuses.
    pub async fn checkpoint(&self, checkpoint: &C) -> Result<()> {
        let checkpoint = serde_json::to_value(checkpoint)?;
        let change = self.running.ledger.change(&self.running.entry, |record| {
            record.checkpoint = Some(checkpoint);
            record.attempts = 0;
        });
        change.await
    }
}

impl<C> JobContext<C> {
    /// Id of the job.
    pub fn id(&self) -> Ulid {
        self.running.entry.id
    }

    /// The codebook that it works on.
    pub fn codebook(&self) -> CodebookName {
        self.running.entry.record.borrow().codebook.clone()
    }

    /// The upload that it was submitted with, if it was.
    pub fn upload(&self) -> UploadFile {
        self.running.ledger.spool.file(self.id())
    }

    /// Keeps one piece of what the job comes to, durable when this returns; [`crate::Jobs::pieces`] gives
    /// them in order. A piece is a checkpoint too: what it is about must not be done again.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when the disk refuses.
    pub async fn append(&self, number: u64, piece: &impl Serialize) -> Result<()> {
        self.running.ledger.append(self.id(), number, serde_json::to_vec(piece)?).await?;
        self.got_on().await
    }

    /// Tells that the job got on, and that what it did is kept elsewhere: it is tried again as often as after
    /// a checkpoint.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when the disk refuses.
    pub async fn got_on(&self) -> Result<()> {
        let (ledger, entry) = (&self.running.ledger, &self.running.entry);
        if entry.record.borrow().attempts > 0 {
            ledger.change(entry, |record| record.attempts = 0).await?;
        }
        Ok(())
    }

    /// Keeps work that is to be gone on with, in the place of what was kept under this number: durable when
    /// this returns, and a checkpoint too. Nobody is given it but the job itself, and it is gone when that
    /// has ended. At most a megabyte.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when the disk refuses.
    pub async fn keep(&self, number: u64, work: &impl Serialize) -> Result<()> {
        self.running.ledger.keep(self.id(), number, serde_json::to_vec(work)?).await?;
        self.got_on().await
    }

    /// At most `limit` of what [`Self::keep`] kept, from the number `from` on.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when it can't be read.
    pub async fn kept(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        self.running.ledger.kept(self.id(), from, limit).await
    }

    /// At most `limit` pieces kept so far, from the number `from` on.
    ///
    /// # Errors
    /// [`crate::JobsError::Journal`] when they can't be read.
    pub async fn pieces(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        self.running.ledger.pieces(self.id(), from, limit).await
    }

    /// Says how far the job is. Cheap; not kept beyond the process.
    pub fn progress(&self, stage: &str, done: u64, total: u64) {
        let remaining = self.eta.lock().remaining_ms(stage, done, total, Instant::now());
        self.running.entry.record.send_if_modified(|record| {
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
    pub fn cancelled(&self) -> bool {
        self.running.entry.cancelled()
    }

    /// Fires when the job is cancelled or the service stops. The work itself is dropped then; this is for
    /// what it has running elsewhere.
    pub fn halted(&self) -> CancellationToken {
        self.running.entry.halt.clone()
    }
}
