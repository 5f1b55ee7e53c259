//! One attempt: the message is signed and posted, and what comes back is judged.

use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use reasonedit_http::outbound;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use time::OffsetDateTime;

use super::config::EndpointConfig;
use super::event::Message;

/// Bytes of an answer that are read, so that its connection can be used again. What it says doesn't matter.
const READ_BYTES: usize = 16 << 10;
/// How long they are waited for.
const READ_FOR: Duration = Duration::from_secs(1);

/// Posts messages to one receiver.
pub(super) struct Sender {
    client: Client,
    url: Url,
    signers: Vec<Webhook>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver wants no more (410).
    Gone,
    /// To be tried again, not before the receiver wishes.
    Failed {
        /// In words that tell neither an address nor the receiver's answer.
        reason: String,
        /// What the receiver asked for.
        wait: Option<Duration>,
    },
}

impl Outcome {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), wait: None }
    }
}

/// Why a receiver can't be sent to.
#[derive(Debug, thiserror::Error)]
pub(super) enum SenderError {
    #[error("{0}")]
    Settings(String),
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

impl Sender {
    /// # Errors
    /// Settings that [`super::WebhooksConfig`] refuses, or what the TLS library says.
    pub(super) fn new(endpoint: &EndpointConfig, timeout: Duration) -> Result<Self, SenderError> {
        let url = endpoint.address().map_err(|refusal| SenderError::Settings(refusal.to_string()))?;
        let signers = endpoint.signers().map_err(|reason| SenderError::Settings(reason.to_owned()))?;
        Ok(Self { client: outbound::client(endpoint.reach(), timeout)?, url, signers })
    }

    /// The receiver's host; the rest of its address may be as good as a password.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Posts a message.
    pub(super) async fn send(&self, message: &Message) -> Outcome {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let signatures: Result<Vec<String>, _> =
            self.signers.iter().map(|signer| signer.sign(&message.id, now, &message.body)).collect();
        // Signing fails on bodies that are not UTF-8 only.
        let Ok(signatures) = signatures else { return Outcome::failed("it could not be signed") };
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, &message.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, now)
            .header(HEADER_WEBHOOK_SIGNATURE, signatures.join(" "))
            .body(message.body.clone());
        match request.send().await {
            Ok(response) => {
                let outcome = judged(response.status(), response.headers());
                read_a_little(response).await;
                outcome
            }
            Err(error) => {
                let reason = if error.is_timeout() {
                    "it took too long"
                } else if error.is_connect() {
                    "it could not be connected to"
                } else {
                    "the connection broke off"
                };
                tracing::debug!(error = %error.without_url(), "a webhook was not delivered");
                Outcome::failed(reason)
            }
        }
    }
}

fn judged(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status {
        StatusCode::GONE => Outcome::Gone,
        status if status.is_success() => Outcome::Delivered,
        status => {
            let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(asked_wait);
            Outcome::Failed { reason: format!("it answered {}", status.as_u16()), wait }
        }
    }
}

/// `Retry-After`: seconds, or a date.
fn asked_wait(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

async fn read_a_little(response: Response) {
    let mut read = 0;
    let mut pieces = response.bytes_stream();
    let reading = async {
        while let Some(Ok(piece)) = pieces.next().await {
            read += piece.len();
            if read > READ_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(READ_FOR, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: &str) -> Outcome {
        let mut headers = HeaderMap::new();
        if !retry_after.is_empty() {
            headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        }
        judged(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn only_what_was_taken_is_delivered() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status, ""), Outcome::Delivered);
        }
        assert_eq!(of(410, "7"), Outcome::Gone);
        for status in [301, 302, 307, 308, 400, 404, 422, 500, 503] {
            assert_eq!(of(status, ""), Outcome::failed(format!("it answered {status}")));
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let wait = |text: &str| match of(503, text) {
            Outcome::Failed { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(10));
        assert!((590..=600).contains(&wait(&date).unwrap().as_secs()), "{date}");
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["soon", "-5", "1.5"] {
            assert_eq!(wait(nonsense), None);
        }
    }
}
