//! `OpenAI`'s chat completions, so that any chat client with a base URL can ask: `input` (requests;
//! `message`s, `samplers`, `form`s of answers, and what is taken at its `neutral` value alone),
//! `output` (answers), `errors`, `models` (one for each codebook), `chat` (the handler), `stream`
//! (server-sent events).

mod chat;
mod config;
mod errors;
mod form;
mod input;
mod message;
mod models;
mod neutral;
mod output;
mod reasoning;
mod rules;
mod samplers;
mod stream;

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use reasonedit_http::policy::{BodyPolicy, Policy, Routes};
use reasonedit_http::problem::Problem;
use reasonedit_integration::{Integration, IntegrationConfig, IntegrationError, ServiceContext, Unusable};
use utoipa::OpenApi as _;
use utoipa_axum::routes;

pub use self::config::{OlderPictures, OpenAiConfig};
use self::errors::ErrorBody;
use self::output::ChunkDto;

/// Where its routes begin.
const PATH: &str = "/v1/";

#[derive(utoipa::OpenApi)]
#[openapi(
    tags((name = "openai", description = "Chat completions for OpenAI's clients. Errors have OpenAI's form.")),
    // A line of a stream, which a document of this version can't say itself.
    components(schemas(ChunkDto)),
)]
struct ApiDoc;

/// Its routes.
fn routes() -> Routes<OpenAi> {
    Routes::with_openapi(ApiDoc::openapi())
        .route(Policy::READER.body(BodyPolicy::Json).streamed().reads(), routes!(chat::complete))
        .route(Policy::READER, routes!(models::list))
        .route(Policy::READER, routes!(models::get))
        // A hub id has a slash, and clients put it into the path as it is.
        .page(Policy::READER, "/v1/models/{id}/{name}", axum::routing::get(models::get_of_owner))
}

impl IntegrationConfig for OpenAiConfig {
    fn validate(&self) -> Result<(), Unusable> {
        self.check_model().map_err(|reason| ("openai.model", reason))
    }

    fn contract() -> utoipa::openapi::OpenApi {
        routes().split().1
    }

    fn integrate(&self, service: &ServiceContext) -> Result<Arc<dyn Integration>, IntegrationError> {
        Ok(Arc::new(OpenAi { config: self.clone(), service: service.clone() }))
    }
}

/// The endpoints; cheap to clone.
#[derive(Clone)]
struct OpenAi {
    config: OpenAiConfig,
    service: ServiceContext,
}

impl Integration for OpenAi {
    fn routes(&self) -> Routes {
        routes().with_state(self.clone())
    }

    fn tell(&self, path: &str, problem: &Problem) -> Option<Response> {
        path.starts_with(PATH).then(|| (problem.status(), Json(ErrorBody::from(problem))).into_response())
    }
}
