//! Why an integration can't work.

use std::error::Error;

/// Why an integration can't be made or opened: its own error, told as it tells it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct IntegrationError(Box<dyn Error + Send + Sync>);

impl IntegrationError {
    /// What the integration says.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}
