//! JSON bodies and query strings to typed values, every rejection a problem with a pointer.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Problem, ProblemKind, Result};

/// Parses a JSON document.
///
/// # Errors
/// 400 with line and column when it is not JSON; 422 with a pointer when a field is missing, unknown or of another type.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(ProblemKind::Malformed, "The body is empty; a JSON object is expected."));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| rejection(error.path(), error.inner()))?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// Turns a JSON value that was put together from parts of a form into a typed one.
pub(crate) fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| rejection(error.path(), error.inner()))
}

fn rejection(path: &Path, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => {
            let message = error.to_string();
            Problem::invalid(pointer(path, &message), message)
        }
        Category::Syntax | Category::Eof | Category::Io => malformed(error),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Malformed, format!("The body is not JSON: {error}"))
}

/// The JSON pointer (RFC 6901) of the place an error speaks of. For a missing or unknown field that is the field itself.
fn pointer(path: &Path, message: &str) -> String {
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        push(&mut pointer, &name);
        last = Some(name);
    }
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(field, _)| field);
    if let Some(field) = named.filter(|field| last.as_deref() != Some(field)) {
        push(&mut pointer, field);
    }
    pointer
}

fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// A query string. Unlike axum's own extractor it answers problems.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn from_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let message = error.inner().to_string();
        Problem::invalid(pointer(error.path(), &message), message)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        #[serde(default)]
        items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        size: u32,
    }

    fn refused(text: &str) -> (u16, Vec<String>, String) {
        let body = from_slice::<Outer>(text.as_bytes()).unwrap_err().body();
        (body.status, body.errors.into_iter().map(|e| e.pointer).collect(), body.detail)
    }

    #[test]
    fn syntax_is_400_with_a_position() {
        for text in [
            "",
            "  \n",
            "{",
            "{\"name\": }",
            "nul",
            "{\"name\": \"a\"} x",
            "\u{feff}{}",
            "{\"name\": \"\\ud800\"}",
        ] {
            let (status, pointers, detail) = refused(text);
            assert_eq!((status, pointers.len()), (400, 0), "{text}: {detail}");
        }
        assert!(refused("{\"name\":\n }").2.contains("line 2 column 2"));
        assert_eq!(refused(&"[".repeat(100_000)).0, 422, "an array where an object is expected");
        let deep = format!("{{\"name\": {}", "{\"a\":".repeat(100_000));
        assert!(matches!(refused(&deep).0, 400 | 422));
        assert_eq!(from_slice::<Outer>(b"{\"name\": \"\xff\"}").unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn wrong_fields_are_422_with_a_pointer() {
        assert_eq!(refused("{}").1, ["/name"]);
        assert_eq!(refused(r#"{"name": 5}"#).1, ["/name"]);
        assert_eq!(refused(r#"{"name": "a", "other": 1}"#).1, ["/other"]);
        assert_eq!(refused(r#"{"name": "a", "name": "b"}"#).1, ["/name"]);
        assert_eq!(refused(r#"{"name": "a", "items": [{"size": 1}, {"size": -1}]}"#).1, ["/items/1/size"]);
        assert_eq!(refused(r#"{"name": "a", "items": [{}]}"#).1, ["/items/0/size"]);
        assert_eq!(refused(r#"{"name": "a", "items": [{"size": 1, "a/b~": 1}]}"#).1, ["/items/0/a~1b~0"]);
        assert_eq!(refused(r#"{"name": "a", "items": {"size": 1}}"#).1, ["/items"]);
    }

    #[test]
    fn query_strings() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Params {
            limit: Option<usize>,
            q: Option<String>,
        }
        let params: Params = from_query("limit=5&q=a%20b%2Bc").unwrap();
        assert_eq!((params.limit, params.q.as_deref()), (Some(5), Some("a b+c")));
        let pointer = |query: &str| from_query::<Params>(query).unwrap_err().body().errors[0].pointer.clone();
        assert_eq!(pointer("limit=-1"), "/limit");
        assert_eq!(pointer("limit="), "/limit");
        assert_eq!(pointer("limit=1&limit=2"), "/limit");
        assert_eq!(pointer("lmit=1"), "/lmit");
    }
}
