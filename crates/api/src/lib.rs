//! What the service's own API and the protocols beside it have in common on the wire: pictures, answers and
//! what they rest on, names, times, and the failures that a contract lists.
//!
//! Names and shapes are the contract; nothing here decides anything.

pub mod events;
pub mod image;
pub mod problems;
pub mod query;
mod resolve;

use std::collections::BTreeMap;

use reasonedit_editor::{CodebookName, EntryKind, Opinion, Warning};
use reasonedit_http::problem::{Problem, Result};
use reasonedit_imaging::{DrawnBox, PixelBox};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};

pub use self::resolve::{image_id, resolve};

/// Entries of a page when the request doesn't say.
const DEFAULT_LIMIT: usize = 50;
/// Most entries of a page.
const MAX_LIMIT: usize = 200;

/// A box in integer pixels of the upright image, origin top left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Box)]
pub struct BoxDto {
    /// Column of the leftmost pixel.
    pub x: u32,
    /// Row of the topmost pixel.
    pub y: u32,
    /// Columns covered.
    #[schema(minimum = 1)]
    pub width: u32,
    /// Rows covered.
    #[schema(minimum = 1)]
    pub height: u32,
}

impl From<PixelBox> for BoxDto {
    fn from(area: PixelBox) -> Self {
        Self { x: area.x, y: area.y, width: area.width, height: area.height }
    }
}

/// A rectangle as it was drawn, in pixels of the upright image, origin top left. What isn't whole is rounded,
/// a negative width or height goes to the left or upwards, and what is beside the picture is cut off; the
/// answer's `warnings` say so. One that is beside it altogether is refused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BoxInput)]
pub struct BoxInput {
    /// Column where it begins.
    #[schema(example = 40)]
    pub x: f64,
    /// Row where it begins.
    #[schema(example = 32)]
    pub y: f64,
    /// Columns covered.
    #[schema(example = 120)]
    pub width: f64,
    /// Rows covered.
    #[schema(example = 96)]
    pub height: f64,
}

impl From<BoxInput> for DrawnBox {
    fn from(drawn: BoxInput) -> Self {
        Self { x: drawn.x, y: drawn.y, width: drawn.width, height: drawn.height }
    }
}

/// Bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "describes bodies in the contract")]
pub struct File(Vec<u8>);

/// What a client wanted kept with an edit: a JSON object of its own.
#[derive(ToSchema)]
#[schema(value_type = Object)]
#[allow(dead_code, reason = "describes a field in the contract")]
pub struct Metadata(serde_json::Map<String, serde_json::Value>);

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Kind)]
pub enum KindDto {
    /// The answer.
    Answer,
    /// A statement of the reasoning.
    Statement,
}

impl From<EntryKind> for KindDto {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Answer => Self::Answer,
            EntryKind::Statement => Self::Statement,
        }
    }
}

/// An answer of the model and how probable it held it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Opinion)]
pub struct OpinionDto {
    /// The answer.
    #[schema(example = "benign")]
    pub answer: String,
    /// Its probability.
    #[schema(minimum = 0, maximum = 1, example = 0.71)]
    pub probability: f64,
}

impl From<&Opinion> for OpinionDto {
    fn from(opinion: &Opinion) -> Self {
        Self { answer: opinion.answer.clone(), probability: opinion.probability }
    }
}

/// Something of the request that was not taken as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Warning)]
pub struct WarningDto {
    /// What happened, for programs.
    #[schema(example = "depth_scaled")]
    pub code: String,
    /// JSON pointer of the place in the request.
    #[schema(example = "/image")]
    pub pointer: String,
    /// The same for people.
    pub detail: String,
}

impl From<&Warning> for WarningDto {
    fn from(warning: &Warning) -> Self {
        Self { code: warning.code.clone(), pointer: warning.pointer.clone(), detail: warning.detail.clone() }
    }
}

/// Which codebook is meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CodebookParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
}

/// The codebook of a name from outside.
///
/// # Errors
/// 422 for a name that is not `[a-z0-9-]{1,64}`.
pub fn codebook_name(name: Option<&str>) -> Result<CodebookName> {
    match name {
        None => Ok(CodebookName::default()),
        Some(name) => name.parse().map_err(|_| {
            Problem::invalid("/codebook", "A codebook's name is 1 to 64 characters of a-z, 0-9 and -.")
        }),
    }
}

/// The size of a page from outside.
///
/// # Errors
/// 422 outside 1 to 200.
pub fn page_limit(limit: Option<usize>) -> Result<usize> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::invalid("/limit", format!("{limit} is not from 1 to {MAX_LIMIT}."))),
    }
}

/// The place where the next page begins, from outside.
///
/// # Errors
/// 422 when it is not what an earlier page gave.
pub fn page_cursor<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>> {
    cursor
        .map(|cursor| {
            cursor.parse().map_err(|_| Problem::invalid("/cursor", "Not a `next_cursor` of an earlier page."))
        })
        .transpose()
}

/// RFC 3339 in UTC.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// Milliseconds to the microsecond: more digits are noise.
pub fn rounded(timings: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    timings.iter().map(|(stage, ms)| (stage.clone(), (ms * 1000.0).round() / 1000.0)).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn pages_are_bounded() {
        assert_eq!(page_limit(None).unwrap(), 50);
        assert_eq!(page_limit(Some(200)).unwrap(), 200);
        for limit in [0, 201, usize::MAX] {
            let problem = page_limit(Some(limit)).unwrap_err();
            assert_eq!((problem.status().as_u16(), &*problem.body().errors[0].pointer), (422, "/limit"));
        }
        assert!(page_cursor::<reasonedit_editor::EditId>(Some("nonsense")).is_err());
    }

    #[test]
    fn codebook_names_are_checked() {
        assert_eq!(codebook_name(None).unwrap(), CodebookName::default());
        assert!(codebook_name(Some("skin-2")).is_ok());
        for name in ["", "Skin", "a/b", "..", &"a".repeat(65), "ä"] {
            assert_eq!(codebook_name(Some(name)).unwrap_err().status().as_u16(), 422, "{name}");
        }
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(datetime!(2026-11-20 09:00:00 +1)), "2026-11-20T08:00:00Z");
    }
}
