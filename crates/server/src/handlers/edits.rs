//! `/edits`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, File, call, codebook_name, page_cursor, page_limit};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::dry_run::DryRunDto;
use reasonedit_dto::edit::{EditDto, EditPageDto};
use reasonedit_dto::edit_input::{CreateParams, EditForm, EditInput, ListParams};
use reasonedit_dto::erasure::{ErasureDto, RevertParams};
use reasonedit_dto::job::{BatchParams, JobDto};
use reasonedit_dto::proposal::ProposedEditDto;
use reasonedit_editor::{DryRunQuestions, EditFilter, EditId, Submitted};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::limits::Archives;
use reasonedit_http::payload::{Payload, Upload};
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;
use reasonedit_jobs::Submission;
use reasonedit_resilience::blocking;

use super::answered::{answered, proposed, seen, shown};
use super::if_match::{IfMatchHeader, expected, require_own};
use super::{EditIdPath, dry_run};
use crate::handlers::jobs::{LINES, Submitter, submit};
use crate::idempotency::{KeyHeader, key_of, submission_key};
use crate::state::AppState;
use crate::upload;
use crate::workers::Batch;
use crate::workers::source::{Format, Source, SourceLimits};

/// Make an edit
///
/// Stores the correction so that it holds for this picture and question and for those like it. Answered when
/// it is durable and live; or with 202, where edits like this one wait until somebody else has approved of
/// them.
#[utoipa::path(
    post, path = "/edits", operation_id = "create_edit", tag = "edits",
    params(
        CreateParams,
        KeyHeader,
    ),
    request_body(content((EditInput = "application/json"), (EditForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "With `dry_run`: what it would change; it was not made.", body = DryRunDto),
        (status = 201, description = "The edit is durable and live.", body = EditDto,
            headers(("Location" = String, description = "Where the edit is found."), ("ETag" = String, description = "Its version."))),
        (status = 202, description = "It waits until somebody else has approved of it, as the codebook wants.", body = ProposedEditDto,
            headers(("Location" = String, description = "Where the proposal is found."), ("ETag" = String, description = "As it is now."))),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used with another body, or for an edit that was reverted (`edit`; another key makes it again); or other answers stand and there were to be none (`edits`); or it would break canaries, named in `errors`, and such edits are refused; or the codebook was made with another embedding.",
            body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CreateParams>,
    asked: Asked,
    headers: HeaderMap,
    Payload { value: input, held: _held }: Payload<EditInput>,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let text = input.reasoning_text().map(str::to_owned);
    let (fetcher, by) = (state.fetcher(), Contributor::from(&caller));
    let mut request = input.into_request(fetcher, &by, editor, params.verify).await?;
    audited.image(request.image.id());
    if params.dry_run {
        let logs = editor.config().question_log.enabled && caller.may(AccessRole::Editor);
        let questions = if logs { DryRunQuestions::Log } else { DryRunQuestions::Given(Vec::new()) };
        return Ok(dry_run::tried(&state, &audited, asked, (&codebook, request, questions))
            .await?
            .into_response());
    }
    request.idempotency = key_of(&headers, &request, text.as_deref())?;
    let by = Contributor::from(&caller).submitter();
    let view = match editor.submit(&codebook, request, &by, call::interactive(asked)).await? {
        Submitted::Made(view) => view,
        Submitted::Proposed { proposal, replayed } => {
            seen(&audited, &proposal);
            return Ok(proposed((editor, &codebook), params.codebook.as_deref(), &proposal, replayed));
        }
    };
    shown(&audited, &view);
    let mut location = format!("/edits/{}", view.record.known_as());
    if params.codebook.is_some() {
        location = format!("{location}?codebook={codebook}");
    }
    Ok(([(header::LOCATION, location)], answered(StatusCode::CREATED, &view)).into_response())
}

/// Make many edits
///
/// An upload of up to 5,000 edits: JSON Lines of bodies of `POST /edits`, or a tar of native records
/// (`edits.jsonl` and the pictures it names, as `reasonedit world` writes them). It becomes a job that makes
/// one edit after the other, in order, while queries go first; `GET /jobs/{id}/results` has a result for
/// every line. A line that can't be used doesn't keep the others from being made. After a restart the job
/// goes on where it was: no edit is made twice, none is left out.
#[utoipa::path(
    post, path = "/edits/batch", operation_id = "create_edits", tag = "edits",
    params(
        BatchParams,
        KeyHeader,
    ),
    // Sorted in the contract; clients generated from it that can't tell one file from the other send the
    // last, which has to be the lines.
    request_body(content((File = "application/tar"), (File = "application/x-ndjson"))),
    responses(
        (status = 202, description = "The upload is durable, and the job waits or runs.", body = JobDto,
            headers(("Location" = String, description = "Where the job is found."))),
        (status = 409, description = "The idempotency key was used with another upload.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn batch(
    State(state): State<AppState>,
    by: Submitter,
    Query(params): Query<BatchParams>,
    archives: Archives,
    headers: HeaderMap,
    body: Upload,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    let format = batch_format(body.content_type())?;
    let jobs = state.jobs()?;
    let _permit = archives.take()?;
    let limits = state.batch_limits();
    let upload = upload::receive(jobs.spool(), body.pieces(limits.bytes)?).await?;
    let (file, each) = (upload.file(), SourceLimits { item_bytes: limits.item_bytes, lines: limits.lines });
    let lines = blocking(move || Source::check(&file, format, each)).await?;
    let input = Batch { format, verify: params.verify, lines, by: Contributor::from(&by.caller) };
    let idempotency = submission_key(&headers, upload.digest(), &input)?;
    let submission = Submission {
        codebook,
        upload: Some(upload),
        total: Some(lines),
        idempotency,
        ..Submission::default()
    };
    submit(jobs, &by, &input, submission).await
}

fn batch_format(content_type: &str) -> Result<Format> {
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        LINES | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok(Format::Lines),
        "application/x-tar" | "application/tar" => Ok(Format::Records),
        _ => Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "Send JSON Lines as application/x-ndjson, or a tar of native records as application/x-tar.",
        )),
    }
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
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<ListParams>,
) -> Result<Json<EditPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let limit = page_limit(params.limit)?;
    let cursor: Option<EditId> = page_cursor(params.cursor.as_deref())?;
    let filter = EditFilter { author: params.author, tag: params.tag, q: params.q, ..EditFilter::default() };
    let page = state.editor()?.list_edits(&codebook, filter, cursor, limit).await?;
    for view in &page.items {
        shown(&audited, view);
    }
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
        (status = 200, description = "The edit with its entries and evidence, in its newest version.", body = EditDto,
            headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 404, description = "No such edit, or it was reverted.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It was erased.", body = ProblemBody, content_type = "application/problem+json"),
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
    audited.edit(id);
    let view = state.editor()?.get_edit(&codebook, id).await?;
    shown(&audited, &view);
    Ok(answered(StatusCode::OK, &view))
}

/// Revert an edit
///
/// With all its versions: the codebook becomes what it would be had the edit never been made. A contributor
/// takes back edits of their own, an editor anybody's. What it was stays known to those who keep the service,
/// unless an admin says `erase=true`: then it is gone for good, also from backups that are made or restored
/// from now on.
#[utoipa::path(
    delete, path = "/edits/{id}", operation_id = "revert_edit", tag = "edits",
    params(("id" = String, Path, description = "ULID of the edit."), RevertParams, IfMatchHeader),
    responses(
        (status = 200, description = "Erased.", body = ErasureDto),
        (status = 204, description = "Reverted."),
        (status = 404, description = "No such edit, or it was reverted before.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It was erased.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version by now than `If-Match` names.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn revert(
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
    if params.erase {
        if !caller.may(AccessRole::Admin) {
            let detail = "To erase for good needs the role admin.";
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        expected(&headers, editor, &codebook, id)?;
        let erased = editor.erase_edit(&codebook, id, caller.name()).await?;
        erased.picture.into_iter().for_each(|image| audited.image(image));
        return Ok(Json(ErasureDto::from(erased)).into_response());
    }
    require_own(&caller, editor, &codebook, id)?;
    let expected = expected(&headers, editor, &codebook, id)?;
    editor.revert_expected(&codebook, id, expected).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
