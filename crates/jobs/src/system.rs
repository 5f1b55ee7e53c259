//! Jobs from their submission to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use reasonedit_codebook::{CodebookError, CodebookName, Library};
use reasonedit_keyring::Keyring;
use reasonedit_resilience::{WorkLost, blocking};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use crate::drive::{Driver, End};
use crate::entry::JobEntry;
use crate::error::{JobsError, OpenError, Result};
use crate::job::BackgroundJob;
use crate::ledger::Ledger;
use crate::record::{JobProgress, JobRecord, JobState, JobView, SubmissionKey};
use crate::registry::{JobKind, JobRegistry};
use crate::spool::{Spool, SpooledUpload};
use crate::stub;

/// How long a cancellation is waited for before it is answered.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// How long whoever finds the queue full is asked to wait.
const FULL_WAIT: Duration = Duration::from_secs(30);

/// Bounds of all jobs together.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that wait of one caller.
    pub queued_of_caller: usize,
    /// Ended jobs that are kept.
    pub kept: usize,
}

/// What goes with a job that is submitted.
#[derive(Debug, Default)]
pub struct Submission {
    /// The codebook it works on.
    pub codebook: CodebookName,
    /// What is too large for the job itself.
    pub upload: Option<SpooledUpload>,
    /// Steps, if they are known.
    pub total: Option<u64>,
    /// Makes submitting it twice harmless.
    pub idempotency: Option<SubmissionKey>,
    /// By whom: what tells callers apart. Of one a part of those may wait that may wait in all, and of nobody
    /// in particular all.
    pub caller: Option<String>,
}

/// All jobs; cheap to clone.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    kinds: Vec<JobKind>,
    driver: Driver,
    limits: JobLimits,
    /// Jobs whose records are lost and of which no other is known, with their idempotency keys in short.
    lost: Mutex<BTreeMap<Ulid, Option<u64>>>,
    table: Mutex<BTreeMap<Ulid, Arc<JobEntry>>>,
    ids: Mutex<ulid::Generator>,
    /// One submission at a time: bounds are checked and kept.
    submitting: tokio::sync::Mutex<()>,
    stopping: CancellationToken,
    running: TaskTracker,
}

impl Jobs {
    /// The jobs of a library, inputs in `folder`. Those that had not ended are taken up again. Needs a tokio
    /// runtime.
    ///
    /// `stopping` stops the work: running jobs go on from their checkpoints at the next start.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<D>(
        library: &Library,
        folder: &Path,
        limits: JobLimits,
        registry: JobRegistry<D>,
        stopping: CancellationToken,
    ) -> Result<Self, OpenError> {
        // A store that keeps nothing beyond the process needs no keys that do.
        let keys = library.keys().map_or_else(|| Keyring::ephemeral().map_err(CodebookError::from), Ok)?;
        let spool = Spool::open(folder, keys).map_err(|error| OpenError::Folder(error.kind()))?;
        let JobRegistry { kinds, reporter, .. } = registry;
        let ledger = Ledger {
            records: library.journal("jobs"),
            rows: library.journal("job-rows"),
            work: library.journal("job-work"),
            stubs: library.journal("job-stubs"),
            spool,
        };
        let (mut table, mut known) = (BTreeMap::new(), BTreeMap::new());
        let (records, damaged) = ledger.records.all_and_damaged()?;
        for (key, bytes) in records {
            known.insert(key.id, None);
            // Perhaps of a later version; it stays where it is.
            let record: JobRecord = match serde_json::from_slice(&bytes) {
                Ok(record) => record,
                Err(error) => {
                    tracing::error!(job = %key.id, %error, "the record of a job can't be read");
                    continue;
                }
            };
            let Some(kind) = kinds.iter().find(|kind| kind.name == record.kind) else {
                let error = JobsError::UnknownKind(record.kind);
                tracing::error!(job = %key.id, %error, "the record of a job can't be read");
                continue;
            };
            known.insert(record.id, Some(record.clone()));
            table.insert(record.id, Arc::new(JobEntry::new(kind.name, record, &stopping)));
        }
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        let mut lost = stub::compare(&ledger.stubs, &known, &names, reporter)?;
        for (key, error) in damaged {
            tracing::error!(job = %key.id, %error, "the record of a job can't be read");
            lost.others.entry(key.id).or_default();
        }
        for record in lost.records {
            let Some(kind) = kinds.iter().find(|kind| kind.name == record.kind) else { continue };
            // In the place of what can't be read; where nothing can be written, at the next start.
            if let Err(error) = ledger.write(&record) {
                tracing::warn!(job = %record.id, %error, "that a job is lost was not kept");
            }
            lost.others.remove(&record.id);
            table.insert(record.id, Arc::new(JobEntry::new(kind.name, record, &stopping)));
        }
        let unfinished: BTreeSet<Ulid> =
            table.values().filter(|job| !job.state().ended()).map(|job| job.id).collect();
        ledger.spool.clean(&unfinished).map_err(|error| OpenError::Folder(error.kind()))?;
        for job in table.values().filter(|job| job.state().ended()) {
            // Of a process that died as it tidied up.
            if let Err(error) = ledger.tidy(job.id) {
                tracing::warn!(job = %job.id, %error, "what a job was to go on with was not removed");
            }
        }
        let jobs = Self(Arc::new(Shared {
            driver: Driver { ledger: ledger.clone(), reporter },
            ledger,
            kinds,
            limits,
            lost: Mutex::new(lost.others),
            table: Mutex::new(table),
            ids: Mutex::new(ulid::Generator::new()),
            submitting: tokio::sync::Mutex::new(()),
            stopping,
            running: TaskTracker::new(),
        }));
        if !unfinished.is_empty() {
            tracing::info!(jobs = unfinished.len(), "jobs go on");
        }
        jobs.schedule();
        Ok(jobs)
    }

    /// Where uploads are received.
    pub fn spool(&self) -> &Spool {
        &self.0.ledger.spool
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Ulid, Arc<JobEntry>>> {
        self.0.table.lock()
    }

    fn find(&self, id: Ulid) -> Result<Arc<JobEntry>> {
        self.table().get(&id).cloned().ok_or(JobsError::Unknown(id))
    }

    /// Submits a job: it is durable when this returns. The same key and digest again give the job that was
    /// made then.
    ///
    /// # Errors
    /// [`JobsError::Exclusive`] where only one of its kind may be, [`JobsError::KeyUsed`] for a key used for
    /// something else, [`JobsError::QueueFull`] when too many wait, [`JobsError::Stopping`] when the service
    /// stops.
    pub async fn submit<J: BackgroundJob>(&self, job: &J, submission: Submission) -> Result<JobView> {
        let kind = self.0.kinds.iter().find(|kind| kind.name == J::NAME).cloned();
        let kind = kind.ok_or_else(|| JobsError::UnknownKind(J::NAME.to_owned()))?;
        let record = JobRecord {
            id: Ulid::nil(),
            kind: kind.name.to_owned(),
            codebook: submission.codebook,
            state: JobState::Queued,
            input: serde_json::to_value(job)?,
            upload_bytes: submission.upload.as_ref().map(SpooledUpload::bytes),
            checkpoint: None,
            attempts: 0,
            retryable: false,
            progress: JobProgress {
                stage: "queued".to_owned(),
                done: 0,
                total: submission.total,
                remaining_ms: None,
            },
            result: None,
            error: None,
            idempotency: submission.idempotency,
            caller: submission.caller,
            created_at: OffsetDateTime::now_utc(),
            started_at: None,
            ended_at: None,
        };
        let (jobs, upload) = (self.clone(), submission.upload);
        // On its own: a caller who goes away can't leave it half done.
        let submitted = self.0.running.spawn(async move { jobs.submit_whole(&kind, record, upload).await });
        submitted.await.unwrap_or_else(|_| Err(WorkLost::Cancelled.into()))
    }

    async fn submit_whole(
        &self,
        kind: &JobKind,
        mut record: JobRecord,
        upload: Option<SpooledUpload>,
    ) -> Result<JobView> {
        let _one = self.0.submitting.lock().await;
        if self.0.stopping.is_cancelled() {
            return Err(JobsError::Stopping);
        }
        match self.submitted_before(&record)? {
            Some(before) if before.record.borrow().retryable => {
                return self.go_on(kind, &before, record.caller, upload).await;
            }
            Some(before) => return Ok(before.record.borrow().view()),
            None => {}
        }
        self.check_room(kind, record.caller.as_deref())?;
        // The generator fails only after 2^80 ids within one millisecond.
        record.id = self.0.ids.lock().generate().unwrap_or_else(|_| Ulid::new());
        record.created_at = OffsetDateTime::now_utc();
        self.0.ledger.enter(record.clone(), upload).await?;
        let (id, view) = (record.id, record.view());
        let entry = JobEntry::new(kind.name, record, &self.0.stopping);
        self.table().insert(id, Arc::new(entry));
        tracing::info!(job = %id, kind = kind.name, "job submitted");
        self.schedule();
        Ok(view)
    }

    /// Has a job that failed in passing go on where it was, with what was submitted for it once more.
    async fn go_on(
        &self,
        kind: &JobKind,
        failed: &Arc<JobEntry>,
        caller: Option<String>,
        upload: Option<SpooledUpload>,
    ) -> Result<JobView> {
        self.check_room(kind, caller.as_deref())?;
        let record = failed.record.borrow().clone();
        let record = JobRecord {
            state: JobState::Queued,
            attempts: 0,
            retryable: false,
            error: None,
            ended_at: None,
            caller,
            ..record
        };
        let (id, view) = (record.id, record.view());
        self.0.ledger.enter_again(record.clone(), upload).await?;
        let entry = JobEntry::new(kind.name, record, &self.0.stopping);
        self.table().insert(id, Arc::new(entry));
        tracing::info!(job = %id, kind = kind.name, "job submitted again; it goes on");
        self.schedule();
        Ok(view)
    }

    fn submitted_before(&self, submitted: &JobRecord) -> Result<Option<Arc<JobEntry>>> {
        let Some(asked) = &submitted.idempotency else { return Ok(None) };
        let table = self.table();
        for job in table.values().rev().filter(|job| job.kind == submitted.kind) {
            let record = job.record.borrow();
            let same = record.codebook == submitted.codebook;
            match &record.idempotency {
                Some(known) if same && known.key == asked.key => {
                    if known.digest == asked.digest {
                        return Ok(Some(Arc::clone(job)));
                    }
                    return Err(JobsError::KeyUsed { job: job.id });
                }
                _ => {}
            }
        }
        let number = stub::number(submitted);
        match self.0.lost.lock().iter().find(|(_, known)| **known == Some(number)) {
            Some((job, _)) => Err(JobsError::Decayed { job: *job }),
            None => Ok(None),
        }
    }

    fn check_room(&self, kind: &JobKind, caller: Option<&str>) -> Result<()> {
        let table = self.table();
        let unfinished = || table.values().filter(|job| !job.state().ended());
        if let Some(other) = unfinished().find(|job| kind.exclusive && job.kind == kind.name) {
            return Err(JobsError::Exclusive { kind: kind.name, job: other.id });
        }
        let waiting = || unfinished().filter(|job| job.state() == JobState::Queued);
        let theirs = |job: &&Arc<JobEntry>| {
            caller.is_some_and(|caller| job.record.borrow().caller.as_deref() == Some(caller))
        };
        let limits = &self.0.limits;
        if waiting().filter(theirs).count() >= limits.queued_of_caller {
            return Err(JobsError::CallerQueueFull { retry_after: FULL_WAIT });
        }
        if waiting().count() >= limits.queued {
            return Err(JobsError::QueueFull { retry_after: FULL_WAIT });
        }
        Ok(())
    }

    /// Begins the oldest waiting job of every kind of which none is being worked on.
    fn schedule(&self) {
        if self.0.stopping.is_cancelled() {
            return;
        }
        let table = self.table();
        for kind in &self.0.kinds {
            let unfinished = || table.values().filter(|job| job.kind == kind.name && !job.state().ended());
            if unfinished().any(|job| job.claimed.load(Ordering::SeqCst)) {
                continue;
            }
            if let Some(job) = unfinished().find(|job| job.claim()) {
                let (jobs, kind, job) = (self.clone(), kind.clone(), Arc::clone(job));
                self.0.running.spawn(async move {
                    let end = jobs.0.driver.work(&kind, &job).await;
                    jobs.end(&job, end).await;
                });
            }
        }
    }

    /// Brings a job to its end, for its record and for what was its own, and gives the next one its turn.
    async fn end(&self, job: &Arc<JobEntry>, end: End) {
        if !self.0.driver.end(job, end).await {
            return;
        }
        self.schedule();
        let (jobs, id) = (self.clone(), job.id);
        let tidied = blocking(move || {
            jobs.0.ledger.tidy(id)?;
            jobs.prune()
        });
        if let Err(error) = tidied.await {
            tracing::warn!(detail = %error, "old jobs were not removed");
        }
    }

    /// Forgets the oldest ended jobs beyond those that are kept.
    fn prune(&self) -> Result<()> {
        let old: Vec<Ulid> = {
            let table = self.table();
            let ended = table.values().filter(|job| job.state().ended()).map(|job| job.id);
            let mut ended: Vec<Ulid> = ended.chain(self.0.lost.lock().keys().copied()).collect();
            ended.sort_unstable();
            ended[..ended.len().saturating_sub(self.0.limits.kept)].to_vec()
        };
        for id in old {
            self.0.ledger.forget(id)?;
            self.table().remove(&id);
            self.0.lost.lock().remove(&id);
        }
        Ok(())
    }

    /// What is known of a job.
    ///
    /// # Errors
    /// [`JobsError::Unknown`].
    pub fn get(&self, id: Ulid) -> Result<JobView> {
        Ok(self.find(id)?.record.borrow().view())
    }

    /// The job once it has ended.
    ///
    /// # Errors
    /// [`JobsError::Unknown`]; [`JobsError::Stopping`] when the service stops before.
    pub async fn wait(&self, id: Ulid) -> Result<JobView> {
        let mut seen = self.watch(id)?;
        tokio::select! {
            record = seen.wait_for(|record| record.state.ended()) => {
                record.map(|record| record.view()).map_err(|_| JobsError::Unknown(id))
            }
            () = self.0.stopping.cancelled() => Err(JobsError::Stopping),
        }
    }

    /// At most `limit` jobs below `cursor`, newest first, and where the next page begins.
    pub fn list(
        &self,
        keep: impl Fn(&JobRecord) -> bool,
        cursor: Option<Ulid>,
        limit: usize,
    ) -> (Vec<JobView>, Option<Ulid>) {
        let table = self.table();
        let mut page = Vec::new();
        let mut last = None;
        for (id, job) in table.iter().rev().filter(|(id, _)| cursor.is_none_or(|cursor| **id < cursor)) {
            let record = job.record.borrow();
            if !keep(&record) {
                continue;
            }
            if page.len() == limit {
                return (page, last);
            }
            page.push(record.view());
            last = Some(*id);
        }
        (page, None)
    }

    /// Cancels a job and waits a moment for it to stop; what it had done stays done. Cancelling it again
    /// changes nothing.
    ///
    /// # Errors
    /// [`JobsError::Unknown`]; [`JobsError::Ended`] when it is done or has failed.
    pub async fn cancel(&self, id: Ulid) -> Result<JobView> {
        let job = self.find(id)?;
        let mut seen = job.record.subscribe();
        if !job.state().ended() {
            job.cancel_asked.store(true, Ordering::SeqCst);
            job.halt.cancel();
            if job.claim() {
                let (jobs, waiting) = (self.clone(), Arc::clone(&job));
                self.0.running.spawn(async move { jobs.end(&waiting, End::Cancelled).await });
            }
            // One that doesn't stop in time is told as it is.
            let _ = tokio::time::timeout(CANCEL_WAIT, seen.wait_for(|record| record.state.ended())).await;
        }
        let view = job.record.borrow().view();
        match view.state {
            JobState::Done | JobState::Failed => Err(JobsError::Ended),
            _ => Ok(view),
        }
    }

    /// A job as it is and as it becomes.
    ///
    /// # Errors
    /// [`JobsError::Unknown`].
    pub fn watch(&self, id: Ulid) -> Result<watch::Receiver<JobRecord>> {
        Ok(self.find(id)?.record.subscribe())
    }

    /// At most `limit` pieces of what a job came to piece by piece, from `from` on.
    ///
    /// # Errors
    /// [`JobsError::Unknown`], [`JobsError::Journal`].
    pub async fn pieces(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        self.find(id)?;
        self.0.ledger.pieces(id, from, limit).await
    }

    /// Jobs that have not ended, by kind and state.
    pub fn unfinished(&self) -> BTreeMap<(&'static str, JobState), usize> {
        let mut counts = BTreeMap::new();
        for job in self.table().values().filter(|job| !job.state().ended()) {
            *counts.entry((job.kind, job.state())).or_default() += 1;
        }
        counts
    }

    /// Fires when the service stops: streams of events end then.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Waits until the work has stopped, once it was told to.
    pub async fn stopped(&self) {
        self.0.running.close();
        self.0.running.wait().await;
    }
}

#[cfg(test)]
mod tests;
