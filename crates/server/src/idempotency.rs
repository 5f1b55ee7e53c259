//! `Idempotency-Key`: the same key and body answers the stored response.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName};
use reasonedit_editor::{EditId, EditRequest, IdempotencyKey, ImageSource};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_imaging::DrawnBox;
use reasonedit_jobs::SubmissionKey;
use reasonedit_text::{canonical, split_sentences_formerly};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

/// `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header in the contract.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes the header in the contract")]
pub(crate) struct KeyHeader {
    /// The same key with the same body answers what was made for the first; with another body it is a
    /// conflict, and so is an edit that was reverted since: to make it again, send another key.
    // A header is there or not: no `null` as of an `Option`.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Most characters of a key.
const MAX_CHARS: usize = 255;

/// The key of a request and the digest of what it asks for. `text` is its reasoning where that came as one
/// text.
///
/// # Errors
/// 400 for a key that is empty, longer than 255 characters or not visible ASCII.
pub(crate) fn key_of(
    headers: &HeaderMap,
    request: &EditRequest,
    text: Option<&str>,
) -> Result<Option<IdempotencyKey>> {
    Ok(key_text(headers)?.map(|key| IdempotencyKey {
        key,
        body: digest(request, text),
        // Of then no request said anything of others.
        former: if says_of_others(request) { Vec::new() } else { vec![former_digest(request, text)] },
    }))
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

/// BLAKE3 of what is asked for, however it was written down: JSON with other white space, a form with another
/// boundary, or texts in another form (see [`canonical`]) are the same request; a picture sent again by its
/// id is the same picture. How a text is split into statements doesn't count, so that it may be split better
/// later.
fn digest(request: &EditRequest, text: Option<&str>) -> [u8; 32] {
    let all = |texts: &[String]| texts.iter().map(|text| canonical(text).into_owned()).collect::<Vec<_>>();
    let reasoning = match text {
        Some(text) => json!(canonical(text)),
        None => statements(request.reasoning.iter().map(|s| (canonical(&s.statement), &s.evidence[..]))),
    };
    let mut parts = vec![
        json!("texts in canonical form"),
        json!(image(request)),
        json!(canonical(&request.question)),
        json!(canonical(&request.answer)),
        reasoning,
        json!(all(&request.choices)),
        json!(request.author.as_deref().map(canonical)),
        json!(all(&request.tags)),
        sorted(&request.metadata),
        json!(request.verify),
    ];
    // Requests that say nothing of others are what they were before any could.
    if says_of_others(request) {
        let mut supersedes = request.supersedes.clone();
        supersedes.sort_unstable();
        supersedes.dedup();
        parts.push(json!([supersedes, request.on_conflict]));
    }
    hash(&json!(parts))
}

fn says_of_others(request: &EditRequest) -> bool {
    !request.supersedes.is_empty() || request.on_conflict.is_some()
}

/// The key of an amendment of an edit; `body` is what it asks for.
///
/// # Errors
/// As [`key_of`].
pub(crate) fn amendment_key(
    headers: &HeaderMap,
    edit: EditId,
    body: &impl Serialize,
) -> Result<Option<IdempotencyKey>> {
    let Some(key) = key_text(headers)? else { return Ok(None) };
    let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
    Ok(Some(IdempotencyKey {
        key,
        body: hash(&json!(["amendment", edit, sorted(&body)])),
        former: Vec::new(),
    }))
}

/// What [`digest`] was before texts were compared in canonical form: edits of then have it stored.
fn former_digest(request: &EditRequest, text: Option<&str>) -> [u8; 32] {
    let reasoning = match text {
        Some(text) => {
            statements(split_sentences_formerly(text).into_iter().map(|said| (said.into(), &[][..])))
        }
        None => statements(request.reasoning.iter().map(|s| (s.statement.as_str().into(), &s.evidence[..]))),
    };
    hash(&json!([
        image(request),
        request.question,
        request.answer,
        reasoning,
        request.choices,
        request.author,
        request.tags,
        sorted(&request.metadata),
        request.verify,
    ]))
}

fn hash(value: &Value) -> [u8; 32] {
    *blake3::hash(value.to_string().as_bytes()).as_bytes()
}

/// Names the picture by its bytes, sent or uploaded before.
fn image(request: &EditRequest) -> String {
    match &request.image {
        ImageSource::Bytes(upload) => upload.id().to_string(),
        ImageSource::Known(id) => id.to_string(),
    }
}

fn statements<'a>(said: impl Iterator<Item = (Cow<'a, str>, &'a [DrawnBox])>) -> Value {
    said.map(|(statement, evidence)| {
        let boxes: Vec<_> = evidence.iter().map(|b| [b.x, b.y, b.width, b.height].map(plain)).collect();
        json!([statement, boxes])
    })
    .collect()
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
mod tests;
