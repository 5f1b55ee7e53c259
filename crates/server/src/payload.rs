//! The body of `POST /edits` and `POST /query`: JSON or a form, read within bounds.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::json::from_slice;
use crate::multipart::{self, FormBody};
use crate::problem::{Problem, ProblemKind, Result};
use crate::state::AppState;

/// A parsed body; the memory of its bytes counts until `held` is dropped.
#[derive(Debug)]
pub(crate) struct Payload<T> {
    pub(crate) value: T,
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

/// A parsed JSON body; as [`Payload`].
#[derive(Debug)]
pub(crate) struct JsonPayload<T> {
    pub(crate) value: T,
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

impl<T: DeserializeOwned> FromRequest<AppState> for JsonPayload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !format_of(content_type).is_ok_and(|format| format == Format::Json) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, "Send application/json."));
        }
        let body = state.budget().read(&parts.headers, body).await?;
        Ok(Self { value: from_slice(&body.bytes)?, held: body.held })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Form,
}

impl<T: FormBody> FromRequest<AppState> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // The media type first: bytes of a kind that is not read need not be received.
        let format = format_of(content_type)?;
        let body = state.budget().read(&parts.headers, body).await?;
        let value = match format {
            Format::Json => from_slice(&body.bytes)?,
            Format::Form => multipart::parse(content_type, body.bytes).await?,
        };
        Ok(Self { value, held: body.held })
    }
}

fn format_of(content_type: &str) -> Result<Format> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Format::Json),
        "multipart/form-data" => Ok(Format::Form),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Format::Json),
        "" => Err(unsupported("The request has no content type")),
        other => Err(unsupported(&format!("`{other}` is not read"))),
    }
}

fn unsupported(what: &str) -> Problem {
    Problem::new(
        ProblemKind::UnsupportedMediaType,
        format!("{what}; send application/json or multipart/form-data."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for json in
            ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/ld+json"]
        {
            assert!(format_of(json).is_ok_and(|f| f == Format::Json), "{json}");
        }
        assert!(format_of("multipart/form-data; boundary=x").is_ok_and(|f| f == Format::Form));
        for other in ["", "text/plain", "application/x-www-form-urlencoded", "image/png", "text/json"] {
            assert!(format_of(other).is_err_and(|p| p.status().as_u16() == 415), "{other}");
        }
    }
}
