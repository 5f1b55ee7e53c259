//! Telling others what happened: signed (Standard Webhooks), durable, in order, at least once.
//!
//! ```text
//! commit ─ history of the codebook (same transaction) ─ wakes ─ one task per receiver ─ look ─ sign ─ POST
//!                                                                   └ place in the journal moves when it was taken
//! ```
//!
//! Receivers are configuration and not an API: whoever may name one could have the service ask addresses
//! inside the house, and would have to be trusted with its secret. What is an API is to see how they are and
//! to resume one that was given up.

mod config;
mod dto;
mod endpoint;
mod event;
mod handlers;
mod outbox;
mod send;

use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reasonedit_editor::Library;
use reasonedit_http::audit::AuditSink;
use reasonedit_http::policy::{Policy, Routes};
use reasonedit_http::problem::{Problem, Result};
use reasonedit_integration::{
    Integration, IntegrationConfig, IntegrationError, MetricFamily, MetricKind, MetricSample, ServiceContext,
    Unusable,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi as _;
use utoipa_axum::routes;

pub use config::{EndpointConfig, EventKind, SigningSecret, WebhooksConfig};
pub use outbox::OutboxError;

use dto::WebhookDto;
use endpoint::{Endpoint, Report};
use event::MessageDto;
use send::{Sender, SenderError};

/// Why receivers can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhooksError {
    /// How far they were told can't be read or written.
    #[error("webhooks: {0}")]
    Outbox(#[from] OutboxError),
    /// Requests can't be sent to one.
    #[error("webhook `{name}`: {reason}")]
    Endpoint {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

#[derive(utoipa::OpenApi)]
#[openapi(
    tags((name = "webhooks", description = "Who is told of edits and selections.")),
    // What receivers are sent.
    components(schemas(MessageDto)),
)]
struct ApiDoc;

/// The routes.
fn routes() -> Routes<Webhooks> {
    Routes::with_openapi(ApiDoc::openapi())
        .route(Policy::ADMIN, routes!(handlers::list))
        .route(Policy::ADMIN, routes!(handlers::resume))
}

impl IntegrationConfig for WebhooksConfig {
    fn validate(&self) -> Result<(), Unusable> {
        self.check()
    }

    // Secrets leave themselves out.

    fn contract() -> utoipa::openapi::OpenApi {
        routes().split().1
    }

    fn integrate(&self, service: &ServiceContext) -> Result<Arc<dyn Integration>, IntegrationError> {
        let (config, service) = (self.clone(), service.clone());
        Ok(Arc::new(Webhooks(Arc::new(Shared { config, service, receivers: OnceLock::new() }))))
    }
}

/// All receivers of a service; cheap to clone.
#[derive(Clone)]
struct Webhooks(Arc<Shared>);

struct Shared {
    config: WebhooksConfig,
    service: ServiceContext,
    /// There once the codebooks are open.
    receivers: OnceLock<Receivers>,
}

struct Receivers {
    endpoints: Vec<Arc<Endpoint>>,
    commits: watch::Receiver<()>,
    running: TaskTracker,
}

impl Receivers {
    /// Takes up the receivers of this configuration.
    fn open(
        library: &Arc<Library>,
        config: &WebhooksConfig,
        audit: &AuditSink,
    ) -> Result<Self, WebhooksError> {
        let mut kept = outbox::take_up(library, &config.endpoints)?;
        let (committed, commits) = watch::channel(());
        let settings = WebhooksConfig { endpoints: std::collections::BTreeMap::new(), ..config.clone() };
        let mut endpoints = Vec::new();
        for (name, endpoint) in &config.endpoints {
            let sender = Sender::new(endpoint, config.timeout()).map_err(|error: SenderError| {
                WebhooksError::Endpoint { name: name.clone(), reason: error.to_string() }
            })?;
            let Some(kept) = kept.remove(name) else { continue };
            let named = (name.clone(), endpoint.clone());
            let endpoint =
                Endpoint::new(named, settings.clone(), Arc::clone(library), sender, kept, audit.clone());
            endpoints.push(Arc::new(endpoint));
        }
        if !endpoints.is_empty() {
            tracing::info!(receivers = endpoints.len(), "webhooks are sent");
            library.on_commit(move || {
                committed.send_replace(());
            });
        }
        Ok(Self { endpoints, commits, running: TaskTracker::new() })
    }
}

impl Integration for Webhooks {
    fn routes(&self) -> Routes {
        routes().with_state(self.clone())
    }

    /// Takes up the receivers: new ones begin at the present.
    fn open(&self, library: &Arc<Library>) -> Result<(), IntegrationError> {
        if self.0.receivers.get().is_none() {
            let receivers = Receivers::open(library, &self.0.config, &self.0.service.audit)
                .map_err(IntegrationError::new)?;
            let _ = self.0.receivers.set(receivers);
        }
        Ok(())
    }

    /// Begins to send. What was not sent when `stopping` stops it is sent after the next start.
    fn start(&self, stopping: &CancellationToken) {
        let Some(receivers) = self.0.receivers.get() else { return };
        for endpoint in &receivers.endpoints {
            let run = Arc::clone(endpoint).run(receivers.commits.clone(), stopping.clone());
            receivers.running.spawn(run);
        }
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        async {
            if let Some(receivers) = self.0.receivers.get() {
                receivers.running.close();
                receivers.running.wait().await;
            }
        }
        .boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, Vec<MetricFamily>> {
        async {
            let mut reports = Vec::new();
            for endpoint in self.endpoints() {
                reports.push((endpoint.name.as_str(), endpoint.report().await));
            }
            if reports.is_empty() {
                return Vec::new();
            }
            let family =
                |(name, kind, help, value): &(&str, MetricKind, &'static str, Figure)| MetricFamily {
                    name: format!("reasonedit_webhook_{name}"),
                    kind: *kind,
                    help,
                    samples: reports
                        .iter()
                        .map(|(endpoint, report)| MetricSample {
                            labels: vec![("endpoint", (*endpoint).to_owned())],
                            value: value(report),
                        })
                        .collect(),
                };
            METRICS.iter().map(family).collect()
        }
        .boxed()
    }
}

impl Webhooks {
    fn endpoints(&self) -> &[Arc<Endpoint>] {
        self.0.receivers.get().map_or(&[], |receivers| &receivers.endpoints)
    }

    /// The receivers, to be looked at.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    fn ready(&self) -> Result<&[Arc<Endpoint>]> {
        self.0.service.editor.ready()?;
        Ok(self.endpoints())
    }

    /// Every receiver, in order of their names.
    async fn list(&self) -> Result<Vec<WebhookDto>> {
        let mut list = Vec::new();
        for endpoint in self.ready()? {
            list.push(WebhookDto::new(endpoint, endpoint.report().await));
        }
        Ok(list)
    }

    /// Goes on with a receiver that was given up, or that is waited for; without what it missed if `skip`.
    ///
    /// # Errors
    /// 404, 500, 503 while the model is being loaded.
    async fn resume(&self, name: &str, skip: bool) -> Result<WebhookDto> {
        let endpoint = self.ready()?.iter().find(|endpoint| endpoint.name == name);
        let endpoint = endpoint.ok_or_else(|| Problem::not_found("No webhook has this name."))?;
        endpoint.resume(skip).await.map_err(|error| Problem::internal(&error))?;
        Ok(WebhookDto::new(endpoint, endpoint.report().await))
    }
}

/// One figure of a receiver.
type Figure = fn(&Report) -> f64;

const METRICS: [(&str, MetricKind, &str, Figure); 5] = [
    ("deliveries_total", MetricKind::Counter, "Events that the receiver took.", |r| r.stats.delivered as f64),
    ("failures_total", MetricKind::Counter, "Attempts that failed.", |r| r.stats.failed as f64),
    ("pending_events", MetricKind::Gauge, "Events that it has yet to be told of.", |r| r.pending as f64),
    ("lag_seconds", MetricKind::Gauge, "Age of the oldest of them that was tried.", Report::lag),
    ("paused", MetricKind::Gauge, "Whether it, or one of its codebooks, was given up.", |r| {
        f64::from(u8::from(r.gone || !r.paused.is_empty()))
    }),
];
