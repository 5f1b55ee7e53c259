//! `/health`.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_audit::AuditState;
use reasonedit_http::problem::Problem;

use crate::state::AppState;
use reasonedit_dto::health::{AuditHealthDto, Live, ModelDto, Ready, ReadyStatus, UnusableDto};

/// The process runs
#[utoipa::path(
    get, path = "/health/live", operation_id = "get_liveness", tag = "service", security(()),
    responses((status = 200, description = "It does.", body = Live)),
)]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Edits and queries are served
#[utoipa::path(
    get, path = "/health/ready", operation_id = "get_readiness", tag = "service", security(()),
    responses(
        (status = 200, description = "The model is loaded and the codebooks are open; `unusable` tells of those that can't be used with it, `damaged` of those that can't be read.", body = Ready),
        (status = 503, description = "The model is being loaded, nothing can be stored (the disk is full, say: queries are answered then, and edits once the cause is gone), or the service is being stopped.", body = Ready),
    ),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    let loading = || {
        let body = Ready {
            status: ReadyStatus::Loading,
            detail: None,
            model: None,
            unusable: None,
            damaged: None,
            faults: None,
            audit: audit(&state),
        };
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], Json(body)).into_response()
    };
    let Some(editor) = state.ready_editor() else { return loading() };
    // Answers at once, since the engine is ready; fails when it has been shut down.
    let Ok(info) = editor.model().await else { return loading() };
    let model = ModelDto {
        architecture: info.architecture.clone(),
        name: info.name.clone(),
        fingerprint: info.fingerprint.clone(),
        parameters: info.parameters,
        dtype: info.dtype.clone(),
        device: info.device.clone(),
    };
    let refused = editor.unusable_codebooks();
    let unusable =
        refused.first().map(|(_, error)| UnusableDto { codebooks: refused.len(), detail: error.to_string() });
    let codebooks = editor.damaged_codebooks().len();
    let damaged = (codebooks > 0).then(|| UnusableDto {
        codebooks,
        detail: "They can't be read and are set aside; `GET /codebooks` and the log name them.".to_owned(),
    });
    let faults = Some(editor.store_faults().len()).filter(|&count| count > 0);
    let mut ready = Ready {
        status: ReadyStatus::Ready,
        detail: None,
        model: Some(model),
        unusable,
        damaged,
        faults,
        audit: audit(&state),
    };
    let refused = || state.audit().trail().and_then(|trail| trail.ready().err()).map(Problem::from);
    let unwritable = match editor.recover_store().await {
        Ok(()) => refused().map(|problem| problem.body().detail),
        Err(error) => Some(error.to_string()),
    };
    (ready.status, ready.detail) = match unwritable {
        _ if state.is_stopping() => (ReadyStatus::Stopping, None),
        Some(reason) => (ReadyStatus::Unwritable, Some(reason)),
        None => return Json(ready).into_response(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], Json(ready)).into_response()
}

/// What is wrong with the audit trail, if there is one.
fn audit(state: &AppState) -> Option<AuditHealthDto> {
    let AuditState { failing, lost, .. } = state.audit().trail()?.state();
    let writable = failing.is_none();
    (!writable || lost > 0).then_some(AuditHealthDto { writable, lost })
}
