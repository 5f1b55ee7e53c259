//! How receivers are, on the wire.

use reasonedit_api::rfc3339;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::config::EventKind;
use super::endpoint::{Endpoint, Report};

/// Names of codebooks that are listed at most; clients choose them.
const MOST_NAMES: usize = 100;

/// Every configured receiver.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookList)]
pub(crate) struct WebhookListDto {
    /// In order of their names.
    pub(crate) webhooks: Vec<WebhookDto>,
}

/// A receiver of events.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookDto {
    /// Its name in the configuration.
    #[schema(example = "audit")]
    pub(crate) name: String,
    /// Its host. The rest of its address stays in the configuration.
    #[schema(example = "hooks.example.org")]
    pub(crate) host: String,
    /// The events it is told of.
    pub(crate) events: Vec<EventKind>,
    /// The codebooks it is told about; empty for all.
    pub(crate) codebooks: Vec<String>,
    /// How it is.
    pub(crate) state: WebhookState,
    /// Events that it has yet to be told of.
    pub(crate) pending: u64,
    /// When the oldest of them happened; `null` if there is none that was tried.
    #[schema(format = DateTime)]
    pub(crate) oldest_pending_at: Option<String>,
    /// Events that it took since the service started.
    pub(crate) delivered: u64,
    /// Attempts that failed since then.
    pub(crate) failed: u64,
    /// When it last took one.
    #[schema(format = DateTime)]
    pub(crate) last_delivered_at: Option<String>,
    /// The last failure.
    pub(crate) last_failure: Option<WebhookFailureDto>,
    /// Milliseconds to the next attempt, after a failure.
    pub(crate) next_attempt_ms: Option<u64>,
    /// Codebooks of which nothing more is sent until it is resumed: an event of theirs was given up.
    pub(crate) paused_codebooks: Vec<String>,
}

/// How a receiver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebhookState {
    /// It takes what it is told.
    Delivering,
    /// It is tried again after failures.
    Failing,
    /// It answered 410, or a codebook was given up: `POST /webhooks/{name}/resume` goes on.
    Paused,
}

/// A failure to deliver.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookFailure)]
pub(crate) struct WebhookFailureDto {
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Why.
    #[schema(example = "it answered 503")]
    pub(crate) reason: String,
}

/// How to go on.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResumeParams {
    /// `true` leaves out what happened until now.
    #[param(default = false)]
    pub(crate) skip_missed: Option<bool>,
}

impl Report {
    /// Age of the oldest event that was tried and not taken, in seconds; 0 if there is none.
    pub(super) fn lag(&self) -> f64 {
        self.oldest.map_or(0.0, |at| (OffsetDateTime::now_utc() - at).as_seconds_f64().max(0.0))
    }
}

impl WebhookDto {
    pub(super) fn new(endpoint: &Endpoint, report: Report) -> Self {
        let state = if report.gone || !report.paused.is_empty() {
            WebhookState::Paused
        } else if report.failures > 0 {
            WebhookState::Failing
        } else {
            WebhookState::Delivering
        };
        let config = &endpoint.config;
        let all = [
            EventKind::EditCreated,
            EventKind::EditReverted,
            EventKind::EditRestored,
            EventKind::EditErased,
            EventKind::SelectionApplied,
        ];
        Self {
            name: endpoint.name.clone(),
            host: endpoint.sender.host().to_owned(),
            events: if config.events.is_empty() { all.to_vec() } else { config.events.clone() },
            codebooks: config.codebooks.iter().map(ToString::to_string).collect(),
            state,
            pending: report.pending,
            oldest_pending_at: report.oldest.map(rfc3339),
            delivered: report.stats.delivered,
            failed: report.stats.failed,
            last_delivered_at: report.stats.last_delivered.map(rfc3339),
            last_failure: report
                .stats
                .last_failure
                .map(|(at, reason)| WebhookFailureDto { at: rfc3339(at), reason }),
            next_attempt_ms: report.wait.map(|wait| wait.as_millis() as u64),
            paused_codebooks: report.paused.iter().take(MOST_NAMES).map(ToString::to_string).collect(),
        }
    }
}
