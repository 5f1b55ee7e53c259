//! Bearers that somebody else vouches for.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use crate::caller::Caller;

/// What a bearer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Who shows it.
    Caller(Caller),
    /// Nobody vouches for it.
    Unknown,
    /// It is in order, and gives no role here.
    NoRole,
    /// Whoever vouches can't be asked.
    Unavailable,
}

/// Says who shows a bearer that is no token of a [`crate::TokenStore`].
pub trait BearerVerifier: Debug + Send + Sync {
    /// Who shows it.
    fn verify<'a>(&'a self, bearer: &'a str) -> Pin<Box<dyn Future<Output = Verified> + Send + 'a>>;
}
