//! Pictures by URL, without giving clients a way into the network behind the service.
//!
//! Off unless hosts are allowed. `https` only, no redirects, no proxy, bounded in size and time. The host's addresses are looked up
//! once, every one of them must be public, and the connection goes to one of those: what was checked is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use crate::config::ServerConfig;
use crate::problem::{Problem, ProblemKind, Result};

const POINTER: &str = "/image/url";

/// Fetches pictures from allowed hosts.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Option<Client>,
    hosts: Arc<[String]>,
    max_bytes: usize,
}

impl Fetcher {
    /// A fetcher for the configured hosts.
    ///
    /// # Errors
    /// What the TLS library says when it can't be set up.
    pub(crate) fn new(config: &ServerConfig) -> reqwest::Result<Self> {
        let hosts: Arc<[String]> =
            config.allowed_image_hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
        let client = if hosts.is_empty() {
            None
        } else {
            let client = Client::builder()
                .dns_resolver(Arc::new(PublicResolver))
                .redirect(Policy::none())
                // A proxy would look the name up on its own, unchecked.
                .no_proxy()
                .https_only(true)
                .referer(false)
                .timeout(config.timeouts.fetch())
                .connect_timeout(config.timeouts.fetch())
                .user_agent(concat!("reasonedit/", env!("CARGO_PKG_VERSION")))
                .build()?;
            Some(client)
        };
        Ok(Self { client, hosts, max_bytes: config.limits.fetched_image_bytes })
    }

    /// The bytes behind a URL.
    ///
    /// # Errors
    /// 422 when the URL is not allowed or doesn't answer with a file, 413 when that is too large, 504 when it takes too long.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Bytes> {
        let Some(client) = &self.client else {
            return Err(refused(
                "Pictures by URL are off; send `data`, or have the host allowed in the configuration.",
            ));
        };
        let url = self.check(url)?;
        let response =
            client.get(url).header("accept", "image/*").send().await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refused(format!("The host answered {}.", response.status().as_u16())));
        }
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(self.too_large());
        }
        self.collect(response.bytes_stream()).await
    }

    async fn collect<S: Stream<Item = reqwest::Result<Bytes>>>(&self, stream: S) -> Result<Bytes> {
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
        Ok(bytes.freeze())
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
        let url = Url::parse(text).map_err(|error| refused(format!("Not a URL: {error}.")))?;
        if url.scheme() != "https" {
            return Err(refused("Only https URLs are fetched."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("A URL with a user name or password is not fetched."));
        }
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
        // A literal address is never looked up, so the resolver below doesn't see it.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !is_public(address)) {
            return Err(refused("The address is not a public one."));
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

/// Looks names up and refuses those with any address that is not public.
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            all_public(&found)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn all_public(addresses: &[SocketAddr]) -> Result<(), std::io::Error> {
    if addresses.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address"));
    }
    if addresses.iter().all(|address| is_public(address.ip())) {
        Ok(())
    } else {
        Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "the host has an address that is not public",
        ))
    }
}

/// Whether an address is one of the public internet: none of the special-purpose ranges of the IANA registries (RFC 6890 and
/// successors), and no address that carries one of those inside (mapped, compatible, 6to4, NAT64, Teredo).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0 // this network
        || a == 10 // private
        || a == 127 // loopback
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 169 && b == 254) // link-local, cloud metadata
        || (a == 172 && (16..32).contains(&b)) // private
        || (a == 192 && b == 168) // private
        || (a == 192 && b == 0 && (c == 0 || c == 2)) // protocol assignments, documentation
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // benchmarking
        || (a == 198 && b == 51 && c == 100) // documentation
        || (a == 203 && b == 0 && c == 113)) // documentation
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // Mapped, and NAT64 with the well-known prefix: what counts is the address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(inner(high, low))
        }
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        // Teredo, documentation, benchmarking, ORCHID and the other protocol assignments.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // All of today's unicast addresses are in 2000::/3: this leaves out unspecified, loopback, compatible, link-local, unique local,
        // site-local, multicast, discard-only and local NAT64.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:101::",
            "3fff::1",
            "fc00::1",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!public(text), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
        ] {
            assert!(public(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn mapped_addresses_are_judged_by_the_address_inside(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(is_public(v4.to_ipv6_mapped().into()), is_public(v4.into()));
            // The standard library knows most of the ranges too; whatever it names must be refused here.
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified() {
                prop_assert!(!is_public(v4.into()));
            }
        }

        #[test]
        fn version_6_agrees_with_the_standard_library(bits: u128) {
            let v6 = Ipv6Addr::from(bits);
            if v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local()
                || v6.is_unicast_link_local() {
                prop_assert!(!is_public(v6.into()));
            }
        }
    }

    #[test]
    fn one_private_address_of_many_is_enough_to_refuse() {
        let addresses = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
        };
        assert!(all_public(&addresses(&["8.8.8.8", "2606:4700::1"])).is_ok());
        assert!(all_public(&addresses(&["8.8.8.8", "127.0.0.1"])).is_err());
        assert!(all_public(&addresses(&["8.8.8.8", "fd00::1"])).is_err());
        assert!(all_public(&[]).is_err());
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_refused() {
        assert!(PublicResolver.resolve("localhost".parse().unwrap()).await.is_err());
    }

    fn fetcher(hosts: &[&str]) -> Fetcher {
        let config = ServerConfig {
            allowed_image_hosts: hosts.iter().map(|&h| h.to_owned()).collect(),
            ..ServerConfig::default()
        };
        Fetcher::new(&config).unwrap()
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
