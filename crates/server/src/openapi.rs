//! What the contract says beside its routes.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::dto::job::BatchLineDto;
use crate::problem::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ReasonEdit",
        description = "Edits to a vision-language model by human reasoning, kept in a codebook. The model's weights never change.\n\n\
            Errors are problem documents (RFC 9457). `X-Request-Id` is accepted or made, and returned. Several codebooks live side by side: \
            `?codebook=NAME`. Bodies may be encoded (`Content-Encoding`: gzip, zstd, deflate).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "edits", description = "Corrections, and taking them back."),
        (name = "query", description = "Answers that take the corrections into account."),
        (name = "codebook", description = "What the corrections have become."),
        (name = "modularity", description = "Which layer and which weight embed pictures and texts, and moving to them."),
        (name = "jobs", description = "Work in the background: progress, results, cancelling."),
        (name = "images", description = "Uploaded pictures."),
        (name = "service", description = "Health, metrics, this document."),
    ),
    // A line of what is JSON Lines, which a document of this version can't say itself.
    components(schemas(BatchLineDto)),
    security((), ("bearer" = [])),
    modifiers(&BearerScheme),
)]
pub(crate) struct ApiDoc;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some("Needed when the service is configured with tokens.".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(http));
    }
}

/// Failures of any look-up.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the problems in the contract")]
pub(crate) enum LookupProblems {
    /// No valid bearer token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// A parameter can't be used.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// A fault of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The model is being loaded, or the service is busy; `Retry-After` says when to come back.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// The deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    Deadline(ProblemBody),
}

/// Failures of requests with a body that the model works on.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the problems in the contract")]
pub(crate) enum InputProblems {
    /// The body can't be parsed.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// No valid bearer token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// A web page of an origin that is not allowed.
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
    /// The queue is full; `Retry-After` says when to come back.
    #[response(status = 429, content_type = "application/problem+json")]
    QueueFull(ProblemBody),
    /// A fault of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The model is being loaded, or the service is busy; `Retry-After` says when to come back.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// The deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    Deadline(ProblemBody),
}
