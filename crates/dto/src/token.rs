//! Tokens, and who asks.

use reasonedit_access::{AccessRole, Caller, CodebookScope, IssuedToken, TokenRecord, TokenState};
use reasonedit_api::rfc3339;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// What someone may do; each role may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Role)]
pub enum RoleDto {
    /// Asks, and looks at edits, pictures, codebooks and jobs.
    Reader,
    /// Makes edits, and takes back those of their own.
    Contributor,
    /// Takes back anybody's edits, imports, chooses layers, stops jobs.
    Editor,
    /// Gives and revokes tokens, and looks after the service itself.
    Admin,
}

impl From<RoleDto> for AccessRole {
    fn from(role: RoleDto) -> Self {
        match role {
            RoleDto::Reader => Self::Reader,
            RoleDto::Contributor => Self::Contributor,
            RoleDto::Editor => Self::Editor,
            RoleDto::Admin => Self::Admin,
        }
    }
}

impl From<AccessRole> for RoleDto {
    fn from(role: AccessRole) -> Self {
        match role {
            AccessRole::Reader => Self::Reader,
            AccessRole::Contributor => Self::Contributor,
            AccessRole::Editor => Self::Editor,
            AccessRole::Admin => Self::Admin,
        }
    }
}

/// The codebooks of a scope; `None` is all of them.
fn names(scope: &CodebookScope) -> Option<Vec<String>> {
    match scope {
        CodebookScope::All => None,
        CodebookScope::Only(names) => Some(names.iter().cloned().collect()),
    }
}

/// A token to be given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenInput)]
pub struct TokenInput {
    /// Whose it is, a person or a program: the author of the edits that are made with it.
    #[schema(min_length = 1, max_length = 100, example = "Dr. Ada")]
    pub name: String,
    /// What they may do.
    pub role: RoleDto,
    /// Codebooks that this holds for, be they there already or not; all of them if not given. An admin's are
    /// all.
    #[schema(nullable, example = json!(["ward-3"]))]
    pub codebooks: Option<Vec<String>>,
    /// From when on it is taken no more; never, if not given.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<OffsetDateTime>,
}

/// Whether a token is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TokenState)]
pub enum TokenStateDto {
    /// It is.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A token that was given, without itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenDto {
    /// Its ULID, which is no secret.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What they may do.
    pub role: RoleDto,
    /// The codebooks that this holds for; `null` is all.
    pub codebooks: Option<Vec<String>>,
    /// Whether it is taken.
    pub state: TokenStateDto,
    /// RFC 3339.
    pub created_at: String,
    /// From when on it is taken no more, RFC 3339; `null`: never.
    pub expires_at: Option<String>,
    /// Since when it is revoked, RFC 3339.
    pub revoked_at: Option<String>,
    /// When it was last shown, RFC 3339; written down once a minute.
    pub last_used_at: Option<String>,
}

impl TokenDto {
    /// As it is at this time.
    pub fn new(record: &TokenRecord, now: OffsetDateTime) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            role: record.role.into(),
            codebooks: names(&record.codebooks),
            state: match record.state(now) {
                TokenState::Live => TokenStateDto::Live,
                TokenState::Expired => TokenStateDto::Expired,
                TokenState::Revoked => TokenStateDto::Revoked,
            },
            created_at: rfc3339(record.created_at),
            expires_at: record.expires_at.map(rfc3339),
            revoked_at: record.revoked_at.map(rfc3339),
            last_used_at: record.last_used_at.map(rfc3339),
        }
    }
}

/// A token that has just been given.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub struct IssuedTokenDto {
    /// The token itself: told here and never again, since it is not kept.
    #[schema(example = "reasonedit_…")]
    pub token: String,
    /// As it is kept.
    #[serde(flatten)]
    pub record: TokenDto,
}

impl IssuedTokenDto {
    /// As it is at this time.
    pub fn new(issued: IssuedToken, now: OffsetDateTime) -> Self {
        Self { record: TokenDto::new(&issued.record, now), token: issued.secret }
    }
}

/// The tokens that were given.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TokenList)]
pub struct TokenListDto {
    /// The oldest first; expired and revoked ones stay on record.
    pub tokens: Vec<TokenDto>,
}

/// Who asks, and what they may do.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Caller)]
pub struct CallerDto {
    /// Whether the service asks for tokens. Where it doesn't, everyone may do everything.
    pub tokens_asked_for: bool,
    /// Whom the token was given to; `null` for one of the configuration, and without one.
    pub name: Option<String>,
    /// What they may do.
    pub role: RoleDto,
    /// The codebooks that this holds for; `null` is all.
    pub codebooks: Option<Vec<String>>,
    /// From when on they may no more, RFC 3339; `null`: it doesn't end.
    pub expires_at: Option<String>,
}

impl CallerDto {
    /// `caller` at a service that asks for tokens or doesn't.
    pub fn new(caller: &Caller, tokens_asked_for: bool) -> Self {
        Self {
            tokens_asked_for,
            name: caller.name().map(str::to_owned),
            role: caller.role().into(),
            codebooks: names(caller.scope()),
            expires_at: caller.expires_at().map(rfc3339),
        }
    }
}

/// How a person signs in.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SignIn)]
pub struct SignInDto {
    /// Whose tokens are taken beside the service's own; `null`: nobody's.
    #[schema(example = "https://login.hospital.example/realms/main")]
    pub issuer: Option<String>,
    /// Where a browser goes, once `redirect_uri`, `state` and `code_challenge` (S256) are added to its query;
    /// `null`: people can't sign in here, and a token can be given.
    pub authorization_url: Option<String>,
}

/// What a browser came back with.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignInCode)]
pub struct SignInCodeInput {
    /// The issuer's code.
    pub code: String,
    /// What the challenge was made of (RFC 7636).
    pub code_verifier: String,
    /// Where the issuer led back to.
    pub redirect_uri: String,
}

/// A token for whoever signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub struct SignedInDto {
    /// To be shown as bearer.
    pub access_token: String,
    /// Seconds that it holds; `null` if the issuer doesn't say.
    pub expires_in: Option<u64>,
}
