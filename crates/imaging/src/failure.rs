//! What kind of failure an error of pictures is.

use reasonedit_failure::{Classify, Failure, FailureKind};

use crate::ImagingError;

impl Classify for ImagingError {
    fn classify(self) -> Failure {
        let kind = match self {
            Self::TooManyBytes { .. }
            | Self::TooManyPixels { .. }
            | Self::SideTooLong { .. }
            | Self::TooMuchMemory { .. } => FailureKind::TooLarge,
            Self::UnsupportedFormat | Self::NotRead { .. } => FailureKind::UnsupportedFormat,
            Self::BoxOutside { .. } => return Failure::new(FailureKind::Invalid, self.to_string()),
            Self::Encode(_) => return Failure::internal(&self),
            _ => FailureKind::Invalid,
        };
        Failure::at(kind, "/image", self.to_string())
    }
}
