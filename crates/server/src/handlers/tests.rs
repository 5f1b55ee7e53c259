//! What errors of the crates beneath are told as.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use reasonedit_editor::EditorError;
use reasonedit_http::problem::{PROBLEM_JSON, Problem};
use reasonedit_imaging::ImagingError;
use reasonedit_inference::EngineError;

#[test]
fn a_full_queue_says_when_to_come_back() {
    let error = EditorError::Engine(EngineError::QueueFull { retry_after: Duration::from_millis(2100) });
    let response = Problem::from(error).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
}

#[test]
fn faults_of_the_service_keep_their_details() {
    let error = EditorError::Storage(std::io::Error::other("/var/lib/secret is read-only"));
    let problem = Problem::from(error);
    assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!problem.body().detail.contains("secret"));
}

#[test]
fn editor_errors_have_the_statuses_of_the_contract() {
    let status = |error: EditorError| Problem::from(error).status().as_u16();
    assert_eq!(status(EditorError::IdempotencyConflict), 409);
    assert_eq!(status(EditorError::Archive("no manifest".to_owned())), 422);
    assert_eq!(status(EditorError::Cancelled), 503);
    assert_eq!(status(EditorError::Engine(EngineError::DeadlineExceeded)), 504);
    assert_eq!(status(EditorError::Engine(EngineError::Closed)), 503);
    assert_eq!(status(EditorError::Engine(EngineError::TooLong { tokens: 9, limit: 8 })), 422);
    assert_eq!(status(EditorError::Engine(EngineError::Panicked("index".to_owned()))), 500);
    assert_eq!(status(EditorError::Image(ImagingError::UnsupportedFormat)), 415);
    let not_read = ImagingError::NotRead { what: "a DICOM file".to_owned(), advice: "export it" };
    assert_eq!(status(EditorError::Image(not_read)), 415);
    assert_eq!(status(EditorError::Image(ImagingError::TooManyBytes { limit: 1, actual: 2 })), 413);
    assert_eq!(status(EditorError::Image(ImagingError::SideTooLong { limit: 1, actual: 2 })), 413);
    assert_eq!(status(EditorError::Image(ImagingError::Malformed("cut short".to_owned()))), 422);
    assert_eq!(status(EditorError::Image(ImagingError::Empty)), 422);
}

#[test]
fn input_errors_are_listed() {
    let problem = Problem::from(EditorError::Invalid(vec![
        reasonedit_editor::FieldError::new("/question", "must not be empty"),
        reasonedit_editor::FieldError::new("/reasoning/2/evidence/0", "lies outside the image"),
    ]));
    insta::assert_json_snapshot!(problem.body());
}
