//! Bearer tokens.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;

/// Routes that need no token: probes have none, and a browser can't send one when a person opens a page. None of them tells
/// anything of edits or pictures.
const OPEN: &[&str] = &[
    "/",
    "/assets/{file}",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/docs",
    "/docs/app.js",
    "/docs/style.css",
];

/// The tokens that are accepted, as digests: comparing those tells nothing of how much of a guess was right.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Vec<blake3::Hash>);

impl Tokens {
    pub(crate) fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| blake3::hash(token.as_bytes())).collect())
    }

    /// Whether the request may pass. Looks at every token, so that the time taken doesn't say which one matched.
    fn accept(&self, headers: &HeaderMap) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(token) = bearer(headers) else { return false };
        let digest = blake3::hash(token);
        // `Hash`'s own comparison takes constant time.
        self.0.iter().filter(|known| **known == digest).count() > 0
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Refuses requests without a token where one is needed.
pub(crate) async fn require_token(
    State(state): State<AppState>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let open = path.is_some_and(|path| OPEN.contains(&path.as_str()));
    if open || state.tokens().accept(request.headers()) {
        next.run(request).await
    } else {
        Problem::new(ProblemKind::Unauthorized, "Send `Authorization: Bearer …` with a valid token.")
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(tokens: &[&str], value: Option<&str>) -> bool {
        let tokens = Tokens::new(&tokens.iter().map(|&t| t.to_owned()).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        tokens.accept(&headers)
    }

    #[test]
    fn without_tokens_everyone_passes() {
        assert!(accepted(&[], None));
        assert!(accepted(&[], Some("Bearer whatever")));
    }

    #[test]
    fn with_tokens_only_their_bearers_pass() {
        for value in ["Bearer first", "bearer first", "BEARER  second "] {
            assert!(accepted(&["first", "second"], Some(value)), "{value}");
        }
        assert!(!accepted(&["first"], None));
        for value in
            ["", "first", "Bearer", "Bearer ", "Bearer firs", "Bearer first1", "Bearer FIRST", "Basic first"]
        {
            assert!(!accepted(&["first"], Some(value)), "{value}");
        }
    }
}
