//! HTTP in, editor calls out.
//!
//! [`Server::new`] gives a service that can listen at once, and an [`EditorSlot`] that the editor is put into
//! when its model is loaded; until then edits and queries are answered with 503. Handlers parse, call one
//! function of the editor and shape its answer; statuses of failures are chosen in one table ([`problem`]).

mod archive;
mod auth;
mod bind;
mod body;
mod coding;
pub mod config;
pub mod dto;
mod fetch;
mod handlers;
mod headers;
mod idempotency;
mod image_input;
mod integrations;
mod jobs;
mod json;
mod limits;
mod metrics;
mod multipart;
mod newline;
mod openapi;
mod origin;
mod outbound;
mod page;
mod payload;
mod prefix;
pub mod problem;
mod request_id;
mod router;
mod server;
mod sources;
mod sse;
mod state;
mod workers;

pub use bind::{BindAddress, BindAddressError};
pub use config::{ConfigError, LimitsConfig, ServerConfig, TimeoutsConfig};
pub use integrations::label_studio::LabelStudioConfig;
pub use integrations::openai::{OlderPictures, OpenAiConfig};
pub use integrations::webhooks::{
    EndpointConfig, EventKind, OutboxError, Secret, WebhooksConfig, WebhooksError,
};
pub use jobs::JobsError;
pub use openapi::{contract, openapi_yaml};
pub use server::{Server, ServerError};
pub use sources::Sources;
pub use state::EditorSlot;
