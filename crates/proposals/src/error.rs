//! Why something can't be done with a proposal.

use reasonedit_codebook::CodebookError;
use reasonedit_failure::{Classify, Failure, FailureKind};
use ulid::Ulid;

use crate::ProposalState;

/// Why something can't be done with a proposal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// None of this codebook has this id.
    #[error("There is no proposal {0} of this codebook.")]
    Unknown(Ulid),
    /// It doesn't wait any more.
    #[error("The proposal {id} doesn't wait any more: it was {}.", .state.name())]
    Closed {
        /// Which.
        id: Ulid,
        /// What became of it.
        state: ProposalState,
    },
    /// Somebody was faster.
    #[error("The proposal {0} is another by now than was seen.")]
    OtherVersion(Ulid),
    /// It is their own.
    #[error("The proposal {0} is your own; somebody else has to approve of it.")]
    Own(Ulid),
    /// It was said before by the same person.
    #[error("The proposal {0} was approved by you before; somebody else has to approve it too.")]
    ApprovedBefore(Ulid),
    /// There are as many as may be.
    #[error("There are {0} proposals that wait, as many as may be; approve or reject some first.")]
    TooMany(usize),
    /// It was amended as often as may be.
    #[error("The proposal was amended {0} times, as often as may be.")]
    TooManyVersions(u32),
    /// A row is of another form.
    #[error("a proposal is kept in another form: {0}")]
    Form(#[from] serde_json::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] CodebookError),
}

impl Classify for ProposalError {
    fn classify(self) -> Failure {
        let said = self.to_string();
        match self {
            Self::Unknown(_) => Failure::new(FailureKind::NotFound, said),
            Self::OtherVersion(_) => Failure::new(FailureKind::OtherVersion, said),
            Self::Own(_) => Failure::new(FailureKind::Forbidden, said),
            Self::Closed { .. } | Self::ApprovedBefore(_) | Self::TooMany(_) | Self::TooManyVersions(_) => {
                Failure::new(FailureKind::Conflict, said)
            }
            Self::Form(_) => Failure::internal(&said),
            Self::Journal(error) => error.classify(),
        }
    }
}

/// Results of this crate.
pub type Result<T, E = ProposalError> = std::result::Result<T, E>;
