//! Which worker does which kind of job.

use std::sync::Arc;

use reasonedit_editor::Editor;

pub(crate) use super::batch::BatchInput;
use super::system::Runner;
use super::{batch, import, modularity};
use crate::dto::job::JobKind;
use crate::fetch::Fetcher;
use crate::sources::Sources;

/// What workers work with; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) editor: Editor,
    pub(crate) fetcher: Fetcher,
    /// Sets that layers can be measured on.
    pub(crate) sources: Sources,
    /// Bytes of a line or a picture of an upload.
    pub(crate) item_bytes: u64,
    /// Bytes of an archive.
    pub(crate) import_bytes: u64,
}

/// The workers of the service.
pub(crate) fn runner(tools: Tools) -> Runner {
    Arc::new(move |kind, context| {
        let tools = tools.clone();
        Box::pin(async move {
            match kind {
                JobKind::Batch => batch::work(tools, context).await,
                JobKind::Import => import::work(tools, context).await,
                JobKind::Modularity => modularity::work(tools, context).await,
                JobKind::Reembed => modularity::reembed(tools, context).await,
            }
        })
    })
}
