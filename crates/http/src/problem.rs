//! The one table of errors: everything that can go wrong becomes a status and a problem document (RFC 9457)
//! here.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_failure::{Classify, Failure, FailureKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::coding::ACCEPTED;

/// Media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Longest `detail`, in characters: messages of parsers quote the input, which may be megabytes.
const DETAIL_CHARS: usize = 400;

/// What kind of thing went wrong; each has one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The request can't be parsed.
    Malformed,
    /// Known, but nothing that is done here.
    Unsupported,
    /// No valid bearer token.
    Unauthorized,
    /// A web page of an origin that is not allowed.
    Forbidden,
    /// No such resource.
    NotFound,
    /// The resource has no such method.
    MethodNotAllowed,
    /// The request body came too slowly.
    RequestTimeout,
    /// It was there, and was erased for good.
    Erased,
    /// It contradicts what is there.
    Conflict,
    /// Edits about the same say otherwise, and none was to.
    Contradicted,
    /// It is another version by now than the change was meant for.
    OtherVersion,
    /// The body, or the picture in it, is too large.
    TooLarge,
    /// The head of the request is too large.
    HeadTooLarge,
    /// Neither a media type nor a picture format that is read.
    UnsupportedMediaType,
    /// Understood but unusable.
    Invalid,
    /// The engine's queue is full.
    QueueFull,
    /// Too many wrong tokens from there.
    TooManyAttempts,
    /// One caller asks too often.
    RateLimited,
    /// A fault of the service.
    Internal,
    /// Another service that is needed can't be reached, or refuses.
    Upstream,
    /// The service has as much to do as it takes, or is stopping.
    Overloaded,
    /// The model is being loaded.
    NotReady,
    /// What is stored has decayed.
    Damaged,
    /// No room is left to store anything.
    StorageFull,
    /// Nothing can be stored at present.
    Unwritable,
    /// The deadline passed.
    DeadlineExceeded,
}

impl ProblemKind {
    /// Status, last part of the type, title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request can't be parsed"),
            Self::Unsupported => (StatusCode::BAD_REQUEST, "unsupported", "Not supported"),
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A valid bearer token is needed")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The resource has no such method")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request came too slowly")
            }
            Self::Erased => (StatusCode::GONE, "erased", "It was erased"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict with what is there"),
            Self::Contradicted => (StatusCode::CONFLICT, "contradicted", "Something else stands"),
            Self::OtherVersion => {
                (StatusCode::PRECONDITION_FAILED, "other-version", "It is another version by now")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
            Self::HeadTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head is too large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Not a format that is read")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The input can't be used"),
            Self::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "queue-full", "The queue is full"),
            Self::TooManyAttempts => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many wrong tokens")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "upstream", "Another service fails"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of the service"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The service is busy"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The model is being loaded"),
            Self::Damaged => (StatusCode::SERVICE_UNAVAILABLE, "damaged", "What is stored is damaged"),
            Self::StorageFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage-full", "No room is left to store anything")
            }
            Self::Unwritable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unwritable", "Nothing can be stored at present")
            }
            Self::DeadlineExceeded => {
                (StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", "The deadline passed")
            }
        }
    }

    /// The kind that a failure of the crates beneath is told as.
    const fn of_failure(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unsupported => Self::Unsupported,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::Erased => Self::Erased,
            FailureKind::Conflict => Self::Conflict,
            FailureKind::Contradicted => Self::Contradicted,
            FailureKind::OtherVersion => Self::OtherVersion,
            FailureKind::Forbidden => Self::Forbidden,
            FailureKind::TooLarge => Self::TooLarge,
            FailureKind::UnsupportedFormat => Self::UnsupportedMediaType,
            FailureKind::Invalid => Self::Invalid,
            FailureKind::QueueFull => Self::QueueFull,
            FailureKind::Unavailable => Self::Overloaded,
            FailureKind::DeadlineExceeded => Self::DeadlineExceeded,
            FailureKind::Damaged => Self::Damaged,
            FailureKind::StorageFull => Self::StorageFull,
            FailureKind::Unwritable => Self::Unwritable,
            FailureKind::Internal => Self::Internal,
        }
    }

    /// The kind that stands for a bare status of the framework.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            409 => Self::Conflict,
            412 => Self::OtherVersion,
            413 => Self::TooLarge,
            415 => Self::UnsupportedMediaType,
            422 => Self::Invalid,
            429 => Self::QueueFull,
            431 => Self::HeadTooLarge,
            502 => Self::Upstream,
            503 => Self::Overloaded,
            504 => Self::DeadlineExceeded,
            507 => Self::StorageFull,
            400..=499 => Self::Malformed,
            _ => Self::Internal,
        }
    }
}

/// One thing wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body, or `/` and the name of a query parameter.
    #[schema(example = "/reasoning/2")]
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:reasonedit:problem:invalid")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// What is wrong with the input, place by place; present for input errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// The job that stands in the way; present where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub job: Option<String>,
    /// The edit that it is about; present where a reverted one was made under the request's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub edit: Option<String>,
    /// The edits that say otherwise; present where none was to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub edits: Vec<String>,
}

/// A failure on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    errors: Vec<FieldProblem>,
    retry_after: Option<Duration>,
    /// Whether the codings of bodies that are decoded are told.
    codings: bool,
    /// Apart, because few have it and every result makes room for a problem.
    about: Option<Box<About>>,
}

/// What a problem is about, beside places of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct About {
    job: Option<String>,
    edit: Option<String>,
    edits: Vec<String>,
    /// Tokens of the input, and as many as the model takes.
    too_long: Option<(usize, usize)>,
}

/// Results of handlers.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let retry_after = match kind {
            ProblemKind::Overloaded => Some(Duration::from_secs(1)),
            ProblemKind::NotReady | ProblemKind::Unwritable => Some(Duration::from_secs(2)),
            ProblemKind::StorageFull => Some(Duration::from_secs(30)),
            _ => None,
        };
        Self {
            kind,
            detail: shorten(&detail.into()),
            errors: Vec::new(),
            retry_after,
            codings: false,
            about: None,
        }
    }

    /// An input error at one place.
    pub fn at(kind: ProblemKind, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = shorten(&detail.into());
        let errors = vec![FieldProblem { pointer: shorten(&pointer.into()), detail: detail.clone() }];
        Self { errors, ..Self::new(kind, detail) }
    }

    /// Input that was understood but can't be used (422), at one place.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::at(ProblemKind::Invalid, pointer, detail)
    }

    /// A resource that isn't there (404).
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, detail)
    }

    /// A fault of the service (500): what happened goes to the log, not to the client.
    pub fn internal(what: &dyn Display) -> Self {
        tracing::error!(error = %what, "internal failure");
        Self::new(ProblemKind::Internal, "The service failed; its log says why.")
    }

    /// A failure as it is told.
    fn of(failure: Failure) -> Self {
        if failure.kind == FailureKind::Internal {
            return Self::internal(&failure.detail);
        }
        if failure.kind == FailureKind::Damaged {
            tracing::error!(error = %failure.detail, "damaged data");
        }
        let errors = failure
            .places
            .into_iter()
            .map(|place| FieldProblem { pointer: shorten(&place.pointer), detail: shorten(&place.detail) })
            .collect();
        let mut problem = Self { errors, ..Self::new(ProblemKind::of_failure(failure.kind), failure.detail) };
        if let Some(after) = failure.retry_after {
            problem = problem.retry_after(after);
        }
        if let Some(job) = failure.job {
            problem = problem.about_job(job);
        }
        if let Some(edit) = failure.edit {
            problem = problem.about_edit(edit);
        }
        if !failure.edits.is_empty() {
            problem.about.get_or_insert_default().edits = failure.edits;
        }
        if let Some((tokens, limit)) = failure.too_long {
            problem = problem.exceeding(tokens, limit);
        }
        problem
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says where things are that are found elsewhere in the request than the part that judged them knows.
    #[must_use]
    pub fn relocated(mut self, place: impl Fn(&str) -> Option<String>) -> Self {
        for error in &mut self.errors {
            if let Some(pointer) = place(&error.pointer) {
                error.pointer = pointer;
            }
        }
        self
    }

    /// Tells which codings of bodies are decoded (`Accept-Encoding`, RFC 9110, section 12.5.3).
    #[must_use]
    pub fn accept_encoding(mut self) -> Self {
        self.codings = true;
        self
    }

    /// Names the job that stands in the way.
    #[must_use]
    pub fn about_job(mut self, job: impl Display) -> Self {
        self.about.get_or_insert_default().job = Some(job.to_string());
        self
    }

    /// Names the edit that it is about.
    #[must_use]
    pub fn about_edit(mut self, edit: impl Display) -> Self {
        self.about.get_or_insert_default().edit = Some(edit.to_string());
        self
    }

    /// Says that the input has more tokens than the model takes.
    #[must_use]
    pub fn exceeding(mut self, tokens: usize, limit: usize) -> Self {
        self.about.get_or_insert_default().too_long = Some((tokens, limit));
        self
    }

    /// Tokens of the input and of what the model takes, where that is what is wrong.
    pub fn too_long(&self) -> Option<(usize, usize)> {
        self.about.as_ref()?.too_long
    }

    /// When to try again, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same may succeed a moment later.
    pub fn passing(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::QueueFull
                | ProblemKind::RateLimited
                | ProblemKind::Overloaded
                | ProblemKind::NotReady
                | ProblemKind::DeadlineExceeded
        )
    }

    /// The kind of problem.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.kind.row().0
    }

    /// The document.
    pub fn body(&self) -> ProblemBody {
        let (status, slug, title) = self.kind.row();
        ProblemBody {
            kind: format!("urn:reasonedit:problem:{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            job: self.about.as_ref().and_then(|about| about.job.clone()),
            edit: self.about.as_ref().and_then(|about| about.edit.clone()),
            edits: self.about.as_ref().map(|about| about.edits.clone()).unwrap_or_default(),
        }
    }
}

/// At most [`DETAIL_CHARS`] characters of a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = (self.status(), [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(after) = self.retry_after {
            // The header counts whole seconds; less than one would invite a storm.
            set(header::RETRY_AFTER, &after.as_millis().div_ceil(1000).max(1).to_string());
        }
        if self.kind == ProblemKind::Unauthorized {
            set(header::WWW_AUTHENTICATE, "Bearer realm=\"reasonedit\"");
        }
        if self.codings {
            set(header::ACCEPT_ENCODING, ACCEPTED);
        }
        set(header::CACHE_CONTROL, "no-store");
        // For those who speak another protocol and tell it in their own form.
        response.extensions_mut().insert(self);
        response
    }
}

/// Errors of the crates beneath say themselves what kind of failure they are.
impl<E: Classify> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(error.classify())
    }
}

#[cfg(test)]
mod tests;
