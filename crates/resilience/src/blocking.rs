//! Work that waits for the disk or computes for long.

use reasonedit_failure::{Classify, Failure};

use crate::panic_message;

/// Work that never came to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkLost {
    /// It panicked; what it said.
    #[error("a piece of work panicked: {0}")]
    Panicked(String),
    /// The runtime is stopping.
    #[error("a piece of work was cancelled")]
    Cancelled,
}

impl Classify for WorkLost {
    fn classify(self) -> Failure {
        Failure::internal(&self)
    }
}

/// Runs what waits for the disk or computes for long beside the async threads; a panic there is an error
/// here, not a crash.
///
/// # Errors
/// What the work says; [`WorkLost`] in the caller's form if it says nothing.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<WorkLost> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failure) => Err(match failure.try_into_panic() {
            Ok(panic) => WorkLost::Panicked(panic_message(panic.as_ref()).to_owned()),
            Err(_) => WorkLost::Cancelled,
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_caller() {
        assert_eq!(blocking(|| Ok::<_, WorkLost>(7)).await, Ok(7));
        let lost = blocking(|| -> Result<(), WorkLost> { panic!("layer {}", 3) }).await;
        assert_eq!(lost, Err(WorkLost::Panicked("layer 3".to_owned())));
    }
}
