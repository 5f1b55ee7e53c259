//! `/edits`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_codebook::{EditFilter, EditId};
use reasonedit_editor::EditRequest;
use serde_json::Value;

use super::EditIdPath;
use crate::dto::edit::{EditDto, EditPageDto};
use crate::dto::edit_input::{CreateParams, EditForm, EditInput, ListParams, Reasoning};
use crate::dto::{CodebookParams, codebook_name, page_cursor, page_limit};
use crate::idempotency::key_of;
use crate::image_input::resolve;
use crate::json::Query;
use crate::limits::Deadline;
use crate::openapi::{InputProblems, LookupProblems};
use crate::payload::Payload;
use crate::problem::{ProblemBody, Result};
use crate::state::AppState;

/// Tells a repeated request's answer from the first.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Make an edit
///
/// Stores the correction so that it holds for this picture and question and for those like it. Answered when it is durable and live.
#[utoipa::path(
    post, path = "/edits", operation_id = "create_edit", tag = "edits",
    params(
        CreateParams,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body answers the stored response."),
    ),
    request_body(content((EditInput = "application/json"), (EditForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "The edit is durable and live.", body = EditDto,
            headers(("Location" = String, description = "Where the edit is found."))),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used with another body, or the codebook was made with another embedding.",
            body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    Query(params): Query<CreateParams>,
    deadline: Deadline,
    headers: HeaderMap,
    Payload { value: input, held: _held }: Payload<EditInput>,
) -> Result<Response> {
    let codebook = codebook_name(params.codebook.as_deref())?;
    let editor = state.editor()?;
    let mut request = EditRequest {
        image: resolve(input.image, state.fetcher()).await?,
        question: input.question,
        answer: input.answer,
        reasoning: input.reasoning.map(Reasoning::into_statements).unwrap_or_default(),
        choices: input.choices.unwrap_or_default(),
        author: input.author,
        tags: input.tags.unwrap_or_default(),
        metadata: Value::Object(input.metadata.unwrap_or_default()),
        verify: params.verify.or(input.verify).unwrap_or(true),
        idempotency: None,
    };
    request.idempotency = key_of(&headers, &request)?;
    let view = editor.edit(&codebook, request, deadline.interactive()).await?;
    let mut location = format!("/edits/{}", view.record.id);
    if params.codebook.is_some() {
        location = format!("{location}?codebook={codebook}");
    }
    let mut response =
        (StatusCode::CREATED, [(header::LOCATION, location)], Json(EditDto::from(&view))).into_response();
    if view.replayed {
        response.headers_mut().insert(REPLAYED, axum::http::HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// List edits
///
/// Newest first. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/edits", operation_id = "list_edits", tag = "edits", params(ListParams),
    responses((status = 200, description = "A page of edits.", body = EditPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(params): Query<ListParams>,
) -> Result<Json<EditPageDto>> {
    let codebook = codebook_name(params.codebook.as_deref())?;
    let limit = page_limit(params.limit)?;
    let cursor: Option<EditId> = page_cursor(params.cursor.as_deref())?;
    let filter = EditFilter { author: params.author, tag: params.tag, q: params.q };
    let page = state.editor()?.list_edits(&codebook, filter, cursor, limit).await?;
    Ok(Json(EditPageDto {
        edits: page.items.iter().map(Into::into).collect(),
        next_cursor: page.next.map(|id| id.to_string()),
    }))
}

/// Get an edit
#[utoipa::path(
    get, path = "/edits/{id}", operation_id = "get_edit", tag = "edits",
    params(("id" = String, Path, description = "ULID of the edit."), CodebookParams),
    responses(
        (status = 200, description = "The edit with its entries and evidence.", body = EditDto),
        (status = 404, description = "No such edit, or it was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
) -> Result<Json<EditDto>> {
    let codebook = codebook_name(params.codebook.as_deref())?;
    let view = state.editor()?.get_edit(&codebook, id).await?;
    Ok(Json(EditDto::from(&view)))
}

/// Revert an edit
///
/// The codebook becomes what it would be had the edit never been made.
#[utoipa::path(
    delete, path = "/edits/{id}", operation_id = "revert_edit", tag = "edits",
    params(("id" = String, Path, description = "ULID of the edit."), CodebookParams),
    responses(
        (status = 204, description = "Reverted."),
        (status = 404, description = "No such edit, or it was reverted before.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn revert(
    State(state): State<AppState>,
    EditIdPath(id): EditIdPath,
    Query(params): Query<CodebookParams>,
) -> Result<StatusCode> {
    let codebook = codebook_name(params.codebook.as_deref())?;
    state.editor()?.revert(&codebook, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
