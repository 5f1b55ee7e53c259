//! `/dry-run`.

use axum::extract::State;
use axum::{Extension, Json};
use reasonedit_access::{AccessRole, Caller};
use reasonedit_api::problems::InputProblems;
use reasonedit_api::{CodebookParams, call, codebook_name};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::dry_run::{DryRunDto, DryRunInput};
use reasonedit_editor::{CodebookName, DryRunOutcome, DryRunQuestions, EditRequest, Effect};
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_http::shares::Asked;

use crate::state::AppState;

/// See what an edit would change
///
/// Which of some questions, and which canaries, would be answered otherwise if this edit were made. Nothing
/// is stored, and nobody is told. The model is asked only where something else than before would stand in
/// front of a question; the answers before and after are then given with it.
#[utoipa::path(
    post, path = "/dry-run", operation_id = "dry_run", tag = "edits", params(CodebookParams),
    request_body(content((DryRunInput = "application/json"))),
    responses(
        (status = 200, description = "What would change.", body = DryRunDto),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The codebook was made with another embedding.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn run(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Query(params): Query<CodebookParams>,
    asked: Asked,
    JsonPayload { value: input, held: _held }: JsonPayload<DryRunInput>,
) -> Result<Json<DryRunDto>> {
    let codebook = audited.codebook(codebook_name(&caller, params.codebook.as_deref())?);
    let editor = state.editor()?;
    let (fetcher, by) = (state.fetcher(), Contributor::from(&caller));
    let edit = input.edit.into_request(fetcher, &by, editor, Some(false)).await;
    let edit = edit.map_err(of_edit)?;
    let questions = match input.questions {
        Some(questions) => questions.into_questions(fetcher, caller.scope(), editor).await?,
        None => DryRunQuestions::Given(Vec::new()),
    };
    require_log(&caller, &questions)?;
    tried(&state, &audited, asked, (&codebook, edit, questions)).await.map_err(of_edit)
}

/// Refuses the questions of others to who may not see what becomes of them.
///
/// # Errors
/// 403.
pub(super) fn require_log(caller: &Caller, questions: &DryRunQuestions) -> Result<()> {
    if matches!(questions, DryRunQuestions::Log) && !caller.may(AccessRole::Editor) {
        let detail = "The log has questions of others; to see what becomes of them needs the role editor.";
        return Err(Problem::at(ProblemKind::Forbidden, "/questions", detail));
    }
    Ok(())
}

/// What is wrong with the edit, at its place in the request.
fn of_edit(problem: Problem) -> Problem {
    problem.relocated(|pointer| {
        let own = pointer.is_empty() || pointer.starts_with("/questions") || pointer.starts_with("/edit/");
        (!own).then(|| format!("/edit{pointer}"))
    })
}

/// Tries an edit on questions.
pub(crate) async fn tried(
    state: &AppState,
    audited: &Audited,
    asked: Asked,
    (codebook, edit, questions): (&CodebookName, EditRequest, DryRunQuestions),
) -> Result<Json<DryRunDto>> {
    audited.image(edit.image.id());
    let outcome = state.editor()?.dry_run(codebook, edit, questions, call::interactive(asked)).await?;
    shown(audited, &outcome);
    Ok(Json(DryRunDto::from(&outcome)))
}

/// Whose statements and which pictures were shown.
fn shown(audited: &Audited, outcome: &DryRunOutcome) {
    audited.edits(outcome.conflicts.iter().chain(&outcome.superseded_by).map(|other| other.edit_id));
    for question in &outcome.questions {
        let Effect::Asked(there) = &question.effect else { continue };
        audited.image(question.image);
        for fact in there.0.facts.iter().chain(&there.1.facts) {
            audited.edits(fact.edit_ids.iter().copied().filter(|id| *id != outcome.tried));
        }
    }
}
