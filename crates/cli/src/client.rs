//! A small client of the service, for `--server URL`.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use futures::{Stream, StreamExt};
use reasonedit_resilience::Backoff;
use reqwest::{Body, Method, Response, StatusCode, Url};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use crate::error::{CliError, Result};

/// A connection may take this long; answers may take longer (an import embeds every edit).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a busy service is asked again.
const TRIES: u32 = 20;
/// The wait in between: what the service asks for, within bounds.
const WAIT: Backoff = Backoff::constant(Duration::from_secs(1)).at_most_asked(Duration::from_secs(30));

/// A running service.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    codebook: String,
}

impl Client {
    /// A client of the service at `url` that works on `codebook`.
    ///
    /// # Errors
    /// A URL that is none.
    pub(crate) fn new(url: &str, token: Option<String>, codebook: &str) -> Result<Self> {
        let mut base = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                CliError::Usage(format!("--server {url}: a URL such as http://127.0.0.1:8080 is expected"))
            })?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build().map_err(CliError::failed)?;
        Ok(Self { http, base, token, codebook: codebook.to_owned() })
    }

    /// Sends a JSON body and reads a JSON answer.
    ///
    /// # Errors
    /// The service can't be reached, or answers with a problem, which is told with the pointers it names.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send_json(Method::POST, path, body).await
    }

    /// As [`Client::post`], but where the service says that it is too busy it is asked again, when it says.
    ///
    /// # Errors
    /// As [`Client::post`]; a service that stays busy.
    pub(crate) async fn post_patiently(&self, path: &str, body: &Value) -> Result<Value> {
        let text = bytes::Bytes::from(serde_json::to_vec(body).map_err(CliError::failed)?);
        for failures in 1..TRIES {
            let body = Body::from(text.clone());
            let response = self.ask(Method::POST, path, Some(("application/json", body))).await?;
            if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                return read_json(accepted(response).await?).await;
            }
            let told =
                response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(WAIT.wait(failures, told.map(Duration::from_secs))).await;
        }
        let body = Body::from(text);
        read_json(self.send(Method::POST, path, Some(("application/json", body))).await?).await
    }

    /// Changes something, and reads what it is then.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send_json(Method::PATCH, path, body).await
    }

    async fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let text = serde_json::to_vec(body).map_err(CliError::failed)?;
        read_json(self.send(method, path, Some(("application/json", Body::from(text)))).await?).await
    }

    /// Deletes something, and reads what is left.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) async fn delete_shown(&self, path: &str) -> Result<Value> {
        read_json(self.send(Method::DELETE, path, None).await?).await
    }

    /// Deletes something; whether it was there.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) async fn delete(&self, path: &str) -> Result<bool> {
        let response = self.ask(Method::DELETE, path, None).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        accepted(response).await.map(|_| true)
    }

    /// Reads a JSON answer.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        read_json(self.send(Method::GET, path, None).await?).await
    }

    /// Reads an answer into `out` and says how many bytes it had.
    ///
    /// # Errors
    /// As [`Client::post`]; `out` can't be written; the connection ended early.
    pub(crate) async fn download(
        &self,
        path: &str,
        name: &Path,
        out: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) -> Result<u64> {
        let mut pieces = self.send(Method::GET, path, None).await?.bytes_stream();
        let mut count = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.unreachable(&error))?;
            count += piece.len() as u64;
            out.write_all(&piece).await.map_err(|error| CliError::file(name, error))?;
        }
        out.flush().await.map_err(|error| CliError::file(name, error))?;
        Ok(count)
    }

    /// Sends what `input` yields, of the given media type, and reads a JSON answer.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) async fn upload(
        &self,
        path: &str,
        media_type: &str,
        input: impl tokio::io::AsyncRead + Send + Sync + 'static,
    ) -> Result<Value> {
        let body = Body::wrap_stream(boxed(ReaderStream::new(input)));
        read_json(self.send(Method::POST, path, Some((media_type, body))).await?).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, Body)>) -> Result<Response> {
        accepted(self.ask(method, path, body).await?).await
    }

    /// The answer, whatever it is.
    async fn ask(&self, method: Method, path: &str, body: Option<(&str, Body)>) -> Result<Response> {
        let mut url = self.base.join(path).map_err(CliError::failed)?;
        url.query_pairs_mut().append_pair("codebook", &self.codebook);
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        // The innermost cause says what happened ("connection refused"); the outer ones only repeat the URL.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        CliError::Failed(format!("{}: {cause}", self.base))
    }
}

fn boxed<S, T>(stream: S) -> std::pin::Pin<Box<dyn Stream<Item = T> + Send + Sync>>
where
    S: Stream<Item = T> + Send + Sync + 'static,
{
    Box::pin(stream)
}

/// An answer that is no problem.
async fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(CliError::Failed(problem(status, &text)))
}

async fn read_json(response: Response) -> Result<Value> {
    let bytes = response.bytes().await.map_err(CliError::failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CliError::Failed(format!("the answer of the service is not JSON: {error}")))
}

/// A problem document (RFC 9457) in a few lines; other bodies are not repeated.
fn problem(status: StatusCode, text: &str) -> String {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let detail = document["detail"].as_str().or_else(|| document["title"].as_str());
    let mut said = match detail {
        Some(detail) => format!("{}: {detail}", status.as_u16()),
        None => status.to_string(),
    };
    for error in document["errors"].as_array().into_iter().flatten() {
        let (pointer, told) = (error["pointer"].as_str(), error["detail"].as_str());
        // The only error is often the whole detail.
        if told == detail {
            continue;
        }
        let _ = write!(said, "\n  {}: {}", pointer.unwrap_or_default(), told.unwrap_or_default());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_a_few_lines() {
        let text = r#"{"title": "Unprocessable", "status": 422, "detail": "2 fields can't be used",
            "errors": [{"pointer": "/question", "detail": "must not be empty"}]}"#;
        assert_eq!(
            problem(StatusCode::UNPROCESSABLE_ENTITY, text),
            "422: 2 fields can't be used\n  /question: must not be empty"
        );
        assert_eq!(problem(StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
    }

    #[test]
    fn urls_are_checked_and_paths_are_below_them() {
        for url in ["127.0.0.1:8080", "ftp://x", "", "http://"] {
            assert_eq!(Client::new(url, None, "default").err().map(|e| e.status()), Some(2), "{url}");
        }
        let client = Client::new("http://host/prefix", None, "default").unwrap();
        assert_eq!(client.base.join("edits").unwrap().as_str(), "http://host/prefix/edits");
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_told_by_its_url() {
        // Port 9 of the loopback interface: discard, served by nobody.
        let client = Client::new("http://127.0.0.1:9", None, "default").unwrap();
        let error = client.get("codebook").await.unwrap_err().to_string();
        assert!(error.starts_with("http://127.0.0.1:9/: "), "{error}");
    }
}
