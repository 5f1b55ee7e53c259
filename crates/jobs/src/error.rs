//! Everything that can go wrong with jobs themselves.

use std::io;
use std::time::Duration;

use reasonedit_codebook::{CodebookError, Unwritable};
use reasonedit_failure::{Classify, Failure, FailureKind};
use reasonedit_resilience::WorkLost;
use ulid::Ulid;

/// Why the jobs of before can't be taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Their records can't be read.
    #[error("the jobs of before can't be read: {0}")]
    Records(#[from] CodebookError),
    /// The folder of their inputs can't be used. The kind of the error alone: its text may hold a path.
    #[error("the folder of the jobs' inputs can't be used: {0}")]
    Folder(io::ErrorKind),
}

/// Why a job was not taken, found, kept or gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// There is no such job, or it was forgotten.
    #[error("There is no job {0}.")]
    Unknown(Ulid),
    /// Nothing works on jobs of this kind.
    #[error("nothing works on jobs of the kind `{0}`")]
    UnknownKind(String),
    /// It is done, or has failed.
    #[error("The job has ended: there is nothing to cancel.")]
    Ended,
    /// Only one of its kind may be.
    #[error("There is a job of the kind `{kind}` already: {job}.")]
    Exclusive {
        /// The kind.
        kind: &'static str,
        /// The one there is.
        job: Ulid,
    },
    /// The key was used for something else.
    #[error("This idempotency key was used before with another request.")]
    KeyUsed {
        /// What was submitted under it.
        job: Ulid,
    },
    /// What was kept of it has decayed.
    #[error(
        "What was kept of the job {job} is damaged, so that it isn't known how far it had come. Look at what the codebook has; to do it again, send another idempotency key."
    )]
    Decayed {
        /// Which.
        job: Ulid,
    },
    /// Too many wait.
    #[error("Too many jobs are waiting (server.limits.jobs_queued).")]
    QueueFull {
        /// When it may be worth trying again.
        retry_after: Duration,
    },
    /// Too many of this caller's wait.
    #[error(
        "Of your jobs as many are waiting as may be of one caller's (server.limits.caller_percent of server.limits.jobs_queued)."
    )]
    CallerQueueFull {
        /// When it may be worth trying again.
        retry_after: Duration,
    },
    /// The service stops.
    #[error("The service is stopping.")]
    Stopping,
    /// It was begun again and again, and never came to a checkpoint.
    #[error(
        "The job was interrupted {times} times without getting on. It goes on if it is sent again under its idempotency key."
    )]
    Interrupted {
        /// How often it was begun.
        times: u32,
    },
    /// What works on it panicked.
    #[error("job {job} panicked: {said}")]
    Panicked {
        /// Which.
        job: Ulid,
        /// What the panic said.
        said: String,
    },
    /// An input, a checkpoint, a piece or a result is not of the form of its kind: an earlier version may
    /// have written it.
    #[error("what is kept of a job is of another form: {0}")]
    Form(#[from] serde_json::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] CodebookError),
    /// The disk refused an upload. The kind of the error alone: its text may hold a path.
    #[error("an upload can't be kept: {0}")]
    Upload(io::ErrorKind),
    /// Work beside the runtime never came to its end.
    #[error(transparent)]
    Lost(#[from] WorkLost),
}

impl JobsError {
    /// Whether nothing can be stored at present, which ends by itself once the cause is gone.
    pub fn is_unwritable(&self) -> bool {
        match self {
            Self::Journal(error) => matches!(error, CodebookError::Unwritable(_)),
            Self::Upload(kind) => Unwritable::is_full(*kind),
            _ => false,
        }
    }
}

impl Classify for JobsError {
    fn classify(self) -> Failure {
        let told = |kind| Failure::new(kind, self.to_string());
        match self {
            Self::Unknown(_) => told(FailureKind::NotFound),
            Self::Ended => told(FailureKind::Conflict),
            Self::Exclusive { job, .. } | Self::KeyUsed { job } => told(FailureKind::Conflict).about_job(job),
            Self::Decayed { job } => told(FailureKind::Damaged).about_job(job),
            Self::QueueFull { retry_after } | Self::CallerQueueFull { retry_after } => {
                told(FailureKind::QueueFull).retry_after(retry_after)
            }
            Self::Stopping => told(FailureKind::Unavailable),
            Self::Journal(error) => error.classify(),
            Self::Upload(kind) if Unwritable::is_full(kind) => {
                CodebookError::Unwritable(Unwritable::Full).classify()
            }
            _ => told(FailureKind::Internal),
        }
    }
}

/// Results of this crate.
pub type Result<T, E = JobsError> = std::result::Result<T, E>;
