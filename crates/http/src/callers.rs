//! Who is counted as one where callers are to have equal shares.

use std::net::IpAddr;

use axum::extract::Request;
use reasonedit_access::Caller;
use ulid::Ulid;

use crate::client::{Peer, Proxies};
use crate::policy;

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// A token that was given.
    Token(Ulid),
    /// A name that an issuer vouches for.
    Name(String),
    /// Where someone without a name asks from.
    Address(IpAddr),
}

impl Counted {
    /// Eight bytes of a digest in hexadecimal, which are theirs after a restart too.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Token(id) => hasher.update(b"token").update(&id.to_bytes()),
            Self::Name(name) => hasher.update(b"name").update(name.as_bytes()),
            Self::Address(address) => hasher.update(b"address").update(address.to_string().as_bytes()),
        };
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// Whom a request counts for. Nobody where everyone may ask: nothing is computed there, and nobody is known.
pub(crate) fn counted(request: &Request, proxies: &Proxies) -> Option<Counted> {
    policy::of(request).access.role()?;
    let peer = request.extensions().get::<Peer>().copied();
    let caller = request.extensions().get::<Caller>();
    match (caller.and_then(Caller::token), caller.and_then(Caller::name), peer) {
        (Some(token), ..) => Some(Counted::Token(token)),
        (None, Some(name), _) => Some(Counted::Name(name.to_owned())),
        (None, None, Some(peer)) => Some(Counted::Address(proxies.client(peer, request.headers()))),
        (None, None, None) => None,
    }
}
