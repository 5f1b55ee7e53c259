//! Routes and the layers around them. Each route is registered once, for serving and for the contract.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing;
use reasonedit_http::answers::AnswerMemory;
use reasonedit_http::audit::Auditing;
use reasonedit_http::body::{BodyBudget, COPIES};
use reasonedit_http::client::Proxies;
use reasonedit_http::host::Hosts;
use reasonedit_http::limits::{Archives, Places, Times};
use reasonedit_http::origin::Origins;
use reasonedit_http::policy::{BodyPolicy, Given, Policies, Policy, Routes};
use reasonedit_http::prefix::{self, Prefixes};
use reasonedit_http::problem::Problem;
use reasonedit_http::rates::Rates;
use reasonedit_http::shares::{self, Shares};
use reasonedit_http::{answers, auth, headers, host, limits, newline, origin, policy, rates, request_id};
use reasonedit_page::HomePage;
use reasonedit_resilience::panic_message;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::archive;
use crate::config::ServerConfig;
use crate::handlers::{
    audit, backup, canary, codebook, conflicts, docs, dry_run, edits, evidence, feedback, health, images,
    jobs, metrics, modularity, proposals, query, reverts, sign_in, tokens, training_data, versions,
};
use crate::openapi::ApiDoc;
use crate::state::AppState;

/// Bytes of a sign-in's body: anyone may send one.
const SIGN_IN_BYTES: usize = 16 << 10;

/// The service's own routes, with what each asks of the layers below.
pub(crate) fn routes() -> Routes<AppState> {
    Routes::with_openapi(ApiDoc::openapi())
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Form), routes!(edits::create))
        .route(Policy::READER, routes!(edits::list))
        .route(Policy::READER, routes!(edits::get))
        .route(Policy::CONTRIBUTOR, routes!(edits::revert))
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Json), routes!(versions::amend))
        .route(Policy::CONTRIBUTOR, routes!(versions::undo))
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Json), routes!(reverts::create))
        .route(Policy::READER, routes!(reverts::list))
        .route(Policy::READER, routes!(reverts::get))
        .route(Policy::CONTRIBUTOR, routes!(reverts::undo))
        .route(Policy::CONTRIBUTOR.upload().archives(), routes!(edits::batch))
        .route(Policy::READER, routes!(proposals::list))
        .route(Policy::READER, routes!(proposals::get))
        .route(Policy::EDITOR, routes!(proposals::approve))
        .route(Policy::EDITOR.body(BodyPolicy::Json), routes!(proposals::reject))
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Json), routes!(proposals::amend))
        .route(Policy::CONTRIBUTOR, routes!(proposals::withdraw))
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Json).reads(), routes!(dry_run::run))
        .route(Policy::EDITOR.body(BodyPolicy::Json), routes!(canary::put))
        .route(Policy::READER, routes!(canary::list))
        .route(Policy::EDITOR, routes!(canary::remove))
        .route(Policy::READER, routes!(conflicts::list))
        .route(Policy::READER, routes!(conflicts::get))
        .route(Policy::EDITOR.body(BodyPolicy::Json), routes!(conflicts::resolve))
        .route(Policy::READER.body(BodyPolicy::Form).reads(), routes!(evidence::find))
        .route(Policy::READER.body(BodyPolicy::Form).streamed().reads(), routes!(query::query))
        .route(Policy::EDITOR.body(BodyPolicy::OptionalJson), routes!(modularity::create))
        .route(Policy::READER, routes!(modularity::get))
        .route(Policy::EDITOR, routes!(modularity::roll_back))
        .route(Policy::EDITOR, routes!(modularity::renew))
        .route(Policy::READER, routes!(modularity::report))
        .route(Policy::EDITOR, routes!(modularity::apply))
        .route(Policy::READER, routes!(modularity::file))
        .route(Policy::CONTRIBUTOR.body(BodyPolicy::Json), routes!(feedback::give))
        .route(Policy::READER, routes!(feedback::list))
        .route(Policy::READER, routes!(feedback::edits))
        .route(Policy::CONTRIBUTOR, routes!(feedback::take_back))
        .route(Policy::READER, routes!(jobs::list))
        .route(Policy::READER, routes!(jobs::get))
        .route(Policy::EDITOR, routes!(jobs::cancel))
        .route(Policy::READER.streamed(), routes!(jobs::events))
        .route(Policy::READER.streamed(), routes!(jobs::results))
        .route(Policy::READER, routes!(codebook::list))
        .route(Policy::READER, routes!(codebook::stats))
        .route(Policy::READER, routes!(codebook::entries))
        .route(Policy::READER, routes!(codebook::entry))
        .route(Policy::READER.streamed().archives(), routes!(codebook::export))
        .route(Policy::EDITOR.upload().archives(), routes!(codebook::import))
        .route(Policy::READER.streamed().archives(), routes!(training_data::export))
        .route(Policy::READER, routes!(images::get))
        .route(Policy::ADMIN, routes!(images::erase))
        .route(Policy::ADMIN, routes!(tokens::list))
        .route(Policy::ADMIN.body(BodyPolicy::Json), routes!(tokens::create))
        .route(Policy::ADMIN, routes!(tokens::revoke))
        .route(Policy::ADMIN.body(BodyPolicy::OptionalJson), routes!(backup::create))
        .route(Policy::ADMIN, routes!(backup::list))
        .route(Policy::ADMIN.streamed().archives(), routes!(audit::list))
        .route(Policy::ADMIN, routes!(audit::key))
        .route(Policy::READER.unaudited(), routes!(tokens::whoami))
        .route(Policy::OPEN, routes!(sign_in::get))
        .route(
            Policy::OPEN.body(BodyPolicy::Json).at_most(SIGN_IN_BYTES).signs_in(),
            routes!(sign_in::exchange),
        )
        .route(Policy::PROBE, routes!(health::live))
        .route(Policy::PROBE, routes!(health::ready))
        .route(Policy::READER.always().unaudited(), routes!(metrics::metrics))
        .route(Policy::OPEN, routes!(docs::openapi))
}

/// The tag that stays last in the contract.
const LAST_TAG: &str = "service";

/// Puts the contract's tags in order once those of integrations are among them.
pub(crate) fn order_tags(contract: &mut OpenApi) {
    if let Some(tags) = &mut contract.tags {
        tags.sort_by_key(|tag| tag.name == LAST_TAG);
    }
}

/// The whole service, and what each of its routes asks of the layers.
pub(crate) fn service(state: AppState, config: &ServerConfig, page: HomePage) -> (Router, Arc<Policies>) {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let tokens = state.tokens().clone();
    let auditing = Auditing::new(state.audit().clone(), Proxies::new(&config.trusted_proxies));
    let shares = shares(&state, config);
    let rates = Rates::new(limits.requests_per_minute, Proxies::new(&config.trusted_proxies));
    let integrations = state.integrations().iter().map(|integration| integration.routes().with_state(()));
    let (routes, mut contract, policies) =
        integrations.fold(routes(), Routes::merge).merge(reasonedit_page::routes(page)).split();
    order_tags(&mut contract);
    state.set_contract(contract);
    let policies = Arc::new(policies);
    let memory = state.memory().clone();
    let given = Given {
        policies: Arc::clone(&policies),
        budget: BodyBudget::new(memory.bodies, limits.body_bytes, timeouts.body_idle()),
        archives: Archives::new(limits.archives),
    };
    let times = Times { request: timeouts.request(), upload: timeouts.import() };
    // Archives are mostly pictures, which are compressed already.
    let compressed = DefaultPredicate::new().and(NotForContentType::const_new(archive::TAR));
    // From the outside in.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::clone(state.metrics()), request_id::observe))
        .layer(from_fn(headers::secure))
        .layer(option_layer(origin::cors(&config.cors_origins)))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(from_fn(newline::end_with_newline))
        .layer(from_fn_with_state(state.clone(), in_their_form))
        .layer(from_fn(headers::problems_only))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(given, policy::attach))
        .layer(from_fn_with_state(auditing, reasonedit_http::audit::record))
        .layer(from_fn_with_state(AnswerMemory::new(memory.answers), answers::hold))
        .layer(from_fn_with_state(Hosts::new(&config.hosts, tokens.clone()), host::require_own_host))
        .layer(from_fn_with_state(Places::new(limits.requests), limits::admit))
        .layer(from_fn_with_state(Origins::new(&config.cors_origins), origin::require_own_origin))
        .layer(from_fn_with_state(tokens, auth::require_token))
        .layer(from_fn_with_state(rates, rates::slow_down))
        .layer(from_fn_with_state(shares, shares::hold))
        .layer(from_fn_with_state(times, limits::keep_deadline));
    let served: Router = routes.layer(layers).with_state(state);
    // Around the routes, since it may change the path that they are found by.
    let prefixes = Arc::new(Prefixes::new(&config.path_prefix, &config.trusted_proxies));
    let prefixes = from_fn_with_state(prefixes, prefix::apply);
    (Router::new().fallback_service(ServiceBuilder::new().layer(prefixes).service(served)), policies)
}

/// What is answered where probes alone are.
pub(crate) fn probes(state: AppState) -> Router {
    let elsewhere = || async { Problem::not_found("Probes alone are answered here.") };
    Router::new()
        .route("/health/live", routing::get(health::live))
        .route("/health/ready", routing::get(health::ready))
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .with_state(state)
}

/// What one caller may have at a time.
fn shares(state: &AppState, config: &ServerConfig) -> Shares {
    let limits = &config.limits;
    let part = |all: u64| all.saturating_mul(u64::from(limits.caller_percent)) / 100;
    // A body of the largest size that is taken has to fit.
    let bytes = part(limits.bodies_in_memory_bytes as u64).max(limits.body_bytes as u64 * COPIES);
    let requests = part(limits.requests as u64).max(1) as usize;
    let archives = part(limits.archives as u64).max(1) as usize;
    Shares::new(
        requests,
        archives,
        bytes,
        state.memory().bodies.clone(),
        Proxies::new(&config.trusted_proxies),
    )
}

/// Tells problems under the paths of an integration in the form of its protocol, whoever found them.
async fn in_their_form(State(state): State<AppState>, request: Request, next: Next) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let told = state.integrations().iter().find_map(|integration| integration.tell(&path, problem));
    let Some(mut told) = told else { return response };
    for (name, value) in response.headers() {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            told.headers_mut().append(name, value.clone());
        }
    }
    told
}

/// A handler panicked: the log has what it said, the client gets a plain 500.
#[allow(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Problem::internal(&panic_message(payload.as_ref())).into_response()
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
