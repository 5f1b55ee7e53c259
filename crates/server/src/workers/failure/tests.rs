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
