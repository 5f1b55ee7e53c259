//! `/tokens` and `/whoami`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::{Caller, CodebookScope, NewToken, TokenStore};
use reasonedit_api::problems::{InputProblems, LookupProblems};
use reasonedit_dto::token::{CallerDto, IssuedTokenDto, TokenDto, TokenInput, TokenListDto};
use reasonedit_editor::CodebookName;
use reasonedit_http::audit::Audited;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_resilience::blocking;
use time::OffsetDateTime;

use super::id_of;
use crate::state::AppState;

/// Who am I
///
/// Whose token the request showed, what its role may do, and with which codebooks.
#[utoipa::path(
    get, path = "/whoami", operation_id = "whoami", tag = "access",
    responses((status = 200, description = "Who asks.", body = CallerDto), LookupProblems),
)]
pub(crate) async fn whoami(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
) -> Json<CallerDto> {
    Json(CallerDto::new(&caller, state.tokens().asked_for()))
}

/// List tokens
///
/// Those that were given, the oldest first, without themselves. Those of the configuration are not among
/// them.
#[utoipa::path(
    get, path = "/tokens", operation_id = "list_tokens", tag = "access",
    responses((status = 200, description = "The tokens.", body = TokenListDto), LookupProblems),
)]
pub(crate) async fn list(State(state): State<AppState>, audited: Audited) -> Result<Json<TokenListDto>> {
    let (tokens, now) = (kept(&state)?, OffsetDateTime::now_utc());
    let listed = blocking(move || Ok::<_, Problem>(tokens.list())).await?;
    for record in &listed {
        audited.token(record.id);
    }
    Ok(Json(TokenListDto { tokens: listed.iter().map(|record| TokenDto::new(record, now)).collect() }))
}

/// Give a token
///
/// For a person or a program, with a role and, if wanted, for some codebooks and for a time. The answer is
/// the one time that the token is told. The first one is given by `reasonedit token create` where the service
/// runs, or by who has one of the configuration: from then on the service asks for tokens.
#[utoipa::path(
    post, path = "/tokens", operation_id = "create_token", tag = "access",
    request_body(content = TokenInput),
    responses(
        (status = 201, description = "The token.", body = IssuedTokenDto),
        (status = 409, description = "The service asks for no tokens; or more were given than are kept.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    audited: Audited,
    JsonPayload { value: input, held: _held }: JsonPayload<TokenInput>,
) -> Result<Response> {
    let tokens = kept(&state)?;
    if !state.tokens().asked_for() {
        // Whoever came first could otherwise shut all others out.
        let detail = "The service asks for no tokens yet: give the first one where it runs, by \
                      `reasonedit token create --name … --role admin`.";
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    let codebooks = input.codebooks.map(|names| {
        let named = names.into_iter().enumerate().map(|(at, name)| {
            let name = name.parse::<CodebookName>().map_err(|_| {
                let detail = "A codebook's name is 1 to 64 characters of a-z, 0-9 and -.";
                Problem::invalid(format!("/codebooks/{at}"), detail)
            })?;
            Ok::<_, Problem>(name.to_string())
        });
        named.collect::<Result<_>>().map(CodebookScope::Only)
    });
    let new = NewToken {
        name: input.name,
        role: input.role.into(),
        codebooks: codebooks.transpose()?.unwrap_or_default(),
        expires_at: input.expires_at,
    };
    let now = OffsetDateTime::now_utc();
    let issued = blocking(move || tokens.issue(new, now).map_err(Problem::from)).await?;
    let record = &issued.record;
    audited.token(record.id);
    tracing::info!(token = %record.id, role = %record.role, "a token was given");
    let body = Json(IssuedTokenDto::new(issued, now));
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Revoke a token
///
/// It is taken no more. One that was revoked before stays so.
#[utoipa::path(
    delete, path = "/tokens/{id}", operation_id = "revoke_token", tag = "access",
    params(("id" = String, Path, description = "ULID of the token.")),
    responses(
        (status = 200, description = "The token as it is kept.", body = TokenDto),
        (status = 404, description = "No such token.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    audited: Audited,
    path: std::result::Result<Path<String>, PathRejection>,
) -> Result<Json<TokenDto>> {
    let (tokens, now) = (kept(&state)?, OffsetDateTime::now_utc());
    let missing = || Problem::not_found("No token has an id like this.");
    let id = id_of(path, missing)?;
    audited.token(id);
    let revoked = blocking(move || tokens.revoke(&id.to_string(), now).map_err(Problem::from)).await?;
    tracing::info!(token = %id, "a token was revoked");
    Ok(Json(TokenDto::new(revoked.first().ok_or_else(missing)?, now)))
}

/// The tokens that were given.
///
/// # Errors
/// 404 where the service was begun without a place for them.
fn kept(state: &AppState) -> Result<Arc<TokenStore>> {
    let missing = || Problem::not_found("This service keeps no tokens but those of its configuration.");
    state.tokens().given().cloned().ok_or_else(missing)
}
