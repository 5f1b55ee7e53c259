//! `/modularity`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, codebook_name};
use reasonedit_dto::job::{JobDto, JobParams};
use reasonedit_dto::modularity::{ModularityDto, ModularityRequestDto};
use reasonedit_editor::{CodebookName, EmbeddingChoice};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::OptionalJson;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_jobs::{BackgroundJob as _, JobState, Submission};
use reasonedit_topology::{ModularityReport, figure};
use ulid::Ulid;

use crate::handlers::jobs::{JobIdPath, Submitter, codebook_given, job_id, job_of, submit};
use crate::idempotency::{KeyHeader, submission_key};
use crate::state::AppState;
use crate::workers::modularity::{CODEBOOK, REPORT, report_of};
use crate::workers::{Modularity, Reembed};

/// Media type of the figures.
const SVG: &str = "image/svg+xml";
/// Media type of the summary.
const MARKDOWN: &str = "text/markdown; charset=utf-8";

/// Choose layer and weight
///
/// Measures, on pairs of pictures and texts, how well every layer of the model and every weight of the text
/// keep pictures and texts apart, and moves the codebook to the best, if asked to, while it goes on serving.
/// A job; the body may be left out.
#[utoipa::path(
    post, path = "/modularity", operation_id = "create_modularity", tag = "modularity",
    params(
        CodebookParams,
        KeyHeader,
    ),
    request_body = Option<ModularityRequestDto>,
    responses(
        (status = 202, description = "The job waits or runs.", body = JobDto, headers(("Location" = String, description = "Where the job is found."))),
        (status = 404, description = "No such codebook.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another one runs: `job` names it.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    by: Submitter,
    Query(params): Query<CodebookParams>,
    headers: HeaderMap,
    OptionalJson { value, bytes, held: _held }: OptionalJson<ModularityRequestDto>,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    let asked = value.unwrap_or_default();
    let (editor, jobs) = (state.editor()?, state.jobs()?);
    let request = asked.request();
    match asked.source.as_deref().unwrap_or(CODEBOOK) {
        CODEBOOK => editor.check_modularity(&request, Some(&editor.codebook_samples(&codebook)?))?,
        name => {
            known_source(&state, name)?;
            editor.known_codebook(&codebook)?;
            editor.check_modularity(&request, None)?;
        }
    }
    let idempotency = submission_key(&headers, blake3::hash(&bytes), &())?;
    let submission = Submission { codebook, idempotency, ..Submission::default() };
    submit(jobs, &by, &Modularity(asked), submission).await
}

fn known_source(state: &AppState, name: &str) -> Result<()> {
    let sources = state.sources();
    if sources.names().any(|known| known == name) {
        return Ok(());
    }
    let known: Vec<&str> = std::iter::once(CODEBOOK).chain(sources.names()).collect();
    Err(Problem::invalid(
        "/source",
        format!("There is no source named {name:?}; there are: {}.", known.join(", ")),
    ))
}

/// Get the active selection
///
/// What the codebook's keys are made with, and the newest report on it.
#[utoipa::path(
    get, path = "/modularity", operation_id = "get_modularity", tag = "modularity", params(CodebookParams),
    responses((status = 200, description = "The active selection.", body = ModularityDto), LookupProblems),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
) -> Result<Json<ModularityDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let active = state.editor()?.active_embedding(&codebook)?;
    let (done, _) = state.jobs()?.list(
        |job| job.kind() == Modularity::NAME && job.state() == JobState::Done && *job.codebook() == codebook,
        None,
        1,
    );
    let report = done.first().map(|job| job.id);
    let selection = match report {
        Some(id) => Some(find(&state, &caller, &audited, id).await?.selection),
        None => None,
    };
    Ok(Json(ModularityDto {
        active: active.into(),
        report: report.map(|id| id.to_string()),
        selection: selection
            .map(serde_json::to_value)
            .transpose()
            .map_err(|error| Problem::internal(&error))?,
        sources: std::iter::once(CODEBOOK).chain(state.sources().names()).map(str::to_owned).collect(),
    }))
}

/// Go back to the embedding before
///
/// A job: the edits made since get keys in the old embedding too, then it is swapped in. A second one goes
/// forward again.
#[utoipa::path(
    post, path = "/modularity/rollback", operation_id = "roll_back_modularity", tag = "modularity", params(CodebookParams),
    responses(
        (status = 202, description = "The job waits or runs.", body = JobDto, headers(("Location" = String, description = "Where the job is found."))),
        (status = 409, description = "No earlier embedding is kept, or another job runs.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn roll_back(
    State(state): State<AppState>,
    by: Submitter,
    Query(params): Query<CodebookParams>,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    let Some(previous) = state.editor()?.active_embedding(&codebook)?.previous else {
        let detail = format!("No earlier embedding of the codebook {codebook} is kept.");
        return Err(Problem::new(ProblemKind::Conflict, detail));
    };
    reembed(&state, &by, codebook, &Reembed::Back { to: previous.id }).await
}

/// Move to today's rules of keys
///
/// How the samples of pictures are read and what radii are drawn by are part of a codebook's embedding
/// (`pixels`, `seeds`); one that was begun before there were today's rules keeps to its own until it is
/// moved. A job: every key is made anew with the same layer and weight beside the live ones, then they are
/// swapped in at once. `POST /modularity/rollback` goes back. Where the rules are today's already, nothing is
/// made.
#[utoipa::path(
    post, path = "/modularity/reembed", operation_id = "reembed", tag = "modularity", params(CodebookParams),
    responses(
        (status = 202, description = "The job waits or runs.", body = JobDto, headers(("Location" = String, description = "Where the job is found."))),
        (status = 409, description = "The codebook never had an edit, so that there is nothing to move; or another job runs.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn renew(
    State(state): State<AppState>,
    by: Submitter,
    Query(params): Query<CodebookParams>,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    movable(&state, &codebook)?;
    reembed(&state, &by, codebook, &Reembed::Renewed { renew: true }).await
}

/// Apply a report
///
/// Moves the codebook to the layer and the weight that the report chose, while it goes on serving. A job:
/// every key is made anew beside the live ones, then they are swapped in at once.
#[utoipa::path(
    post, path = "/modularity/{report}/apply", operation_id = "apply_report", tag = "modularity",
    params(("report" = String, Path, description = "ULID of the job that made it."), CodebookParams),
    responses(
        (status = 202, description = "The job waits or runs.", body = JobDto, headers(("Location" = String, description = "Where the job is found."))),
        (status = 404, description = "No such report, or its job was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The codebook never had an edit, so that there is nothing to move; or another job runs.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn apply(
    State(state): State<AppState>,
    by: Submitter,
    JobIdPath(id): JobIdPath,
    Query(params): Query<CodebookParams>,
) -> Result<Response> {
    let codebook = by.audited.codebook(codebook_name(&by.caller, params.codebook.as_deref())?);
    let choice = EmbeddingChoice::from(&find(&state, &by.caller, &by.audited, id).await?.selection);
    movable(&state, &codebook)?;
    reembed(&state, &by, codebook, &Reembed::Chosen { choice }).await
}

/// A codebook that has keys; another has nothing to move.
fn movable(state: &AppState, codebook: &CodebookName) -> Result<()> {
    if state.editor()?.has_keys(codebook)? {
        return Ok(());
    }
    let detail = format!("The codebook {codebook} never had an edit: it follows the configuration.");
    Err(Problem::new(ProblemKind::Conflict, detail))
}

async fn reembed(
    state: &AppState,
    by: &Submitter,
    codebook: CodebookName,
    input: &Reembed,
) -> Result<Response> {
    let edits = state.editor()?.codebook(&codebook).await?.edits;
    let submission = Submission { codebook, total: Some(edits as u64), ..Submission::default() };
    submit(state.jobs()?, by, input, submission).await
}

/// Get a report
///
/// Every tap and pooling with mean and standard deviation of the three modularities and two biases, every
/// weight with its harmonic mean, and what was chosen, by what lead.
#[utoipa::path(
    get, path = "/modularity/{report}", operation_id = "get_report", tag = "modularity",
    params(("report" = String, Path, description = "ULID of the job that made it."), JobParams),
    responses(
        (status = 200, description = "The report.", body = Object),
        (status = 404, description = "No such report, or its job was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn report(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JobIdPath(id): JobIdPath,
    Query(params): Query<JobParams>,
) -> Result<Json<ModularityReport>> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    Ok(Json(find(&state, &caller, &audited, id).await?))
}

/// Get a figure of a report, or its summary
///
/// `layers.svg`: modularities and biases over the layers; `weights.svg`: vision against language modularity
/// over the weight; `network.svg`: the similarity network under three weights; `report.md`: a summary to
/// read.
#[utoipa::path(
    get, path = "/modularity/{report}/{file}", operation_id = "get_report_file", tag = "modularity",
    params(
        ("report" = String, Path, description = "ULID of the job that made it."),
        ("file" = String, Path, description = "Which.", pattern = "^(layers\\.svg|weights\\.svg|network\\.svg|report\\.md)$", example = "layers.svg"),
        JobParams,
    ),
    responses(
        (status = 200, description = "The figure or the summary.", content((String = "image/svg+xml"), (String = "text/markdown"))),
        (status = 404, description = "No such report or file, or its job was forgotten.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn file(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<(String, String)>, PathRejection>,
    Query(params): Query<JobParams>,
) -> Result<Response> {
    codebook_given(&caller, &audited, params.codebook.as_deref())?;
    let missing = || Problem::not_found("There is no such file of a report.");
    let Path((id, file)) = path.map_err(|_| missing())?;
    let report = find(&state, &caller, &audited, job_id(&id)?).await?;
    let (kind, text) = match file.as_str() {
        "layers.svg" => (SVG, figure::layers(&report)),
        "weights.svg" => (SVG, figure::weights(&report)),
        "network.svg" => {
            let drawn = figure::network(&report).map_err(|error| Problem::internal(&error))?;
            (SVG, drawn.ok_or_else(missing)?)
        }
        "report.md" => (MARKDOWN, report.markdown()),
        _ => return Err(missing()),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn find(state: &AppState, caller: &Caller, audited: &Audited, id: Ulid) -> Result<ModularityReport> {
    job_of(state, caller, audited, id)?;
    let pieces = state.jobs()?.pieces(id, REPORT, 1).await?;
    report_of(&pieces)?.ok_or_else(|| Problem::not_found(format!("There is no report {id}.")))
}
