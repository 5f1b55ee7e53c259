//! A token as it is kept, made and told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{AccessError, Result};
use crate::role::AccessRole;
use crate::scope::CodebookScope;

/// What tokens begin with, so that programs that look for secrets in texts find them.
const PREFIX: &str = "reasonedit_";
/// Bytes of chance in one.
const BYTES: usize = 32;
/// Longest name, in characters.
const NAME_CHARS: usize = 100;

/// A token as it is kept: all but itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id, which is no secret.
    pub id: Ulid,
    /// Whose it is: a person or a program.
    pub name: String,
    /// What they may do.
    pub role: AccessRole,
    /// The codebooks that this holds for.
    pub codebooks: CodebookScope,
    /// BLAKE3 of the token in hex.
    pub(crate) digest: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// From when on it is taken no more.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Since when it is revoked.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was last shown, to the minute.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// Whether a token is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It is.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl TokenRecord {
    /// Whether it is taken at this time.
    pub fn state(&self, now: OffsetDateTime) -> TokenState {
        if self.revoked_at.is_some() {
            TokenState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            TokenState::Expired
        } else {
            TokenState::Live
        }
    }
}

/// Characters that nobody sees, and those that turn the ones around them.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// What they may do.
    pub role: AccessRole,
    /// The codebooks that this holds for.
    pub codebooks: CodebookScope,
    /// From when on it is taken no more; never, if not given.
    pub expires_at: Option<OffsetDateTime>,
}

/// A token that was made: the one time that it is told.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token itself.
    pub secret: String,
    /// As it is kept.
    pub record: TokenRecord,
}

impl NewToken {
    /// Makes it.
    ///
    /// # Errors
    /// [`AccessError::Invalid`] for what none can have, [`AccessError::Random`].
    pub(crate) fn issue(self, now: OffsetDateTime) -> Result<IssuedToken> {
        let whole_second = |time: OffsetDateTime| time.replace_nanosecond(0).unwrap_or(time);
        let invalid = |field, reason: &str| AccessError::Invalid { field, reason: reason.to_owned() };
        let (name, length) = (&self.name, self.name.chars().count());
        if length == 0 || length > NAME_CHARS || name.trim() != name || name.chars().any(is_unseen) {
            let reason = "A name is 1 to 100 characters in one line, with no space at its ends.";
            return Err(invalid("name", reason));
        }
        // Authors of other origins are written so (`label-studio:7`).
        if name.contains(':') {
            return Err(invalid(
                "name",
                "A name has no colon: one stands in those of other services' users.",
            ));
        }
        match &self.codebooks {
            CodebookScope::Only(_) if self.role == AccessRole::Admin => {
                return Err(invalid("codebooks", "An admin looks after the service, and so all codebooks."));
            }
            CodebookScope::Only(names) if names.is_empty() => {
                return Err(invalid("codebooks", "Name at least one codebook, or leave it out for all."));
            }
            _ => {}
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(invalid("expires_at", "This time is over."));
        }
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| AccessError::Random(error.to_string()))?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let record = TokenRecord {
            id: Ulid::new(),
            name: self.name,
            role: self.role,
            codebooks: self.codebooks,
            digest: blake3::hash(secret.as_bytes()).to_hex().to_string(),
            created_at: whole_second(now),
            expires_at: self.expires_at.map(whole_second),
            revoked_at: None,
            last_used_at: None,
        };
        Ok(IssuedToken { secret, record })
    }
}
