//! Who asks: the other end of the connection, or whoever a trusted proxy says that it passes on.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// `X-Forwarded-For`.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies that are gone through at most.
const MOST_HOPS: usize = 16;

/// The other end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A proxy's address, or a network of them.
///
/// # Errors
/// What it is none of.
pub fn network(text: &str) -> Result<IpNet, &'static str> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    address()
        .or_else(|| text.parse().ok())
        .ok_or("it is neither an IP address nor a network such as 10.0.0.0/8")
}

/// Reverse proxies whose word is taken.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// These; what is no address and no network is left out.
    pub fn new(trusted: &[String]) -> Self {
        Self(trusted.iter().filter_map(|text| network(text).ok()).collect())
    }

    /// Whether this is one of them.
    pub fn trust(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Who asks: of `X-Forwarded-For`, read from its end, the first that is no trusted proxy; the peer, if
    /// that is none itself. What stands before was written by whoever asked.
    pub fn client(&self, Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
        for hop in said.take(MOST_HOPS) {
            if !self.trust(client) {
                break;
            }
            let Some(ip) = address(hop.trim()) else { break };
            client = ip.to_canonical();
        }
        client
    }
}

/// An address as proxies write it: some with a port, IPv6 in brackets then.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inner, _)| inner);
    let without_port = || text.rsplit_once(':').map(|(host, _)| host).filter(|host| !host.contains(':'));
    text.parse().ok().or_else(|| bracketed?.parse().ok()).or_else(|| without_port()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_the_last_that_no_trusted_proxy_passed_on() {
        let proxies = Proxies::new(&["10.0.0.0/8".to_owned(), "::1".to_owned()]);
        let client = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            proxies.client(Peer(peer.parse().unwrap()), &headers).to_string()
        };
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7", "no proxy of ours");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // Whoever asks can write what stands before.
        assert_eq!(client("10.0.0.1", &["192.0.2.9, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(client("::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["unknown"]), "10.0.0.1");
    }

    #[test]
    fn networks_are_read() {
        for text in ["127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8", " 192.168.1.0/24 "] {
            assert!(network(text).is_ok(), "{text}");
        }
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "*", "10.0.0.1:80"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
