//! Who shows a JSON Web Token of an `OpenID Connect` issuer, and what its role claim lets them do.

mod claims;
mod config;
mod keys;
mod sign_in;
mod signatures;
mod verifier;

#[cfg(test)]
mod tests;

pub use config::OidcConfig;
pub use sign_in::{Code, Granted, SignInError};
pub use verifier::{Oidc, OidcError};
