//! `/export`.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use reasonedit_access::Caller;
use reasonedit_api::problems::LookupProblems;
use reasonedit_api::{File, codebook_name};
use reasonedit_dto::training_data::TrainingDataParams;
use reasonedit_editor::EditorError;
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::limits::Archives;
use reasonedit_http::problem::Result;

use crate::archive;
use crate::state::AppState;

/// Export edits as training data
///
/// The live edits of a codebook for one trainer: conversations with pictures for supervised fine-tuning, or
/// pairs of the correction and what the model had said before. A tar, written as it is read: pictures, rows,
/// and last `manifest.json`, which names the revision of the codebook and counts what was left out, by
/// reason. Edits of one picture are never on both sides of a split, and stay on theirs in later exports with
/// the same seed.
#[utoipa::path(
    get, path = "/export", operation_id = "export_training_data", tag = "codebook", params(TrainingDataParams),
    responses(
        (status = 200, description = "The archive.", body = File, content_type = "application/x-tar"),
        LookupProblems,
    ),
)]
pub(crate) async fn export(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<TrainingDataParams>,
    archives: Archives,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let options = params.options();
    options.check().map_err(EditorError::from)?;
    audited.whole();
    let editor = state.editor()?.clone();
    let permit = archives.take()?;
    let name = format!("reasonedit-{codebook}-{}-{}", options.format.word(), options.task.word());
    let write = async move |out| editor.training_data(&codebook, options, out).await;
    archive::stream(&name, permit, state.timeouts().body_idle(), write).await
}
