//! Routes and the layers around them. Each route is registered once, for serving and for the contract.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::ServerConfig;
use crate::handlers::{codebook, docs, edits, evidence, health, images, jobs, metrics, modularity, query};
use crate::integrations::{label_studio, openai, webhooks};
use crate::openapi::ApiDoc;
use crate::prefix::{self, Prefixes};
use crate::problem::{Problem, said_by};
use crate::state::AppState;
use crate::{archive, auth, headers, limits, newline, origin, page, request_id};

/// Every route of the contract.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(edits::create, edits::list))
        .routes(routes!(edits::get, edits::revert))
        .routes(routes!(edits::batch))
        .routes(routes!(evidence::find))
        .routes(routes!(query::query))
        .routes(routes!(modularity::create, modularity::get))
        .routes(routes!(modularity::roll_back))
        .routes(routes!(modularity::renew))
        .routes(routes!(modularity::report))
        .routes(routes!(modularity::apply))
        .routes(routes!(modularity::file))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get, jobs::cancel))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::results))
        .routes(routes!(codebook::list))
        .routes(routes!(codebook::stats))
        .routes(routes!(codebook::entries))
        .routes(routes!(codebook::entry))
        .routes(routes!(codebook::export))
        .routes(routes!(codebook::import))
        .routes(routes!(images::get))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::openapi))
        .merge(label_studio::routes())
        .merge(openai::routes())
        .merge(webhooks::routes())
}

/// The whole service.
pub(crate) fn service(state: AppState, config: &ServerConfig) -> Router {
    let pages = Router::new()
        .route("/", get(page::home))
        .route("/assets/{file}", get(page::file))
        .route("/docs", get(docs::page))
        .route("/docs/app.js", get(docs::script))
        .route("/docs/style.css", get(docs::style));
    // Archives are mostly pictures, which are compressed already.
    let compressed = DefaultPredicate::new().and(NotForContentType::const_new(archive::TAR));
    // From the outside in.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(state.clone(), request_id::observe))
        .layer(from_fn(headers::secure))
        .layer(option_layer(origin::cors(&config.cors_origins)))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(from_fn(newline::end_with_newline))
        .layer(from_fn(openai::errors::in_their_form))
        .layer(from_fn(headers::problems_only))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), limits::admit))
        .layer(from_fn_with_state(state.clone(), origin::require_own_origin))
        .layer(from_fn_with_state(state.clone(), auth::require_token))
        .layer(from_fn_with_state(state.clone(), limits::keep_deadline));
    let served: Router = routes().split_for_parts().0.merge(pages).layer(layers).with_state(state);
    // Around the routes, since it may change the path that they are found by.
    let prefixes = from_fn_with_state(Arc::new(Prefixes::new(config)), prefix::apply);
    Router::new().fallback_service(ServiceBuilder::new().layer(prefixes).service(served))
}

/// A handler panicked: the log has what it said, the client gets a plain 500.
#[allow(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Problem::internal(&said_by(payload.as_ref())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_tells_the_client_nothing() {
        for payload in [Box::new("secret") as Box<dyn Any + Send>, Box::new("secret".to_owned()), Box::new(7)]
        {
            let response = panicked(payload);
            assert_eq!(response.status().as_u16(), 500);
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("urn:reasonedit:problem:internal") && !text.contains("secret"), "{text}");
        }
    }
}
