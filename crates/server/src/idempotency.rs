//! `Idempotency-Key`: the same key and body answers the stored response.

use axum::http::{HeaderMap, HeaderName};
use reasonedit_editor::{EditRequest, IdempotencyKey, ImageSource};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use crate::jobs::record::SubmissionKey;
use crate::problem::{Problem, ProblemKind, Result};

/// `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header in the contract.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes the header in the contract")]
pub(crate) struct KeyHeader {
    /// The same key with the same body answers what was made for the first; with another body it is a conflict, and so is an edit that was
    /// reverted since: to make it again, send another key.
    // A header is there or not: no `null` as of an `Option`.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Most characters of a key.
const MAX_CHARS: usize = 255;

/// The key of a request and the digest of what it asks for.
///
/// # Errors
/// 400 for a key that is empty, longer than 255 characters or not visible ASCII.
pub(crate) fn key_of(headers: &HeaderMap, request: &EditRequest) -> Result<Option<IdempotencyKey>> {
    Ok(key_text(headers)?.map(|key| IdempotencyKey { key, body: digest(request) }))
}

fn key_text(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=MAX_CHARS).contains(&key.len()) && key.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::new(
            ProblemKind::Malformed,
            format!("An Idempotency-Key is 1 to {MAX_CHARS} visible ASCII characters."),
        )),
    }
}

/// The key of an upload that becomes a job, with a digest of its bytes and of what else decides.
///
/// # Errors
/// As [`key_of`].
pub(crate) fn submission_key(
    headers: &HeaderMap,
    upload: blake3::Hash,
    with: &impl Serialize,
) -> Result<Option<SubmissionKey>> {
    let Some(key) = key_text(headers)? else { return Ok(None) };
    let with = serde_json::to_string(with).map_err(|error| Problem::internal(&error))?;
    Ok(Some(SubmissionKey { key, digest: format!("{} {with}", upload.to_hex()) }))
}

/// BLAKE3 of what is asked for, however it was written down: JSON with other white space, or a form with another boundary, is the
/// same request; a picture sent again by its id is the same picture.
fn digest(request: &EditRequest) -> [u8; 32] {
    let image = match &request.image {
        ImageSource::Bytes(bytes) => blake3::hash(bytes).to_hex().to_string(),
        ImageSource::Known(id) => id.to_string(),
    };
    let reasoning: Vec<Value> = request
        .reasoning
        .iter()
        .map(|s| {
            let boxes: Vec<_> = s.evidence.iter().map(|b| [b.x, b.y, b.width, b.height].map(plain)).collect();
            json!([s.statement, boxes])
        })
        .collect();
    let canonical = json!([
        image,
        request.question,
        request.answer,
        reasoning,
        request.choices,
        request.author,
        request.tags,
        sorted(&request.metadata),
        request.verify,
    ]);
    *blake3::hash(canonical.to_string().as_bytes()).as_bytes()
}

/// A number of a box; a whole one as digests of pixels have always had it.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}

/// The value with the fields of its objects in alphabetical order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<(&String, &Value)> = object.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            Value::Object(
                fields.into_iter().map(|(name, v)| (name.clone(), sorted(v))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reasonedit_codebook::ImageId;
    use reasonedit_editor::StatementInput;
    use reasonedit_imaging::PixelBox;

    use super::*;

    fn request() -> EditRequest {
        EditRequest {
            warnings: Vec::new(),
            image: ImageSource::Bytes(Bytes::from_static(b"png")),
            question: "q".to_owned(),
            answer: "a".to_owned(),
            reasoning: vec![StatementInput {
                statement: "s".to_owned(),
                evidence: vec![PixelBox { x: 1, y: 2, width: 3, height: 4 }.into()],
            }],
            choices: vec!["a".to_owned(), "b".to_owned()],
            author: None,
            tags: vec![],
            metadata: json!({"a": {"x": 1, "y": 2}, "b": 2}),
            verify: true,
            idempotency: None,
        }
    }

    #[test]
    fn the_same_request_written_otherwise_has_the_same_digest() {
        let mut other = request();
        other.metadata = json!({"b": 2, "a": {"y": 2, "x": 1}});
        other.image = ImageSource::Known(ImageId(*blake3::hash(b"png").as_bytes()));
        assert_eq!(digest(&request()), digest(&other));
    }

    #[test]
    fn every_field_counts() {
        let changes: [fn(&mut EditRequest); 10] = [
            |r| r.image = ImageSource::Bytes(Bytes::from_static(b"gif")),
            |r| r.question.push('?'),
            |r| r.answer.push('!'),
            |r| r.reasoning[0].statement.push('.'),
            |r| r.reasoning[0].evidence[0].x = 2.0,
            |r| r.choices.swap(0, 1),
            |r| r.author = Some(String::new()),
            |r| r.tags.push("t".to_owned()),
            |r| r.metadata["b"] = json!(3),
            |r| r.verify = false,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = request();
            change(&mut other);
            assert_ne!(digest(&request()), digest(&other), "change {index}");
        }
    }

    #[test]
    fn keys_are_checked() {
        let with = |key: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, axum::http::HeaderValue::from_bytes(key).unwrap());
            key_of(&headers, &request())
        };
        assert_eq!(with(b"order 7").unwrap().unwrap().key, "order 7");
        assert_eq!(key_of(&HeaderMap::new(), &request()).unwrap(), None);
        for key in [&b""[..], b"\xff", &[b'x'; 256], b"a\tb"] {
            assert_eq!(with(key).unwrap_err().status().as_u16(), 400);
        }
    }
}
