//! Settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reasonedit_access::AccessRole;
use reasonedit_http::outbound::{Reach, check};
use serde::{Deserialize, Serialize};

/// Whose tokens are taken, and what their claims mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// Issuer as its tokens name it (`https://login.hospital.example/realms/main`); empty: none. `http` is
    /// taken on loopback alone.
    pub issuer: String,
    /// Audience that tokens have to be meant for.
    pub audience: String,
    /// PEM file of the certificates that the issuer's is trusted by, where public ones don't lead to it;
    /// empty: public ones alone.
    pub ca: PathBuf,
    /// Claim with the name that edits are made in; where a token has none, its `sub`.
    pub name_claim: String,
    /// Claim with roles, one or a list; a dot leads into an object (`realm_access.roles`).
    pub role_claim: String,
    /// Values of that claim and the role that each is; besides, the names of roles are themselves.
    pub roles: BTreeMap<String, AccessRole>,
    /// Claim with the codebooks that this holds for, one or a list; empty: all of them. A token without it is
    /// for none then.
    pub codebooks_claim: String,
    /// Client that the feedback page signs people in as; empty: it only asks for tokens. The issuer has to
    /// know the page's address as one that it may lead back to.
    pub client_id: String,
    /// Secret of that client; empty for a public one, which is enough: PKCE is used.
    pub client_secret: String,
    /// What is asked for at sign-in; it has to lead to access tokens that are JWTs for the audience.
    pub scope: String,
    /// What an issuer wants to be told at sign-in besides, as `audience` or `resource`.
    pub parameters: BTreeMap<String, String>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            ca: PathBuf::new(),
            name_claim: "preferred_username".to_owned(),
            role_claim: "roles".to_owned(),
            roles: BTreeMap::new(),
            codebooks_claim: String::new(),
            client_id: String::new(),
            client_secret: String::new(),
            scope: "openid profile".to_owned(),
            parameters: BTreeMap::new(),
        }
    }
}

impl OidcConfig {
    /// Whether an issuer's tokens are taken.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// The settings as they may be shown: without the secret.
    #[must_use]
    pub fn masked(&self, left_out: &str) -> Self {
        let client_secret = if self.client_secret.is_empty() { "" } else { left_out };
        Self { client_secret: client_secret.to_owned(), ..self.clone() }
    }

    /// The first setting that can't be used, and why.
    ///
    /// # Errors
    /// Its name below `server`, and the reason.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if !self.is_on() {
            return Ok(());
        }
        address(&self.issuer).map_err(|reason| ("oidc.issuer", reason))?;
        let needed = "is needed beside oidc.issuer".to_owned();
        if self.audience.is_empty() {
            return Err(("oidc.audience", needed));
        }
        if self.name_claim.is_empty() {
            return Err(("oidc.name_claim", needed));
        }
        if self.role_claim.is_empty() {
            return Err(("oidc.role_claim", needed));
        }
        Ok(())
    }
}

/// Whether the issuer may be asked at this address: what it says decides who may do what.
///
/// # Errors
/// Why not.
pub(crate) fn address(text: &str) -> Result<reqwest::Url, String> {
    let url = check(text, Reach::Anywhere).map_err(|refusal| format!("`{text}`: {refusal}"))?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if url.scheme() == "https" || loopback {
        Ok(url)
    } else {
        Err(format!("`{text}`: only https is asked, but for loopback"))
    }
}
