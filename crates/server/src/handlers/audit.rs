//! `/audit`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::problems::LookupProblems;
use reasonedit_api::{File, image_id, page_cursor, page_limit, require_all_codebooks};
use reasonedit_audit::{AuditError, AuditFilter, AuditFormat, AuditReader, moment};
use reasonedit_dto::audit::{AuditFormatDto, AuditKeyDto, AuditPageDto, AuditParams};
use reasonedit_editor::{CodebookName, EditId};
use reasonedit_http::json::Query;
use reasonedit_http::limits::Archives;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_resilience::{WorkLost, blocking};

use crate::archive;
use crate::handlers::jobs::LINES;
use crate::state::AppState;

/// Media type of a table.
const CSV: &str = "text/csv; charset=utf-8";

/// Get the key of the audit trail's checkpoints
///
/// Every so many lines, and every so many minutes, the service signs where its trail stands, in the trail
/// and in its log. Whoever keeps this key and those elsewhere can have them looked for by
/// `reasonedit audit verify --key KEY --checkpoint FILE`.
#[utoipa::path(
    get, path = "/audit/key", operation_id = "get_audit_key", tag = "access",
    responses(
        (status = 200, description = "The public key.", body = AuditKeyDto),
        (status = 404, description = "No audit trail is kept, or no checkpoints are made.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn key(State(state): State<AppState>) -> Result<Json<AuditKeyDto>> {
    let trail = state.audit().trail();
    let key = trail.and_then(|trail| trail.public_key().map(str::to_owned));
    let missing = || Problem::not_found("This service makes no checkpoints of an audit trail.");
    Ok(Json(AuditKeyDto { algorithm: "Ed25519", key: key.ok_or_else(missing)? }))
}

/// Look into the audit trail
///
/// Who did or saw what, and when: a line for every request that reads or changes what people gave, and for
/// those that were refused. No contents: ids, names of callers, routes and statuses. Newest first;
/// `next_cursor` of one page is `cursor` of the next. With `format` all of it, the oldest first. This request
/// has a line too.
#[utoipa::path(
    get, path = "/audit", operation_id = "get_audit", tag = "access", params(AuditParams),
    responses(
        (status = 200, description = "A page of lines, or a file of all.",
            content((AuditPageDto = "application/json"), (File = "application/x-ndjson"), (File = "text/csv"))),
        (status = 404, description = "No audit trail is kept.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Query(params): Query<AuditParams>,
    archives: Archives,
) -> Result<Response> {
    require_all_codebooks(&caller)?;
    let (limit, before) = (page_limit(params.limit)?, page_cursor(params.cursor.as_deref())?);
    let filter = filter_of(&params)?;
    let missing = || Problem::not_found("This service keeps no audit trail (audit.enabled).");
    let trail = state.audit().trail().ok_or_else(missing)?.clone();
    let reader = AuditReader::new(trail.folder());
    let (format, kind, name) = match params.format.unwrap_or_default() {
        AuditFormatDto::Json => {
            let page = blocking(move || {
                // What was asked before is there; what can't be written now is told by others.
                let _ = trail.flush();
                reader.page(&filter, before, limit).map_err(Problem::from)
            });
            return Ok(Json(AuditPageDto::from(page.await?)).into_response());
        }
        AuditFormatDto::Jsonl => (AuditFormat::Lines, LINES, "reasonedit-audit.jsonl"),
        AuditFormatDto::Csv => (AuditFormat::Csv, CSV, "reasonedit-audit.csv"),
    };
    let permit = archives.take()?;
    let write = async move |mut out| {
        blocking(move || {
            let _ = trail.flush();
            // Pieces that are worth sending.
            let mut out = std::io::BufWriter::with_capacity(64 << 10, &mut out);
            reader.export(&filter, format, &mut out).map_err(Failed::Trail)
        })
        .await
    };
    archive::file(kind, name, permit, state.timeouts().body_idle(), write).await
}

/// Why an export broke off.
enum Failed {
    Trail(AuditError),
    Lost(WorkLost),
}

impl From<WorkLost> for Failed {
    fn from(lost: WorkLost) -> Self {
        Self::Lost(lost)
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Trail(error) => error.into(),
            Failed::Lost(lost) => lost.into(),
        }
    }
}

fn filter_of(params: &AuditParams) -> Result<AuditFilter> {
    let at = |name: &str, text: &Option<String>, end| {
        let moment = text.as_deref().map(|text| moment(text, end)).transpose();
        moment.map_err(|error| Problem::invalid(format!("/{name}"), error.to_string()))
    };
    if params.edit.as_ref().is_some_and(|id| id.parse::<EditId>().is_err()) {
        return Err(Problem::invalid("/edit", "An edit's id is a ULID."));
    }
    if params.image.as_ref().is_some_and(|id| image_id(id).is_none()) {
        return Err(Problem::invalid("/image", "An image id is 64 hexadecimal digits."));
    }
    if params.codebook.as_ref().is_some_and(|name| name.parse::<CodebookName>().is_err()) {
        return Err(Problem::invalid(
            "/codebook",
            "A codebook's name is 1 to 64 characters of a-z, 0-9 and -.",
        ));
    }
    Ok(AuditFilter {
        from: at("from", &params.from, false)?,
        to: at("to", &params.to, true)?,
        caller: params.caller.clone(),
        edit: params.edit.clone(),
        image: params.image.clone(),
        codebook: params.codebook.clone(),
    })
}
