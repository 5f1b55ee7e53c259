//! Server-sent events.

use axum::response::Response;
use axum::response::sse::Event;
use serde::Serialize;

use crate::problem::Problem;

/// Proxies that collect answers before they pass them on would defeat the purpose.
pub fn unbuffered(mut response: Response) -> Response {
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

/// An event of this name; its data are JSON.
pub fn event<T: Serialize>(name: &str, data: &T) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_else(|error| {
        let problem = Problem::internal(&error);
        Event::default().event("error").data(serde_json::json!(problem.body()).to_string())
    })
}
