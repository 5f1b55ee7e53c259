//! Jobs from their submission to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use reasonedit_codebook::{CodebookError, CodebookName, Journal, Library};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use super::context::Context;
use super::drive::{End, Job, blocking, write};
use super::record::{JobRecord, Progress, SubmissionKey};
use super::spool::{Spool, Upload};
use crate::dto::job::{JobDto, JobKind, JobState};
use crate::problem::{Problem, ProblemKind, Result};

/// How long a cancellation is waited for before it is answered.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// What works on a job, by its kind.
pub(crate) type Runner =
    Arc<dyn Fn(JobKind, Context) -> BoxFuture<'static, Result<Value>> + Send + Sync + 'static>;

/// Why the jobs of before can't be taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// Their records can't be read.
    #[error("the jobs of before can't be read: {0}")]
    Records(#[from] CodebookError),
    /// The folder of their inputs can't be used. The kind of the error alone: its text may hold a path.
    #[error("the folder of the jobs' inputs can't be used: {0}")]
    Folder(std::io::ErrorKind),
}

/// Bounds of all jobs together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Jobs that wait.
    pub(crate) queued: usize,
    /// Ended jobs that are kept.
    pub(crate) kept: usize,
}

/// What is to become a job.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) kind: JobKind,
    pub(crate) codebook: CodebookName,
    /// In the form of its kind; small.
    pub(crate) input: Value,
    /// What is too large for `input`.
    pub(crate) upload: Option<Upload>,
    /// Steps, if they are known.
    pub(crate) total: Option<u64>,
    pub(crate) idempotency: Option<SubmissionKey>,
}

/// All jobs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Shared>);

pub(super) struct Shared {
    pub(super) records: Journal,
    pub(super) rows: Journal,
    pub(super) spool: Spool,
    pub(super) runner: Runner,
    pub(super) limits: Limits,
    table: Mutex<BTreeMap<Ulid, Arc<Job>>>,
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
    /// [`JobsError`].
    pub(crate) fn open(
        library: &Library,
        folder: &Path,
        limits: Limits,
        runner: Runner,
        stopping: CancellationToken,
    ) -> Result<Self, JobsError> {
        let spool = Spool::open(folder).map_err(|error| JobsError::Folder(error.kind()))?;
        let records = library.journal("jobs");
        let mut table = BTreeMap::new();
        for (key, bytes) in records.all()? {
            let record: JobRecord = match serde_json::from_slice(&bytes) {
                Ok(record) => record,
                Err(error) => {
                    // Perhaps of a later version; it stays where it is.
                    tracing::error!(job = %key.id, %error, "the record of a job can't be read");
                    continue;
                }
            };
            table.insert(record.id, Arc::new(Job::new(record, &stopping)));
        }
        let unfinished: BTreeSet<Ulid> =
            table.values().filter(|job| !job.state().ended()).map(|job| job.id).collect();
        spool.clean(&unfinished).map_err(|error| JobsError::Folder(error.kind()))?;
        let jobs = Self(Arc::new(Shared {
            records,
            rows: library.journal("job-rows"),
            spool,
            runner,
            limits,
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

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Where uploads are received.
    pub(crate) fn spool(&self) -> &Spool {
        &self.0.spool
    }

    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<Ulid, Arc<Job>>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: Ulid) -> Result<Arc<Job>> {
        self.table().get(&id).cloned().ok_or_else(|| Problem::not_found(format!("There is no job {id}.")))
    }

    /// Submits a job: it is durable when this returns. The same key and digest again give the job that was
    /// made then.
    ///
    /// # Errors
    /// 409 where only one of its kind may be, or for a key used for something else; 429 when too many wait;
    /// 503 when the service stops.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<JobDto> {
        let jobs = self.clone();
        // On its own: a caller who goes away can't leave it half done.
        let submitted = self.0.running.spawn(async move { jobs.submit_whole(submission).await });
        submitted.await.unwrap_or_else(|failure| Err(Problem::internal(&failure)))
    }

    async fn submit_whole(&self, submission: Submission) -> Result<JobDto> {
        let _one = self.0.submitting.lock().await;
        if self.0.stopping.is_cancelled() {
            return Err(Problem::new(ProblemKind::Overloaded, "The service is stopping."));
        }
        if let Some(before) = self.submitted_before(&submission)? {
            return Ok(before);
        }
        self.check_room(submission.kind)?;
        let id = {
            let mut ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
            // The generator fails only after 2^80 ids within one millisecond.
            ids.generate().unwrap_or_else(|_| Ulid::new())
        };
        let record = JobRecord {
            id,
            kind: submission.kind,
            codebook: submission.codebook,
            state: JobState::Queued,
            input: submission.input,
            checkpoint: None,
            attempts: 0,
            progress: Progress {
                stage: "queued".to_owned(),
                done: 0,
                total: submission.total,
                remaining_ms: None,
            },
            result: None,
            error: None,
            idempotency: submission.idempotency,
            created_at: OffsetDateTime::now_utc(),
            started_at: None,
            ended_at: None,
        };
        let (shared, upload, kept) = (Arc::clone(&self.0), submission.upload, record.clone());
        blocking(move || {
            if let Some(upload) = upload {
                shared.spool.keep(upload, id).map_err(|error| {
                    Problem::internal(&format!("an input can't be kept: {}", error.kind()))
                })?;
            }
            write(&shared.records, &kept).inspect_err(|_| shared.spool.remove(id))
        })
        .await?;
        let dto = JobDto::from(&record);
        self.table().insert(id, Arc::new(Job::new(record, &self.0.stopping)));
        tracing::info!(job = %id, kind = submission.kind.name(), "job submitted");
        self.schedule();
        Ok(dto)
    }

    fn submitted_before(&self, submission: &Submission) -> Result<Option<JobDto>> {
        let Some(asked) = &submission.idempotency else { return Ok(None) };
        let table = self.table();
        for job in table.values().filter(|job| job.kind == submission.kind) {
            let record = job.record.borrow();
            let same = record.codebook == submission.codebook;
            match &record.idempotency {
                Some(known) if same && known.key == asked.key => {
                    if known.digest == asked.digest {
                        return Ok(Some(JobDto::from(&*record)));
                    }
                    let detail = "This idempotency key was used before with another request.";
                    return Err(Problem::new(ProblemKind::Conflict, detail).about_job(job.id));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn check_room(&self, kind: JobKind) -> Result<()> {
        let table = self.table();
        let unfinished = || table.values().filter(|job| !job.state().ended());
        if let Some(other) = unfinished().find(|job| kind.exclusive() && job.kind == kind) {
            let detail = format!("There is a job of the kind `{}` already: {}.", kind.name(), other.id);
            return Err(Problem::new(ProblemKind::Conflict, detail).about_job(other.id));
        }
        if unfinished().filter(|job| job.state() == JobState::Queued).count() >= self.0.limits.queued {
            return Err(Problem::new(ProblemKind::QueueFull, "Too many jobs are waiting.")
                .retry_after(Duration::from_secs(30)));
        }
        Ok(())
    }

    /// Begins the oldest waiting job of every kind of which none is being worked on.
    pub(super) fn schedule(&self) {
        if self.0.stopping.is_cancelled() {
            return;
        }
        let table = self.table();
        for kind in JobKind::ALL {
            let unfinished = || table.values().filter(|job| job.kind == kind && !job.state().ended());
            if unfinished().any(|job| job.claimed.load(Ordering::SeqCst)) {
                continue;
            }
            if let Some(job) = unfinished().find(|job| !job.claimed.swap(true, Ordering::SeqCst)) {
                self.0.running.spawn(self.clone().drive(Arc::clone(job)));
            }
        }
    }

    /// What is known of a job.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn get(&self, id: Ulid) -> Result<JobDto> {
        Ok(self.find(id)?.view())
    }

    /// At most `limit` jobs below `cursor`, newest first, and where the next page begins.
    pub(crate) fn list(
        &self,
        keep: impl Fn(&JobRecord) -> bool,
        cursor: Option<Ulid>,
        limit: usize,
    ) -> (Vec<JobDto>, Option<Ulid>) {
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
            page.push(JobDto::from(&*record));
            last = Some(*id);
        }
        (page, None)
    }

    /// Cancels a job and waits a moment for it to stop; what it had done stays done. Cancelling it again
    /// changes nothing.
    ///
    /// # Errors
    /// 404; 409 when it is done or has failed.
    pub(crate) async fn cancel(&self, id: Ulid) -> Result<JobDto> {
        let job = self.find(id)?;
        let mut seen = job.record.subscribe();
        if !job.state().ended() {
            job.cancel_asked.store(true, Ordering::SeqCst);
            job.halt.cancel();
            if !job.claimed.swap(true, Ordering::SeqCst) {
                let (jobs, waiting) = (self.clone(), Arc::clone(&job));
                self.0.running.spawn(async move { jobs.end(&waiting, End::Cancelled).await });
            }
            // One that doesn't stop in time is told as it is.
            let _ = tokio::time::timeout(CANCEL_WAIT, seen.wait_for(|record| record.state.ended())).await;
        }
        let view = job.view();
        match view.state {
            JobState::Done | JobState::Failed => {
                Err(Problem::new(ProblemKind::Conflict, "The job has ended: there is nothing to cancel."))
            }
            _ => Ok(view),
        }
    }

    /// A job as it is and as it becomes.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn watch(&self, id: Ulid) -> Result<watch::Receiver<JobRecord>> {
        Ok(self.find(id)?.record.subscribe())
    }

    /// At most `limit` rows of what a job came to piece by piece, from `from` on.
    ///
    /// # Errors
    /// 404, 500.
    pub(crate) async fn rows(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        self.find(id)?;
        let rows = self.0.rows.clone();
        blocking(move || Ok(rows.rows(id, from, limit)?)).await
    }

    /// Jobs that have not ended, by kind and state.
    pub(crate) fn unfinished(&self) -> BTreeMap<(JobKind, JobState), usize> {
        let mut counts = BTreeMap::new();
        for job in self.table().values().filter(|job| !job.state().ended()) {
            *counts.entry((job.kind, job.state())).or_default() += 1;
        }
        counts
    }

    /// Fires when the service stops: streams of events end then.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Waits until the work has stopped, once it was told to.
    pub(crate) async fn stopped(&self) {
        self.0.running.close();
        self.0.running.wait().await;
    }
}
