//! Who may do what: roles, the codebooks they hold for, and the tokens that people are given.

mod caller;
mod error;
mod role;
mod scope;
mod store;
mod token;
mod verifier;

pub use caller::{Caller, Credential};
pub use error::{AccessError, Result};
pub use role::AccessRole;
pub use scope::CodebookScope;
pub use store::TokenStore;
pub use token::{IssuedToken, NewToken, TokenRecord, TokenState};
pub use verifier::{BearerVerifier, Verified};
