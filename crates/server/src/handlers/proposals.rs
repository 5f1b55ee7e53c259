//! `/proposals`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, call, codebook_name, page_cursor, page_limit};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::edit_input::AmendInput;
use reasonedit_dto::erasure::RevertParams;
use reasonedit_dto::proposal::{
    ApprovedDto, ProposalDto, ProposalHistoryDto, ProposalPageDto, ProposalParams, RejectionInput,
};
use reasonedit_editor::{CodebookName, Editor, Proposal, Reviewer};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;
use reasonedit_text::{is_visible, unreadable};
use ulid::Ulid;

use super::EditIdPath;
use super::answered::{seen, shown, tag_of};
use super::if_match::{IfMatchHeader, tags};
use super::jobs::Submitter;
use crate::state::AppState;

/// Characters of a reason.
const REASON_CHARS: usize = 2000;

/// List proposals
///
/// Newest first. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/proposals", operation_id = "list_proposals", tag = "edits", params(ProposalParams),
    responses((status = 200, description = "A page of proposals.", body = ProposalPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<ProposalParams>,
) -> Result<Json<ProposalPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let (limit, cursor) = (page_limit(params.limit)?, page_cursor::<Ulid>(params.cursor.as_deref())?);
    let editor = state.editor()?;
    let (page, next) = editor.proposals(&codebook, &params.filter(), cursor, limit);
    let rule = editor.config().review.of(&codebook);
    for proposal in &page {
        seen(&audited, proposal);
    }
    Ok(Json(ProposalPageDto {
        proposals: page.iter().map(|one| ProposalDto::new(one, rule)).collect(),
        next_cursor: next.map(|id| id.to_string()),
    }))
}

/// Get a proposal
///
/// With all that it said before it was amended.
#[utoipa::path(
    get, path = "/proposals/{id}", operation_id = "get_proposal", tag = "edits",
    params(("id" = String, Path, description = "ULID of the proposal."), CodebookParams),
    responses(
        (status = 200, description = "The proposal.", body = ProposalHistoryDto,
            headers(("ETag" = String, description = "As it is now, for `If-Match`."))),
        (status = 404, description = "No such proposal.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let (proposal, earlier) = editor.proposal(&codebook, id.0).await?;
    seen(&audited, &proposal);
    let body = ProposalHistoryDto {
        proposal: ProposalDto::new(&proposal, editor.config().review.of(&codebook)),
        earlier: earlier.iter().map(Into::into).collect(),
    };
    Ok(([(header::ETAG, tag_of(&proposal))], Json(body)).into_response())
}

/// Approve a proposal
///
/// Never one's own. With as many approvals as the codebook wants it becomes an edit by its author, as if they
/// had made it now: canaries are asked, and the edit is live when this is answered. If it can't be made the
/// proposal waits as before.
#[utoipa::path(
    post, path = "/proposals/{id}/approve", operation_id = "approve_proposal", tag = "edits",
    params(("id" = String, Path, description = "ULID of the proposal."), CodebookParams, IfMatchHeader),
    responses(
        (status = 200, description = "The approval is durable; with the last that is needed, so is the edit.", body = ApprovedDto,
            headers(("ETag" = String, description = "The proposal as it is now."))),
        (status = 403, description = "It is the caller's own.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such proposal; or the edit that it amends was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It doesn't wait any more, or the caller approved of it before; or other answers stand and there were to be none (`edits`); or it would break canaries, named in `errors`, and such edits are refused.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It is another by now than `If-Match` names; or the edit that it amends has another version.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn approve(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    audited.edit(id);
    let editor = state.editor()?;
    let by = reviewer(&caller, &headers, id.0);
    let approved = editor.approve((&codebook, id.0), &by, call::interactive(asked)).await?;
    seen(&audited, &approved.proposal);
    if let Some(view) = &approved.edit {
        shown(&audited, view);
    }
    let body = ApprovedDto::new(&approved, editor.config().review.of(&codebook));
    Ok(([(header::ETAG, tag_of(&approved.proposal))], Json(body)).into_response())
}

/// Reject a proposal
///
/// It becomes no edit. The reason is for whoever made it.
#[utoipa::path(
    post, path = "/proposals/{id}/reject", operation_id = "reject_proposal", tag = "edits",
    params(("id" = String, Path, description = "ULID of the proposal."), CodebookParams, IfMatchHeader),
    request_body(content = RejectionInput),
    responses(
        (status = 200, description = "It is rejected.", body = ProposalDto,
            headers(("ETag" = String, description = "As it is now."))),
        (status = 404, description = "No such proposal.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It doesn't wait any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It is another by now than `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn reject(
    State(state): State<AppState>,
    by: Submitter,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
    headers: HeaderMap,
    JsonPayload { value: input, held: _held }: JsonPayload<RejectionInput>,
) -> Result<Response> {
    let Submitter { caller, audited, .. } = by;
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    audited.edit(id);
    let reason = input.reason.trim();
    let length = reason.chars().count();
    if !is_visible(reason) || length > REASON_CHARS || unreadable(reason).is_some() {
        let detail = format!("A reason is a text of 1 to {REASON_CHARS} characters.");
        return Err(Problem::invalid("/reason", detail));
    }
    let (editor, by) = (state.editor()?, reviewer(&caller, &headers, id.0));
    let proposal = editor.close_proposal((&codebook, id.0), Some(reason.to_owned()), &by).await?;
    seen(&audited, &proposal);
    Ok(answered(editor, &codebook, &proposal))
}

/// Amend a proposal
///
/// By whoever made it, or an editor. What is left out stays; the picture, the question and the choices do in
/// any case. What it said before is kept, and approvals of that don't count any more. One that is a new
/// version of an edit is from now on made of the version that the edit has by now.
#[utoipa::path(
    patch, path = "/proposals/{id}", operation_id = "amend_proposal", tag = "edits",
    params(("id" = String, Path, description = "ULID of the proposal."), CodebookParams, IfMatchHeader),
    request_body(content = AmendInput),
    responses(
        (status = 200, description = "The proposal as it is now.", body = ProposalDto,
            headers(("ETag" = String, description = "As it is now."))),
        (status = 404, description = "No such proposal; or the edit that it amends was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It doesn't wait any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It is another by now than `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
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
    if input.author.is_some() {
        let detail = "A proposal stays by its author: leave `author` out.";
        return Err(Problem::invalid("/author", detail));
    }
    let (before, _) = editor.proposal(&codebook, id.0).await?;
    if !caller.may(AccessRole::Editor) && !before.is_of(caller.name()) {
        let detail = "To amend a proposal that is not your own needs the role editor.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let change = input.into_amendment(&Contributor::from(&caller))?;
    let (place, by) = ((&codebook, id.0), reviewer(&caller, &headers, id.0));
    let proposal = editor.amend_proposal(place, change, &by, call::interactive(asked)).await?;
    seen(&audited, &proposal);
    Ok(answered(editor, &codebook, &proposal))
}

/// Withdraw a proposal
///
/// By whoever made it. That it was made stays known, unless an admin says `erase=true`, of whosever proposal
/// that became no edit: then it is gone for good, with its picture where nothing else is about it.
#[utoipa::path(
    delete, path = "/proposals/{id}", operation_id = "withdraw_proposal", tag = "edits",
    params(("id" = String, Path, description = "ULID of the proposal."), RevertParams, IfMatchHeader),
    responses(
        (status = 200, description = "It is withdrawn.", body = ProposalDto,
            headers(("ETag" = String, description = "As it is now."))),
        (status = 204, description = "Erased."),
        (status = 403, description = "It is somebody else's.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such proposal.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It doesn't wait any more, or is to be erased and became an edit.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It is another by now than `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn withdraw(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    EditIdPath(id): EditIdPath,
    Query(params): Query<RevertParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    audited.edit(id);
    let editor = state.editor()?;
    let (before, _) = editor.proposal(&codebook, id.0).await?;
    seen(&audited, &before);
    if params.erase {
        if !caller.may(AccessRole::Admin) {
            let detail = "To erase for good needs the role admin.";
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        if reviewer(&caller, &headers, id.0).seen.is_some_and(|seen| !seen.contains(&before.steps.len())) {
            let detail = format!("The proposal {id} is another by now than was seen.");
            return Err(Problem::new(ProblemKind::OtherVersion, detail));
        }
        editor.erase_proposal(&codebook, id.0).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !before.is_of(caller.name()) {
        let detail = "A proposal is withdrawn by whoever made it; an editor rejects it.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let by = reviewer(&caller, &headers, id.0);
    let proposal = editor.close_proposal((&codebook, id.0), None, &by).await?;
    Ok(answered(editor, &codebook, &proposal))
}

fn answered(editor: &Editor, codebook: &CodebookName, proposal: &Proposal) -> Response {
    let body = ProposalDto::new(proposal, editor.config().review.of(codebook));
    ([(header::ETAG, tag_of(proposal))], Json(body)).into_response()
}

/// Who asks, with the numbers of steps that `If-Match` names, if it does.
fn reviewer(caller: &Caller, headers: &HeaderMap, id: Ulid) -> Reviewer {
    let own = format!("{id}.");
    let steps =
        |tags: Vec<&str>| tags.iter().filter_map(|tag| tag.strip_prefix(&own)?.parse().ok()).collect();
    Reviewer { name: caller.name().map(str::to_owned), seen: tags(headers).map(steps) }
}
