//! HTTP in, editor calls out.
//!
//! [`Server::new`] gives a service that can listen at once, and an [`EditorSlot`] that the editor is put into
//! when its model is loaded; until then edits and queries are answered with 503. Handlers parse, call one
//! function of the editor and shape its answer; statuses of failures are chosen in one table
//! ([`reasonedit_http::problem`]).

mod addresses;
mod archive;
pub mod config;
mod connection;
mod connections;
mod contract;
pub mod error;
mod exchanges;
mod handlers;
mod idempotency;
mod integrations;
mod memory;
mod openapi;
mod probes;
mod refusal;
mod router;
mod server;
mod sources;
mod sse;
mod state;
mod tls;
mod upload;
mod workers;

pub use config::{ConfigError, LimitsConfig, ServerConfig, TimeoutsConfig};
pub use contract::{contract, openapi_yaml};
pub use error::ServerError;
pub use probes::Probes;
pub use reasonedit_page::{HomePage, PageConfig, PageLanguage};
pub use server::Server;
pub use sources::Sources;
pub use state::EditorSlot;
pub use tls::{TlsConfig, TlsError};
