//! The failures that the contract lists for kinds of requests.

use reasonedit_http::problem::ProblemBody;
use utoipa::IntoResponses;

/// Failures of any look-up.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the problems in the contract")]
pub enum LookupProblems {
    /// No valid bearer token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The token's role may not do this, or it is for other codebooks; or a web page of an origin that is not
    /// allowed.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// A parameter can't be used.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// More than one caller may ask for; `Retry-After` says when to come back.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ProblemBody),
    /// A fault of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The model is being loaded, or the service is busy; `Retry-After` says when to come back.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// The deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    Deadline(ProblemBody),
    /// No room is left to store anything, or for the audit trail, without which nothing is told
    /// (`audit.on_failure`).
    #[response(status = 507, content_type = "application/problem+json")]
    StorageFull(ProblemBody),
}

/// Failures of requests with a body that the model works on.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the problems in the contract")]
pub enum InputProblems {
    /// The body can't be parsed.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// No valid bearer token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The token's role may not do this, or it is for other codebooks; or a web page of an origin that is not
    /// allowed.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// The body came too slowly.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemBody),
    /// The body, or the picture in it, is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// Not an image, not a media type that is read, or a content encoding that is not decoded:
    /// `Accept-Encoding` names those that are.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// Understood but unusable; `errors` says where.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// The queue is full, or more than one caller may ask for; `Retry-After` says when to come back.
    #[response(status = 429, content_type = "application/problem+json")]
    QueueFull(ProblemBody),
    /// A fault of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The model is being loaded, the service is busy, or nothing can be stored at present; `Retry-After`
    /// says when to come back.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// The deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    Deadline(ProblemBody),
    /// No room is left to store anything, or for the audit trail, without which nothing is told
    /// (`audit.on_failure`).
    #[response(status = 507, content_type = "application/problem+json")]
    StorageFull(ProblemBody),
}
