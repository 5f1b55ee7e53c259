//! `/conflicts`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, call, codebook_name, page_cursor, page_limit};
use reasonedit_dto::conflict::{
    ConflictPageDto, ConflictPairDto, ConflictParams, DecisionDto, ResolutionInput,
};
use reasonedit_editor::{ConflictFilter, Decision};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_http::shares::Asked;
use reasonedit_resilience::blocking;
use ulid::Ulid;

use super::id_of;
use crate::state::AppState;

fn missing() -> Problem {
    Problem::not_found("No conflict has an id like this.")
}

/// List edits that contradict each other
///
/// Pairs that were found when one of the edits was made: they answer the same question otherwise and what
/// each says holds on the picture of the other, or what they say differs in a side, a negation, a number or
/// by words that exclude each other. Newest first; pairs of which an edit was taken back or amended since are
/// not listed. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/conflicts", operation_id = "list_conflicts", tag = "edits", params(ConflictParams),
    responses((status = 200, description = "A page.", body = ConflictPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<ConflictParams>,
) -> Result<Json<ConflictPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let page = (page_cursor::<Ulid>(params.cursor.as_deref())?, page_limit(params.limit)?);
    let filter = ConflictFilter { open: params.open, edit: params.edit.map(|id| id.0) };
    let editor = state.editor()?.clone();
    let listed = move || editor.conflicts(&codebook, filter, page).map_err(Problem::from);
    let (pairs, next) = blocking(listed).await?;
    for view in &pairs {
        audited.edits(view.pair.edits);
    }
    Ok(Json(ConflictPageDto {
        conflicts: pairs.into_iter().map(Into::into).collect(),
        next_cursor: next.map(|id| id.to_string()),
    }))
}

/// Show edits that contradict each other
#[utoipa::path(
    get, path = "/conflicts/{id}", operation_id = "get_conflict", tag = "edits",
    params(("id" = String, Path, description = "ULID of the pair."), CodebookParams),
    responses(
        (status = 200, description = "The pair.", body = ConflictPairDto),
        (status = 404, description = "No such pair, or an edit of it was taken back or amended.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
) -> Result<Json<ConflictPairDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let id = id_of(path, missing)?;
    let editor = state.editor()?.clone();
    let pair = blocking(move || editor.conflict(&codebook, id).map_err(Problem::from)).await?;
    audited.edits(pair.pair.edits);
    Ok(Json(pair.into()))
}

/// Decide between edits that contradict each other
///
/// Whoever is kept gets a new version that supersedes the other: undoing that version brings the other back.
/// Each decision is kept with who made it; the last one stands.
#[utoipa::path(
    post, path = "/conflicts/{id}/resolve", operation_id = "resolve_conflict", tag = "edits",
    params(("id" = String, Path, description = "ULID of the pair."), CodebookParams),
    request_body(content((ResolutionInput = "application/json"))),
    responses(
        (status = 200, description = "It is decided.", body = ConflictPairDto),
        (status = 404, description = "No such pair, or an edit of it was taken back or amended.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "An edit of it was amended meanwhile.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
#[allow(clippy::too_many_arguments, reason = "one extractor for each part of the request")]
pub(crate) async fn resolve(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    JsonPayload { value: input, held: _held }: JsonPayload<ResolutionInput>,
) -> Result<Json<ConflictPairDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let id = id_of(path, missing)?;
    let decision = match (input.decision, input.keep) {
        (DecisionDto::Keep, Some(edit)) => Decision::Keep(edit.0),
        (DecisionDto::Keep, None) => {
            return Err(Problem::invalid("/keep", "Say which of the two is kept."));
        }
        (_, Some(_)) => {
            return Err(Problem::invalid("/keep", "An edit is named only where it is kept."));
        }
        (DecisionDto::KeepBoth, None) => Decision::KeepBoth,
        (DecisionDto::Ask, None) => Decision::Ask,
        (DecisionDto::Reopen, None) => Decision::Reopen,
    };
    let by = caller.name().map(str::to_owned);
    let editor = state.editor()?;
    let pair = editor.decide(&codebook, id, (decision, input.note, by), call::interactive(asked)).await?;
    audited.edits(pair.pair.edits);
    Ok(Json(pair.into()))
}
