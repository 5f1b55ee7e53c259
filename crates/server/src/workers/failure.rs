//! How jobs fail, between problem documents and the jobs' own words.

use std::io;

use reasonedit_http::problem::{Problem, ProblemKind};
use reasonedit_jobs::{FailureReport, JobFailure, JobsError};
use serde_json::Value;

/// What is kept of a problem: the document that a request would have been answered with.
fn reported(problem: &Problem) -> FailureReport {
    let body = problem.body();
    let document = serde_json::to_value(&body).unwrap_or(Value::Null);
    FailureReport::new(body.detail, document)
}

/// What is told of an upload that can't be read: that it is damaged, where it isn't as it came.
pub(super) fn unreadable(error: &io::Error) -> Problem {
    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) {
        return Problem::new(
            ProblemKind::Damaged,
            "What was kept of the upload is damaged or missing; send it again under another idempotency key, without what its results say is done.",
        );
    }
    // The kind and not its text, which may hold a path.
    Problem::internal(&format!("an upload can't be read: {}", error.kind()))
}

/// How failures of the jobs themselves are told.
pub(super) fn report(error: JobsError) -> FailureReport {
    reported(&match error {
        // Nothing of it is a secret.
        JobsError::Interrupted { .. } => Problem::new(ProblemKind::Internal, error.to_string()),
        other => other.into(),
    })
}

/// How a worker's problem ends its job, or has it tried again.
#[allow(clippy::needless_pass_by_value, reason = "what `map_err` hands on")]
pub(super) fn failed(problem: Problem) -> JobFailure {
    let report = reported(&problem);
    if matches!(problem.kind(), ProblemKind::StorageFull | ProblemKind::Unwritable) {
        JobFailure::Unwritable(report)
    } else if problem.passing() {
        JobFailure::Retry { after: problem.wait(), report }
    } else {
        JobFailure::Failed(report)
    }
}

#[cfg(test)]
mod tests;
