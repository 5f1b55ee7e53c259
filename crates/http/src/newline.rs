//! JSON for terminals: an answer to a client that takes anything (`Accept: */*`, as curl sends it, or no
//! `Accept` at all) ends with a newline, so that the prompt stands on a line of its own. Who names JSON gets
//! the document and nothing else. Streams and lines are what they are.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Ends a JSON answer with a newline where that is wanted.
pub async fn end_with_newline(request: Request, next: Next) -> Response {
    let wanted = takes_anything(request.headers());
    let response = next.run(request).await;
    // What has no length yet is a stream.
    let length = response.body().size_hint().exact();
    let (Some(length), true, true) = (length, wanted, is_json(response.headers())) else { return response };
    let (mut parts, body) = response.into_parts();
    if let Some(told) = parts.headers.get_mut(header::CONTENT_LENGTH)
        && let Some(without) = told.to_str().ok().and_then(|text| text.parse::<u64>().ok())
    {
        *told = HeaderValue::from(without + 1);
    }
    if length == 0 {
        // Of `HEAD`, which has the length alone.
        return Response::from_parts(parts, body);
    }
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(whole) => {
            let mut text = Vec::with_capacity(whole.len() + 1);
            text.extend_from_slice(&whole);
            text.push(b'\n');
            Response::from_parts(parts, Body::from(text))
        }
        // A body whose length is known is in memory.
        Err(error) => axum::response::IntoResponse::into_response(crate::problem::Problem::internal(&error)),
    }
}

fn takes_anything(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => value.as_bytes().trim_ascii() == b"*/*",
        _ => false,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::Method;
    use axum::middleware::from_fn;
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(method: Method, path: &str, accept: &[&'static str]) -> (Vec<u8>, Option<String>) {
        let streamed = || Body::from_stream(stream::iter([Ok::<_, std::io::Error>("{}")]));
        let typed = |kind: &'static str, body: Body| ([(header::CONTENT_TYPE, kind)], body).into_response();
        let router = Router::new()
            .route("/json", get(|| async { axum::Json(7) }))
            .route(
                "/problem",
                get(move || async move { typed("application/problem+json", Body::from("{}")) }),
            )
            .route("/lines", get(move || async move { typed("application/x-ndjson", Body::from("{}\n")) }))
            .route("/text", get(|| async { "text" }))
            .route("/stream", get(move || async move { typed("application/json", streamed()) }))
            .layer(from_fn(end_with_newline));
        let mut request = Request::builder().method(method).uri(path);
        for value in accept {
            request = request.header(header::ACCEPT, *value);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let length = response.headers().get(header::CONTENT_LENGTH).map(|v| v.to_str().unwrap().to_owned());
        (axum::body::to_bytes(response.into_body(), 1000).await.unwrap().to_vec(), length)
    }

    #[tokio::test]
    async fn terminals_get_a_newline_and_programs_none() {
        for (path, accept, body) in [
            ("/json", &["*/*"][..], &b"7\n"[..]),
            ("/json", &[], b"7\n"),
            ("/json", &["application/json"], b"7"),
            ("/json", &["application/json, */*"], b"7"),
            ("/json", &["application/json", "*/*"], b"7"),
            ("/json", &["text/html,*/*;q=0.8"], b"7"),
            ("/problem", &["*/*"], b"{}\n"),
            ("/lines", &["*/*"], b"{}\n"),
            ("/text", &["*/*"], b"text"),
            ("/stream", &["*/*"], b"{}"),
        ] {
            let (told, length) = answer(Method::GET, path, accept).await;
            assert_eq!(told, body, "{path} {accept:?}");
            assert!(length.is_none_or(|length| length == body.len().to_string()), "{path} {accept:?}");
        }
    }

    #[tokio::test]
    async fn the_head_tells_the_same_length() {
        for accept in [&["*/*"][..], &["application/json"]] {
            let (_, length) = answer(Method::GET, "/json", accept).await;
            assert_eq!(answer(Method::HEAD, "/json", accept).await, (Vec::new(), length));
        }
    }
}
