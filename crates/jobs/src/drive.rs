//! One job, from its turn to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use reasonedit_resilience::{Backoff, panic_message};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::context::RunningJob;
use crate::entry::JobEntry;
use crate::error::JobsError;
use crate::failure::{FailureReport, JobFailure};
use crate::ledger::Ledger;
use crate::record::JobState;
use crate::registry::{JobKind, Reporter};

/// How often a job is begun without getting on before it is given up.
const MAX_ATTEMPTS: u32 = 3;
/// A job that failed in passing is begun again after this long, times the attempts made, where nobody asked
/// for another wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a job waits, first and at most, before it sees whether something can be stored again; what is
/// told as its stage meanwhile.
const ROOM_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const UNWRITABLE: &str = "unwritable";

/// How the work on a job ended.
#[derive(Clone)]
pub(crate) enum End {
    Done(Value),
    Failed {
        report: FailureReport,
        /// Whether it may go on when it is submitted again.
        retryable: bool,
    },
    Cancelled,
    /// The service stops: the job goes on at the next start.
    Interrupted,
}

impl End {
    fn failed(report: FailureReport) -> Self {
        Self::Failed { report, retryable: false }
    }

    fn halted(job: &JobEntry) -> Self {
        if job.cancelled() { Self::Cancelled } else { Self::Interrupted }
    }
}

/// Takes jobs to their ends.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) ledger: Ledger,
    pub(crate) reporter: Reporter,
}

impl Driver {
    /// Works on a job until it has ended or the service stops.
    pub(crate) async fn work(&self, kind: &JobKind, job: &Arc<JobEntry>) -> End {
        let mut failure: Option<(Option<Duration>, FailureReport)> = None;
        // How often in a row nothing could be stored, and how often the job had been begun before.
        let (mut refused, mut begun_before) = (0, None);
        loop {
            let attempts = begun_before.take().unwrap_or_else(|| job.record.borrow().attempts);
            if attempts >= MAX_ATTEMPTS {
                let interrupted = || (self.reporter)(JobsError::Interrupted { times: MAX_ATTEMPTS });
                // Whoever asks for it once more knows what they do.
                let report = failure.map_or_else(interrupted, |(_, report)| report);
                return End::Failed { report, retryable: true };
            }
            if let Some((after, FailureReport { detail, .. })) = failure.take() {
                let attempts = attempts.max(1);
                tracing::warn!(job = %job.id, attempts, %detail, "the job is tried again");
                let wait = Backoff::linear(after.unwrap_or(FIRST_WAIT)).wait(attempts, None);
                if tokio::time::timeout(wait, job.halt.cancelled()).await.is_ok() {
                    return End::halted(job);
                }
            }
            let begun = self.ledger.change(job, move |record| {
                record.state = JobState::Running;
                record.attempts = attempts + 1;
                record.started_at.get_or_insert_with(OffsetDateTime::now_utc);
            });
            let outcome = match begun.await {
                Ok(()) => {
                    let running = RunningJob { ledger: self.ledger.clone(), entry: Arc::clone(job) };
                    // Called within, so that what it does before it first awaits can't escape either.
                    let run = Arc::clone(&kind.run);
                    let work = AssertUnwindSafe(async move { run(running).await }).catch_unwind();
                    tokio::select! {
                        biased;
                        () = job.halt.cancelled() => return End::halted(job),
                        outcome = work => outcome,
                    }
                }
                Err(error) => Ok(Err(JobFailure::Jobs(error))),
            };
            let report = match outcome {
                Ok(Ok(result)) => return End::Done(result),
                Ok(Err(JobFailure::Retry { after, report })) => {
                    (failure, refused) = (Some((after, report)), 0);
                    continue;
                }
                Ok(Err(JobFailure::Unwritable(report))) => report,
                Ok(Err(JobFailure::Jobs(error))) if error.is_unwritable() => (self.reporter)(error),
                Ok(Err(JobFailure::Failed(report))) => return End::failed(report),
                Ok(Err(JobFailure::Jobs(error))) => return End::failed((self.reporter)(error)),
                Err(panic) => {
                    let said = panic_message(panic.as_ref()).to_owned();
                    return End::failed((self.reporter)(JobsError::Panicked { job: job.id, said }));
                }
            };
            // It is no failure of the job's, so it doesn't count; a checkpoint meanwhile counts.
            begun_before = Some(attempts.min(job.record.borrow().attempts));
            refused += 1;
            if !wait_for_room(job, &job.halt, refused, &report.detail).await {
                return End::halted(job);
            }
        }
    }

    /// Brings a job to its end. Whether it has come to one: one that was interrupted has not.
    pub(crate) async fn end(&self, job: &Arc<JobEntry>, end: End) -> bool {
        let (id, kind) = (job.id, job.kind);
        let state = match &end {
            End::Done(_) => JobState::Done,
            End::Failed { .. } => JobState::Failed,
            End::Cancelled => JobState::Cancelled,
            End::Interrupted => {
                // Stopping is no failure of the job's.
                let _ = self.ledger.change(job, |r| r.attempts = r.attempts.saturating_sub(1)).await;
                tracing::info!(job = %id, kind, "job interrupted; it goes on at the next start");
                return false;
            }
        };
        let (mut ending, mut refused) = (Some(end), 0);
        while let Some(end) = ending.take() {
            let kept = end.clone();
            let ended = self.ledger.change(job, move |record| {
                record.state = state;
                record.ended_at = Some(OffsetDateTime::now_utc());
                match end {
                    End::Done(result) => record.result = Some(result),
                    End::Failed { report, retryable } => {
                        (record.error, record.retryable) = (Some(report.document), retryable);
                    }
                    End::Cancelled | End::Interrupted => {}
                }
            });
            let Err(error) = ended.await else { break };
            // What was done, or cancelled, is: it has ended once that can be kept.
            if error.is_unwritable() {
                refused += 1;
                if !wait_for_room(job, &job.stopping, refused, &error.to_string()).await {
                    return false;
                }
                ending = Some(kept);
                continue;
            }
            // The result is too large, or the disk refuses. Whoever waits is told, and a restart tries again.
            let report = (self.reporter)(error);
            job.record.send_modify(|record| {
                record.state = JobState::Failed;
                record.error = Some(report.document);
                record.ended_at = Some(OffsetDateTime::now_utc());
            });
        }
        tracing::info!(job = %id, kind, ?state, "job ended");
        true
    }
}

/// Waits before something is stored again; `false` if `halt` fires first.
async fn wait_for_room(job: &JobEntry, halt: &CancellationToken, refused: u32, detail: &str) -> bool {
    let (first, longest) = ROOM_WAITS;
    let wait = Backoff::linear(first).wait(refused, None).min(longest);
    tracing::warn!(job = %job.id, %detail, seconds = wait.as_secs(), "the job waits until something can be stored");
    let stage = job.record.borrow().progress.stage.clone();
    job.record.send_modify(|record| UNWRITABLE.clone_into(&mut record.progress.stage));
    let waited = tokio::time::timeout(wait, halt.cancelled()).await.is_err();
    job.record.send_modify(|record| record.progress.stage = stage);
    waited
}
