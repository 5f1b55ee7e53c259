//! What a kind of job is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::JobContext;
use crate::failure::JobFailure;

/// A kind of job. The value itself is what was asked for; it is kept in the record, so it is small, and a
/// later version must be able to read it.
///
/// What [`Self::run`] must keep to:
/// - It is dropped where it awaits when its job is cancelled or the service stops. What it blocks on
///   elsewhere should watch [`JobContext::halted`].
/// - It may be begun again from its last checkpoint at any time: what it did after that must bear being done
///   again.
/// - A failure in passing (a full queue, a stopped engine) is [`JobFailure::Retry`] and tried again; that
///   nothing can be stored is [`JobFailure::Unwritable`], which is waited out; every other one ends the job.
pub trait BackgroundJob: Serialize + DeserializeOwned + Send + 'static {
    /// As it is told, and stands in records.
    const NAME: &'static str;
    /// Whether a second one is refused while one waits or runs. Others wait for their turn.
    const EXCLUSIVE: bool = false;
    /// What it works with.
    type Dependencies: Clone + Send + Sync + 'static;
    /// Where it goes on after an interruption; `()` for one that begins again or looks at its pieces.
    type Checkpoint: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What comes of it.
    type Output: Serialize;

    /// Does the work.
    ///
    /// # Errors
    /// Why there is no result.
    fn run(
        self,
        dependencies: Self::Dependencies,
        context: JobContext<Self::Checkpoint>,
    ) -> impl Future<Output = Result<Self::Output, JobFailure>> + Send;
}
