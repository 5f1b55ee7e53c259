//! TLS: the certificate of the configuration, which is read anew when its files change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use reasonedit_resilience::{WorkLost, blocking};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificate that the service shows; both empty: it speaks plain HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the certificate, followed by those that lead to one that clients know.
    pub certificate: PathBuf,
    /// PEM file of its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Whether the service speaks TLS.
    pub(crate) fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// Why these can't be used, if they can't.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        if !self.is_on() {
            return None;
        }
        let missing = |path: &Path| path.as_os_str().is_empty();
        let reason = || "certificate and key go together: one of them is missing".to_owned();
        if missing(&self.certificate) {
            Some(("tls.certificate", reason()))
        } else if missing(&self.key) {
            Some(("tls.key", reason()))
        } else {
            None
        }
    }
}

/// Why a certificate can't be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read, or holds no such thing.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's, or of a kind that isn't known.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Pair {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

/// What tells one state of the files from another.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate as it was last read.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// Accepts TLS with the certificate of the configuration.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    config: TlsConfig,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.config).finish()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when they can't be shown.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        let shown = Arc::new(Shown(RwLock::new(Arc::new(read(config)?))));
        let versions = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| pair(config, source))?;
        let mut server = versions.with_no_client_auth().with_cert_resolver(Arc::clone(&shown) as Arc<_>);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), shown, config: config.clone() })
    }

    /// What connections are accepted by.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again whenever they change, as who renews certificates replaces them; never ends. What
    /// can't be read is told of, and the certificate of before is shown on.
    pub(crate) async fn follow(self) {
        let mut known = stamp(&self.config);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let config = self.config.clone();
            let looked = blocking(move || {
                let found = stamp(&config);
                Ok::<_, WorkLost>((found, (found != known).then(|| read(&config))))
            });
            let Ok((found, read)) = looked.await else { continue };
            match read {
                None => {}
                Some(Ok(certificate)) => {
                    *self.shown.0.write() = Arc::new(certificate);
                    tracing::info!("the certificate was read anew");
                }
                // Half of a renewal: the other file follows.
                Some(Err(error)) => {
                    tracing::warn!(%error, "the new certificate can't be shown; the one of before is");
                }
            }
            known = found;
        }
    }
}

fn stamp(config: &TlsConfig) -> Stamp {
    [&config.certificate, &config.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn pair(config: &TlsConfig, source: rustls::Error) -> TlsError {
    TlsError::Pair { certificate: config.certificate.clone(), key: config.key.clone(), source }
}

fn read(config: &TlsConfig) -> Result<CertifiedKey, TlsError> {
    let unreadable = |path: &Path, reason: &dyn std::fmt::Display| TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let path = &config.certificate;
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, &error))?;
    if chain.is_empty() {
        return Err(unreadable(path, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| unreadable(&config.key, &error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| pair(config, source))
}
