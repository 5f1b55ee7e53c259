//! The routes that Label Studio asks.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{call, require_all_codebooks, require_codebook, rfc3339};
use reasonedit_editor::{CodebookName, Editor, StepKind};
use reasonedit_http::audit::Audited;
use reasonedit_http::payload::UntypedJson;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;
use reasonedit_resilience::blocking;
use ulid::Ulid;

use super::dto::{
    AnnotationsDto, HealthDto, OutcomeDto, PredictInput, PredictionsDto, ReceivedDto, ReviewedDto, SetupDto,
    SetupInput, VersionsDto, WebhookInput,
};
use super::events::{Change, is_project, received};
use super::labels::Interface;
use super::predict::Asking;
use super::projects::{ProjectRecord, codebook_in};
use super::studio::LabelStudio;
use super::token::ApiToken;
use super::version::{LOADING, version};

fn up() -> Json<HealthDto> {
    Json(HealthDto { status: "UP".to_owned(), model_class: "ReasonEdit".to_owned() })
}

/// Refuses tokens that are not for the codebook of a project, without its name: which one it has is told to
/// those alone who may open it.
///
/// # Errors
/// 403.
fn require_project(caller: &Caller, codebook: &CodebookName) -> Result<()> {
    require_codebook(caller, codebook).map_err(|_| {
        Problem::new(ProblemKind::Forbidden, "Your token is not for the codebook of this project.")
    })
}

/// Say that the backend is there
///
/// Label Studio's backends answer at their address itself too.
#[utoipa::path(
    get, path = "/integrations/label-studio", operation_id = "label_studio_root", tag = "label-studio",
    responses((status = 200, description = "It is.", body = HealthDto), LookupProblems),
)]
pub(super) async fn root() -> Json<HealthDto> {
    up()
}

/// Say that the backend is there
///
/// Also while the model is being loaded: a project can be connected by then.
#[utoipa::path(
    get, path = "/integrations/label-studio/health", operation_id = "label_studio_health", tag = "label-studio",
    responses((status = 200, description = "It is.", body = HealthDto), LookupProblems),
)]
pub(super) async fn health() -> Json<HealthDto> {
    up()
}

/// Figures of a training, of which there is none
#[utoipa::path(
    get, path = "/integrations/label-studio/metrics", operation_id = "label_studio_metrics", tag = "label-studio",
    responses((status = 200, description = "None; `/metrics` has those of the service.", body = Object), LookupProblems),
)]
pub(super) async fn metrics() -> Json<serde_json::Value> {
    Json(serde_json::json!({}))
}

/// The version of the model
#[utoipa::path(
    get, path = "/integrations/label-studio/versions", operation_id = "label_studio_versions", tag = "label-studio",
    responses((status = 200, description = "The one that the projects without a codebook of their own ask.", body = VersionsDto), LookupProblems),
)]
pub(super) async fn versions(
    State(studio): State<LabelStudio>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<VersionsDto>> {
    let codebook = studio.codebook(&ProjectRecord::default());
    require_codebook(&caller, &codebook)?;
    Ok(Json(VersionsDto { versions: vec![model_version(&studio, &codebook).await?] }))
}

/// What became of annotations
///
/// Label Studio is answered before an annotation becomes an edit. Here stands what became of the last 200,
/// and how many wait.
#[utoipa::path(
    get, path = "/integrations/label-studio/annotations", operation_id = "label_studio_annotations", tag = "label-studio",
    responses((status = 200, description = "The last 200, newest first.", body = AnnotationsDto), LookupProblems),
)]
pub(super) async fn annotations(
    State(studio): State<LabelStudio>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<AnnotationsDto>> {
    require_all_codebooks(&caller)?;
    let (waiting, mut ended) = studio.queue()?.look();
    if let Some(editor) = studio.service().editor.loaded() {
        for outcome in &mut ended {
            outcome.review = reviewed(editor, outcome);
        }
    }
    Ok(Json(AnnotationsDto { waiting, ended }))
}

/// What became of the proposal that an annotation became.
fn reviewed(editor: &Editor, outcome: &OutcomeDto) -> Option<ReviewedDto> {
    let id: Ulid = outcome.proposal.as_ref()?.parse().ok()?;
    let proposal = editor.find_proposals(|one| one.id == id).into_iter().next()?;
    let last = proposal.steps.last()?;
    let reason = if let StepKind::Rejected(reason) = &last.what { Some(reason.clone()) } else { None };
    Some(ReviewedDto { state: proposal.state.into(), at: rfc3339(last.at), reason })
}

async fn model_version(studio: &LabelStudio, codebook: &CodebookName) -> Result<String> {
    match studio.service().editor.loaded() {
        Some(editor) => version(editor, codebook).await,
        None => Ok(LOADING.to_owned()),
    }
}

/// Connect a project
///
/// Label Studio does so when the backend is added, and before it asks for predictions. Answered at once, also
/// while the model is being loaded. What the project is given here (codebook, token) holds after a restart
/// too.
#[utoipa::path(
    post, path = "/integrations/label-studio/setup", operation_id = "label_studio_setup", tag = "label-studio",
    request_body = SetupInput,
    responses((status = 200, description = "The version of the model, and what is missing.", body = SetupDto), InputProblems),
)]
pub(super) async fn setup(
    State(studio): State<LabelStudio>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    UntypedJson { value: input, held: _held }: UntypedJson<SetupInput>,
) -> Result<Json<SetupDto>> {
    if !is_project(&input.project) {
        return Err(Problem::invalid(
            "/project",
            "A project is its id, a full stop, and the second it was made in.",
        ));
    }
    let interface = Interface::parse(input.schema.as_deref().unwrap_or("<View/>"), studio.config())?;
    let record = ProjectRecord {
        codebook: codebook_in(input.extra_params.as_ref())?,
        hostname: input.hostname.filter(|host| !host.is_empty()),
        // Not kept where it would be of no use.
        token: input
            .access_token
            .filter(|_| studio.pictures().want_token())
            .as_deref()
            .and_then(ApiToken::new),
    };
    let codebook = audited.codebook(studio.codebook(&record));
    require_codebook(&caller, &codebook)?;
    // A project is not taken away from the codebook that it has.
    if let Some(known) = studio.known_project(&input.project) {
        require_project(&caller, &studio.codebook(&known))?;
    }
    let mut missing = interface.missing(studio.config());
    if !studio.pictures().reach_label_studio() {
        missing.push(
            "`server.label_studio.url` is not set: pictures that lie in Label Studio can't be read."
                .to_owned(),
        );
    }
    let (project, keeping) = (input.project.clone(), studio.clone());
    blocking(move || keeping.projects().put(&project, record)).await?;
    for what in &missing {
        tracing::info!(project = %input.project, %what, "a project lacks something");
    }
    let model_version = model_version(&studio, &codebook).await?;
    Ok(Json(SetupDto { model_version, codebook: codebook.to_string(), missing }))
}

/// Predict tasks
///
/// Asks each task's question of its picture. The answer becomes a region of the project's choices or text
/// area, the evidence of the facts used becomes rectangles where the project has such a tag. A task that
/// can't be predicted has an empty list; if none can, the first one's problem is answered.
#[utoipa::path(
    post, path = "/integrations/label-studio/predict", operation_id = "label_studio_predict", tag = "label-studio",
    request_body = PredictInput,
    responses(
        (status = 200, description = "One entry per task, in order.", body = PredictionsDto),
        (status = 409, description = "The codebook was made with another embedding.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "Label Studio does not give the pictures.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(super) async fn predict(
    State(studio): State<LabelStudio>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    asked: Asked,
    UntypedJson { value: input, held: _held }: UntypedJson<PredictInput>,
) -> Result<Json<PredictionsDto>> {
    let editor = studio.service().editor.ready()?;
    let interface = Interface::parse(input.label_config.as_deref().unwrap_or("<View/>"), studio.config())?;
    let known = input.project.as_deref().map(|project| studio.project(project)).unwrap_or_default();
    let codebook = audited.codebook(studio.codebook(&known));
    require_project(&caller, &codebook)?;
    let asking = Asking {
        studio: &studio,
        editor,
        interface: &interface,
        codebook,
        audited,
        origin: LabelStudio::origin(known),
        flow: call::flow(asked),
        until: asked.deadline.min(Instant::now() + Duration::from_millis(studio.config().predict_ms)),
    };
    Ok(Json(PredictionsDto { results: asking.all(input.tasks).await? }))
}

/// Take up what happened in Label Studio
///
/// A submitted annotation with an answer and reasoning becomes an edit; an updated one replaces it; a deleted
/// one takes it back. Answered when the annotation waits durably, since Label Studio waits a second and does
/// not send it again; `/integrations/label-studio/annotations` tells what became of it.
#[utoipa::path(
    post, path = "/integrations/label-studio/webhook", operation_id = "label_studio_webhook", tag = "label-studio",
    request_body = WebhookInput,
    responses(
        (status = 201, description = "What becomes of it.", body = ReceivedDto),
        (status = 200, description = "An event that nothing is known of.", body = ReceivedDto),
        InputProblems,
    ),
)]
pub(super) async fn webhook(
    State(studio): State<LabelStudio>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    UntypedJson { value: input, held: _held }: UntypedJson<WebhookInput>,
) -> Result<Response> {
    let reading = studio.clone();
    let read = blocking(move || Ok::<_, Problem>(received(&input, reading.config()))).await?;
    let Some(mut received) = read else {
        let status = "Unknown event".to_owned();
        let unknown = ReceivedDto { status, queued: Vec::new(), skipped: Vec::new(), note: None };
        return Ok((StatusCode::OK, Json(unknown)).into_response());
    };
    for skipped in &received.skipped {
        tracing::info!(annotation = skipped.annotation, reason = %skipped.reason, "nothing follows from an annotation");
    }
    for event in &mut received.events {
        if let Change::Says(said) = &mut event.change {
            said.contributor = !caller.may(AccessRole::Editor);
        }
        let codebook = audited.codebook(studio.codebook(&studio.project(&event.project)));
        require_project(&caller, &codebook)?;
    }
    let queued = received.events.iter().map(|event| event.annotation).collect::<Vec<_>>();
    if !queued.is_empty() {
        let queue = studio.queue()?;
        let (events, keeping) = (received.events, studio.clone());
        blocking(move || {
            // From now on nobody draws it into another codebook who may not see this one.
            events.iter().try_for_each(|event| keeping.projects().claim(&event.project))?;
            queue.push(events)
        })
        .await?;
    }
    let note = received.note.map(str::to_owned);
    let answer = ReceivedDto { status: "ok".to_owned(), queued, skipped: received.skipped, note };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}
