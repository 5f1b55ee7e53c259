//! Work in the background that outlives its request: kept, resumed after a restart, cancellable, with
//! progress.
//!
//! A job is a record in a journal beside the codebooks. A kind of job is a type ([`BackgroundJob`]) and a
//! line in the registry ([`JobRegistry`]); [`Jobs`] keeps them all and gives each its turn, at most one of a
//! kind at a time. How a job fails is [`JobFailure`]: in passing or for good; what is told of it is in the
//! form of whoever runs the jobs.
//!
//! ```
//! use std::sync::Arc;
//!
//! use reasonedit_codebook::{CodebookConfig, Library, MemoryStore};
//! use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure, JobLimits, JobRegistry, Jobs, Submission};
//! use serde::{Deserialize, Serialize};
//!
//! /// Counts to a number, and goes on where it was after a restart.
//! #[derive(Serialize, Deserialize)]
//! struct Count {
//!     to: u64,
//! }
//!
//! impl BackgroundJob for Count {
//!     const NAME: &'static str = "count";
//!     type Dependencies = ();
//!     type Checkpoint = u64;
//!     type Output = u64;
//!
//!     async fn run(self, _: (), context: JobContext<u64>) -> Result<u64, JobFailure> {
//!         for number in context.resumed_from()?.unwrap_or(0)..self.to {
//!             context.progress("numbers", number, self.to);
//!             context.checkpoint(&(number + 1)).await?;
//!         }
//!         Ok(self.to)
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let library = Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default())?;
//! let folder = tempfile::tempdir()?;
//! let limits = JobLimits { queued: 10, queued_of_caller: 5, kept: 100 };
//! let registry = JobRegistry::new(()).with::<Count>();
//! let jobs = Jobs::open(&library, folder.path(), limits, registry, Default::default())?;
//! let job = jobs.submit(&Count { to: 3 }, Submission::default()).await?;
//! assert_eq!(jobs.wait(job.id).await?.result, Some(3.into()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<_, std::io::Error>(())
//! ```

mod context;
mod drive;
mod entry;
mod error;
mod eta;
mod failure;
mod job;
mod ledger;
mod record;
mod registry;
mod spool;
mod stub;
mod system;
mod verify;

pub use context::JobContext;
pub use error::{JobsError, OpenError, Result};
pub use failure::{FailureReport, JobFailure};
pub use job::BackgroundJob;
pub use record::{JobProgress, JobRecord, JobState, JobView, SubmissionKey};
pub use registry::JobRegistry;
pub use spool::{Spool, SpooledUpload, UploadFile, UploadReader, UploadWriter};
pub use system::{JobLimits, Jobs, Submission};
pub use verify::verify_uploads;
