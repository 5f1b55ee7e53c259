//! What an integration is: another program's protocol, spoken by the service beside its own.

mod context;
mod error;
mod metrics;

use std::fmt::Debug;
use std::sync::Arc;

use axum::response::Response;
use futures::future::BoxFuture;
use reasonedit_editor::Library;
use reasonedit_http::policy::Routes;
use reasonedit_http::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

pub use self::context::{EditorCell, ServiceContext};
pub use self::error::IntegrationError;
pub use self::metrics::{MetricFamily, MetricKind, MetricSample};

/// A setting that can't be used: its name below `server`, and why.
pub type Unusable = (&'static str, String);

/// What stands in place of a secret where settings are shown.
pub const LEFT_OUT: &str = "(left out)";

/// The settings of an integration, which are a section of the service's. A service has the integration whose
/// settings stand in the one list of them.
pub trait IntegrationConfig: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned {
    /// Checks what types alone can't.
    ///
    /// # Errors
    /// The first unusable setting.
    fn validate(&self) -> Result<(), Unusable>;

    /// The settings as they may be shown: every secret is [`LEFT_OUT`].
    #[must_use]
    fn masked(&self) -> Self {
        self.clone()
    }

    /// The integration's part of the contract.
    fn contract() -> OpenApi;

    /// The integration with these settings; it has yet to be opened and started.
    ///
    /// # Errors
    /// What it needs and can't have, such as TLS.
    fn integrate(&self, service: &ServiceContext) -> Result<Arc<dyn Integration>, IntegrationError>;
}

/// A protocol that the service speaks beside its own. It is made from its settings
/// ([`IntegrationConfig::integrate`]), opened once the codebooks are, and started once the editor is there.
pub trait Integration: Send + Sync {
    /// Its routes with what they need, the policy of each, and their part of the contract.
    fn routes(&self) -> Routes;

    /// How a problem of a request for this path is told, if the path is this integration's and its protocol
    /// has a form of its own for problems.
    fn tell(&self, _path: &str, _problem: &Problem) -> Option<Response> {
        None
    }

    /// Reads what was kept beside the codebooks, before anything is edited; a second time is ignored. Blocks.
    ///
    /// # Errors
    /// What the store says, and what can't be taken up.
    fn open(&self, _library: &Arc<Library>) -> Result<(), IntegrationError> {
        Ok(())
    }

    /// Begins to work in the background, if there is something to do; `stopping` stops it. The editor is
    /// there by then. Needs a tokio runtime.
    fn start(&self, _stopping: &CancellationToken) {}

    /// Waits until nothing more is done in the background, once the service was told to stop. That is soon.
    fn stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How it is, for `/metrics`.
    fn metrics(&self) -> BoxFuture<'_, Vec<MetricFamily>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}
