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
mod tests {
    use std::time::Duration;

    use reasonedit_codebook::Unwritable;
    use reasonedit_editor::{CodebookError, EngineError};
    use ulid::Ulid;

    use super::*;

    #[test]
    fn what_refuses_a_job_has_the_statuses_of_the_contract() {
        let job = Ulid::new();
        let status = |error: JobsError| Problem::from(error).status().as_u16();
        assert_eq!(status(JobsError::Unknown(job)), 404);
        assert_eq!(status(JobsError::Ended), 409);
        assert_eq!(status(JobsError::Stopping), 503);
        assert_eq!(status(JobsError::Panicked { job, said: "secret".to_owned() }), 500);
        for error in [JobsError::KeyUsed { job }, JobsError::Exclusive { kind: "reembed", job }] {
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.body().job), (409, Some(job.to_string())));
        }
        let full = Problem::from(JobsError::QueueFull { retry_after: Duration::from_secs(30) });
        assert_eq!((full.status().as_u16(), full.wait()), (429, Some(Duration::from_secs(30))));
    }

    #[test]
    fn a_failure_is_kept_as_the_problem_that_a_request_would_have_been_answered_with() {
        let refused = failed(Problem::invalid("/samples", "Too few samples: 20 are needed."));
        let JobFailure::Failed(report) = refused else { panic!("tried again") };
        let body = Problem::invalid("/samples", "Too few samples: 20 are needed.").body();
        assert_eq!(report, FailureReport::new(body.detail.clone(), serde_json::json!(body)));
        let panicked = report_of(JobsError::Panicked { job: Ulid::new(), said: "secret".to_owned() });
        assert!(panicked.contains("500") && !panicked.contains("secret"), "{panicked}");
        let interrupted = report_of(JobsError::Interrupted { times: 3 });
        assert!(interrupted.contains("interrupted 3 times"), "{interrupted}");
    }

    fn report_of(error: JobsError) -> String {
        format!("{:?}", report(error))
    }

    #[test]
    fn what_passes_is_tried_again_when_it_says() {
        let retry_after = Duration::from_millis(2100);
        let failure = failed(EngineError::QueueFull { retry_after }.into());
        assert!(matches!(failure, JobFailure::Retry { after: Some(after), .. } if after == retry_after));
        let failure = failed(EngineError::DeadlineExceeded.into());
        assert!(matches!(failure, JobFailure::Retry { after: None, .. }));
        let full: Problem = CodebookError::Unwritable(Unwritable::Full).into();
        assert!(matches!(failed(full), JobFailure::Unwritable(_)));
        assert!(matches!(failed(Problem::internal(&"disk")), JobFailure::Failed(_)));
    }
}
