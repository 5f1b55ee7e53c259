//! What keeps two people from overwriting each other: tags of versions, and whose an edit is.

use axum::http::{HeaderMap, header};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_editor::{CodebookName, EditId, EditView, Editor};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use utoipa::IntoParams;

/// The header in the contract.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes the header in the contract")]
pub(crate) struct IfMatchHeader {
    /// Only if this is still the edit's version: an `ETag` of `GET /edits/{id}`. It may be left out.
    #[param(rename = "If-Match", value_type = String, required = false)]
    if_match: Option<String>,
}

/// The tag of an edit's newest version.
pub(super) fn tag(view: &EditView) -> String {
    format!("\"{}\"", view.record.id)
}

/// The versions that a request is for, if it says so in `If-Match`.
pub(super) fn listed(headers: &HeaderMap) -> Option<Vec<EditId>> {
    Some(tags(headers)?.iter().filter_map(|tag| tag.parse().ok()).collect())
}

/// What stands in the tags of `If-Match`, if it names any. A weak tag matches none (RFC 9110, section
/// 13.1.1).
pub(super) fn tags(headers: &HeaderMap) -> Option<Vec<&str>> {
    let given: Vec<&str> = headers
        .get_all(header::IF_MATCH)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .collect();
    if given.is_empty() || given.contains(&"*") {
        return None;
    }
    Some(given.into_iter().filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"')).collect())
}

/// The version that an edit has to have still when it is changed, if `If-Match` names any.
///
/// # Errors
/// 412 if it has another now; what looking it up says.
pub(super) fn expected(
    headers: &HeaderMap,
    editor: &Editor,
    codebook: &CodebookName,
    id: EditId,
) -> Result<Option<EditId>> {
    let Some(listed) = listed(headers) else { return Ok(None) };
    let newest = editor.newest_version(codebook, id)?;
    if listed.contains(&newest) {
        return Ok(Some(newest));
    }
    let detail = format!("The edit {id} has another version by now.");
    Err(Problem::new(ProblemKind::OtherVersion, detail))
}

/// Refuses contributors an edit that is not theirs.
///
/// # Errors
/// 403; what looking it up says.
pub(super) fn require_own(
    caller: &Caller,
    editor: &Editor,
    codebook: &CodebookName,
    id: EditId,
) -> Result<()> {
    if caller.may(AccessRole::Editor) || editor.author(codebook, id)?.as_deref() == caller.name() {
        return Ok(());
    }
    let detail = "To change or take back an edit that is not your own needs the role editor.";
    Err(Problem::new(ProblemKind::Forbidden, detail))
}
