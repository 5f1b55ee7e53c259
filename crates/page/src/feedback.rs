//! The feedback page at `/`: its files are in the program as they lie in `feedback/`, and nothing of it is
//! fetched from elsewhere.

mod files;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_http::problem::Problem;

use crate::config::PageConfig;
use crate::samples::Samples;

/// The page may run its own scripts, show its own and uploaded pictures, and call this service. Texts can't
/// become markup: the sinks that would make them are refused.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Asked anew each time, and answered with 304 unless the program is another one: its files belong together.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The page itself, with what it has to know before its first word.
pub(crate) struct Home {
    text: String,
    tag: String,
}

impl Home {
    /// The page under these settings.
    pub(crate) fn new(config: PageConfig, samples: &Samples) -> Self {
        let language = format!("data-language=\"{}\"", config.language.name());
        let offered = format!("data-samples=\"{}\"", samples.names());
        let text = files::HOME.replacen("data-language=\"auto\"", &language, 1);
        let text = text.replacen("data-samples=\"\"", &offered, 1);
        Self { tag: tag(text.as_bytes()), text }
    }

    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        answer(headers, &self.tag, "text/html; charset=utf-8", || self.text.clone())
    }
}

/// One of its files.
pub(crate) async fn file(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Response {
    match name.ok().and_then(|Path(name)| files::find(&name)) {
        Some(file) => answer(&headers, &tag(file.text.as_bytes()), file.media_type(), || file.text),
        None => missing(),
    }
}

/// One of the pictures to try the model with.
pub(crate) fn sample(
    samples: &Samples,
    name: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
) -> Response {
    match name.ok().and_then(|Path(name)| samples.find(&name)) {
        Some(sample) => answer(headers, &tag(&sample.bytes), sample.media_type(), || sample.bytes.clone()),
        None => missing(),
    }
}

fn missing() -> Response {
    Problem::not_found("The page has no such file.").into_response()
}

/// Another one for other contents.
fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

fn answer<B: IntoResponse>(
    headers: &HeaderMap,
    tag: &str,
    media_type: &'static str,
    body: impl FnOnce() -> B,
) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = known.is_some_and(|known| {
        known == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let common = [
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Of digits and quotes, which any header may hold.
        (header::ETAG, HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, media_type)], body()).into_response()
}

#[cfg(test)]
mod words;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PageLanguage;

    #[test]
    fn the_page_is_told_its_language_and_its_samples() {
        let plain = Home::new(PageConfig::default(), &Samples::default());
        assert_eq!(plain.text, files::HOME);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples");
        let samples = Samples::read(std::path::Path::new(folder));
        let german = Home::new(PageConfig { language: PageLanguage::De }, &samples);
        assert!(
            german.text.contains("data-language=\"de\" data-samples=\"another.jpg specimen.jpg"),
            "{}",
            german.text
        );
        assert_ne!(plain.tag, german.tag, "a browser that knows the one asks for the other");
    }
}
