//! `/backup` and `/backups`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_backup::BackupService;
use reasonedit_dto::backup::{BackupDto, BackupListDto, BackupRequestDto};
use reasonedit_dto::job::JobDto;
use reasonedit_http::payload::OptionalJson;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_jobs::Submission;
use reasonedit_resilience::blocking;

use crate::handlers::jobs::{Submitter, submit};
use crate::idempotency::{KeyHeader, submission_key};
use crate::state::AppState;
use crate::workers::{Backup, no_backups};

/// Make a backup
///
/// Of all codebooks with their history, pictures and tokens, into the folder that `backup.folder` of the
/// configuration names. Edits wait while the records are read, questions don't. What earlier backups brought
/// is not written again. A job; the body may be left out, and an idempotency key finds it again. One that the
/// service is stopped in is begun again at the next start.
#[utoipa::path(
    post, path = "/backup", operation_id = "create_backup", tag = "service",
    params(KeyHeader),
    request_body = Option<BackupRequestDto>,
    responses(
        (status = 202, description = "The job waits or runs.", body = JobDto, headers(("Location" = String, description = "Where the job is found."))),
        (status = 409, description = "Another one runs: `job` names it. Or no folder is configured, or the key was used with another body.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    by: Submitter,
    headers: HeaderMap,
    OptionalJson { value, held: _held, .. }: OptionalJson<BackupRequestDto>,
) -> Result<Response> {
    configured(&state)?;
    let asked = value.unwrap_or_default();
    let idempotency = submission_key(&headers, blake3::hash(b""), &asked)?;
    let jobs = state.jobs()?;
    let upload = Some(jobs.spool().receive().await?.finish().await?);
    let submission = Submission { idempotency, upload, ..Submission::default() };
    submit(jobs, &by, &Backup::from(asked), submission).await
}

/// List backups
///
/// Those of the folder that `backup.folder` of the configuration names, the oldest first.
#[utoipa::path(
    get, path = "/backups", operation_id = "list_backups", tag = "service",
    responses(
        (status = 200, description = "The backups.", body = BackupListDto),
        (status = 409, description = "No folder is configured, or it holds something else.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<BackupListDto>> {
    let service = configured(&state)?.clone();
    let backups = blocking(move || service.list().map_err(Problem::from)).await?;
    Ok(Json(BackupListDto { backups: backups.into_iter().map(BackupDto::from).collect() }))
}

/// Where backups go.
///
/// # Errors
/// 409 where nobody said so.
fn configured(state: &AppState) -> Result<&BackupService> {
    state.backups().ok_or_else(no_backups)
}
