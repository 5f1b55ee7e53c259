//! From a bearer to a caller.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reasonedit_access::{BearerVerifier, Verified};
use reqwest::Certificate;
use reqwest::redirect::Policy;

use crate::OidcConfig;
use crate::claims::{Claims, caller};
use crate::keys::Keys;
use crate::sign_in::{Code, Granted, SignIn, SignInError};
use crate::signatures::{ALGORITHMS, install};

/// How long the issuer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest token that is read.
const MOST_BYTES: usize = 16 << 10;

/// Why tokens of the issuer can't be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// The file of certificates can't be used.
    #[error("{}: {reason}", path.display())]
    Certificates {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS can't be set up.
    #[error("the client that asks the issuer can't be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Takes the tokens of one issuer.
#[derive(Debug)]
pub struct Oidc {
    config: OidcConfig,
    keys: Keys,
    validation: Validation,
    sign_in: SignIn,
}

impl Oidc {
    /// The issuer of these settings. It is first asked when a token comes.
    ///
    /// # Errors
    /// [`OidcError`].
    pub fn new(config: OidcConfig) -> Result<Self, OidcError> {
        install();
        // The operator wrote its address down, and it is often one of the house.
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .user_agent(concat!("reasonedit/", env!("CARGO_PKG_VERSION")));
        if !config.ca.as_os_str().is_empty() {
            let failed = |reason: String| OidcError::Certificates { path: config.ca.clone(), reason };
            let pem = std::fs::read(&config.ca).map_err(|error| failed(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?;
            if certificates.is_empty() {
                return Err(failed("it holds no certificate".to_owned()));
            }
            client = certificates.into_iter().fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let mut validation = Validation::new(ALGORITHMS[0]);
        validation.algorithms = ALGORITHMS.to_vec();
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let client = client.build()?;
        let keys = Keys::new(&config.issuer, client.clone());
        Ok(Self { keys, validation, sign_in: SignIn::new(client), config })
    }

    /// Whose tokens these are.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Where a browser is led to for its person to sign in, but for `redirect_uri`, `state` and
    /// `code_challenge` (S256), which it adds.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`], [`SignInError::Unavailable`].
    pub async fn sign_in_address(&self) -> Result<String, SignInError> {
        self.sign_in.address(&self.config, &self.keys).await.map(String::from)
    }

    /// Exchanges the code that the browser came back with for a token.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn exchange(&self, code: Code<'_>) -> Result<Granted, SignInError> {
        self.sign_in.exchange(&self.config, &self.keys, code).await
    }

    /// As if the last look-up of keys lay more than its minute back.
    #[cfg(test)]
    pub(crate) fn forget_look_up(&self) {
        self.keys.forget_look_up();
    }

    async fn check(&self, bearer: &str) -> Verified {
        if bearer.len() > MOST_BYTES {
            return Verified::Unknown;
        }
        let Ok(header) = decode_header(bearer) else { return Verified::Unknown };
        // Neither HMAC nor none: before the issuer is asked for anything.
        if !ALGORITHMS.contains(&header.alg) {
            return Verified::Unknown;
        }
        let keys = match self.keys.find(header.kid.as_deref()).await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::error!(%error, "tokens of the issuer can't be judged");
                return Verified::Unavailable;
            }
        };
        let checked = keys.iter().find_map(|key| self.signed_by(key, header.alg, bearer));
        match checked {
            None => Verified::Unknown,
            Some(claims) => caller(&claims, &self.config).map_or(Verified::NoRole, Verified::Caller),
        }
    }

    /// The claims of a token that this key signed and that holds now.
    fn signed_by(&self, key: &Jwk, algorithm: jsonwebtoken::Algorithm, bearer: &str) -> Option<Claims> {
        let named = key.common.key_algorithm.and_then(|named| named.to_string().parse().ok());
        if named.is_some_and(|named: jsonwebtoken::Algorithm| named != algorithm) {
            return None;
        }
        let key = DecodingKey::from_jwk(key).ok()?;
        // Validation wants one family of algorithms.
        let validation = Validation { algorithms: vec![algorithm], ..self.validation.clone() };
        match decode::<Claims>(bearer, &key, &validation) {
            Ok(token) => Some(token.claims),
            Err(error) => {
                tracing::debug!(%error, "a token is not taken");
                None
            }
        }
    }
}

impl BearerVerifier for Oidc {
    fn verify<'a>(&'a self, bearer: &'a str) -> Pin<Box<dyn Future<Output = Verified> + Send + 'a>> {
        Box::pin(self.check(bearer))
    }
}
