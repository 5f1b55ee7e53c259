//! The feedback page at `/`: its files are in the program as they lie in `feedback/`, and nothing of it is
//! fetched from elsewhere.

mod files;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_http::problem::Problem;

use self::files::File;

/// The page may run its own scripts, show its own and uploaded pictures, and call this service. Texts can't
/// become markup: the sinks that would make them are refused.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Asked anew each time, and answered with 304 unless the program is another one: its files belong together.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The page.
pub(crate) async fn home(headers: HeaderMap) -> Response {
    answer(files::home(), &headers)
}

/// One of its files.
pub(crate) async fn file(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Response {
    match name.ok().and_then(|Path(name)| files::find(&name)) {
        Some(file) => answer(file, &headers),
        None => Problem::not_found("The page has no such file.").into_response(),
    }
}

fn answer(file: &File, headers: &HeaderMap) -> Response {
    let tag = file.tag();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|known| {
        known == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let common = [
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Of digits and quotes, which any header may hold.
        (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, file.media_type())], file.text).into_response()
}
