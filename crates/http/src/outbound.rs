//! Where requests of the service's own may go, and how: pictures that clients name, receivers that the
//! operator names.
//!
//! No redirects, no proxy, no referrer, bounded in time. To public addresses: `https` only; the host's
//! addresses are looked up once, every one of them must be public, and the connection goes to one of those:
//! what was checked is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses, by `https`: for whatever comes from outside, and wherever nothing else was said.
    Public,
    /// Any address, by `http` too: only for what the operator wrote down as such.
    Anywhere,
}

/// Why a URL is not asked. The texts may be shown to whoever gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can't be parsed, or has no host.
    #[error("That is no URL.")]
    NotAUrl,
    /// Another scheme.
    #[error("Only {0} URLs are asked.")]
    Scheme(&'static str),
    /// It carries a user name or a password, which would end up in logs.
    #[error("A URL with a user name or password is not asked.")]
    Credentials,
    /// A literal address that is not public.
    #[error("The address is not a public one.")]
    NotPublic,
}

/// A client for requests of this reach that may take so long, look-up, connection and body included.
///
/// # Errors
/// What the TLS library says when it can't be set up.
pub fn client(reach: Reach, timeout: Duration) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .redirect(Policy::none())
        // A proxy would look the name up on its own, unchecked.
        .no_proxy()
        .referer(false)
        .timeout(timeout)
        .connect_timeout(timeout)
        .user_agent(concat!("reasonedit/", env!("CARGO_PKG_VERSION")));
    match reach {
        Reach::Public => builder.dns_resolver(Arc::new(PublicResolver)).https_only(true).build(),
        Reach::Anywhere => builder.build(),
    }
}

/// The URL, if its scheme and its address, where that is a literal one, are allowed. Names are checked when
/// they are looked up.
///
/// # Errors
/// [`Refusal`].
pub fn check(text: &str, reach: Reach) -> Result<Url, Refusal> {
    let url = Url::parse(text).map_err(|_| Refusal::NotAUrl)?;
    match (reach, url.scheme()) {
        (_, "https") | (Reach::Anywhere, "http") => {}
        (Reach::Public, _) => return Err(Refusal::Scheme("https")),
        (Reach::Anywhere, _) => return Err(Refusal::Scheme("http and https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Credentials);
    }
    let host = url.host_str().unwrap_or_default();
    // A literal address is never looked up, so the resolver below doesn't see it.
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if reach == Reach::Public && literal.is_ok_and(|address| !is_public(address)) {
        return Err(Refusal::NotPublic);
    }
    Ok(url)
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

/// Whether an address is one of the public internet: none of the special-purpose ranges of the IANA
/// registries (RFC 6890 and successors), and no address that carries one of those inside (mapped, compatible,
/// 6to4, NAT64, Teredo).
pub fn is_public(address: IpAddr) -> bool {
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
        // All of today's unicast addresses are in 2000::/3: this leaves out unspecified, loopback,
        // compatible, link-local, unique local, site-local, multicast, discard-only and local NAT64.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_operator_may_allow_what_others_may_not() {
        for url in
            ["http://127.0.0.1:9/hook", "http://hooks.internal/", "https://10.0.0.7/", "https://[::1]:8443/"]
        {
            assert!(check(url, Reach::Anywhere).is_ok(), "{url}");
        }
        assert_eq!(check("http://hooks.example.org/", Reach::Public), Err(Refusal::Scheme("https")));
        assert_eq!(check("https://10.0.0.7/", Reach::Public), Err(Refusal::NotPublic));
        for reach in [Reach::Public, Reach::Anywhere] {
            assert!(check("https://hooks.example.org/x?y", reach).is_ok());
            assert!(matches!(check("ftp://hooks.example.org/", reach), Err(Refusal::Scheme(_))));
            assert!(matches!(check("hooks.example.org", reach), Err(Refusal::NotAUrl)));
            assert_eq!(check("https://a:b@hooks.example.org/", reach), Err(Refusal::Credentials));
        }
    }
}
