//! `/jobs`.

use std::io;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use reasonedit_access::{Caller, CodebookScope};
use reasonedit_api::problems::LookupProblems;
use reasonedit_api::{File, codebook_name, page_cursor, page_limit};
use reasonedit_dto::job::{
    JobDto, JobKind, JobListParams, JobPageDto, JobParams, JobStateDto, ResultsParams,
};
use reasonedit_editor::CodebookName;
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::CallerId;
use reasonedit_jobs::{BackgroundJob, JobView, Jobs, JobsError, Submission};
use ulid::Ulid;

use crate::sse;
use crate::state::AppState;

/// Media type of JSON Lines.
pub(crate) const LINES: &str = "application/x-ndjson";

/// Results read at a time.
const PAGE: usize = 256;

/// A job's id in the path. What can't be an id is simply not there: 404.
pub(crate) struct JobIdPath(pub(crate) Ulid);

impl<S: Send + Sync> FromRequestParts<S> for JobIdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        job_id(&text.map_or_else(|_| String::new(), |axum::extract::Path(text)| text)).map(Self)
    }
}

/// A job's id from its text.
///
/// # Errors
/// 404 for what can't be an id.
pub(crate) fn job_id(text: &str) -> Result<Ulid> {
    Ulid::from_string(text).map_err(|_| Problem::not_found("No job has an id like this."))
}

/// The codebook of a request for a job, which knows its own, if the request names one.
///
/// # Errors
/// As [`codebook_name`].
pub(crate) fn codebook_given(
    caller: &Caller,
    audited: &Audited,
    name: Option<&str>,
) -> Result<Option<CodebookName>> {
    let named = name.map(|name| codebook_name(caller, Some(name))).transpose()?;
    Ok(named.map(|name| audited.codebook(name)))
}

/// A job that the caller may know of. One of a codebook that their token is not for is as one that isn't
/// there.
///
/// # Errors
/// 404.
pub(crate) fn job_of(state: &AppState, caller: &Caller, audited: &Audited, id: Ulid) -> Result<JobView> {
    audited.job(id);
    let job = state.jobs()?.get(id)?;
    audited.codebook(&job.codebook);
    if may_know(caller, &job.kind, &job.codebook) { Ok(job) } else { Err(JobsError::Unknown(id).into()) }
}

/// Whether the caller may know of a job. A backup tells of all codebooks.
fn may_know(caller: &Caller, kind: &str, codebook: &CodebookName) -> bool {
    let of_all = kind == JobKind::Backup.name();
    caller.scope().holds(codebook.as_str()) && (!of_all || *caller.scope() == CodebookScope::All)
}

/// Who submits a job.
pub(crate) struct Submitter {
    pub(crate) caller: Caller,
    pub(crate) audited: Audited,
    /// What tells them from others, if anything does.
    id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Submitter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::internal(&"nobody asks"))?;
        let Ok(audited) = Audited::from_request_parts(parts, state).await;
        let id = parts.extensions.get::<CallerId>().map(|id| id.0.clone());
        Ok(Self { caller, audited, id })
    }
}

/// Submits a job; the answer to what has become one: 202, with the job and where it is found.
///
/// # Errors
/// As [`Jobs::submit`]. A job that stands in the way is named to those alone who may know of it.
pub(crate) async fn submit(
    jobs: &Jobs,
    by: &Submitter,
    input: &impl BackgroundJob,
    submission: Submission,
) -> Result<Response> {
    let submission = Submission { caller: by.id.clone(), ..submission };
    let job = match jobs.submit(input, submission).await {
        Ok(job) => job,
        Err(error) => return Err(in_the_way(jobs, &by.caller, error)),
    };
    by.audited.job(job.id);
    let job = JobDto::from(job);
    let location = format!("/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

/// What keeps a job from being submitted, as the caller may be told.
fn in_the_way(jobs: &Jobs, caller: &Caller, error: JobsError) -> Problem {
    let known = |id: Ulid| jobs.get(id).is_ok_and(|job| may_know(caller, &job.kind, &job.codebook));
    match error {
        JobsError::Exclusive { kind, job } if !known(job) => {
            let whose = "of a codebook that your token isn't for";
            Problem::new(
                ProblemKind::Conflict,
                format!("There is a job of the kind `{kind}` already, {whose}."),
            )
        }
        JobsError::KeyUsed { job } if !known(job) => {
            let detail = "This idempotency key was used before with another request.";
            Problem::new(ProblemKind::Conflict, detail)
        }
        error => error.into(),
    }
}

/// List jobs
///
/// Newest first; the newest 200 that have ended are kept. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/jobs", operation_id = "list_jobs", tag = "jobs", params(JobListParams),
    responses((status = 200, description = "A page of jobs.", body = JobPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<JobListParams>,
) -> Result<Json<JobPageDto>> {
    let codebook = codebook_given(&caller, &audited, params.codebook.as_deref())?;
    let limit = page_limit(params.limit)?;
    let cursor: Option<Ulid> = page_cursor(params.cursor.as_deref())?;
    let (jobs, next) = state.jobs()?.list(
        |record| {
            may_know(&caller, record.kind(), record.codebook())
                && codebook.as_ref().is_none_or(|name| name == record.codebook())
                && params.state.is_none_or(|state| state == record.state().into())
                && params.kind.is_none_or(|kind| kind.name() == record.kind())
        },
        cursor,
        limit,
    );
    for job in &jobs {
        audited.job(job.id);
    }
    let jobs = jobs.into_iter().map(JobDto::from).collect();
    Ok(Json(JobPageDto { jobs, next_cursor: next.map(|id| id.to_string()) }))
}

/// Get a job
#[utoipa::path(
    get, path = "/jobs/{id}", operation_id = "get_job", tag = "jobs",
    params(("id" = String, Path, description = "ULID of the job."), JobParams),
    responses(
        (status = 200, description = "The job as it is.", body = JobDto),
        (status = 404, description = "No such job, or it was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JobIdPath(id): JobIdPath,
    Query(params): Query<JobParams>,
) -> Result<Json<JobDto>> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    Ok(Json(job_of(&state, &caller, &audited, id)?.into()))
}

/// Cancel a job
///
/// What it had done stays done. Cancelling a cancelled job changes nothing; one that is done or has failed
/// can't be cancelled.
#[utoipa::path(
    delete, path = "/jobs/{id}", operation_id = "cancel_job", tag = "jobs",
    params(("id" = String, Path, description = "ULID of the job."), JobParams),
    responses(
        (status = 200, description = "It is cancelled.", body = JobDto),
        (status = 202, description = "It is about to stop.", body = JobDto),
        (status = 404, description = "No such job, or it was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is done or has failed.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JobIdPath(id): JobIdPath,
    Query(params): Query<JobParams>,
) -> Result<Response> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    job_of(&state, &caller, &audited, id)?;
    let job = JobDto::from(state.jobs()?.cancel(id).await?);
    let status = if job.state == JobStateDto::Cancelled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(job)).into_response())
}

/// Follow a job
///
/// Server-sent events, each with the whole job: `progress` at once and whenever it got on, then `done`; or
/// `failed`, also when it was cancelled. Whoever connects again is told at once how far it is. The stream of
/// a job that has ended is its last event.
#[utoipa::path(
    get, path = "/jobs/{id}/events", operation_id = "follow_job", tag = "jobs",
    params(("id" = String, Path, description = "ULID of the job."), JobParams),
    responses(
        (status = 200, description = "The events.", body = String, content_type = "text/event-stream"),
        (status = 404, description = "No such job, or it was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn events(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JobIdPath(id): JobIdPath,
    Query(params): Query<JobParams>,
) -> Result<Response> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    job_of(&state, &caller, &audited, id)?;
    let jobs = state.jobs()?;
    Ok(sse::job(jobs.watch(id)?, jobs.stopping(), state.timeouts().keep_alive()))
}

/// Get the results of a job
///
/// JSON Lines, one `BatchLine` for every line of a batch that was worked on, in order:
/// `{"line": 7, "status": 201, "edit": "01K…"}`, or with the problem that `POST /edits` would have answered
/// with. Can be read while the job runs. Other kinds of jobs have no such lines.
#[utoipa::path(
    get, path = "/jobs/{id}/results", operation_id = "get_job_results", tag = "jobs",
    params(("id" = String, Path, description = "ULID of the job."), ResultsParams),
    responses(
        (status = 200, description = "The lines.", body = File, content_type = "application/x-ndjson"),
        (status = 404, description = "No such job, or it was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn results(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JobIdPath(id): JobIdPath,
    Query(params): Query<ResultsParams>,
) -> Result<Response> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    job_of(&state, &caller, &audited, id)?;
    let jobs = state.jobs()?.clone();
    let (from, left) = (params.from.unwrap_or(1), params.limit.unwrap_or(u64::MAX));
    // The first page before the head: what can't be read at all has its own status.
    let page = move |left: u64| PAGE.min(usize::try_from(left).unwrap_or(PAGE));
    let first = jobs.pieces(id, from, page(left)).await?;
    let stream = stream::unfold((Some(Ok(first)), left), move |(rows, left)| {
        let jobs = jobs.clone();
        async move {
            let rows: Vec<(u64, Vec<u8>)> = match rows? {
                Ok(rows) => rows,
                Err(()) => return Some((Err(io::Error::other("a result can't be read")), (None, 0))),
            };
            let (last, _) = rows.last()?;
            let (next, wanted) = (last + 1, page(left));
            let left = left - rows.len() as u64;
            let more = if rows.len() < wanted || left == 0 {
                None
            } else {
                Some(jobs.pieces(id, next, page(left)).await.map_err(|_| ()))
            };
            let mut text = Vec::new();
            for (_, row) in rows {
                text.extend(row);
                text.push(b'\n');
            }
            Some((Ok(Bytes::from(text)), (more, left)))
        }
    });
    // Compression asks once more after the end.
    Ok(([(header::CONTENT_TYPE, LINES)], Body::from_stream(stream.fuse())).into_response())
}
