//! Which names the service answers to.
//!
//! A page of another site can have its own name lead to this machine (DNS rebinding): for the browser it is
//! then of the service's origin, and where no token is asked for it may read and change everything. Such a
//! request names the other site in `Host`. Addresses and the names of loopback can't be made to lead
//! elsewhere; every other name has to be listed, unless tokens are asked for, which no browser sends by
//! itself.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::Tokens;
use crate::client::Peer;
use crate::policy::{self, Access};
use crate::problem::{Problem, ProblemKind};

/// The names that the service answers to.
#[derive(Clone, Debug)]
pub struct Hosts {
    named: Arc<[String]>,
    /// Where any name will do once tokens are asked for: the first may be given while the service runs.
    any: Option<Tokens>,
}

impl Hosts {
    /// These, addresses and loopback; any where none is listed and tokens are asked for.
    pub fn new(hosts: &[String], tokens: Tokens) -> Self {
        let named = hosts.iter().map(|host| plain(host)).collect();
        Self { named, any: Some(tokens).filter(|_| hosts.is_empty()) }
    }

    fn know(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = plain(host);
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        self.any.as_ref().is_some_and(Tokens::asked_for)
            || address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.named.contains(&host)
    }
}

/// Why a text is no name that the service can be called by, if it is none.
pub fn fault(host: &str) -> Option<String> {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let name = host.trim_end_matches('.');
    let whole = !name.is_empty() && name.bytes().all(of_name) && name.split('.').all(|part| !part.is_empty());
    (!whole)
        .then(|| format!("`{host}` is not a host's name such as edits.hospital.example: no scheme, no port"))
}

/// A name as it is compared: names have no case, and a dot at the end says nothing.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The host of `host` or `host:port`.
fn host_of(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    let (host, port) = match authority[end..].find(':') {
        Some(colon) => authority.split_at(end + colon),
        None => (authority, ""),
    };
    let digits = port.strip_prefix(':').unwrap_or_default();
    let whole = !host.is_empty() && digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    (whole && (end == 0 || host.len() == end)).then_some(host)
}

/// What a request says that it is for: the names in `Host` and in its target. `version`: of the protocol that
/// it came by, if it came by a connection.
fn said<'a>(
    version: Option<Version>,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Vec<&'a str>, &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err("It has more than one `Host` header.");
    }
    if first.is_none() && version == Some(Version::HTTP_11) {
        return Err("HTTP/1.1 asks for a `Host` header, and it has none.");
    }
    let header = first.map(|host| host.to_str().map_err(|_| "Its `Host` header is not a host."));
    let target = uri.authority().map(axum::http::uri::Authority::as_str);
    Ok(header.transpose()?.into_iter().chain(target).collect())
}

/// Refuses requests for another host, and those of HTTP/1.1 that name none or two.
pub async fn require_own_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let version = request.extensions().get::<Peer>().map(|_| request.version());
    let named = match said(version, request.uri(), request.headers()) {
        Ok(named) => named,
        Err(fault) => return Problem::new(ProblemKind::Malformed, fault).into_response(),
    };
    // Nothing of what people gave is told where everyone may ask; probes call a service what they like.
    if policy::of(&request).access == Access::Open || named.iter().all(|host| hosts.know(host)) {
        return next.run(request).await;
    }
    let detail =
        "The service does not answer to this name. If it is the service's own, list it in `server.hosts`.";
    Problem::new(ProblemKind::Forbidden, detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Proxies;

    fn known(hosts: &[&str], tokens: bool, authority: &str) -> bool {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let tokens: &[String] = if tokens { &["one".to_owned()] } else { &[] };
        Hosts::new(&hosts, Tokens::new(tokens, None, Proxies::default())).know(authority)
    }

    #[test]
    fn addresses_and_loopback_need_no_list_and_other_names_do() {
        for authority in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "[::1]:8080",
            "[fd00::7]",
            "10.1.2.3:80",
            "localhost",
            "LOCALHOST:8080",
            "localhost.:1",
            "ward.localhost:8080",
        ] {
            assert!(known(&[], false, authority), "{authority}");
        }
        for authority in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "notlocalhost",
            "",
            ":8080",
            "[::1",
            "[::1]x",
            "[::1].evil.example:80",
            "127.0.0.1:x",
            "127.0.0.1:123456",
            "a@127.0.0.1",
        ] {
            assert!(!known(&[], false, authority), "{authority}");
        }
        assert!(known(&["Edits.Hospital.example"], false, "edits.hospital.EXAMPLE.:443"));
        assert!(known(&["edits.hospital.example"], true, "127.0.0.1:8080"));
        assert!(!known(&["edits.hospital.example"], true, "evil.example"), "a list holds with tokens too");
        assert!(known(&[], true, "whatever.example"));
        assert!(!known(&[], true, "::"), "no host at all");
    }

    #[test]
    fn hosts_are_names_without_scheme_and_port() {
        for host in ["edits.hospital.example", "reasonedit", "a_b.example."] {
            assert_eq!(fault(host), None, "{host}");
        }
        for host in
            ["", ".", "https://a.example", "a.example:80", "*", "*.example", "a..example", "a b", "[::1]"]
        {
            assert!(fault(host).is_some(), "{host}");
        }
    }

    #[test]
    fn a_request_of_http_1_1_names_one_host() {
        let named = |version, uri: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            said(Some(version), &uri.parse().unwrap(), &headers).map(|names| names.join(" ")).ok()
        };
        assert_eq!(named(Version::HTTP_11, "/", &["a"]).as_deref(), Some("a"));
        assert_eq!(named(Version::HTTP_11, "/", &[]), None);
        assert_eq!(named(Version::HTTP_11, "/", &["a", "a"]), None);
        assert_eq!(named(Version::HTTP_10, "/", &[]).as_deref(), Some(""));
        // A target of its own doesn't hide what the header says.
        assert_eq!(named(Version::HTTP_11, "http://b/", &["a"]).as_deref(), Some("a b"));
        assert_eq!(named(Version::HTTP_2, "http://b:1/", &[]).as_deref(), Some("b:1"));
    }
}
