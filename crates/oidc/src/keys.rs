//! The issuer's keys: read when they are needed, and again when they may have changed.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use parking_lot::RwLock;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::address;

/// How old keys may become.
const OLD: Duration = Duration::from_hours(1);
/// The least time between two look-ups, whatever tokens come in.
const BETWEEN: Duration = Duration::from_mins(1);
/// Most bytes of a document of the issuer's.
const BYTES: usize = 1 << 20;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("{url}: {reason}")]
    Unreadable { url: String, reason: String },
}

/// What a discovery document is read for (`OpenID Connect Discovery` 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
}

/// Where the issuer signs people in.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Url,
    pub(crate) token: Url,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<Jwk>,
    endpoints: Option<Endpoints>,
    /// When they were read.
    read: Option<Instant>,
    /// When it was last tried.
    tried: Option<Instant>,
}

/// The issuer's keys.
#[derive(Debug)]
pub(crate) struct Keys {
    issuer: String,
    client: Client,
    known: RwLock<Known>,
    /// One look-up at a time; who waited finds what came of it.
    looking: tokio::sync::Mutex<()>,
}

impl Keys {
    pub(crate) fn new(issuer: &str, client: Client) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client,
            known: RwLock::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The keys that a token may be signed by: that of this id, or where it names none all of them.
    ///
    /// # Errors
    /// The issuer's keys were never read, and can't be.
    pub(crate) async fn find(&self, id: Option<&str>) -> Result<Vec<Jwk>, KeysError> {
        let (found, due) = {
            let known = self.known.read();
            let found = matching(&known.keys, id);
            let old = known.read.is_none_or(|read| read.elapsed() > OLD);
            let may = known.tried.is_none_or(|tried| tried.elapsed() > BETWEEN);
            let never = known.read.is_none();
            // Without any keys a token can't be judged: then every request tries, one at a time.
            (found, never || ((old || matching(&known.keys, id).is_empty()) && may))
        };
        if !due {
            return Ok(found);
        }
        let begun = Instant::now();
        let _looking = self.looking.lock().await;
        let meanwhile = self.known.read().tried.is_some_and(|tried| tried > begun);
        if !meanwhile {
            let read = self.read().await;
            let mut known = self.known.write();
            known.tried = Some(Instant::now());
            match read {
                Ok((keys, endpoints)) => {
                    (known.keys, known.endpoints, known.read) = (keys, endpoints, Some(Instant::now()));
                }
                Err(error) if known.read.is_none() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the issuer's keys can't be read again; those of before hold");
                }
            }
        }
        let known = self.known.read();
        if known.read.is_none() {
            let reason = "its keys could not be read a moment ago".to_owned();
            return Err(KeysError::Unreadable { url: self.issuer.clone(), reason });
        }
        Ok(matching(&known.keys, id))
    }

    /// Where the issuer signs people in; `None` if it says nowhere that may be asked.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn endpoints(&self) -> Result<Option<Endpoints>, KeysError> {
        self.find(None).await?;
        Ok(self.known.read().endpoints.clone())
    }

    #[cfg(test)]
    pub(crate) fn forget_look_up(&self) {
        self.known.write().tried = None;
    }

    async fn read(&self) -> Result<(Vec<Jwk>, Option<Endpoints>), KeysError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(&url).await?;
        let unusable = |reason: String| KeysError::Unreadable { url: url.clone(), reason };
        if discovery.issuer != self.issuer {
            return Err(unusable(format!(
                "it is of the issuer `{}`, not of `{}`",
                discovery.issuer, self.issuer
            )));
        }
        let keys = address(&discovery.jwks_uri).map_err(|reason| unusable(format!("jwks_uri {reason}")))?;
        let set: JwkSet = self.get(keys.as_str()).await?;
        tracing::info!(issuer = %self.issuer, keys = set.keys.len(), "the issuer's keys were read");
        let usable = |text: Option<String>| text.and_then(|text| address(&text).ok());
        let endpoints = usable(discovery.authorization_endpoint).zip(usable(discovery.token_endpoint));
        let endpoints = endpoints.map(|(authorization, token)| Endpoints { authorization, token });
        Ok((set.keys, endpoints))
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, KeysError> {
        let failed = |reason: String| KeysError::Unreadable { url: url.to_owned(), reason };
        let answer = self.client.get(url).send().await.map_err(|error| failed(error.to_string()))?;
        let answer = answer.error_for_status().map_err(|error| failed(error.to_string()))?;
        document(answer).await.map_err(failed)
    }
}

/// A JSON document of bounded size.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn document<T: DeserializeOwned>(mut answer: Response) -> Result<T, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + piece.len() > BYTES {
            return Err(format!("more than {BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

fn matching(keys: &[Jwk], id: Option<&str>) -> Vec<Jwk> {
    let signs = |key: &&Jwk| key.common.public_key_use != Some(PublicKeyUse::Encryption);
    let named = |key: &&Jwk| id.is_none_or(|id| key.common.key_id.as_deref() == Some(id));
    keys.iter().filter(signs).filter(named).cloned().collect()
}
