//! The pages of the service: the one to ask, correct and browse with at `/`, and the contract at `/docs`.

mod docs;
mod feedback;

use axum::routing::get;
use reasonedit_http::policy::{Policy, Routes};

/// The routes of the pages. A browser sends no token when a person opens one, so that they are open.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    Routes::default()
        .page(Policy::OPEN, "/", get(feedback::home))
        .page(Policy::OPEN, "/assets/{file}", get(feedback::file))
        .page(Policy::OPEN, "/docs", get(docs::page))
        .page(Policy::OPEN, "/docs/app.js", get(docs::script))
        .page(Policy::OPEN, "/docs/style.css", get(docs::style))
}
