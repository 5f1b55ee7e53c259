//! What works on jobs, by their kind; to add a kind takes a file with its worker here, and an arm in
//! [`runner`].

mod batch;
mod dependencies;
mod import;
pub(crate) mod modularity;
pub(crate) mod source;

use std::sync::Arc;

pub(crate) use self::batch::BatchInput;
pub(crate) use self::dependencies::JobDependencies;
use crate::dto::job::JobKind;
use crate::jobs::Runner;

/// The workers of the service.
pub(crate) fn runner(dependencies: JobDependencies) -> Runner {
    Arc::new(move |kind, context| {
        let dependencies = dependencies.clone();
        Box::pin(async move {
            match kind {
                JobKind::Batch => batch::work(dependencies, context).await,
                JobKind::Import => import::work(dependencies, context).await,
                JobKind::Modularity => modularity::work(dependencies, context).await,
                JobKind::Reembed => modularity::reembed(dependencies, context).await,
            }
        })
    })
}
