//! `/feedback`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_api::{CodebookParams, codebook_name, page_cursor, page_limit, require_codebook};
use reasonedit_dto::feedback::{
    EditFeedbackDto, EditFeedbackListDto, FeedbackDto, FeedbackInput, FeedbackPageDto, FeedbackParams,
};
use reasonedit_editor::EditId;
use reasonedit_feedback::{FeedbackFilter, FeedbackOutcome, NewFeedback};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_resilience::blocking;
use ulid::Ulid;

use super::id_of;
use crate::state::AppState;

/// Say whether an answer is right
///
/// A person's word on an answer, and on the edits that it rested on. It changes no answer: it is for those
/// who look after the codebook. One person has one word on an answer; the later stands in the place of the
/// earlier, under the same id. Where callers have no names, all of them are one person.
#[utoipa::path(
    post, path = "/feedback", operation_id = "give_feedback", tag = "feedback", params(CodebookParams),
    request_body(content = FeedbackInput),
    responses(
        (status = 201, description = "It is kept.", body = FeedbackDto),
        (status = 200, description = "It stands in the place of what the same person had said of this answer.", body = FeedbackDto),
        InputProblems,
    ),
)]
pub(crate) async fn give(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    JsonPayload { value: input, held: _held }: JsonPayload<FeedbackInput>,
) -> Result<Response> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let edits: Vec<EditId> = input.edits.into_iter().map(|id| id.0).collect();
    audited.edits(&edits);
    let by = caller.name().map(str::to_owned);
    let word = NewFeedback { codebook, answer: input.answer_id, edits, verdict: input.verdict.into(), by };
    let feedback = state.feedback()?.clone();
    let (status, word) = match blocking(move || feedback.give(word).map_err(Problem::from)).await? {
        FeedbackOutcome::New(word) => (StatusCode::CREATED, word),
        FeedbackOutcome::Changed(word) => (StatusCode::OK, word),
    };
    Ok((status, Json(FeedbackDto::from(word))).into_response())
}

/// List what was said of answers
///
/// Newest first. `next_cursor` of one page is `cursor` of the next.
#[utoipa::path(
    get, path = "/feedback", operation_id = "list_feedback", tag = "feedback", params(FeedbackParams),
    responses((status = 200, description = "A page.", body = FeedbackPageDto), LookupProblems),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<FeedbackParams>,
) -> Result<Json<FeedbackPageDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let (limit, cursor) = (page_limit(params.limit)?, page_cursor::<Ulid>(params.cursor.as_deref())?);
    let filter = FeedbackFilter {
        codebook: Some(codebook),
        edit: params.edit.map(|id| id.0),
        verdict: params.verdict.map(Into::into),
    };
    let feedback = state.feedback()?.clone();
    let (words, next) =
        blocking(move || feedback.list(&filter, cursor, limit).map_err(Problem::from)).await?;
    Ok(Json(FeedbackPageDto {
        feedback: words.into_iter().map(Into::into).collect(),
        next_cursor: next.map(|id| id.to_string()),
    }))
}

/// List edits by what was said of their answers
///
/// Those that people disagreed with most come first: the ones to look at.
#[utoipa::path(
    get, path = "/feedback/edits", operation_id = "list_edit_feedback", tag = "feedback", params(CodebookParams),
    responses((status = 200, description = "The edits that anything was said of.", body = EditFeedbackListDto), LookupProblems),
)]
pub(crate) async fn edits(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
) -> Result<Json<EditFeedbackListDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let mut tallies: Vec<_> = state.feedback()?.tallies(&codebook).into_iter().collect();
    // The sort is stable: of equals the older edit first.
    tallies.sort_by_key(|(_, tally)| (std::cmp::Reverse(tally.disagree), tally.agree));
    let edits = tallies.into_iter();
    let edits = edits.map(|(edit, tally)| EditFeedbackDto { edit: edit.to_string(), tally: tally.into() });
    Ok(Json(EditFeedbackListDto { edits: edits.collect() }))
}

/// Take back what was said of an answer
///
/// A contributor their own word, an editor anybody's.
#[utoipa::path(
    delete, path = "/feedback/{id}", operation_id = "take_back_feedback", tag = "feedback",
    params(("id" = String, Path, description = "ULID of the feedback.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "No such feedback, or it was taken back before.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn take_back(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
) -> Result<StatusCode> {
    let missing = || Problem::not_found("No feedback has an id like this.");
    let id = id_of(path, missing)?;
    let (feedback, taken_back) = (state.feedback()?.clone(), state.feedback()?.clone());
    let word = blocking(move || feedback.get(id).map_err(Problem::from)).await?;
    // What is of a codebook that the token is not for is as one that isn't there.
    require_codebook(&caller, &word.codebook).map_err(|_| missing())?;
    audited.codebook(word.codebook);
    if !caller.may(AccessRole::Editor) && word.by.as_deref() != caller.name() {
        let detail = "To take back what others said needs the role editor.";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    blocking(move || taken_back.take_back(id).map_err(Problem::from)).await?;
    Ok(StatusCode::NO_CONTENT)
}
