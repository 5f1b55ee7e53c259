//! The address to listen on, as people write it: an address and a port, a name and a port, or a port alone.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::net::{TcpListener, TcpSocket};

/// Longest name of a host, as the domain name system has it.
const MAX_HOST: usize = 253;

/// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` (the first of its addresses that this
/// machine has, IPv4 before IPv6), or `:8080` and `*:8080` (every address of the machine). Port 0 takes a
/// free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Every address of the machine, IPv6 and IPv4.
    Every,
    Address(IpAddr),
    Name(String),
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not an address to listen on: {reason}. Write 127.0.0.1:8080, localhost:8080, [::1]:8080 or :8080"
)]
pub struct BindAddressError {
    given: String,
    reason: &'static str,
}

impl Default for BindAddress {
    fn default() -> Self {
        Self { host: Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 8080 }
    }
}

impl From<SocketAddr> for BindAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address.ip()), port: address.port() }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Every => write!(f, ":{}", self.port),
            Host::Address(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for BindAddress {
    type Err = BindAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = |reason| BindAddressError { given: text.chars().take(100).collect(), reason };
        if text.contains("://") {
            return Err(wrong("it is a URL, and only host and port belong here"));
        }
        if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 && !text.starts_with('[') {
            return Err(wrong("an IPv6 address stands in brackets, with the port after them"));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
            return Err(wrong("it has no port"));
        };
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("its port is not a number"));
        }
        let port = port.parse().map_err(|_| wrong("its port is above 65535"))?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match (host, bracketed) {
            ("" | "*", _) => Host::Every,
            (_, Some(inner)) => match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Host::Address(IpAddr::V6(ip)),
                Err(_) => return Err(wrong("what stands in brackets is not an IPv6 address")),
            },
            (host, None) => match host.parse::<Ipv4Addr>() {
                Ok(ip) => Host::Address(IpAddr::V4(ip)),
                Err(_) if is_name(host) => Host::Name(host.to_owned()),
                Err(_) => return Err(wrong("its host is neither an IP address nor a name")),
            },
        };
        Ok(Self { host, port })
    }
}

/// Whether this may be a host's name. One of digits and dots alone would be an IPv4 address, so it is a wrong
/// one.
fn is_name(host: &str) -> bool {
    host.len() <= MAX_HOST
        && host.bytes().any(|b| b.is_ascii_alphabetic())
        && host.trim_end_matches('.').split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

impl Serialize for BindAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BindAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = BindAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address to listen on, as text: \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BindAddress, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl BindAddress {
    /// Listens there.
    ///
    /// # Errors
    /// What stood in the way, in words for people.
    pub async fn listen(&self) -> Result<TcpListener, String> {
        let addresses: Vec<SocketAddr> = match &self.host {
            // The IPv6 wildcard takes IPv4 as well, where the machine has both.
            Host::Every => [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
                .map(|ip| SocketAddr::new(ip, self.port))
                .to_vec(),
            Host::Address(ip) => vec![SocketAddr::new(*ip, self.port)],
            Host::Name(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                let mut found: Vec<_> =
                    found.map_err(|_| "this machine knows no address of that name")?.collect();
                // Most clients that are given a number are given the IPv4 one.
                found.sort_by_key(SocketAddr::is_ipv6);
                found
            }
        };
        let mut failure = "this machine knows no address of that name".to_owned();
        for address in addresses {
            match bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => {
                    let taken = error.kind() == io::ErrorKind::AddrInUse;
                    failure = in_words(&error);
                    // A port that is taken is no reason to listen elsewhere.
                    if taken {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }
}

/// Connections that the system accepts before the service does: with a short queue probes are lost among
/// those who connect all at once, and come again after a second.
const BACKLOG: u32 = 4096;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Else a service that is started again would wait for connections of the one before. On Windows the same
    // would let two programs listen.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not listen on that port; those below 1024 are often reserved".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:80", "[::1]:80"),
            ("[::]:65535", "[::]:65535"),
            ("localhost:8080", "localhost:8080"),
            (" node-7.ward_3.example.org:80 ", "node-7.ward_3.example.org:80"),
            ("example.org.:80", "example.org.:80"),
            (":8080", ":8080"),
            ("*:8080", ":8080"),
        ] {
            let address: BindAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<BindAddress>().unwrap(), address);
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(serde_json::from_str::<BindAddress>(&json).unwrap(), address);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(BindAddress::from(address), BindAddress::default());
    }

    #[test]
    fn what_is_no_address_is_told_in_plain_words() {
        for (text, reason) in [
            ("", "no port"),
            ("8080", "no port"),
            ("localhost", "no port"),
            ("127.0.0.1", "no port"),
            ("[::1]", "no port"),
            ("::1", "brackets"),
            ("::1:8080", "brackets"),
            ("[nonsense]:8080", "brackets"),
            ("localhost:", "not a number"),
            ("localhost:http", "not a number"),
            ("localhost:-1", "not a number"),
            ("localhost:65536", "above 65535"),
            ("http://localhost:8080", "URL"),
            ("127.0.0.256:80", "neither"),
            ("1.2.3:80", "neither"),
            ("a b:80", "neither"),
            ("localhost/x:80", "neither"),
            ("..:80", "neither"),
        ] {
            let error = text.parse::<BindAddress>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("localhost:8080") && !error.contains("invalid"), "{error}");
        }
        let number = serde_json::from_str::<BindAddress>("8080").unwrap_err().to_string();
        assert!(number.contains("\":8080\""), "{number}");
    }

    #[tokio::test]
    async fn names_and_ports_alone_are_listened_on() {
        for text in ["localhost:0", ":0", "127.0.0.1:0"] {
            let listener = text.parse::<BindAddress>().unwrap().listen().await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let taken = BindAddress::from(listener.local_addr().unwrap()).listen().await;
            assert!(taken.unwrap_err().contains("another program"));
        }
        let elsewhere = "192.0.2.1:0".parse::<BindAddress>().unwrap().listen().await;
        assert!(elsewhere.unwrap_err().contains("not an address of this machine"));
    }
}
