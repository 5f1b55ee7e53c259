//! The contract, and a page to try it. Everything is in the program; nothing is fetched from elsewhere.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use utoipa::openapi::Server;

use crate::openapi::contract;
use crate::prefix::Prefix;
use crate::problem::{Problem, Result};
use crate::state::AppState;

const PAGE: &str = include_str!("../assets/docs.html");
const SCRIPT: &str = include_str!("../assets/docs.js");
const STYLE: &str = include_str!("../assets/docs.css");

/// The page may run its own script and call this service, nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

/// The page.
pub(crate) async fn page() -> Response {
    asset("text/html; charset=utf-8", PAGE)
}

/// Its script.
pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// Its style.
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

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
        let mut contract = contract();
        contract.servers = Some(vec![Server::new(prefix.as_str())]);
        return Ok(Json(contract).into_response());
    }
    let json = if let Some(json) = state.openapi().get() {
        json.clone()
    } else {
        let json = serde_json::to_vec(&contract()).map_err(|error| Problem::internal(&error))?;
        state.openapi().get_or_init(|| Bytes::from(json)).clone()
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}
