//! Annotation in Label Studio: predictions out, corrections in.
//!
//! Speaks the protocol of its machine learning backends. A project is read by its labeling configuration
//! (`labels`); a task's question is asked of its picture (`predict`, `pictures`); a submitted annotation with
//! reasoning (`events`, `annotation`) waits durably (`queue`) until it has become an edit (`worker`). Which
//! edits are of which annotation stands in the edits; `projects` keeps what only setup tells.

mod annotation;
mod config;
mod dto;
mod events;
mod handlers;
mod labels;
mod pictures;
mod predict;
mod projects;
mod queue;
mod regions;
mod studio;
mod token;
mod version;
mod worker;

use std::sync::Arc;

use reasonedit_editor::{CodebookError, Library};
use reasonedit_http::policy::{BodyPolicy, Policy, Routes};
use reasonedit_integration::{
    Integration, IntegrationConfig, IntegrationError, LEFT_OUT, ServiceContext, Unusable,
};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::routes;

pub use self::config::LabelStudioConfig;
use self::pictures::Pictures;
use self::studio::LabelStudio;

#[derive(utoipa::OpenApi)]
#[openapi(tags((
    name = "label-studio",
    description = "The machine learning backend of Label Studio. Its basic authentication takes a token as password."
)))]
struct ApiDoc;

/// Label Studio knows no tokens but passwords, and doesn't always say that it sends JSON. It has one token
/// for whatever it does, and its annotations become edits.
const POLICY: Policy = Policy::CONTRIBUTOR.password();
const POSTED: Policy = POLICY.body(BodyPolicy::UntypedJson);

/// The routes of the integration.
fn routes() -> Routes<LabelStudio> {
    Routes::with_openapi(ApiDoc::openapi())
        .route(POLICY.unaudited(), routes!(handlers::root))
        .route(POLICY.unaudited(), routes!(handlers::health))
        .route(POLICY.unaudited(), routes!(handlers::metrics))
        .route(POLICY.unaudited(), routes!(handlers::versions))
        .route(POLICY, routes!(handlers::annotations))
        .route(POSTED, routes!(handlers::setup))
        .route(POSTED.reads(), routes!(handlers::predict))
        .route(POSTED, routes!(handlers::webhook))
}

/// Why the integration can't work.
#[derive(Debug, thiserror::Error)]
enum LabelStudioError {
    /// TLS can't be set up.
    #[error("the client that fetches pictures can't be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// What was kept can't be read.
    #[error("the jobs of before can't be read: {0}")]
    Kept(#[from] CodebookError),
}

impl IntegrationConfig for LabelStudioConfig {
    fn validate(&self) -> Result<(), Unusable> {
        self.fault().map_or(Ok(()), Err)
    }

    fn masked(&self) -> Self {
        Self { token: self.token.as_ref().map(|_| LEFT_OUT.to_owned()), ..self.clone() }
    }

    fn contract() -> utoipa::openapi::OpenApi {
        routes().split().1
    }

    fn integrate(&self, service: &ServiceContext) -> Result<Arc<dyn Integration>, IntegrationError> {
        let (fetcher, max_bytes) = (service.fetcher.clone(), service.picture_bytes);
        let pictures =
            Pictures::new(self, fetcher, max_bytes, service.fetch).map_err(LabelStudioError::Client);
        let pictures = pictures.map_err(IntegrationError::new)?;
        Ok(Arc::new(LabelStudio::new(service.clone(), self.clone(), pictures)))
    }
}

impl Integration for LabelStudio {
    fn routes(&self) -> Routes {
        routes().with_state(self.clone())
    }

    /// From now on annotations are taken up.
    fn open(&self, library: &Arc<Library>) -> Result<(), IntegrationError> {
        self.read(library).map_err(|error| IntegrationError::new(LabelStudioError::Kept(error)))
    }

    /// Begins to make edits of annotations.
    fn start(&self, stopping: &CancellationToken) {
        if let (Some(queue), Some(editor)) = (self.opened(), self.service().editor.get()) {
            let work = worker::run(self.clone(), queue, editor.clone(), stopping.clone());
            tokio::spawn(work);
        }
    }
}
