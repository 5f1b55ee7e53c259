//! Versions of edits: `PATCH /edits/{id}`, `DELETE /edits/{id}/versions/{version}`.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use reasonedit_access::Caller;
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, call, codebook_name};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::edit::EditDto;
use reasonedit_dto::edit_input::AmendInput;
use reasonedit_dto::proposal::ProposedEditDto;
use reasonedit_editor::{EditId, Submitted};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_http::shares::Asked;

use super::EditIdPath;
use super::answered::{answered, proposed, seen, shown};
use super::if_match::{IfMatchHeader, expected, listed, require_own};
use super::jobs::Submitter;
use crate::idempotency::{KeyHeader, amendment_key};
use crate::state::AppState;

/// Amend an edit
///
/// Makes a new version of it, about the same picture and question; its id stays. The version before doesn't
/// stand any more, and comes back exactly as it was when the new one is undone. One that keeps the answer
/// takes the place of the one before among other edits; one that changes it is the newest of all. A
/// contributor amends edits of their own, an editor anybody's. What says nothing new makes no version.
#[utoipa::path(
    patch, path = "/edits/{id}", operation_id = "amend_edit", tag = "edits",
    params(("id" = String, Path, description = "ULID of the edit."), CodebookParams, IfMatchHeader, KeyHeader),
    request_body(content = AmendInput),
    responses(
        (status = 200, description = "The edit in its new version, durable and live.", body = EditDto,
            headers(("ETag" = String, description = "Its version."))),
        (status = 202, description = "The new version waits until somebody else has approved of it, as the codebook wants.", body = ProposedEditDto,
            headers(("Location" = String, description = "Where the proposal is found."), ("ETag" = String, description = "As it is now."))),
        (status = 404, description = "No such edit, or it was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used with another body, or for a version that was undone; or other answers stand and there were to be none (`edits`).",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It was erased.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version by now, than `If-Match` names or than this one was made of.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn amend(
    State(state): State<AppState>,
    by: Submitter,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    headers: HeaderMap,
    JsonPayload { value: input, held: _held }: JsonPayload<AmendInput>,
) -> Result<Response> {
    let Submitter { caller, audited, .. } = by;
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    audited.edit(id);
    let editor = state.editor()?;
    require_own(&caller, editor, &codebook, id)?;
    let idempotency = amendment_key(&headers, id, &input)?;
    let mut amendment = input.into_amendment(&Contributor::from(&caller))?;
    amendment.expected = listed(&headers);
    amendment.idempotency = idempotency;
    let by = Contributor::from(&caller).submitter();
    let submitted = editor.submit_amendment(&codebook, id, amendment, &by, call::interactive(asked)).await?;
    let view = match submitted {
        Submitted::Made(view) => view,
        Submitted::Proposed { proposal, replayed } => {
            seen(&audited, &proposal);
            return Ok(proposed((editor, &codebook), params.codebook.as_deref(), &proposal, replayed));
        }
    };
    shown(&audited, &view);
    Ok(answered(StatusCode::OK, &view))
}

/// Undo the newest version of an edit
///
/// The codebook becomes what it would be had that version never been made, and the one before is the edit's
/// newest. Versions are undone newest first; the first is taken back with the edit.
#[utoipa::path(
    delete, path = "/edits/{id}/versions/{version}", operation_id = "undo_edit_version", tag = "edits",
    params(
        ("id" = String, Path, description = "ULID of the edit."),
        ("version" = u32, Path, minimum = 2, description = "Number of its newest version."),
        CodebookParams,
        IfMatchHeader,
    ),
    responses(
        (status = 200, description = "The edit in the version before.", body = EditDto,
            headers(("ETag" = String, description = "Its version."))),
        (status = 404, description = "No such edit, or it was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is the first version, or not the newest.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It was erased.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version by now than `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn undo(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: Result<Path<(String, u32)>, axum::extract::rejection::PathRejection>,
    Query(params): Query<CodebookParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let known = path.ok().and_then(|Path((id, version))| Some((id.parse::<EditId>().ok()?, version)));
    let (id, version) = known.ok_or_else(|| Problem::not_found("No edit has a version like this."))?;
    audited.edit(id);
    let editor = state.editor()?;
    require_own(&caller, editor, &codebook, id)?;
    let expected = expected(&headers, editor, &codebook, id)?;
    let view = editor.undo_version(&codebook, (id, version), expected).await?;
    shown(&audited, &view);
    Ok(answered(StatusCode::OK, &view))
}
