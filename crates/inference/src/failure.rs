//! What kind of failure an error of models is.

use reasonedit_failure::{Classify, Failure, FailureKind};

use reasonedit_nn::error::VlmError;

impl Classify for VlmError {
    fn classify(self) -> Failure {
        match self {
            VlmError::QueueFull { retry_after } => {
                Failure::new(FailureKind::QueueFull, "The engine's queue is full.").retry_after(retry_after)
            }
            VlmError::Closed => Failure::new(FailureKind::Unavailable, "The engine is not running."),
            VlmError::DeadlineExceeded => Failure::new(
                FailureKind::DeadlineExceeded,
                "The deadline passed before the request was answered.",
            ),
            VlmError::TooLong { tokens, limit } => {
                Failure::new(FailureKind::Invalid, self.to_string()).exceeding(tokens, limit)
            }
            VlmError::Form { pointer, detail } => Failure::at(FailureKind::Unsupported, pointer, detail),
            VlmError::Image(_) => Failure::at(FailureKind::Invalid, "/image", self.to_string()),
            other => Failure::internal(&other),
        }
    }
}
