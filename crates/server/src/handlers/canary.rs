//! `/canaries`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, call, codebook_name, resolve};
use reasonedit_dto::canary::{CanariesDto, CanaryDto, CanaryInput};
use reasonedit_editor::CanaryRequest;
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_http::shares::Asked;

use super::id_of;
use crate::state::AppState;

/// Put a canary
///
/// A question with an answer that must not change: every edit is held against it before it is made, and one
/// that breaks it is refused or says so, as the configuration has it. Without `answer` the one that the
/// codebook gives now must stay. The same question about the same picture is replaced.
#[utoipa::path(
    put, path = "/canaries", operation_id = "put_canary", tag = "edits", params(CodebookParams),
    request_body(content((CanaryInput = "application/json"))),
    responses(
        (status = 200, description = "The canary is durable; edits are held against it from now on.", body = CanaryDto),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn put(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    JsonPayload { value: input, held: _held }: JsonPayload<CanaryInput>,
) -> Result<Json<CanaryDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let image = resolve(input.image, state.fetcher(), caller.scope(), editor).await?;
    audited.image(image.id());
    let request = CanaryRequest {
        image,
        question: input.question,
        choices: input.choices.unwrap_or_default(),
        answer: input.answer,
    };
    let canary = editor.put_canary(&codebook, request, call::interactive(asked)).await?;
    Ok(Json(CanaryDto::from(&canary)))
}

/// List canaries
#[utoipa::path(
    get, path = "/canaries", operation_id = "list_canaries", tag = "edits", params(CodebookParams),
    responses((status = 200, description = "The canaries of the codebook.", body = CanariesDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
) -> Result<Json<CanariesDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let canaries = state.editor()?.canaries(&codebook);
    for canary in &canaries {
        audited.image(canary.image);
    }
    Ok(Json(CanariesDto { canaries: canaries.iter().map(Into::into).collect() }))
}

/// Remove a canary
///
/// It is gone for good, and so is its picture, unless an edit is about it.
#[utoipa::path(
    delete, path = "/canaries/{id}", operation_id = "remove_canary", tag = "edits",
    params(("id" = String, Path, description = "ULID of the canary."), CodebookParams),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such canary.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
) -> Result<StatusCode> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let id = id_of(path, || Problem::not_found("No canary has an id like this."))?;
    state.editor()?.remove_canary(&codebook, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
