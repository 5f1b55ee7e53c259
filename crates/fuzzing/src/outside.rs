//! Names of places in the network: what requests say of hosts, origins and clients, and what may be asked.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use reasonedit_http::base64::{BASE64, is_base64, is_digest};
use reasonedit_http::client::{Peer, Proxies, network};
use reasonedit_http::outbound::{Reach, check, is_public};
use reasonedit_http::{host, origin};

use crate::input::Input;

/// No address that is not public is asked for whoever asks, however it is written.
pub(crate) fn address(data: &[u8]) {
    let mut input = Input(data);
    let peer = IpAddr::V4(Ipv4Addr::from(input.u32()));
    let text = &*input.text();
    if let Ok(url) = check(text, Reach::Public) {
        assert_eq!(url.scheme(), "https", "{text}");
        assert!(url.username().is_empty() && url.password().is_none(), "{text}");
        let literal =
            url.host_str().map(|host| host.trim_matches(['[', ']'])).and_then(|host| host.parse().ok());
        assert!(literal.is_none_or(is_public), "{text}");
        // What is connected to is what was checked.
        assert_eq!(check(url.as_str(), Reach::Public).as_ref(), Ok(&url), "{text}");
    }
    if let Ok(url) = check(text, Reach::Anywhere) {
        assert!(["http", "https"].contains(&url.scheme()) && url.host_str().is_some(), "{text}");
    }
    let _ = (host::fault(text), origin::fault(text), is_digest(text));
    if let Ok(net) = network(text) {
        assert_eq!(network(&net.to_string()), Ok(net), "{text}");
    }
    let proxies = Proxies::new(&["0.0.0.0/1".to_owned(), text.to_owned()]);
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        if let Ok(value) = HeaderValue::from_str(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    let client = proxies.client(Peer(peer), &headers);
    assert!(proxies.trust(peer) || client == peer, "a client's word is taken without a proxy");
    if let Ok(bytes) = BASE64.decode(text) {
        assert_eq!(BASE64.decode(BASE64.encode(&bytes)).as_ref(), Ok(&bytes));
    }
    let _ = is_base64(data);
}
