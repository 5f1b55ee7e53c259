//! JSON bodies, forms and query strings to typed values: the one way that a document from outside is read.
//! Every rejection is a problem in this API's words, with a pointer.

mod fault;
mod query;
mod reader;
mod scalar;
mod syntax;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use reasonedit_resilience::tree_bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::reader::{Reader, Stash};
use crate::problem::{Problem, ProblemKind, Result};
use crate::room::Room;

/// Bytes of memory that the JSON of a text within a document may take.
const TEXT_TREE: u64 = 4 << 20;

/// Parses a JSON document, in UTF-8, or in UTF-16 that says so by its byte order mark.
///
/// # Errors
/// 400 with line and column when it is not JSON; 422 with a pointer when a field is missing, unknown, given
/// twice or of another type; 413 when what would be made of it is much larger than it is.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    from_slice_within(bytes, &mut Room::alone(bytes.len()))
}

/// As [`from_slice`], of a body whose memory is counted.
///
/// # Errors
/// As there; 503 when there is no memory for what is made of it.
pub(crate) fn from_slice_within<T: DeserializeOwned>(bytes: &[u8], room: &mut Room<'_>) -> Result<T> {
    let bytes = &*syntax::plain(bytes)?;
    room.weigh(bytes)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(ProblemKind::Malformed, "The body is empty; a JSON object is needed."));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Reader::new(&mut parser, &Stash::default()));
    let value = value.map_err(|fault| fault.problem(bytes))?;
    parser.end().map_err(|error| fault::Fault::syntax(&error).problem(bytes))?;
    Ok(value)
}

/// What a text within a document holds, if that is JSON of no more than some thousand values: such a text
/// counts in its document as a text.
pub fn from_text(text: &str) -> Option<Value> {
    if tree_bytes(text.as_bytes()) > TEXT_TREE {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Whether a body holds nothing at all.
pub fn is_empty(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// Turns a JSON value into a typed one.
///
/// # Errors
/// 422 as [`from_slice`].
#[allow(dead_code, reason = "for what came as a part of another document")]
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(Reader::new(value, &Stash::default())).map_err(|fault| fault.problem(&[]))
}

/// As [`from_value`], of a value that stays where it is.
///
/// # Errors
/// 422 as [`from_slice`].
pub fn from_ref<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T> {
    T::deserialize(Reader::new(value, &Stash::default())).map_err(|fault| fault.problem(&[]))
}

/// Turns a JSON value that was put together from parts of a form into a typed one: numbers and truth values
/// may be texts.
///
/// # Errors
/// 422 as [`from_slice`].
pub fn from_form<T: DeserializeOwned>(value: Value) -> Result<T> {
    let stash = Stash::of_form();
    T::deserialize(Reader::new(value, &stash)).map_err(|fault| fault.problem(&[]))
}

/// A query string. Unlike axum's own extractor it answers problems.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn from_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    query::read(query).map_err(|fault| fault.problem(&[]))
}

#[cfg(test)]
mod tests;
