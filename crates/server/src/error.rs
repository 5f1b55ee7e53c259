//! Why the service can't be started.

use reasonedit_feedback::FeedbackError;
use reasonedit_http::bind::BindAddress;
use reasonedit_http::metrics::MetricsError;
use reasonedit_integration::IntegrationError;
use reasonedit_jobs::OpenError;
use reasonedit_oidc::OidcError;

use crate::config::ConfigError;
use crate::tls::TlsError;

/// Why the service can't be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A setting that can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Pictures may be fetched by URL, and TLS can't be set up for it.
    #[error("the client that fetches pictures can't be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The certificate can't be shown.
    #[error("TLS can't be spoken: {0}")]
    Tls(#[from] TlsError),
    /// Tokens of the issuer can't be taken.
    #[error("tokens of server.oidc.issuer can't be taken: {0}")]
    Oidc(#[from] OidcError),
    /// The jobs of before can't be taken up.
    #[error(transparent)]
    Jobs(#[from] OpenError),
    /// What people said of answers can't be taken up.
    #[error("what people said of answers can't be read: {0}")]
    Feedback(#[from] FeedbackError),
    /// An integration can't work.
    #[error(transparent)]
    Integration(#[from] IntegrationError),
    /// Requests can't be counted.
    #[error("metrics can't be set up: {0}")]
    Metrics(#[from] MetricsError),
    /// Other machines reach the address, and no tokens are asked for.
    #[error(
        "{address} can be reached from other machines, and no tokens are asked for: whoever reaches it could read \
         every picture and change every edit. Give the first token (reasonedit token create --name … --role admin) or \
         set server.auth_tokens (REASONEDIT_SERVER__AUTH_TOKENS='[\"…\"]'), listen on 127.0.0.1, or say --insecure-no-auth \
         (server.insecure_no_auth)"
    )]
    Open {
        /// The address.
        address: BindAddress,
    },
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// The address.
        address: BindAddress,
        /// What stood in the way.
        reason: String,
    },
}
