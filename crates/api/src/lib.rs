//! What the service's own API and the protocols beside it have in common on the wire: pictures, answers and
//! what they rest on, names, times, and the failures that a contract lists.
//!
//! Names and shapes are the contract; nothing here decides anything.

pub mod call;
pub mod events;
pub mod image;
pub mod problems;
pub mod query;
mod resolve;
pub mod retrieval;

use std::collections::BTreeMap;

use reasonedit_access::{AccessRole, Caller, CodebookScope};
use reasonedit_editor::{CodebookName, EditId, Editor, EntryKind, ImageId, Opinion, Retrieval, Warning};
use reasonedit_http::audit::Audited;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_imaging::{DrawnBox, PixelBox};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};

pub use self::resolve::{image_id, resolve, sent};

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

/// A time from outside, RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeInput(pub OffsetDateTime);

impl TryFrom<String> for TimeInput {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = OffsetDateTime::parse(&text, &Rfc3339);
        time.map(Self).map_err(|_| "this is no RFC 3339 time, as 2026-11-20T08:00:00Z")
    }
}

/// The id of an edit from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "EditId")]
pub struct EditIdInput(pub EditId);

impl From<EditIdInput> for EditId {
    fn from(id: EditIdInput) -> Self {
        id.0
    }
}

impl TryFrom<String> for EditIdInput {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.trim().parse().map(Self).map_err(|_| "this is not the ULID of an edit")
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

/// The codebook of a name from outside, if the caller may use it.
///
/// # Errors
/// 422 for a name that is not `[a-z0-9-]{1,64}`, 403 for one that the caller's token is not for, be it there
/// or not.
pub fn codebook_name(caller: &Caller, name: Option<&str>) -> Result<CodebookName> {
    let name = match name {
        None => CodebookName::default(),
        Some(name) => name.parse().map_err(|_| {
            Problem::invalid("/codebook", "A codebook's name is 1 to 64 characters of a-z, 0-9 and -.")
        })?,
    };
    require_codebook(caller, &name)?;
    Ok(name)
}

/// Refuses a codebook that the caller's token is not for.
///
/// # Errors
/// 403.
pub fn require_codebook(caller: &Caller, name: &CodebookName) -> Result<()> {
    if caller.scope().holds(name.as_str()) {
        return Ok(());
    }
    let detail = format!("Your token is not for the codebook {name}; it is for {}.", caller.scope());
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

/// Refuses a picture that no codebook of the scope holds: whoever knows an id has not seen the picture yet.
///
/// # Errors
/// 404, as for one that isn't there.
pub fn require_image(scope: &CodebookScope, editor: &Editor, id: ImageId) -> Result<()> {
    Ok(editor.require_image(id, |name| scope.holds(name.as_str()))?)
}

/// Refuses callers whose token is for some codebooks only where something of all of them is told.
///
/// # Errors
/// 403.
pub fn require_all_codebooks(caller: &Caller) -> Result<()> {
    if *caller.scope() == CodebookScope::All {
        return Ok(());
    }
    let detail = format!("This tells of all codebooks, and your token is for {}.", caller.scope());
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

/// Tells the audit trail whose statements are put in front of a question.
pub fn put_in_front(audited: &Audited, retrieval: &Retrieval) {
    for fact in &retrieval.facts {
        audited.edits(&fact.edit_ids);
    }
}

/// Who an edit is by: whoever the token was given to (`name`). Where that is nobody by name, and for admins,
/// who write down what others say, it is who the request says.
///
/// # Errors
/// 403 for another's name.
pub fn author(name: Option<&str>, role: AccessRole, said: Option<String>) -> Result<Option<String>> {
    match (name, said) {
        (None, said) => Ok(said),
        (Some(_), Some(said)) if role == AccessRole::Admin && !said.is_empty() => Ok(Some(said)),
        (Some(name), None) => Ok(Some(name.to_owned())),
        // An empty field of a form.
        (Some(name), Some(said)) if said.is_empty() => Ok(Some(name.to_owned())),
        (Some(name), Some(said)) if said == name => Ok(Some(said)),
        (Some(name), Some(_)) => {
            let detail = format!("Your token makes edits of {name}: leave `author` out, or give that name.");
            Err(Problem::at(ProblemKind::Forbidden, "/author", detail))
        }
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

    fn of_ward_3(role: AccessRole) -> Caller {
        Caller::named("Ada".to_owned(), role, CodebookScope::Only(["ward-3".to_owned()].into()))
    }

    #[test]
    fn codebook_names_are_checked() {
        let anyone = Caller::unnamed_admin();
        assert_eq!(codebook_name(&anyone, None).unwrap(), CodebookName::default());
        assert!(codebook_name(&anyone, Some("skin-2")).is_ok());
        for name in ["", "Skin", "a/b", "..", &"a".repeat(65), "ä"] {
            let problem = codebook_name(&anyone, Some(name)).unwrap_err();
            assert_eq!(problem.status().as_u16(), 422, "{name}");
        }
    }

    #[test]
    fn a_token_for_one_codebook_opens_no_other() {
        let caller = of_ward_3(AccessRole::Editor);
        assert_eq!(codebook_name(&caller, Some("ward-3")).unwrap().as_str(), "ward-3");
        for name in [None, Some("default"), Some("ward-33"), Some("not-there")] {
            assert_eq!(codebook_name(&caller, name).unwrap_err().status().as_u16(), 403, "{name:?}");
        }
        assert!(require_all_codebooks(&caller).is_err());
        assert!(require_all_codebooks(&Caller::unnamed_admin()).is_ok());
    }

    #[test]
    fn an_author_is_whoever_the_token_was_given_to() {
        let (ada, grace) = (|| Some("Ada".to_owned()), || Some("Grace".to_owned()));
        for role in [AccessRole::Contributor, AccessRole::Editor] {
            assert_eq!(author(Some("Ada"), role, None).unwrap(), ada());
            assert_eq!(author(Some("Ada"), role, ada()).unwrap(), ada());
            let problem = author(Some("Ada"), role, grace()).unwrap_err();
            assert_eq!((problem.status().as_u16(), &*problem.body().errors[0].pointer), (403, "/author"));
        }
        assert_eq!(author(Some("Ada"), AccessRole::Admin, grace()).unwrap(), grace());
        assert_eq!(author(None, AccessRole::Admin, grace()).unwrap(), grace());
        assert_eq!(author(None, AccessRole::Admin, None).unwrap(), None);
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(datetime!(2026-11-20 09:00:00 +1)), "2026-11-20T08:00:00Z");
    }
}
