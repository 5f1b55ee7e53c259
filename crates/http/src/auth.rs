//! Bearer tokens; where a route says so, for clients that know no others, as the password of basic
//! authentication too.

mod attempts;
mod refusals;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_access::{BearerVerifier, Caller, Credential, TokenStore, Verified};
use time::OffsetDateTime;

use crate::audit::Audited;
use crate::callers::{Counted, counted};
use crate::client::{Peer, Proxies};
use crate::policy::{self, Access};
use crate::problem::{Problem, ProblemKind};
use attempts::Attempts;
use refusals::Refusals;

/// What is asked for where a token may be a password.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"reasonedit\"");

/// The tokens that are taken: those of the configuration, which may do everything, as digests (comparing
/// those tells nothing of how much of a guess was right), and those that were given to people.
#[derive(Clone, Debug)]
pub struct Tokens {
    configured: Arc<[blake3::Hash]>,
    given: Option<Arc<TokenStore>>,
    /// Who vouches for what is neither.
    verifier: Option<Arc<dyn BearerVerifier>>,
    proxies: Proxies,
    attempts: Arc<Attempts>,
    refusals: Arc<Refusals>,
}

impl Tokens {
    /// These; who sends wrong ones is told apart by what these proxies say.
    pub fn new(configured: &[String], given: Option<Arc<TokenStore>>, proxies: Proxies) -> Self {
        let configured = configured.iter().map(|token| blake3::hash(token.as_bytes())).collect();
        let (attempts, refusals) = (Arc::default(), Arc::default());
        Self { configured, given, verifier: None, proxies, attempts, refusals }
    }

    /// The same, and what this vouches for.
    #[must_use]
    pub fn with_verifier(self, verifier: Option<Arc<dyn BearerVerifier>>) -> Self {
        Self { verifier, ..self }
    }

    /// Those that were given to people, if any are kept.
    pub fn given(&self) -> Option<&Arc<TokenStore>> {
        self.given.as_ref()
    }

    /// Whether tokens are asked for: one is configured, or was ever given, even if it is taken no more; or
    /// somebody vouches for others.
    pub fn asked_for(&self) -> bool {
        !self.configured.is_empty()
            || self.verifier.is_some()
            || self.given.as_ref().is_some_and(|given| !given.is_empty())
    }

    /// Who asks; `basic`: also with a token as password; `client`: where from, if that is known. Looks at
    /// every configured token, so that the time taken doesn't say which one matched.
    async fn check(
        &self,
        headers: &HeaderMap,
        basic: bool,
        client: Option<IpAddr>,
    ) -> Result<Caller, Rejected> {
        if !self.asked_for() {
            return Ok(Caller::unnamed_admin());
        }
        let password = || if basic { password(headers) } else { None };
        let token = bearer(headers).map(<[u8]>::to_vec).or_else(password).ok_or(Rejected::Wrong)?;
        let (digest, now) = (blake3::hash(&token), Instant::now());
        if let Some(wait) = client.and_then(|client| self.attempts.wait(client, &digest, now)) {
            return Err(Rejected::Wait(wait));
        }
        // `Hash`'s own comparison takes constant time.
        let configured = self.configured.iter().filter(|known| **known == digest).count() > 0;
        let given = || self.given.as_ref()?.find(&digest, OffsetDateTime::now_utc());
        let mut caller =
            if configured { Some(Caller::unnamed_admin().showing(Credential::Configured)) } else { given() };
        if caller.is_none() {
            caller = self.vouched_for(&token).await?;
        }
        match client {
            Some(client) if caller.is_some() => self.attempts.right(client, &digest, now),
            Some(client) => {
                let wrong = self.attempts.wrong(client, now);
                tracing::warn!(%client, wrong, "a wrong token");
            }
            None => {}
        }
        caller.ok_or(Rejected::Wrong)
    }

    /// The answer, or that they have to wait, where a caller was refused what they may not do too often.
    fn counting(&self, response: Response, caller: Option<Counted>) -> Response {
        let refused = response.status() == StatusCode::FORBIDDEN;
        let wait = caller.filter(|_| refused).and_then(|caller| self.refusals.count(&caller));
        let Some(wait) = wait else { return response };
        let detail = "You tried what you may not do too often; wait before you try it again. What you may do \
                      goes on.";
        Problem::new(ProblemKind::TooManyAttempts, detail).retry_after(wait).into_response()
    }

    /// Who shows a token that somebody else vouches for.
    async fn vouched_for(&self, token: &[u8]) -> Result<Option<Caller>, Rejected> {
        let Some(verifier) = &self.verifier else { return Ok(None) };
        let Ok(bearer) = std::str::from_utf8(token) else { return Ok(None) };
        match verifier.verify(bearer).await {
            Verified::Caller(caller) => Ok(Some(caller)),
            Verified::Unknown => Ok(None),
            Verified::NoRole => Err(Rejected::NoRole),
            Verified::Unavailable => Err(Rejected::Unavailable),
        }
    }
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejected {
    /// It has no token, or a wrong one.
    Wrong,
    /// Whoever vouches for it gives it no role here.
    NoRole,
    /// Whoever vouches for it can't be asked.
    Unavailable,
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

/// Refuses requests without a token, or with one of too small a role, where one is needed; tells the others
/// who asks ([`Caller`] among their extensions). What else they are refused further in counts too.
pub async fn require_token(State(tokens): State<Tokens>, mut request: Request, next: Next) -> Response {
    let access = policy::of(&request).access;
    let Some(role) = access.role() else { return next.run(request).await };
    let basic = matches!(access, Access::Password(_));
    let peer = request.extensions().get::<Peer>().copied();
    let client = peer.map(|peer| tokens.proxies.client(peer, request.headers()));
    let checked = tokens.check(request.headers(), basic, client).await;
    if let (Ok(caller), Some(audited)) = (&checked, request.extensions().get::<Audited>()) {
        audited.by(caller);
    }
    match checked {
        Ok(caller) => {
            let may = caller.may(role);
            let detail = format!("This needs the role {role}; your token has {}.", caller.role());
            request.extensions_mut().insert(caller);
            let counted = counted(&request, &tokens.proxies);
            let response = if may {
                next.run(request).await
            } else {
                Problem::new(ProblemKind::Forbidden, detail).into_response()
            };
            tokens.counting(response, counted)
        }
        Err(Rejected::NoRole) => {
            let detail = "Your token is in order, and gives you no role here.";
            let response = Problem::new(ProblemKind::Forbidden, detail).into_response();
            tokens.counting(response, client.map(Counted::Address))
        }
        Err(Rejected::Unavailable) => {
            let detail = "Whoever issues tokens can't be reached, so that yours can't be judged.";
            Problem::new(ProblemKind::Upstream, detail).into_response()
        }
        Err(Rejected::Wait(wait)) => {
            let detail = "Too many wrong tokens came from this address; wait before the next one.";
            Problem::new(ProblemKind::TooManyAttempts, detail).retry_after(wait).into_response()
        }
        Err(Rejected::Wrong) if basic => {
            let detail =
                "Send basic authentication with a valid token as password, or `Authorization: Bearer …`.";
            let mut response = Problem::new(ProblemKind::Unauthorized, detail).into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, BASIC);
            response
        }
        Err(Rejected::Wrong) => {
            let detail = "Send `Authorization: Bearer …` with a valid token.";
            Problem::new(ProblemKind::Unauthorized, detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(tokens: &[&str], value: Option<&str>) -> bool {
        with(tokens, value, false)
    }

    fn with(tokens: &[&str], value: Option<&str>, basic: bool) -> bool {
        let tokens =
            Tokens::new(&tokens.iter().map(|&t| t.to_owned()).collect::<Vec<_>>(), None, Proxies::default());
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        futures::executor::block_on(tokens.check(&headers, basic, None)).is_ok()
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
