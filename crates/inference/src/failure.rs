//! What kind of failure an error of models is.

use reasonedit_failure::{Classify, Failure, FailureKind};

use crate::error::EngineError;

impl Classify for EngineError {
    fn classify(self) -> Failure {
        match self {
            EngineError::QueueFull { retry_after } => {
                Failure::new(FailureKind::QueueFull, "The engine's queue is full.").retry_after(retry_after)
            }
            EngineError::Closed => Failure::new(FailureKind::Unavailable, "The engine is not running."),
            EngineError::DeadlineExceeded => Failure::new(
                FailureKind::DeadlineExceeded,
                "The deadline passed before the request was answered.",
            ),
            EngineError::TooLong { tokens, limit } => {
                Failure::new(FailureKind::Invalid, self.to_string()).exceeding(tokens, limit)
            }
            EngineError::Form { pointer, detail } => Failure::at(FailureKind::Unsupported, pointer, detail),
            EngineError::Image(_) => Failure::at(FailureKind::Invalid, "/image", self.to_string()),
            other => Failure::internal(&other),
        }
    }
}
