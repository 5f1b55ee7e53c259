//! Bearer tokens; where a route says so, for clients that know no others, as the password of basic
//! authentication too.

mod attempts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Peer, Proxies};
use crate::policy::{self, Access};
use crate::problem::{Problem, ProblemKind};
use attempts::Attempts;

/// What is asked for where a token may be a password.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"reasonedit\"");

/// The tokens that are accepted, as digests: comparing those tells nothing of how much of a guess was right.
#[derive(Clone, Debug)]
pub struct Tokens {
    accepted: Arc<[blake3::Hash]>,
    proxies: Proxies,
    attempts: Arc<Attempts>,
}

impl Tokens {
    /// These; who sends wrong ones is told apart by what these proxies say.
    pub fn new(tokens: &[String], proxies: Proxies) -> Self {
        let accepted = tokens.iter().map(|token| blake3::hash(token.as_bytes())).collect();
        Self { accepted, proxies, attempts: Arc::default() }
    }

    /// Whether a request may pass; `basic`: also with a token as password; `client`: who sent it, if that is
    /// known. Looks at every token, so that the time taken doesn't say which one matched.
    fn check(&self, headers: &HeaderMap, basic: bool, client: Option<IpAddr>) -> Result<(), Rejected> {
        if self.accepted.is_empty() {
            return Ok(());
        }
        let password = || if basic { password(headers) } else { None };
        let token = bearer(headers).map(<[u8]>::to_vec).or_else(password).ok_or(Rejected::Wrong)?;
        let (digest, now) = (blake3::hash(&token), Instant::now());
        if let Some(wait) = client.and_then(|client| self.attempts.wait(client, &digest, now)) {
            return Err(Rejected::Wait(wait));
        }
        // `Hash`'s own comparison takes constant time.
        let right = self.accepted.iter().filter(|known| **known == digest).count() > 0;
        match client {
            Some(client) if right => self.attempts.right(client, &digest, now),
            Some(client) => {
                let wrong = self.attempts.wrong(client, now);
                tracing::warn!(%client, wrong, "a wrong token");
            }
            None => {}
        }
        if right { Ok(()) } else { Err(Rejected::Wrong) }
    }
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejected {
    /// It has no token, or a wrong one.
    Wrong,
    /// Too many wrong ones came from there: this one was not looked at.
    Wait(Duration),
}

/// The password of basic authentication (RFC 7617); the user may be any.
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.split_at_checked(6)?;
    let credentials = scheme.eq_ignore_ascii_case(b"basic ").then(|| credentials.trim_ascii())?;
    let decoded = STANDARD.decode(credentials).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Refuses requests without a token where one is needed.
pub async fn require_token(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    let access = policy::of(&request).access;
    let basic = access == Access::Password;
    if access == Access::Open {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let client = peer.map(|peer| tokens.proxies.client(peer, request.headers()));
    match tokens.check(request.headers(), basic, client) {
        Ok(()) => return next.run(request).await,
        Err(Rejected::Wait(wait)) => {
            let detail = "Too many wrong tokens came from this address; wait before the next one.";
            let problem = Problem::new(ProblemKind::TooManyAttempts, detail);
            return problem.retry_after(wait).into_response();
        }
        Err(Rejected::Wrong) => {}
    }
    if basic {
        let detail =
            "Send basic authentication with a valid token as password, or `Authorization: Bearer …`.";
        let mut response = Problem::new(ProblemKind::Unauthorized, detail).into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, BASIC);
        return response;
    }
    Problem::new(ProblemKind::Unauthorized, "Send `Authorization: Bearer …` with a valid token.")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(tokens: &[&str], value: Option<&str>) -> bool {
        with(tokens, value, false)
    }

    fn with(tokens: &[&str], value: Option<&str>, basic: bool) -> bool {
        let tokens =
            Tokens::new(&tokens.iter().map(|&t| t.to_owned()).collect::<Vec<_>>(), Proxies::default());
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        tokens.check(&headers, basic, None).is_ok()
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

    #[test]
    fn a_token_may_be_a_password_where_that_is_meant() {
        let value = |scheme: &str, credentials: &str| format!("{scheme} {}", STANDARD.encode(credentials));
        for good in
            [value("Basic", "label-studio:first"), value("basic", ":second"), "Bearer first".to_owned()]
        {
            assert!(with(&["first", "second"], Some(&good), true), "{good}");
        }
        assert!(!accepted(&["first"], Some(&value("Basic", "label-studio:first"))), "not elsewhere");
        for bad in [
            value("Basic", "first"),
            value("Basic", "first:"),
            value("Basic", "x:firs"),
            value("Basic", "x:y:first"),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Basic !".to_owned(),
            "Basic first".to_owned(),
        ] {
            assert!(!with(&["first"], Some(&bad), true), "{bad}");
        }
        assert!(!with(&["first"], None, true));
        assert!(with(&[], None, true));
    }
}
