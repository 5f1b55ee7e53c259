//! The pages of the service: the one to ask, correct and browse with at `/`, and the contract at `/docs`.

mod config;
mod docs;
mod feedback;
mod samples;

use std::path::Path;
use std::sync::Arc;

use axum::extract::Path as UrlPath;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;
use axum::routing::get;
use reasonedit_http::policy::{Policy, Routes};

pub use config::{PageConfig, PageLanguage};
use feedback::Home;
use samples::Samples;

/// The feedback page as it is served: its language, and the pictures that it offers to try the model with.
#[derive(Clone, Debug, Default)]
pub struct HomePage {
    config: PageConfig,
    samples: Samples,
}

impl HomePage {
    /// A page. `samples`: the folder with pictures of the demo model, where that one answers; the page says
    /// then what it is. A folder that can't be read is told in the log, and none are offered.
    pub fn new(config: PageConfig, samples: Option<&Path>) -> Self {
        Self { config, samples: samples.map(Samples::read).unwrap_or_default() }
    }
}

/// The routes of the pages. A browser sends no token when a person opens one, so that they are open.
pub fn routes<S: Clone + Send + Sync + 'static>(page: HomePage) -> Routes<S> {
    let home = Arc::new(Home::new(page.config, &page.samples));
    let samples = Arc::new(page.samples);
    let sample = move |name: Result<UrlPath<String>, PathRejection>, headers: HeaderMap| {
        let samples = Arc::clone(&samples);
        async move { feedback::sample(&samples, name, &headers) }
    };
    Routes::default()
        .page(Policy::OPEN, "/", get(move |headers: HeaderMap| async move { home.answer(&headers) }))
        .page(Policy::OPEN, "/assets/{file}", get(feedback::file))
        .page(Policy::OPEN, "/assets/samples/{file}", get(sample))
        .page(Policy::OPEN, "/docs", get(docs::page))
        .page(Policy::OPEN, "/docs/app.js", get(docs::script))
        .page(Policy::OPEN, "/docs/style.css", get(docs::style))
}
