//! Tokens of Label Studio, and how each kind of them is sent.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An access token is used this much less long than it says, so that it doesn't end on its way.
const MARGIN: Duration = Duration::from_secs(15);
/// How long one is used that doesn't say how long it lasts; Label Studio's last five minutes.
const UNSAID: Duration = Duration::from_mins(1);

/// A token that no log and no error shows.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ApiToken(String);

impl ApiToken {
    /// A token, if the text can be one.
    pub(super) fn new(text: &str) -> Option<Self> {
        super::config::is_token(text).then(|| Self(text.to_owned()))
    }

    /// To be sent to the configured address, and nowhere else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is a personal access token: a JSON Web Token that is exchanged for one that lasts minutes.
    /// Legacy tokens are hexadecimal digits.
    pub(super) fn is_refresh(&self) -> bool {
        claims(&self.0).is_some()
    }
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiToken(left out)")
    }
}

/// The claims of a JSON Web Token; they are not verified, which is its issuer's business.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims)) = (parts.next(), parts.next()) else { return None };
    let bytes = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
}

/// The access token in use, with the personal access token that it was given for.
#[derive(Debug, Default)]
pub(super) struct CurrentAccessToken(Mutex<Option<(ApiToken, ApiToken, Instant)>>);

impl CurrentAccessToken {
    /// The access token for this personal access token, as long as it lasts.
    pub(super) fn get(&self, refresh: &ApiToken, now: Instant) -> Option<ApiToken> {
        let held = self.0.lock();
        held.as_ref()
            .filter(|(of, _, until)| of == refresh && now < *until)
            .map(|(_, access, _)| access.clone())
    }

    /// Keeps an access token, as long as it says that it lasts.
    pub(super) fn keep(&self, refresh: &ApiToken, access: &ApiToken, now: Instant) {
        let seconds = |name: &str| claims(access.expose())?.get(name)?.as_u64();
        let lasts = match (seconds("iat"), seconds("exp")) {
            (Some(from), Some(until)) => Duration::from_secs(until.saturating_sub(from).min(3600)),
            _ => UNSAID,
        };
        let until = now + lasts.saturating_sub(MARGIN);
        *self.0.lock() = Some((refresh.clone(), access.clone(), until));
    }

    /// Forgets it: it was refused.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> ApiToken {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        ApiToken::new(&format!("{}.{}.c2ln", part(&json!({"alg": "HS256"})), part(claims))).unwrap()
    }

    #[test]
    fn kinds_of_tokens() {
        assert!(!ApiToken::new("0123456789abcdef0123456789abcdef01234567").unwrap().is_refresh());
        assert!(!ApiToken::new("a.b.c").unwrap().is_refresh());
        let refresh = jwt(&json!({"token_type": "refresh"}));
        assert!(refresh.is_refresh());
        // Label Studio hands personal access tokens out without their last part too.
        let cut = refresh.expose().rsplit_once('.').unwrap().0;
        assert!(ApiToken::new(cut).unwrap().is_refresh());
        assert_eq!(ApiToken::new("a b"), None);
        assert_eq!(ApiToken::new(""), None);
    }

    #[test]
    fn nothing_prints_a_token() {
        assert!(!format!("{:?}", ApiToken::new("abc").unwrap()).contains("abc"));
    }

    #[test]
    fn access_lasts_as_long_as_it_says() {
        let (access, now) = (CurrentAccessToken::default(), Instant::now());
        let (refresh, other) = (jwt(&json!({"n": 1})), jwt(&json!({"n": 2})));
        let token = jwt(&json!({"iat": 1000, "exp": 1300}));
        access.keep(&refresh, &token, now);
        assert_eq!(access.get(&refresh, now + Duration::from_secs(284)), Some(token.clone()));
        assert_eq!(access.get(&refresh, now + Duration::from_secs(286)), None);
        assert_eq!(access.get(&other, now), None);
        access.forget();
        assert_eq!(access.get(&refresh, now), None);
        access.keep(&refresh, &ApiToken::new("opaque").unwrap(), now);
        assert!(access.get(&refresh, now + Duration::from_secs(44)).is_some());
        assert!(access.get(&refresh, now + Duration::from_secs(46)).is_none());
        access.keep(&refresh, &jwt(&json!({"iat": 5, "exp": 1})), now);
        assert_eq!(access.get(&refresh, now), None);
    }
}
