//! One job, from its turn to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use reasonedit_resilience::{Backoff, panic_message};
use serde_json::Value;
use time::OffsetDateTime;

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

/// How the work on a job ended.
pub(crate) enum End {
    Done(Value),
    Failed(FailureReport),
    Cancelled,
    /// The service stops: the job goes on at the next start.
    Interrupted,
}

impl End {
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
        loop {
            let attempts = job.record.borrow().attempts;
            if attempts >= MAX_ATTEMPTS {
                let interrupted = || (self.reporter)(JobsError::Interrupted { times: MAX_ATTEMPTS });
                return End::Failed(failure.map_or_else(interrupted, |(_, report)| report));
            }
            if let Some((after, FailureReport { detail, .. })) = failure.take() {
                let attempts = attempts.max(1);
                tracing::warn!(job = %job.id, attempts, %detail, "the job is tried again");
                let wait = Backoff::linear(after.unwrap_or(FIRST_WAIT)).wait(attempts, None);
                if tokio::time::timeout(wait, job.halt.cancelled()).await.is_ok() {
                    return End::halted(job);
                }
            }
            let begun = self.ledger.change(job, |record| {
                record.state = JobState::Running;
                record.attempts += 1;
                record.started_at.get_or_insert_with(OffsetDateTime::now_utc);
            });
            if let Err(error) = begun.await {
                return End::Failed((self.reporter)(error));
            }
            let running = RunningJob { ledger: self.ledger.clone(), entry: Arc::clone(job) };
            // Called within, so that what it does before it first awaits can't escape either.
            let run = Arc::clone(&kind.run);
            let work = AssertUnwindSafe(async move { run(running).await }).catch_unwind();
            let outcome = tokio::select! {
                biased;
                () = job.halt.cancelled() => return End::halted(job),
                outcome = work => outcome,
            };
            match outcome {
                Ok(Ok(result)) => return End::Done(result),
                Ok(Err(JobFailure::Retry { after, report })) => failure = Some((after, report)),
                Ok(Err(JobFailure::Failed(report))) => return End::Failed(report),
                Ok(Err(JobFailure::Jobs(error))) => return End::Failed((self.reporter)(error)),
                Err(panic) => {
                    let said = panic_message(panic.as_ref()).to_owned();
                    return End::Failed((self.reporter)(JobsError::Panicked { job: job.id, said }));
                }
            }
        }
    }

    /// Brings a job to its end. Whether it has come to one: one that was interrupted has not.
    pub(crate) async fn end(&self, job: &Arc<JobEntry>, end: End) -> bool {
        let (id, kind) = (job.id, job.kind);
        let state = match &end {
            End::Done(_) => JobState::Done,
            End::Failed(_) => JobState::Failed,
            End::Cancelled => JobState::Cancelled,
            End::Interrupted => {
                // Stopping is no failure of the job's.
                let _ = self.ledger.change(job, |r| r.attempts = r.attempts.saturating_sub(1)).await;
                tracing::info!(job = %id, kind, "job interrupted; it goes on at the next start");
                return false;
            }
        };
        let ended = self.ledger.change(job, move |record| {
            record.state = state;
            record.ended_at = Some(OffsetDateTime::now_utc());
            match end {
                End::Done(result) => record.result = Some(result),
                End::Failed(report) => record.error = Some(report.document),
                End::Cancelled | End::Interrupted => {}
            }
        });
        if let Err(error) = ended.await {
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
