//! `/webhooks`: looking at receivers, and resuming one.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use reasonedit_api::problems::LookupProblems;
use reasonedit_http::json::Query;
use reasonedit_http::problem::{Problem, ProblemBody, Result};

use super::Webhooks;
use super::dto::{ResumeParams, WebhookDto, WebhookListDto};

/// List webhooks
///
/// The receivers of the configuration and how they are: what they have yet to be told, and what went wrong.
/// None is added here.
#[utoipa::path(
    get, path = "/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    responses((status = 200, description = "The receivers.", body = WebhookListDto), LookupProblems),
)]
pub(super) async fn list(State(webhooks): State<Webhooks>) -> Result<Json<WebhookListDto>> {
    Ok(Json(WebhookListDto { webhooks: webhooks.list().await? }))
}

/// Resume a webhook
///
/// Goes on where an event was given up or where the receiver wanted no more (410), and tries at once what is
/// waited for. Everything that was missed is sent, unless `skip_missed` says otherwise.
#[utoipa::path(
    post, path = "/webhooks/{name}/resume", operation_id = "resume_webhook", tag = "webhooks",
    params(("name" = String, Path, description = "Its name in the configuration."), ResumeParams),
    responses(
        (status = 200, description = "The receiver as it is now.", body = WebhookDto),
        (status = 404, description = "No such webhook.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(super) async fn resume(
    State(webhooks): State<Webhooks>,
    path: std::result::Result<Path<String>, PathRejection>,
    Query(params): Query<ResumeParams>,
) -> Result<Json<WebhookDto>> {
    let Path(name) = path.map_err(|_| Problem::not_found("No webhook has this name."))?;
    Ok(Json(webhooks.resume(&name, params.skip_missed.unwrap_or(false)).await?))
}
