//! Signing people in by the issuer: the authorization code flow with PKCE (RFC 6749, section 4.1; RFC 7636).
//!
//! The page leads the browser to the issuer and back; the code that it brings is exchanged here, so that the
//! page needs to reach nobody but this service, and the client may have a secret.

use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::OidcConfig;
use crate::keys::{Keys, KeysError, document};

/// Codes that are exchanged at a time: anyone may send some.
const AT_A_TIME: usize = 8;

/// Why nobody can be signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The settings name no client, or the issuer no place to sign in at.
    #[error("people can't sign in here; a token can be given")]
    NotOffered,
    /// The issuer can't be reached, or answers with what can't be read.
    #[error("whoever issues tokens can't be reached")]
    Unavailable,
    /// The issuer takes the code from nobody, or no longer.
    #[error("the sign-in was not accepted ({0}); try again")]
    Refused(String),
    /// Too many at a time.
    #[error("too many people sign in at the moment; try again")]
    Busy,
}

impl From<KeysError> for SignInError {
    fn from(error: KeysError) -> Self {
        tracing::error!(%error, "people can't sign in");
        Self::Unavailable
    }
}

/// A code of the issuer's, as the browser brought it.
#[derive(Debug)]
pub struct Code<'a> {
    /// The code.
    pub code: &'a str,
    /// What its challenge was made of.
    pub verifier: &'a str,
    /// Where the issuer led back to.
    pub redirect_uri: &'a str,
}

/// What a code was exchanged for.
#[derive(Debug, Deserialize)]
pub struct Granted {
    /// The token to show.
    pub access_token: String,
    /// Seconds that it holds, if the issuer says so.
    pub expires_in: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Signs people in as one client of the issuer.
#[derive(Debug)]
pub(crate) struct SignIn {
    client: Client,
    places: Semaphore,
}

impl SignIn {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, places: Semaphore::new(AT_A_TIME) }
    }

    /// Where the browser is led to, but for what it adds: `redirect_uri`, `state`, `code_challenge`.
    pub(crate) async fn address(&self, config: &OidcConfig, keys: &Keys) -> Result<Url, SignInError> {
        if config.client_id.is_empty() {
            return Err(SignInError::NotOffered);
        }
        let mut url = keys.endpoints().await?.ok_or(SignInError::NotOffered)?.authorization;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("scope", &config.scope)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(&config.parameters);
        Ok(url)
    }

    /// Exchanges a code.
    pub(crate) async fn exchange(
        &self,
        config: &OidcConfig,
        keys: &Keys,
        code: Code<'_>,
    ) -> Result<Granted, SignInError> {
        if config.client_id.is_empty() {
            return Err(SignInError::NotOffered);
        }
        let _place = self.places.try_acquire().map_err(|_| SignInError::Busy)?;
        let url = keys.endpoints().await?.ok_or(SignInError::NotOffered)?.token;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.code),
            ("code_verifier", code.verifier),
            ("redirect_uri", code.redirect_uri),
            ("client_id", &config.client_id),
        ];
        if !config.client_secret.is_empty() {
            form.push(("client_secret", &config.client_secret));
        }
        form.extend(config.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let asked = self.client.post(url).form(&form).timeout(Duration::from_secs(10)).send().await;
        let unavailable = |error: String| {
            tracing::error!(%error, "a sign-in can't be completed");
            SignInError::Unavailable
        };
        let answer = asked.map_err(|error| unavailable(error.without_url().to_string()))?;
        if answer.status().is_client_error() {
            let said =
                document::<ErrorAnswer>(answer).await.map_or_else(|_| "refused".to_owned(), |r| r.error);
            // RFC 6749 allows more, but what is shown is one of its words.
            let word = said.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && said.len() <= 40;
            return Err(SignInError::Refused(if word { said } else { "refused".to_owned() }));
        }
        let answer =
            answer.error_for_status().map_err(|error| unavailable(error.without_url().to_string()))?;
        document(answer).await.map_err(unavailable)
    }
}
