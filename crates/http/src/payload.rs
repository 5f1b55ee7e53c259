//! The bodies of requests: the one way in. Every route that takes a body names one of these, and its policy
//! the same; all of them are read by [`crate::body`], within its bounds.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use reasonedit_resilience::MemoryPermit;
use serde::de::DeserializeOwned;

use crate::body::{BodyBudget, Pieces, WholeBody};
use crate::json::{from_slice_within, is_empty};
use crate::multipart::{self, FormBody};
use crate::policy::{self, BodyPolicy};
use crate::problem::{Problem, ProblemKind, Result};
use crate::room::Room;

/// A body that is JSON or a form; the memory of its bytes counts until `held` is dropped.
#[derive(Debug)]
pub struct Payload<T> {
    /// What it says.
    pub value: T,
    /// Its place in memory.
    pub held: Option<MemoryPermit>,
}

/// A JSON body; as [`Payload`].
#[derive(Debug)]
pub struct JsonPayload<T> {
    /// What it says.
    pub value: T,
    /// Its place in memory.
    pub held: Option<MemoryPermit>,
}

/// A JSON body of whatever media type it says it is; as [`Payload`].
#[derive(Debug)]
pub struct UntypedJson<T> {
    /// What it says.
    pub value: T,
    /// Its place in memory.
    pub held: Option<MemoryPermit>,
}

/// A JSON body or none at all; as [`Payload`].
#[derive(Debug)]
pub struct OptionalJson<T> {
    /// What it says.
    pub value: Option<T>,
    /// Its bytes, to tell a repeated request.
    pub bytes: Bytes,
    /// Its place in memory.
    pub held: Option<MemoryPermit>,
}

/// A body that is never held in memory: not read before its handler asks for its pieces.
#[derive(Debug)]
pub struct Upload {
    headers: HeaderMap,
    body: Body,
    budget: BodyBudget,
}

impl Upload {
    /// What the body says it is.
    pub fn content_type(&self) -> &str {
        content_type(&self.headers)
    }

    /// The head of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The pieces, without their codings, of a body of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 where a longer one is announced, 415 for a coding that is not decoded.
    pub fn pieces(self, limit: u64) -> Result<Pieces> {
        self.budget.pieces(&self.headers, self.body, limit)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Form,
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn json_only(headers: &HeaderMap) -> Result<()> {
    if format_of(content_type(headers)).is_ok_and(|format| format == Format::Json) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::UnsupportedMediaType, "Send application/json."))
}

/// What a body is read with, if the policy of the route names this kind of body.
fn budget(request: &Request, kind: BodyPolicy) -> Result<BodyBudget> {
    let named = policy::of(request).body == kind;
    let budget = request.extensions().get::<BodyBudget>().filter(|_| named).cloned();
    budget.ok_or_else(|| Problem::internal(&format!("the route's policy names no such body as {kind:?}")))
}

async fn whole(budget: &BodyBudget, request: Request) -> Result<WholeBody> {
    let (parts, body) = request.into_parts();
    budget.read(&parts.headers, body).await
}

impl<T: FormBody + Send + 'static, S: Sync> FromRequest<S> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let budget = budget(&request, BodyPolicy::Form)?;
        let content_type = content_type(request.headers()).to_owned();
        // The media type first: bytes of a kind that is not read need not be received.
        let format = format_of(&content_type)?;
        let body = whole(&budget, request).await?;
        let parse = move |bytes: Bytes, room: &mut Room<'_>| match format {
            Format::Json => from_slice_within(&bytes, room),
            // All of it is there, so that nothing is waited for.
            Format::Form => futures::executor::block_on(multipart::parse_within(&content_type, bytes, room)),
        };
        let (value, held) = budget.parse(body, parse).await?;
        Ok(Self { value, held })
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Sync> FromRequest<S> for JsonPayload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let budget = budget(&request, BodyPolicy::Json)?;
        json_only(request.headers())?;
        let body = whole(&budget, request).await?;
        let (value, held) = budget.parse(body, |bytes, room| from_slice_within(&bytes, room)).await?;
        Ok(Self { value, held })
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Sync> FromRequest<S> for UntypedJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let budget = budget(&request, BodyPolicy::UntypedJson)?;
        let body = whole(&budget, request).await?;
        let (value, held) = budget.parse(body, |bytes, room| from_slice_within(&bytes, room)).await?;
        Ok(Self { value, held })
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let budget = budget(&request, BodyPolicy::OptionalJson)?;
        let typed = json_only(request.headers());
        let body = whole(&budget, request).await?;
        // Nothing need not say what it is; a body that is there is of a type, as everywhere.
        if is_empty(&body.bytes) {
            return Ok(Self { value: None, bytes: body.bytes, held: body.held });
        }
        typed?;
        let bytes = body.bytes.clone();
        let (value, held) = budget.parse(body, |bytes, room| from_slice_within(&bytes, room)).await?;
        Ok(Self { value: Some(value), bytes, held })
    }
}

impl<S: Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let budget = budget(&request, BodyPolicy::Upload)?;
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body, budget })
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
