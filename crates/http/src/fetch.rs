//! Pictures by URL, without giving clients a way into the network behind the service.
//!
//! Off unless hosts are allowed; bounded in size and time, and kept to public addresses by
//! [`crate::outbound`].

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use reasonedit_resilience::{MemoryBudget, MemoryPermit};
use reqwest::{Client, StatusCode, Url};

use crate::body::COPIES;
use crate::outbound::{self, Reach};
use crate::problem::{Problem, ProblemKind, Result};
use crate::room::no_room;

const POINTER: &str = "/image/url";

/// Fetches pictures from allowed hosts.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Option<Client>,
    hosts: Arc<[String]>,
    max_bytes: usize,
    memory: Option<MemoryBudget>,
}

/// Memory for what is fetched, if it is bounded.
#[derive(Debug)]
pub struct FetchPermit(Option<MemoryPermit>);

impl FetchPermit {
    /// What was fetched; its memory counts until it is dropped.
    pub fn hold(self, bytes: BytesMut) -> Bytes {
        let Self(Some(mut permit)) = self else { return bytes.freeze() };
        permit.shrink_to(bytes.capacity() as u64);
        Bytes::from_owner(Fetched { bytes, _permit: permit })
    }
}

/// Fetched bytes with their memory.
struct Fetched {
    bytes: BytesMut,
    _permit: MemoryPermit,
}

impl AsRef<[u8]> for Fetched {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Fetcher {
    /// A fetcher for these hosts, of files of at most so many bytes that take so long at most.
    ///
    /// # Errors
    /// What the TLS library says when it can't be set up.
    pub fn new(hosts: &[String], max_bytes: usize, timeout: Duration) -> reqwest::Result<Self> {
        let hosts: Arc<[String]> = hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
        let client = if hosts.is_empty() { None } else { Some(outbound::client(Reach::Public, timeout)?) };
        Ok(Self { client, hosts, max_bytes, memory: None })
    }

    /// The same, what it fetches taken of this memory until it is dropped.
    #[must_use]
    pub fn within(self, memory: MemoryBudget) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The bytes behind a URL.
    ///
    /// # Errors
    /// 422 when the URL is not allowed or doesn't answer with a file, 413 when that is too large, 503 when no
    /// memory is left for it, 504 when it takes too long.
    pub async fn fetch(&self, url: &str) -> Result<Bytes> {
        let Some(client) = &self.client else {
            return Err(refused(
                "Pictures by URL are off; send `data`, or have the host allowed in the configuration.",
            ));
        };
        let url = self.check(url)?;
        let permit = self.reserve(self.max_bytes)?;
        let response =
            client.get(url).header("accept", "image/*").send().await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refused(format!("The host answered {}.", response.status().as_u16())));
        }
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(self.too_large());
        }
        Ok(permit.hold(self.collect(response.bytes_stream()).await?))
    }

    /// Memory for a file of at most so many bytes, fetched by this or for its caller by another: for as many,
    /// since what is announced is the other side's word, and for as many again, since it grows.
    ///
    /// # Errors
    /// 503 when there is none.
    pub fn reserve(&self, bytes: usize) -> Result<FetchPermit> {
        let permit = self.memory.as_ref().map(|memory| memory.take_now(bytes as u64 * COPIES)).transpose();
        permit.map(FetchPermit).map_err(no_room)
    }

    async fn collect<S: Stream<Item = reqwest::Result<Bytes>>>(&self, stream: S) -> Result<BytesMut> {
        let mut stream = std::pin::pin!(stream);
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| failed(&error))?;
            // Counted as it arrives: the announced length is the other side's word.
            if bytes.len() + piece.len() > self.max_bytes {
                return Err(self.too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn too_large(&self) -> Problem {
        Problem::at(
            ProblemKind::TooLarge,
            POINTER,
            format!("The picture is larger than the {} bytes allowed.", self.max_bytes),
        )
    }

    /// The URL, if its scheme, host and port are allowed.
    fn check(&self, text: &str) -> Result<Url> {
        let url = outbound::check(text, Reach::Public).map_err(|refusal| refused(refusal.to_string()))?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let named = match url.port() {
            None => host.clone(),
            Some(port) => format!("{host}:{port}"),
        };
        if !self
            .hosts
            .iter()
            .any(|allowed| *allowed == named || (url.port().is_none() && *allowed == format!("{host}:443")))
        {
            return Err(refused("The host is not one that pictures may be fetched from."));
        }
        Ok(url)
    }
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::invalid(POINTER, detail)
}

fn failed(error: &reqwest::Error) -> Problem {
    if error.is_timeout() {
        return Problem::at(ProblemKind::DeadlineExceeded, POINTER, "The host took too long.");
    }
    // Details could tell a client what the network behind the service looks like.
    tracing::debug!(error = %error.to_string(), "fetching a picture failed");
    refused("The picture could not be fetched.")
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn fetcher(hosts: &[&str]) -> Fetcher {
        let hosts: Vec<String> = hosts.iter().map(|&h| h.to_owned()).collect();
        Fetcher::new(&hosts, 20 << 20, Duration::from_secs(10)).unwrap()
    }

    #[tokio::test]
    async fn urls_are_off_by_default() {
        let problem = fetcher(&[]).fetch("https://images.example.org/a.png").await.unwrap_err();
        assert_eq!((problem.status().as_u16(), &*problem.body().errors[0].pointer), (422, POINTER));
    }

    #[test]
    fn only_allowed_hosts_ports_and_schemes() {
        let fetcher =
            fetcher(&["Images.example.org", "other.example.org:8443", "127.0.0.1", "[::1]", "8.8.8.8"]);
        for url in [
            "https://images.example.org/a.png",
            "https://IMAGES.example.org:443/a.png?x=1#y",
            "https://other.example.org:8443/",
            "https://8.8.8.8/a.png",
        ] {
            assert!(fetcher.check(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "images.example.org/a.png",
            "http://images.example.org/a.png",
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "https://images.example.org:8443/",
            "https://other.example.org/",
            "https://images.example.org.evil.example/",
            "https://evil.example/?images.example.org",
            "https://user@images.example.org/",
            "https://images.example.org@evil.example/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
        ] {
            let problem = fetcher.check(url).unwrap_err();
            assert_eq!(problem.status().as_u16(), 422, "{url}");
        }
    }

    #[tokio::test]
    async fn the_size_counts_as_it_arrives() {
        let mut fetcher = fetcher(&[]);
        fetcher.max_bytes = 10;
        let stream = |sizes: &[usize]| {
            let pieces: Vec<reqwest::Result<Bytes>> =
                sizes.iter().map(|&n| Ok(Bytes::from(vec![0; n]))).collect();
            stream::iter(pieces)
        };
        assert_eq!(fetcher.collect(stream(&[4, 6])).await.unwrap().len(), 10);
        assert_eq!(fetcher.collect(stream(&[4, 6, 1])).await.unwrap_err().status().as_u16(), 413);
    }

    #[tokio::test]
    async fn an_allowed_name_with_a_private_address_is_not_connected_to() {
        let problem = fetcher(&["localhost:9"]).fetch("https://localhost:9/a.png").await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 422);
        assert_eq!(problem.body().detail, "The picture could not be fetched.");
    }
}
