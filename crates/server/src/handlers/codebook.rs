//! `/codebook` and `/codebooks`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, File, call, codebook_name, page_cursor, page_limit};
use reasonedit_dto::codebook::{
    CodebookDto, CodebookPageDto, CodebooksParams, EntriesParams, ImportDto, ImportParams, KeyDto, KeyPageDto,
};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::job::JobDto;
use reasonedit_editor::{CodebookName, Key, MemberId, ReviewMode};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::limits::Archives;
use reasonedit_http::payload::Upload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;
use reasonedit_jobs::Submission;

use crate::archive;
use crate::handlers::jobs::{Submitter, submit};
use crate::idempotency::{KeyHeader, submission_key};
use crate::state::AppState;
use crate::upload;
use crate::workers::Import;

/// Media types of a tar, plain and compressed; what it is, its first bytes tell.
const TAR: [&str; 9] = [
    archive::TAR,
    "application/tar",
    "application/gzip",
    "application/x-gzip",
    "application/x-tgz",
    "application/x-gtar",
    "application/x-compressed-tar",
    "application/zstd",
    "application/octet-stream",
];

/// List codebooks
///
/// Those that ever had an edit, and the default one; of them those that the token is for.
#[utoipa::path(
    get, path = "/codebooks", operation_id = "list_codebooks", tag = "codebook", params(CodebooksParams),
    responses((status = 200, description = "A page of codebooks.", body = CodebookPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Query(params): Query<CodebooksParams>,
) -> Result<Json<CodebookPageDto>> {
    let limit = page_limit(params.limit)?;
    let cursor: Option<CodebookName> = page_cursor(params.cursor.as_deref())?;
    let page = state.editor()?.codebooks(cursor.as_ref(), limit, |name| caller.scope().holds(name.as_str()));
    Ok(Json(CodebookPageDto {
        codebooks: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|name| name.to_string()),
    }))
}

/// Counts and settings of a codebook
///
/// All counts are zero for one without edits.
#[utoipa::path(
    get, path = "/codebook", operation_id = "get_codebook", tag = "codebook", params(CodebookParams),
    responses((status = 200, description = "Counts and settings.", body = CodebookDto), LookupProblems),
)]
pub(crate) async fn stats(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
) -> Result<Json<CodebookDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let stats = state.editor()?.codebook(&codebook).await?;
    Ok(Json(CodebookDto::new(codebook.to_string(), &stats)))
}

/// List keys and their values
#[utoipa::path(
    get, path = "/codebook/entries", operation_id = "list_entries", tag = "codebook", params(EntriesParams),
    responses((status = 200, description = "A page of keys.", body = KeyPageDto), LookupProblems),
)]
pub(crate) async fn entries(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<EntriesParams>,
) -> Result<Json<KeyPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let limit = page_limit(params.limit)?;
    let cursor: Option<MemberId> = page_cursor(params.cursor.as_deref())?;
    let page = state.editor()?.entries(&codebook, cursor, limit).await?;
    for key in &page.items {
        shown(&audited, key);
    }
    Ok(Json(KeyPageDto {
        entries: page.items.iter().map(|key| key.as_ref().into()).collect(),
        next_cursor: page.next.map(|id| id.to_string()),
    }))
}

/// Get a key
///
/// The key of this id, with everything that merged into it.
#[utoipa::path(
    get, path = "/codebook/entries/{id}", operation_id = "get_entry", tag = "codebook",
    params(("id" = String, Path, description = "ULID of the key."), CodebookParams),
    responses(
        (status = 200, description = "The key.", body = KeyDto),
        (status = 404, description = "No such key: it was reverted, or merged into another.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn entry(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<CodebookParams>,
) -> Result<Json<KeyDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let id = path.ok().and_then(|Path(text)| text.parse::<MemberId>().ok());
    let id = id.ok_or_else(|| Problem::not_found("No key has an id like this."))?;
    let key = state.editor()?.entry(&codebook, id)?;
    shown(&audited, &key);
    Ok(Json(key.as_ref().into()))
}

/// A key is shown, with what edits say that merged into it.
fn shown(audited: &Audited, key: &Key) {
    for sentence in &key.sentences {
        audited.edits(&sentence.edit_ids);
        audited.image(sentence.image_id);
    }
}

/// Export a codebook
///
/// A tar of JSON Lines and pictures, written as it is read.
#[utoipa::path(
    get, path = "/codebook/export", operation_id = "export_codebook", tag = "codebook", params(CodebookParams),
    responses(
        (status = 200, description = "The archive.", body = File, content_type = "application/x-tar"),
        LookupProblems,
    ),
)]
pub(crate) async fn export(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    archives: Archives,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    audited.whole();
    let editor = state.editor()?.clone();
    let permit = archives.take()?;
    let name = format!("reasonedit-{codebook}");
    let write = async move |out| editor.export(&codebook, out).await;
    archive::stream(&name, permit, state.timeouts().body_idle(), write).await
}

/// Import a codebook
///
/// Takes what an export gave: all of it, or after an error nothing. Edits that are there already are skipped,
/// so repeating it is harmless. Keys are made anew where the archive was made with another model or
/// embedding. An archive that was unpacked and packed again is read too: its entries may come in any order
/// and lie in a common folder; it may be compressed with gzip or zstd. With `background` the archive is kept
/// and taken in by a job, which goes on after a restart where it was; its `result` is what
/// is answered otherwise, and an idempotency key finds it again.
#[utoipa::path(
    post, path = "/codebook/import", operation_id = "import_codebook", tag = "codebook",
    params(
        ImportParams,
        KeyHeader,
    ),
    request_body(content = File, content_type = "application/x-tar"),
    responses((status = 200, description = "What was taken in.", body = ImportDto),
        (status = 202, description = "The archive is kept, and a job takes it in.", body = JobDto,
            headers(("Location" = String, description = "Where the job is found."))),
        (status = 409, description = "The codebook was made with another embedding, or an edit of the archive was reverted in it.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems),
)]
pub(crate) async fn import(
    State(state): State<AppState>,
    by: Submitter,
    Query(params): Query<ImportParams>,
    asked: Asked,
    archives: Archives,
    headers: HeaderMap,
    body: Upload,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    let essence = body.content_type().split(';').next().unwrap_or_default().trim();
    if !TAR.iter().any(|tar| tar.eq_ignore_ascii_case(essence)) {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "Send the archive as application/x-tar.",
        ));
    }
    let editor = state.editor()?;
    if editor.config().review.of(&codebook).mode == ReviewMode::All && !by.caller.may(AccessRole::Admin) {
        let detail =
            "Everybody's edits are reviewed in this codebook: to import an archive needs the role admin.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let _permit = archives.take()?;
    let bytes = state.import_bytes();
    if params.background.unwrap_or(false) {
        return import_later(&state, codebook, &by, &headers, body).await;
    }
    let call = call::background(asked);
    let options = Contributor::from(&by.caller).import_options(bytes);
    by.audited.whole();
    let summary = archive::import(editor, &codebook, body.pieces(bytes)?, options, call).await?;
    Ok(Json(ImportDto::from(summary)).into_response())
}

/// Keeps the archive and submits a job for it.
async fn import_later(
    state: &AppState,
    codebook: CodebookName,
    by: &Submitter,
    headers: &HeaderMap,
    body: Upload,
) -> Result<Response> {
    let jobs = state.jobs()?;
    let upload = upload::receive(jobs.spool(), body.pieces(state.import_bytes())?).await?;
    let idempotency = submission_key(headers, upload.digest(), &())?;
    let total = Some(upload.bytes());
    let submission =
        Submission { codebook, upload: Some(upload), total, idempotency, ..Submission::default() };
    submit(jobs, by, &Import::by(Contributor::from(&by.caller)), submission).await
}
