//! `/evidence`.

use axum::extract::State;
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::InputProblems;
use reasonedit_api::{CodebookParams, call, codebook_name, resolve};
use reasonedit_dto::evidence::{EvidenceForm, EvidenceInput, EvidenceSearchDto};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::Payload;
use reasonedit_http::problem::{ProblemBody, Result};
use reasonedit_http::shares::Asked;

use crate::state::AppState;

/// Look for evidence
///
/// Where a picture shows each statement, by the model: what an edit would store, and what the model says of
/// every part it looked at. Makes no edit and keeps nothing.
#[utoipa::path(
    post, path = "/evidence", operation_id = "find_evidence", tag = "edits", params(CodebookParams),
    request_body(content((EvidenceInput = "application/json"), (EvidenceForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "What was found.", body = EvidenceSearchDto),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn find(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    Payload { value: input, held: _held }: Payload<EvidenceInput>,
) -> Result<Json<EvidenceSearchDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let image = resolve(input.image, state.fetcher(), caller.scope(), editor).await?;
    audited.image(image.id());
    let found = editor.find_evidence(&codebook, &image, &input.statements, call::interactive(asked)).await?;
    Ok(Json(EvidenceSearchDto::new(input.statements, &found)))
}
