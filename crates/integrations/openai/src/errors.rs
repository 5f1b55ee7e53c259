//! Problems in the form that `OpenAI`'s clients read. Statuses are those of the one table.

use reasonedit_http::problem::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// Faults of the input that are told in words; all of them are counted.
const TOLD: usize = 4;

/// A failure, in `OpenAI`'s form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct ErrorBody {
    /// What happened.
    pub(crate) error: ErrorDetail,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenAiErrorDetail)]
pub(crate) struct ErrorDetail {
    /// In words.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    kind: &'static str,
    /// The field of the request that is at fault, if one is.
    #[schema(example = "messages[0].content[1].image_url.url")]
    param: Option<String>,
    /// The kind of failure, for programs.
    #[schema(example = "model_not_found")]
    code: Option<String>,
}

impl From<&Problem> for ErrorBody {
    fn from(problem: &Problem) -> Self {
        let body = problem.body();
        let kind = match problem.kind() {
            ProblemKind::QueueFull | ProblemKind::TooManyAttempts | ProblemKind::RateLimited => {
                "rate_limit_error"
            }
            _ if problem.status().is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let pointer = body.errors.first().map(|error| error.pointer.as_str());
        let code = match problem.kind() {
            _ if problem.too_long().is_some() => "context_length_exceeded".to_owned(),
            ProblemKind::Unauthorized => "invalid_api_key".to_owned(),
            ProblemKind::QueueFull | ProblemKind::TooManyAttempts | ProblemKind::RateLimited => {
                "rate_limit_exceeded".to_owned()
            }
            ProblemKind::NotFound if pointer == Some("/model") => "model_not_found".to_owned(),
            ProblemKind::Unsupported => "unsupported_parameter".to_owned(),
            ProblemKind::Invalid => "invalid_value".to_owned(),
            _ => body.kind.rsplit(':').next().unwrap_or_default().replace('-', "_"),
        };
        let message = match body.errors.as_slice() {
            [] | [_] => body.detail,
            all => {
                let told = all.iter().take(TOLD).map(|e| format!("{}: {}", param(&e.pointer), e.detail));
                let told = told.collect::<Vec<_>>().join("; ");
                if all.len() > TOLD { format!("{told}; and {} more", all.len() - TOLD) } else { told }
            }
        };
        let param = pointer.map(param).filter(|param| !param.is_empty());
        Self { error: ErrorDetail { message, kind, param, code: Some(code) } }
    }
}

/// A problem that the editor found, with the places of a chat request; `choices_at` is where that has its
/// choices.
pub(super) fn placed(problem: Problem, choices_at: &str) -> Problem {
    if let Some((tokens, limit)) = problem.too_long() {
        // Clients look for these words, and shorten the conversation.
        let detail = format!(
            "This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. \
             Please reduce the length of the messages."
        );
        return Problem::at(ProblemKind::Unsupported, "/messages", detail).exceeding(tokens, limit);
    }
    problem.relocated(|pointer| match pointer.split('/').nth(1) {
        Some("choices") => Some(format!("{choices_at}{}", pointer.trim_start_matches("/choices"))),
        Some("retrieval") => Some(format!("/reasonedit{pointer}")),
        Some("image") => Some("/messages".to_owned()),
        _ => None,
    })
}

/// A JSON pointer as `OpenAI` writes places.
fn param(pointer: &str) -> String {
    let mut out = String::new();
    for segment in pointer.split('/').skip(1) {
        if !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()) {
            out.push('[');
            out.push_str(segment);
            out.push(']');
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    out
}

/// Failures of looking models up.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the errors in the contract")]
pub(crate) enum LookupErrors {
    /// No valid bearer token.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token's role may not do this, or it is for other codebooks; or a web page of an origin that is not
    /// allowed.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// More than one caller may ask for; `Retry-After` says when to come back.
    #[response(status = 429)]
    TooMany(ErrorBody),
    /// A fault of the service.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The model is being loaded, or the service is busy; `Retry-After` says when to come back.
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// The deadline passed.
    #[response(status = 504)]
    Deadline(ErrorBody),
    /// The audit trail has no room left, without which nothing is told (`audit.on_failure`).
    #[response(status = 507)]
    TrailFull(ErrorBody),
}

/// Failures of conversations.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes the errors in the contract")]
pub(crate) enum ChatErrors {
    /// Not JSON; a parameter that would change the answer and is not supported (`unsupported_parameter`); or
    /// more messages than the model takes (`context_length_exceeded`).
    #[response(status = 400)]
    Unsupported(ErrorBody),
    /// No valid bearer token.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token's role may not do this, or it is for other codebooks; or a web page of an origin that is not
    /// allowed.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// No such model, or no such codebook (`model_not_found`).
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The body came too slowly.
    #[response(status = 408)]
    RequestTimeout(ErrorBody),
    /// The codebook was made with another embedding.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// The body, or a picture in it, is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Not an image, or not JSON.
    #[response(status = 415)]
    UnsupportedMediaType(ErrorBody),
    /// Understood but unusable; `param` says where.
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// The queue is full, or more than one caller may ask for; `Retry-After` says when to come back.
    #[response(status = 429)]
    QueueFull(ErrorBody),
    /// A fault of the service.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The model is being loaded, the service is busy, or the codebook is set aside; `Retry-After` says when
    /// to come back.
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// The deadline passed.
    #[response(status = 504)]
    Deadline(ErrorBody),
    /// The audit trail has no room left, without which nothing is told (`audit.on_failure`).
    #[response(status = 507)]
    TrailFull(ErrorBody),
}

#[cfg(test)]
mod tests {
    use reasonedit_editor::{EditorError, FieldError};

    use super::*;

    #[test]
    fn places_as_openai_writes_them() {
        for (pointer, expected) in [
            ("", ""),
            ("/model", "model"),
            ("/messages/0/content/1/image_url/url", "messages[0].content[1].image_url.url"),
            ("/a~1b/~0", "a/b.~"),
        ] {
            assert_eq!(param(pointer), expected);
        }
    }

    #[test]
    fn every_kind_has_a_type_and_a_code() {
        use ProblemKind as K;
        let kinds = [
            K::Malformed,
            K::Unsupported,
            K::Unauthorized,
            K::Forbidden,
            K::NotFound,
            K::MethodNotAllowed,
            K::TooLarge,
            K::Invalid,
            K::QueueFull,
            K::Internal,
            K::Overloaded,
            K::NotReady,
            K::DeadlineExceeded,
        ];
        let mut rows = Vec::new();
        for kind in kinds {
            let problem = Problem::new(kind, "x");
            let error = ErrorBody::from(&problem).error;
            let code = error.code.unwrap_or_default();
            rows.push(format!("{} {} {code}", problem.status().as_u16(), error.kind));
        }
        insta::assert_snapshot!(rows.join("\n"));
    }

    #[test]
    fn what_is_too_long_is_told_as_clients_expect_it() {
        let problem = Problem::from(EditorError::Engine(reasonedit_editor::EngineError::TooLong {
            tokens: 900,
            limit: 512,
        }));
        assert_eq!(problem.status().as_u16(), 422);
        let problem = placed(problem, "");
        let error = ErrorBody::from(&problem).error;
        assert_eq!(problem.status().as_u16(), 400);
        assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
        assert_eq!((error.kind, error.param.as_deref()), ("invalid_request_error", Some("messages")));
        assert!(error.message.starts_with(
            "This model's maximum context length is 512 tokens. However, your messages resulted in 900"
        ));
    }

    #[test]
    fn several_faults_are_told_together() {
        let fault = |at: usize| FieldError::new(format!("/stop/{at}"), "is empty");
        let problem = Problem::from(EditorError::Invalid((0..6).map(fault).collect()));
        let error = ErrorBody::from(&problem).error;
        assert_eq!(error.param.as_deref(), Some("stop[0]"));
        assert_eq!(
            error.message,
            "stop[0]: is empty; stop[1]: is empty; stop[2]: is empty; stop[3]: is empty; and 2 more"
        );
    }
}
