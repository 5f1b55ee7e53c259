//! One job, from its turn to its end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use reasonedit_codebook::Journal;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::context::Context;
use super::record::JobRecord;
use super::system::Jobs;
use crate::dto::job::{JobDto, JobKind, JobState};
use crate::problem::{Problem, ProblemKind, Result, said_by};

/// How often a job is begun without getting on before it is given up.
const MAX_ATTEMPTS: u32 = 3;
/// A worker that failed in passing is begun again after this long, times the attempts made.
const BACKOFF: Duration = Duration::from_secs(1);
/// One job while the service runs.
pub(super) struct Job {
    pub(super) id: Ulid,
    pub(super) kind: JobKind,
    /// What is known of it. What is seen here is in the journal, except for progress.
    pub(super) record: watch::Sender<JobRecord>,
    /// Held while the journal is written, so that what is written last is what came last.
    writing: Mutex<()>,
    /// Whoever sets it brings the job to its end.
    pub(super) claimed: AtomicBool,
    pub(super) cancel_asked: AtomicBool,
    /// Cancelled, or the service stops.
    pub(super) halt: CancellationToken,
}

/// How the work on a job ended.
pub(super) enum End {
    Done(Value),
    Failed(Problem),
    Cancelled,
    /// The service stops: the job goes on at the next start.
    Interrupted,
}

impl Job {
    /// A job that waits for its turn, or has ended.
    pub(super) fn new(record: JobRecord, stopping: &CancellationToken) -> Self {
        Self {
            id: record.id,
            kind: record.kind,
            record: watch::Sender::new(record),
            writing: Mutex::new(()),
            claimed: AtomicBool::new(false),
            cancel_asked: AtomicBool::new(false),
            halt: stopping.child_token(),
        }
    }

    pub(super) fn state(&self) -> JobState {
        self.record.borrow().state
    }

    pub(super) fn view(&self) -> JobDto {
        JobDto::from(&*self.record.borrow())
    }

    /// Why it was halted.
    fn halted(&self) -> End {
        if self.cancel_asked.load(Ordering::SeqCst) { End::Cancelled } else { End::Interrupted }
    }
}

impl Jobs {
    /// Works on a job until it has ended or the service stops.
    pub(super) async fn drive(self, job: Arc<Job>) {
        let end = self.work(&job).await;
        self.end(&job, end).await;
    }

    async fn work(&self, job: &Arc<Job>) -> End {
        let mut failure: Option<Problem> = None;
        loop {
            if job.record.borrow().attempts >= MAX_ATTEMPTS {
                return End::Failed(failure.unwrap_or_else(|| {
                    let detail = format!(
                        "The job was interrupted {MAX_ATTEMPTS} times without getting on and is not tried again."
                    );
                    Problem::new(ProblemKind::Internal, detail)
                }));
            }
            if let Some(problem) = failure.take() {
                let attempts = job.record.borrow().attempts.max(1);
                tracing::warn!(job = %job.id, attempts, detail = %problem.body().detail, "the job is tried again");
                let wait = problem.wait().unwrap_or(BACKOFF) * attempts;
                if tokio::time::timeout(wait, job.halt.cancelled()).await.is_ok() {
                    return job.halted();
                }
            }
            let begun = self
                .change(job, |record| {
                    record.state = JobState::Running;
                    record.attempts += 1;
                    record.started_at.get_or_insert_with(OffsetDateTime::now_utc);
                })
                .await;
            if let Err(problem) = begun {
                return End::Failed(problem);
            }
            let context = Context::new(self.clone(), Arc::clone(job));
            // The runner is called within, so that what it does before it first awaits can't escape either.
            let runner = Arc::clone(&self.shared().runner);
            let kind = job.kind;
            let work = AssertUnwindSafe(async move { runner(kind, context).await }).catch_unwind();
            let outcome = tokio::select! {
                biased;
                () = job.halt.cancelled() => return job.halted(),
                outcome = work => outcome,
            };
            match outcome {
                Ok(Ok(result)) => return End::Done(result),
                Ok(Err(problem)) if problem.passing() => failure = Some(problem),
                Ok(Err(problem)) => return End::Failed(problem),
                Err(panic) => {
                    let said = said_by(panic.as_ref());
                    return End::Failed(Problem::internal(&format!("job {} panicked: {said}", job.id)));
                }
            }
        }
    }

    /// Brings a job to its end, for its record and for what was its own.
    pub(super) async fn end(&self, job: &Arc<Job>, end: End) {
        let (id, kind) = (job.id, job.kind.name());
        let state = match &end {
            End::Done(_) => JobState::Done,
            End::Failed(_) => JobState::Failed,
            End::Cancelled => JobState::Cancelled,
            End::Interrupted => {
                // Stopping is no failure of the job's.
                let _ = self.change(job, |r| r.attempts = r.attempts.saturating_sub(1)).await;
                tracing::info!(job = %id, kind, "job interrupted; it goes on at the next start");
                return;
            }
        };
        let ended = self
            .change(job, move |record| {
                record.state = state;
                record.ended_at = Some(OffsetDateTime::now_utc());
                match end {
                    End::Done(result) => record.result = Some(result),
                    End::Failed(problem) => record.error = Some(problem.body()),
                    End::Cancelled | End::Interrupted => {}
                }
            })
            .await;
        if let Err(problem) = ended {
            // The result is too large, or the disk refuses. Whoever waits is told, and a restart tries again.
            job.record.send_modify(|record| {
                record.state = JobState::Failed;
                record.error = Some(problem.body());
                record.ended_at = Some(OffsetDateTime::now_utc());
            });
        }
        tracing::info!(job = %id, kind, ?state, "job ended");
        self.schedule();
        let jobs = self.clone();
        let tidied = blocking(move || {
            jobs.shared().spool.remove(id);
            jobs.prune()
        });
        if let Err(problem) = tidied.await {
            tracing::warn!(detail = %problem.body().detail, "old jobs were not removed");
        }
    }

    /// Forgets the oldest ended jobs beyond those that are kept.
    fn prune(&self) -> Result<()> {
        let old: Vec<Ulid> = {
            let table = self.table();
            let ended: Vec<Ulid> =
                table.values().filter(|job| job.state().ended()).map(|job| job.id).collect();
            ended[..ended.len().saturating_sub(self.shared().limits.kept)].to_vec()
        };
        for id in old {
            // The record last: what a crash leaves is found again.
            self.shared().rows.remove(id)?;
            self.shared().records.remove(id)?;
            self.table().remove(&id);
        }
        Ok(())
    }

    /// Changes the record of a job that has not ended: first in the journal, then for everyone to see.
    pub(super) async fn change(
        &self,
        job: &Arc<Job>,
        change: impl FnOnce(&mut JobRecord) + Send + 'static,
    ) -> Result<()> {
        let (records, job) = (self.shared().records.clone(), Arc::clone(job));
        blocking(move || {
            let _writing = job.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = job.record.borrow().clone();
            // A worker that was dropped while it waited for this has nothing more to say.
            if next.state.ended() {
                return Ok(());
            }
            change(&mut next);
            write(&records, &next)?;
            // Progress is told without the journal and may have gone on.
            job.record.send_modify(|record| {
                next.progress.clone_from(&record.progress);
                *record = next;
            });
            Ok(())
        })
        .await
    }
}

/// Makes a record durable.
pub(super) fn write(records: &Journal, record: &JobRecord) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|error| Problem::internal(&error))?;
    Ok(records.put(record.id, 0, &bytes)?)
}

/// Runs what waits for the disk beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failure| Err(Problem::internal(&failure)))
}
