//! One job while the service runs.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::record::{JobRecord, JobState};

/// One job while the service runs.
pub(crate) struct JobEntry {
    pub(crate) id: Ulid,
    pub(crate) kind: &'static str,
    /// What is known of it. What is seen here is in the journal, except for progress.
    pub(crate) record: watch::Sender<JobRecord>,
    /// Held while the journal is written, so that what is written last is what came last.
    pub(crate) writing: Mutex<()>,
    /// Whoever sets it brings the job to its end.
    pub(crate) claimed: AtomicBool,
    pub(crate) cancel_asked: AtomicBool,
    /// Cancelled, or the service stops.
    pub(crate) halt: CancellationToken,
    /// The service stops.
    pub(crate) stopping: CancellationToken,
}

impl JobEntry {
    /// A job that waits for its turn, or has ended.
    pub(crate) fn new(kind: &'static str, record: JobRecord, stopping: &CancellationToken) -> Self {
        Self {
            id: record.id,
            kind,
            record: watch::Sender::new(record),
            writing: Mutex::new(()),
            claimed: AtomicBool::new(false),
            cancel_asked: AtomicBool::new(false),
            halt: stopping.child_token(),
            stopping: stopping.clone(),
        }
    }

    pub(crate) fn state(&self) -> JobState {
        self.record.borrow().state
    }

    /// Claims it for whoever asks first.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancel_asked.load(Ordering::SeqCst)
    }
}
