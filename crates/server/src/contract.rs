//! The contract, made from the code.

use utoipa::openapi::OpenApi;

use crate::config::contracts;
use crate::router::{order_tags, routes};

/// The contract as a value.
pub fn contract() -> OpenApi {
    let mut contract = routes().split().1;
    for part in contracts() {
        contract.merge(part);
    }
    order_tags(&mut contract);
    contract
}

/// The contract as YAML: what `openapi.yaml` at the root of the repository holds.
///
/// # Errors
/// What the YAML writer says.
pub fn openapi_yaml() -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    Ok(contract().to_yaml()?)
}
