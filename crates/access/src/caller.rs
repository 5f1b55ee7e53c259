//! Who asks.

use std::sync::Arc;

use time::OffsetDateTime;
use ulid::Ulid;

use crate::role::AccessRole;
use crate::scope::CodebookScope;
use crate::token::TokenRecord;

/// Who asks, and what they may do; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(Arc<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: Option<String>,
    role: AccessRole,
    scope: CodebookScope,
    credential: Credential,
    expires_at: Option<OffsetDateTime>,
}

/// What a caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A token of the configuration.
    Configured,
    /// A token that was given, by its id.
    Given(Ulid),
    /// A token of this issuer.
    Issued(Arc<str>),
}

impl Caller {
    /// Someone whom nothing is known of and who may do everything: no tokens are asked for, or theirs stands
    /// in the configuration.
    pub fn unnamed_admin() -> Self {
        Self(Arc::new(Known {
            name: None,
            role: AccessRole::Admin,
            scope: CodebookScope::All,
            credential: Credential::None,
            expires_at: None,
        }))
    }

    /// The same, who showed this.
    #[must_use]
    pub fn showing(self, credential: Credential) -> Self {
        let known = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Known { credential, ..known }))
    }

    /// Whose name is known in another way than by a token of [`crate::TokenStore`].
    pub fn named(name: String, role: AccessRole, scope: CodebookScope) -> Self {
        let credential = Credential::None;
        Self(Arc::new(Known { name: Some(name), role, scope, credential, expires_at: None }))
    }

    /// The same until this time.
    #[must_use]
    pub fn until(self, end: OffsetDateTime) -> Self {
        let known = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Known { expires_at: Some(end), ..known }))
    }

    /// The name that their token was given to, if it was given to a name.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// What they may do.
    pub fn role(&self) -> AccessRole {
        self.0.role
    }

    /// The codebooks that this holds for.
    pub fn scope(&self) -> &CodebookScope {
        &self.0.scope
    }

    /// The token that they showed.
    pub fn token(&self) -> Option<Ulid> {
        if let Credential::Given(id) = self.0.credential { Some(id) } else { None }
    }

    /// What they showed.
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// When they may no more.
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.0.expires_at
    }

    /// Whether they may do what needs this role.
    pub fn may(&self, role: AccessRole) -> bool {
        self.0.role >= role
    }
}

impl From<&TokenRecord> for Caller {
    fn from(record: &TokenRecord) -> Self {
        Self(Arc::new(Known {
            name: Some(record.name.clone()),
            role: record.role,
            scope: record.codebooks.clone(),
            credential: Credential::Given(record.id),
            expires_at: record.expires_at,
        }))
    }
}
