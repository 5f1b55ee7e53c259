//! `OpenAI`'s chat completions, so that any chat client with a base URL can ask: [`input`] (requests;
//! [`message`]s, [`samplers`], [`form`]s of answers, and what is taken at its [`neutral`] value alone),
//! [`output`] (answers), [`errors`], [`models`] (one for each codebook), [`chat`] (the handler), [`stream`]
//! (server-sent events).

mod chat;
mod config;
pub(crate) mod errors;
mod form;
mod input;
mod message;
mod models;
mod neutral;
mod output;
mod samplers;
mod stream;

pub use config::{OlderPictures, OpenAiConfig};
pub(crate) use output::ChunkDto;

use utoipa_axum::routes;

use crate::policy::{BodyPolicy, Policy, Routes};
use crate::state::AppState;

/// Its routes.
pub(crate) fn routes() -> Routes<AppState> {
    Routes::default()
        .route(Policy::TOKEN.body(BodyPolicy::Json).streamed(), routes!(chat::complete))
        .route(Policy::TOKEN, routes!(models::list))
        .route(Policy::TOKEN, routes!(models::get))
        // A hub id has a slash, and clients put it into the path as it is.
        .page(Policy::TOKEN, "/v1/models/{id}/{name}", axum::routing::get(models::get_of_owner))
}
