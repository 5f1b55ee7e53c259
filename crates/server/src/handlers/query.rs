//! `/query`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::InputProblems;
use reasonedit_api::query::{AnswerDto, QueryForm, QueryInput};
use reasonedit_api::{CodebookParams, call, codebook_name, put_in_front, resolve};
use reasonedit_editor::QueryRequest;
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::Payload;
use reasonedit_http::problem::{ProblemBody, Result};
use reasonedit_http::shares::Asked;

use crate::sse;
use crate::state::AppState;

/// Ask about a picture
///
/// The answer takes the statements of edits into account that are near enough. With `stream` it comes as
/// server-sent events: `retrieval` (as in the answer), of a reasoning model `thinking` (`{"text": "…"}`) any
/// number of times, `token` (`{"text": "…", "probability": 0.97}`) any number of times, `done` (the whole
/// answer); or `error` (a problem document). A reasoning model thinks first, within `max_thinking_tokens`;
/// its answer, and choices too, stand behind what it thought. Pieces are told as they come: whether the whole
/// has the model's form is known with `done`.
#[utoipa::path(
    post, path = "/query", operation_id = "query", tag = "query", params(CodebookParams),
    request_body(content((QueryInput = "application/json"), (QueryForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The answer, at once or as it is made.",
            content((AnswerDto = "application/json"), (String = "text/event-stream"))),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The codebook was made with another embedding.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn query(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    Payload { value: input, held: _held }: Payload<QueryInput>,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let (stream, explain) = (input.stream.unwrap_or(false), input.explain.unwrap_or(false));
    let image = resolve(input.image, state.fetcher(), caller.scope(), editor).await?;
    audited.image(image.id());
    let request = QueryRequest {
        warnings: Vec::new(),
        image,
        question: input.question,
        choices: input.choices.unwrap_or_default(),
        max_tokens: input.max_tokens,
        max_thinking_tokens: input.max_thinking_tokens,
        retrieval: input.retrieval.unwrap_or_default().into(),
        compare: input.compare.unwrap_or(false),
    };
    let call = call::interactive(asked);
    if stream {
        let events = editor.query_stream(&codebook, request, call)?;
        sse::answer(events, &audited, explain, asked.deadline, state.timeouts().keep_alive()).await
    } else {
        let outcome = editor.query(&codebook, request, call).await?;
        put_in_front(&audited, &outcome.retrieval);
        Ok(Json(AnswerDto::new(outcome, explain)).into_response())
    }
}
