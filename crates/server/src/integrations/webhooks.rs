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
mod retry;
mod send;

use std::sync::Arc;

use reasonedit_codebook::Library;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::routes;

pub use config::{EndpointConfig, EventKind, Secret, WebhooksConfig};
pub(crate) use dto::WebhookDto;
pub(crate) use event::MessageDto;
pub use outbox::OutboxError;

use crate::metrics::Text;
use crate::policy::{Policy, Routes};
use crate::problem::{Problem, Result};
use crate::state::AppState;
use endpoint::{Endpoint, Report};
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

/// The routes.
pub(crate) fn routes() -> Routes<AppState> {
    Routes::default()
        .route(Policy::TOKEN, routes!(handlers::list))
        .route(Policy::TOKEN, routes!(handlers::resume))
}

/// All receivers of a service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks(Arc<Shared>);

struct Shared {
    endpoints: Vec<Arc<Endpoint>>,
    running: TaskTracker,
}

impl Webhooks {
    /// Takes up the receivers of this configuration. Before the first edit is accepted, since new ones begin
    /// at the present. Needs a tokio runtime. `stopping` stops the sending; what was not sent is sent after
    /// the next start.
    ///
    /// # Errors
    /// [`WebhooksError`].
    pub(crate) fn open(
        library: &Arc<Library>,
        config: &WebhooksConfig,
        stopping: &CancellationToken,
    ) -> Result<Self, WebhooksError> {
        let mut kept = outbox::take_up(library, &config.endpoints)?;
        let running = TaskTracker::new();
        let (committed, commits) = watch::channel(());
        let settings = WebhooksConfig { endpoints: std::collections::BTreeMap::new(), ..config.clone() };
        let mut endpoints = Vec::new();
        for (name, endpoint) in &config.endpoints {
            let sender = Sender::new(endpoint, config.timeout()).map_err(|error: SenderError| {
                WebhooksError::Endpoint { name: name.clone(), reason: error.to_string() }
            })?;
            let Some(kept) = kept.remove(name) else { continue };
            let named = (name.clone(), endpoint.clone());
            let endpoint = Endpoint::new(named, settings.clone(), Arc::clone(library), sender, kept);
            endpoints.push(Arc::new(endpoint));
        }
        if !endpoints.is_empty() {
            tracing::info!(receivers = endpoints.len(), "webhooks are sent");
            library.on_commit(move || {
                committed.send_replace(());
            });
        }
        for endpoint in &endpoints {
            running.spawn(Arc::clone(endpoint).run(commits.clone(), stopping.clone()));
        }
        Ok(Self(Arc::new(Shared { endpoints, running })))
    }

    /// Every receiver, in order of their names.
    pub(crate) async fn list(&self) -> Vec<WebhookDto> {
        let mut list = Vec::new();
        for endpoint in &self.0.endpoints {
            list.push(WebhookDto::new(endpoint, endpoint.report().await));
        }
        list
    }

    /// Goes on with a receiver that was given up, or that is waited for; without what it missed if `skip`.
    ///
    /// # Errors
    /// 404, 500.
    pub(crate) async fn resume(&self, name: &str, skip: bool) -> Result<WebhookDto> {
        let endpoint = self.0.endpoints.iter().find(|endpoint| endpoint.name == name);
        let endpoint = endpoint.ok_or_else(|| Problem::not_found("No webhook has this name."))?;
        endpoint.resume(skip).await.map_err(|error| Problem::internal(&error))?;
        Ok(WebhookDto::new(endpoint, endpoint.report().await))
    }

    /// Writes how they are.
    pub(crate) async fn write(&self, text: &mut Text) {
        let mut reports = Vec::new();
        for endpoint in &self.0.endpoints {
            reports.push((endpoint.name.as_str(), endpoint.report().await));
        }
        if reports.is_empty() {
            return;
        }
        for (name, kind, help, value) in METRICS {
            let name = format!("reasonedit_webhook_{name}");
            text.family(&name, kind, help);
            for (endpoint, report) in &reports {
                text.sample(&name, &[("endpoint", endpoint)], value(report));
            }
        }
    }

    /// Waits until nothing more is sent, once the service was told to stop. That is soon.
    pub(crate) async fn stopped(&self) {
        self.0.running.close();
        self.0.running.wait().await;
    }
}

/// One figure of a receiver.
type Figure = fn(&Report) -> f64;

const METRICS: [(&str, &str, &str, Figure); 5] = [
    ("deliveries_total", "counter", "Events that the receiver took.", |r| r.told.delivered as f64),
    ("failures_total", "counter", "Attempts that failed.", |r| r.told.failed as f64),
    ("pending_events", "gauge", "Events that it has yet to be told of.", |r| r.pending as f64),
    ("lag_seconds", "gauge", "Age of the oldest of them that was tried.", Report::lag),
    ("paused", "gauge", "Whether it, or one of its codebooks, was given up.", |r| {
        f64::from(u8::from(r.gone || !r.paused.is_empty()))
    }),
];
