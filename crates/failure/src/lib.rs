//! What kind of failure an error is, in words that every floor has: no statuses, no types of the domain.
//!
//! An error says so itself ([`Classify`]); whoever speaks to the outside makes of it what its protocol has.
//!
//! ```
//! use reasonedit_failure::{Classify, Failure, FailureKind};
//!
//! struct NoSuchBook(u32);
//!
//! impl Classify for NoSuchBook {
//!     fn classify(self) -> Failure {
//!         Failure::new(FailureKind::NotFound, format!("There is no book {}.", self.0))
//!     }
//! }
//!
//! assert_eq!(NoSuchBook(7).classify().detail, "There is no book 7.");
//! ```

use std::time::Duration;

/// What kind of thing went wrong, as far as whoever asked can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Known, but nothing that is done here.
    Unsupported,
    /// Not there.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// Edits say otherwise, and none was to.
    Contradicted,
    /// It is another version by now than the change was meant for.
    OtherVersion,
    /// Not for whoever asked to do.
    Forbidden,
    /// More than is taken.
    TooLarge,
    /// A format that is not read.
    UnsupportedFormat,
    /// Understood but unusable.
    Invalid,
    /// A queue is full.
    QueueFull,
    /// Stopping, or not running.
    Unavailable,
    /// The deadline passed.
    DeadlineExceeded,
    /// What is stored has decayed; the detail says what, and what can be done.
    Damaged,
    /// No room is left to store anything.
    StorageFull,
    /// It was there, and was erased for good.
    Erased,
    /// Nothing can be stored at present, for another reason.
    Unwritable,
    /// A fault of the service: the detail is for its log, not for whoever asked.
    Internal,
}

/// One thing wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFault {
    /// JSON pointer into what was asked.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An error as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// What happened this time.
    pub detail: String,
    /// What is wrong with the input, place by place.
    pub places: Vec<InputFault>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The job that stands in the way.
    pub job: Option<String>,
    /// The edit that it is about.
    pub edit: Option<String>,
    /// The edits that are in the way.
    pub edits: Vec<String>,
    /// Tokens of the input and of what the model takes, where that is what is wrong.
    pub too_long: Option<(usize, usize)>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            places: Vec::new(),
            retry_after: None,
            job: None,
            edit: None,
            edits: Vec::new(),
            too_long: None,
        }
    }

    /// Something wrong at one place of the input.
    pub fn at(kind: FailureKind, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let places = vec![InputFault { pointer: pointer.into(), detail: detail.clone() }];
        Self { places, ..Self::new(kind, detail) }
    }

    /// The same, found at another place of the input.
    #[must_use]
    pub fn moved_to(mut self, pointer: &str) -> Self {
        for place in &mut self.places {
            pointer.clone_into(&mut place.pointer);
        }
        self
    }

    /// A fault of the service.
    pub fn internal(what: &dyn std::fmt::Display) -> Self {
        Self::new(FailureKind::Internal, what.to_string())
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Names the job that stands in the way.
    #[must_use]
    pub fn about_job(mut self, job: impl std::fmt::Display) -> Self {
        self.job = Some(job.to_string());
        self
    }

    /// Names the edit that it is about.
    #[must_use]
    pub fn about_edit(mut self, edit: impl std::fmt::Display) -> Self {
        self.edit = Some(edit.to_string());
        self
    }

    /// Names the edits that are in the way.
    #[must_use]
    pub fn about_edits(mut self, edits: impl IntoIterator<Item = impl std::fmt::Display>) -> Self {
        self.edits = edits.into_iter().map(|edit| edit.to_string()).collect();
        self
    }

    /// Says that the input has more tokens than the model takes.
    #[must_use]
    pub fn exceeding(mut self, tokens: usize, limit: usize) -> Self {
        self.too_long = Some((tokens, limit));
        self
    }
}

/// An error that says what kind of failure it is.
pub trait Classify {
    /// The failure that this error is.
    fn classify(self) -> Failure;
}
