//! `/reverts`: many edits taken back in one step, and the step undone.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, call, codebook_name, page_cursor, page_limit};
use reasonedit_dto::job::{BatchLineDto, JobKind};
use reasonedit_dto::revert::{
    RestoredDto, RevertDto, RevertInput, RevertListParams, RevertPageDto, RevertResultDto,
};
use reasonedit_editor::{CodebookName, EditId, Effect, ForeseenRevert, RevertId};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;
use ulid::Ulid;

use super::id_of;
use super::if_match::require_own;
use super::jobs::job_of;
use crate::state::AppState;

/// Results of a job that are read at a time.
const ROWS: usize = 1000;

/// Take many edits back
///
/// All for which everything that is given holds, in one step: all of it is done or nothing, and
/// `DELETE /reverts/{id}` undoes it. The codebook becomes what it would be had they never been made. With
/// `dry_run` it is only told which they are, and with `questions` what would become of those. A contributor
/// takes back edits of their own, an editor anybody's.
#[utoipa::path(
    post, path = "/reverts", operation_id = "revert_edits", tag = "edits", params(CodebookParams),
    request_body(content((RevertInput = "application/json"))),
    responses(
        (status = 200, description = "With `dry_run`: what would be taken back. Without: nothing fits, and nothing was.", body = RevertResultDto),
        (status = 201, description = "It is durable.", body = RevertResultDto,
            headers(("Location" = String, description = "Where the step is found."))),
        (status = 404, description = "One of `edits` isn't live; no such job; no picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "One of `edits` was erased.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    JsonPayload { value: input, held: _held }: JsonPayload<RevertInput>,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    if !input.says_which() {
        let detail = "Say which: by `author`, `tag`, `from`, `to`, `job` or `edits`.";
        return Err(Problem::at(ProblemKind::Invalid, "", detail));
    }
    if input.questions.is_some() && !input.dry_run {
        let detail = "Questions are looked at with `dry_run`.";
        return Err(Problem::at(ProblemKind::Invalid, "/questions", detail));
    }
    let of_job = match input.job.as_deref() {
        None => None,
        Some(job) => {
            let id = Ulid::from_string(job).map_err(|_| Problem::not_found("No job has an id like this."))?;
            Some(made_by(&state, &caller, &audited, &codebook, id).await?)
        }
    };
    let mut selection = input.selection(of_job);
    if !caller.may(AccessRole::Editor) {
        // What is looked at here is all that is taken: what somebody adds meanwhile stays.
        let seen =
            editor.foresee_revert(&codebook, selection.clone(), None, call::interactive(asked)).await?;
        let seen: Vec<EditId> =
            seen.iter().flat_map(|seen| seen.reverted.edits.iter().map(|one| one.edit)).collect();
        seen.iter().try_for_each(|id| require_own(&caller, editor, &codebook, *id))?;
        selection.among = Some(seen.into_iter().collect());
    }
    if input.dry_run {
        let questions = match input.questions {
            None => None,
            Some(questions) => {
                let questions = questions.into_questions(state.fetcher(), caller.scope(), editor).await?;
                super::dry_run::require_log(&caller, &questions)?;
                Some(questions)
            }
        };
        let foreseen =
            editor.foresee_revert(&codebook, selection, questions, call::interactive(asked)).await?;
        if let Some(foreseen) = &foreseen {
            shown(&audited, foreseen);
        }
        let result = foreseen.as_ref().map_or_else(RevertResultDto::nothing, Into::into);
        return Ok(Json(result).into_response());
    }
    let done = editor.revert_selected(&codebook, selection, caller.name()).await?;
    let Some((id, reverted)) = done else { return Ok(Json(RevertResultDto::nothing()).into_response()) };
    audited.edits(reverted.edits.iter().map(|one| one.edit));
    let location = [(header::LOCATION, format!("/reverts/{id}?codebook={codebook}"))];
    Ok((StatusCode::CREATED, location, Json(RevertResultDto::of(Some(id), &reverted))).into_response())
}

fn shown(audited: &Audited, foreseen: &ForeseenRevert) {
    audited.edits(foreseen.reverted.edits.iter().map(|one| one.edit));
    for question in foreseen.effects.iter().flat_map(|(questions, _)| questions) {
        let Effect::Asked(there) = &question.effect else { continue };
        audited.image(question.image);
        for fact in there.0.facts.iter().chain(&there.1.facts) {
            audited.edits(fact.edit_ids.iter().copied());
        }
    }
}

/// The edits of this codebook that a job made.
async fn made_by(
    state: &AppState,
    caller: &Caller,
    audited: &Audited,
    codebook: &CodebookName,
    id: Ulid,
) -> Result<Vec<EditId>> {
    let job = job_of(state, caller, audited, id)?;
    if job.codebook != *codebook {
        return Err(Problem::not_found("No job of this codebook has this id."));
    }
    if job.kind == JobKind::Import.name() {
        return Ok(state.editor()?.imported_by(codebook, id).await?);
    }
    let (mut made, mut next) = (Vec::new(), 1);
    loop {
        let rows = state.jobs()?.pieces(id, next, ROWS).await?;
        for (number, row) in &rows {
            next = number + 1;
            let line: BatchLineDto = serde_json::from_slice(row).map_err(|e| Problem::internal(&e))?;
            made.extend(line.edit);
        }
        if rows.len() < ROWS {
            return Ok(made);
        }
    }
}

/// List what was taken back at once
///
/// The last step first. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/reverts", operation_id = "list_reverts", tag = "edits", params(RevertListParams),
    responses((status = 200, description = "A page of steps.", body = RevertPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<RevertListParams>,
) -> Result<Json<RevertPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let (limit, cursor) = (page_limit(params.limit)?, page_cursor(params.cursor.as_deref())?);
    let page = state.editor()?.reverts(&codebook, cursor, limit).await?;
    let next_cursor = page.next.map(|id| id.to_string());
    Ok(Json(RevertPageDto { reverts: page.items.iter().map(RevertDto::from).collect(), next_cursor }))
}

/// Get what was taken back at once
#[utoipa::path(
    get, path = "/reverts/{id}", operation_id = "get_revert", tag = "edits",
    params(("id" = String, Path, description = "ULID of the step."), CodebookParams),
    responses(
        (status = 200, description = "The step.", body = RevertDto),
        (status = 404, description = "No step has this id.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
) -> Result<Json<RevertDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let step = state.editor()?.revert_step(&codebook, step_id(path)?).await?;
    Ok(Json(RevertDto::from(&step)))
}

fn step_id(path: std::result::Result<Path<String>, PathRejection>) -> Result<RevertId> {
    id_of(path, || Problem::not_found("No step has an id like this.")).map(RevertId)
}

/// Undo what was taken back at once
///
/// All that the step took back is live again, to the last bit as if it had never gone, but for what was
/// erased meanwhile. A contributor undoes their own steps, an editor anybody's.
#[utoipa::path(
    delete, path = "/reverts/{id}", operation_id = "undo_revert", tag = "edits",
    params(("id" = String, Path, description = "ULID of the step."), CodebookParams),
    responses(
        (status = 200, description = "It is durable.", body = RestoredDto),
        (status = 404, description = "No step has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was undone before, all of it was erased, other keys have become live since, or an edit has got another version.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn undo(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
) -> Result<Json<RestoredDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let id = step_id(path)?;
    let editor = state.editor()?;
    let step = editor.revert_step(&codebook, id).await?;
    if !caller.may(AccessRole::Editor) && step.by.as_deref() != caller.name() {
        let detail = "To undo what another took back needs the role editor.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let restored = editor.undo_revert(&codebook, id, caller.name()).await?;
    audited.edits(restored.edits.iter().copied());
    Ok(Json(RestoredDto::of(id, &restored)))
}
