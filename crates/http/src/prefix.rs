//! Below which path of a host the service is seen: `https://host/reasonedit/`. A setting says so, or a
//! reverse proxy that is trusted, in `X-Forwarded-Prefix`. The pages find their files and the service by
//! relative addresses and need neither; it counts where the service names an address of its own, in
//! `Location` headers and in the contract. Proxies that leave the prefix in the path are served as well.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::client::{Peer, Proxies};

/// `X-Forwarded-Prefix`.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Most bytes of a prefix.
const MAX_BYTES: usize = 256;

/// The path below which the service is seen by whoever sent a request: empty, or `/a/b` without a slash at
/// its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// As a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The rest of a path below the prefix; `None` where it is not below it.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    /// A slash at the end is left out. What could be taken for another host, or leads elsewhere, is refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.trim().trim_end_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        let Some(rest) = path.strip_prefix('/') else { return Err("it does not begin with a slash") };
        if path.len() > MAX_BYTES {
            return Err("it is longer than 256 bytes");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'/');
        if !path.bytes().all(plain) {
            return Err("it holds more than letters, digits and - _ . ~");
        }
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("one of its parts is empty or made of dots");
        }
        Ok(Self(path.into()))
    }
}

/// What prefixes are taken from.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    configured: Prefix,
    trusted: Proxies,
}

impl Prefixes {
    /// The configured one and those that these proxies name; what is none of either is left out.
    pub fn new(configured: &str, trusted_proxies: &[String]) -> Self {
        Self { configured: configured.parse().unwrap_or_default(), trusted: Proxies::new(trusted_proxies) }
    }

    /// The prefix of a request. What a proxy says that is not trusted is as if it were not said.
    fn of(&self, peer: Option<Peer>, headers: &HeaderMap) -> Prefix {
        let trusted = peer.is_some_and(|Peer(ip)| self.trusted.trust(ip));
        let mut said = headers.get_all(FORWARDED_PREFIX).iter();
        let (Some(value), None, true) = (said.next(), said.next(), trusted) else {
            return self.configured.clone();
        };
        let said = value.to_str().ok().and_then(|text| text.parse::<Prefix>().ok());
        said.unwrap_or_else(|| {
            tracing::debug!("an X-Forwarded-Prefix that is no path was left out");
            self.configured.clone()
        })
    }
}

/// Takes the prefix off the path, where it is there, and puts it before the addresses of the answer.
pub async fn apply(State(prefixes): State<Arc<Prefixes>>, mut request: Request, next: Next) -> Response {
    let prefix = prefixes.of(request.extensions().get::<Peer>().copied(), request.headers());
    if prefix.as_str().is_empty() {
        request.extensions_mut().insert(prefix);
        return next.run(request).await;
    }
    match prefix.below(request.uri().path()) {
        // Relative addresses of the page count from the slash.
        Some("") => return Redirect::permanent(&format!("{}/", prefix.as_str())).into_response(),
        Some(rest) => {
            if let Some(uri) = with_path(request.uri(), rest) {
                *request.uri_mut() = uri;
            }
        }
        None => {}
    }
    request.extensions_mut().insert(prefix.clone());
    let mut response = next.run(request).await;
    if let Some(location) = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok())
        && location.starts_with('/')
        && let Ok(location) = HeaderValue::from_str(&format!("{}{location}", prefix.as_str()))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The same address with another path.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_paths_of_this_host() {
        for (text, prefix) in [
            ("", ""),
            ("/", ""),
            ("/reasonedit", "/reasonedit"),
            ("/reasonedit/", "/reasonedit"),
            (" /tools/re-1.0_~ ", "/tools/re-1.0_~"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().as_str(), prefix, "{text}");
        }
        for text in [
            "reasonedit",
            "//evil.example",
            "/a//b",
            "/../etc",
            "/a/./b",
            "https://evil.example/x",
            "/a b",
            "/a?b",
            "/a\\b",
            "/a, /b",
            "/%2e%2e",
            &format!("/{}", "x".repeat(256)),
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_trusted_proxies_are_heard() {
        let trusted = ["10.0.0.0/8", "::1", "127.0.0.1"].map(str::to_owned);
        let prefixes = Prefixes::new("/own", &trusted);
        let of = |peer: Option<&str>, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FORWARDED_PREFIX, value.parse().unwrap());
            }
            prefixes.of(peer.map(|ip| Peer(ip.parse().unwrap())), &headers).as_str().to_owned()
        };
        for peer in ["10.1.2.3", "::1", "127.0.0.1", "::ffff:10.1.2.3"] {
            assert_eq!(of(Some(peer), &["/tool/"]), "/tool");
            assert_eq!(of(Some(peer), &["/"]), "");
            assert_eq!(of(Some(peer), &[]), "/own");
            assert_eq!(of(Some(peer), &["//evil.example"]), "/own");
            assert_eq!(of(Some(peer), &["/a", "/b"]), "/own");
        }
        for peer in [Some("11.1.2.3"), Some("127.0.0.2"), Some("::2"), None] {
            assert_eq!(of(peer, &["/tool"]), "/own");
        }
    }

    #[test]
    fn paths_are_taken_apart_at_a_slash() {
        let prefix: Prefix = "/tool".parse().unwrap();
        assert_eq!(prefix.below("/tool/edits"), Some("/edits"));
        assert_eq!(prefix.below("/tool"), Some(""));
        assert_eq!(prefix.below("/toolbox"), None);
        assert_eq!(prefix.below("/edits"), None);
        let uri = with_path(&"/tool/edits?q=a%20b".parse().unwrap(), "/edits").unwrap();
        assert_eq!(uri.to_string(), "/edits?q=a%20b");
    }
}
