//! What works on jobs, by their kind. To add a kind takes a file with its type here, a line in [`registry`]
//! and its name in the contract ([`reasonedit_dto::job::JobKind`]).

mod backup;
mod batch;
mod dependencies;
mod failure;
mod import;
pub(crate) mod modularity;
mod reembed;
pub(crate) mod source;

use reasonedit_jobs::JobRegistry;

pub(crate) use self::backup::{Backup, no_backups};
pub(crate) use self::batch::Batch;
pub(crate) use self::dependencies::JobDependencies;
pub(crate) use self::import::Import;
pub(crate) use self::modularity::Modularity;
pub(crate) use self::reembed::Reembed;

/// The kinds of jobs that the service works on; the first come first where several may begin.
pub(crate) fn registry(dependencies: JobDependencies) -> JobRegistry<JobDependencies> {
    JobRegistry::new(dependencies)
        .reporting(failure::report)
        .with::<Modularity>()
        .with::<Reembed>()
        .with::<Batch>()
        .with::<Import>()
        .with::<Backup>()
}
