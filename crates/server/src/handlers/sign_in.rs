//! `/sign-in`: people of the configured issuer, for the feedback page.

use axum::Json;
use axum::extract::State;
use reasonedit_access::{BearerVerifier as _, Verified};
use reasonedit_api::problems::InputProblems;
use reasonedit_dto::token::{SignInCodeInput, SignInDto, SignedInDto};
use reasonedit_http::audit::Audited;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, ProblemBody, ProblemKind, Result};
use reasonedit_oidc::{Code, Oidc, SignInError};

use crate::state::AppState;

/// How people sign in
///
/// Where a browser goes for its person to sign in with the configured issuer, if there is one.
#[utoipa::path(
    get, path = "/sign-in", operation_id = "get_sign_in", tag = "access",
    responses(
        (status = 200, description = "Where to go.", body = SignInDto),
        (status = 502, description = "The issuer can't be reached.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The service is busy.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get(State(state): State<AppState>) -> Result<Json<SignInDto>> {
    let Some(oidc) = state.oidc() else {
        return Ok(Json(SignInDto { issuer: None, authorization_url: None }));
    };
    let authorization_url = match oidc.sign_in_address().await {
        Ok(address) => Some(address),
        Err(SignInError::NotOffered) => None,
        Err(error) => return Err(told(&error)),
    };
    Ok(Json(SignInDto { issuer: Some(oidc.issuer().to_owned()), authorization_url }))
}

/// Sign in
///
/// Exchanges the code that the issuer gave the browser for a token (authorization code flow with PKCE).
#[utoipa::path(
    post, path = "/sign-in", operation_id = "sign_in", tag = "access",
    request_body(content = SignInCodeInput),
    responses(
        (status = 200, description = "A token.", body = SignedInDto),
        (status = 404, description = "People can't sign in here; a token can be given.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The issuer can't be reached.", body = ProblemBody, content_type = "application/problem+json"),
        InputProblems,
    ),
)]
pub(crate) async fn exchange(
    State(state): State<AppState>,
    audited: Audited,
    JsonPayload { value: input, held: _held }: JsonPayload<SignInCodeInput>,
) -> Result<Json<SignedInDto>> {
    let code = Code { code: &input.code, verifier: &input.code_verifier, redirect_uri: &input.redirect_uri };
    let oidc = oidc(&state)?;
    let granted = oidc.exchange(code).await.map_err(|error| told(&error))?;
    // For the audit trail alone: what the token may do is judged with every request.
    if let Verified::Caller(caller) = oidc.verify(&granted.access_token).await {
        audited.by(&caller);
    }
    Ok(Json(SignedInDto { access_token: granted.access_token, expires_in: granted.expires_in }))
}

fn oidc(state: &AppState) -> Result<&Oidc> {
    state.oidc().ok_or_else(|| told(&SignInError::NotOffered))
}

fn told(error: &SignInError) -> Problem {
    let kind = match error {
        SignInError::NotOffered => ProblemKind::NotFound,
        SignInError::Refused(_) => ProblemKind::Forbidden,
        SignInError::Busy => ProblemKind::Overloaded,
        _ => ProblemKind::Upstream,
    };
    let mut detail = error.to_string();
    if let Some(first) = detail.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Problem::new(kind, detail + ".")
}
