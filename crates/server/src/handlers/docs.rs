//! The contract.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use reasonedit_http::prefix::Prefix;
use reasonedit_http::problem::{Problem, Result};
use utoipa::openapi::Server;

use crate::state::AppState;

/// The contract
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_contract", tag = "service", security(()),
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json")),
)]
pub(crate) async fn openapi(
    State(state): State<AppState>,
    Extension(prefix): Extension<Prefix>,
) -> Result<Response> {
    if !prefix.as_str().is_empty() {
        let mut contract = state.contract();
        contract.servers = Some(vec![Server::new(prefix.as_str())]);
        return Ok(Json(contract).into_response());
    }
    let json = if let Some(json) = state.openapi().get() {
        json.clone()
    } else {
        let json = serde_json::to_vec(&state.contract()).map_err(|error| Problem::internal(&error))?;
        state.openapi().get_or_init(|| Bytes::from(json)).clone()
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}
