//! How work on a job fails.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::JobsError;

/// Why work on a job ended without a result.
#[derive(Debug)]
pub enum JobFailure {
    /// The same may succeed later: it is tried again, a few times.
    Retry {
        /// Not before this long; the usual wait if `None`.
        after: Option<Duration>,
        /// What is told if it never does.
        report: FailureReport,
    },
    /// Nothing can be stored at present: the disk is full, say. It is tried again without end.
    Unwritable(FailureReport),
    /// It is over.
    Failed(FailureReport),
    /// What the job needed of the jobs themselves, say to keep a checkpoint, was refused. It is over,
    /// unless nothing can be stored at present.
    Jobs(JobsError),
}

impl From<JobsError> for JobFailure {
    fn from(error: JobsError) -> Self {
        Self::Jobs(error)
    }
}

/// What is told of a failure, and kept in the record of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// In words, for the log.
    pub(crate) detail: String,
    /// In the form of whoever runs the jobs.
    pub(crate) document: Value,
}

impl FailureReport {
    /// A report of these words; `document` is what the record keeps and [`crate::JobView::error`] tells.
    pub fn new(detail: impl Into<String>, document: Value) -> Self {
        Self { detail: detail.into(), document }
    }

    /// A report whose document has nothing but its words.
    #[allow(clippy::needless_pass_by_value, reason = "as reporters are called")]
    pub fn plain(error: JobsError) -> Self {
        let detail = error.to_string();
        Self { document: json!({ "detail": detail }), detail }
    }
}
