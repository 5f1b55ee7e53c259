//! What people say of answers: whether they agree, and which edits the answers rested on.
//!
//! ```
//! use std::sync::Arc;
//!
//! use reasonedit_codebook::{CodebookConfig, CodebookName, EditId, Library, MemoryStore};
//! use reasonedit_feedback::{FeedbackLog, NewFeedback, FeedbackVerdict};
//!
//! let library = Arc::new(Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default())?);
//! let feedback = FeedbackLog::open(&library)?;
//! let edit: EditId = "01K0000000000000000000000A".parse()?;
//! feedback.give(NewFeedback {
//!     codebook: CodebookName::default(),
//!     answer: "01K0000000000000000000000B".to_owned(),
//!     edits: vec![edit],
//!     verdict: FeedbackVerdict::Agree,
//!     by: Some("Dr. Ada".to_owned()),
//! })?;
//! assert_eq!(feedback.of_edit(&CodebookName::default(), edit).agree, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod log;
mod word;

pub use error::{FeedbackError, Result};
pub use log::{FeedbackFilter, FeedbackLog, FeedbackOutcome};
pub use word::{Feedback, FeedbackTally, FeedbackVerdict, NewFeedback};
