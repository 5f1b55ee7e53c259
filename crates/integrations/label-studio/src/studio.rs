//! What the integration knows, and what its parts ask of it.

use std::sync::{Arc, OnceLock};

use reasonedit_editor::storage::StorageResult;
use reasonedit_editor::{CodebookName, Library};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_integration::ServiceContext;

use super::config::LabelStudioConfig;
use super::pictures::{PictureOrigin, Pictures};
use super::projects::{ProjectRecord, Projects};
use super::queue::Queue;

/// What the integration knows; cheap to clone.
#[derive(Clone)]
pub(super) struct LabelStudio(Arc<Inner>);

struct Inner {
    service: ServiceContext,
    config: LabelStudioConfig,
    pictures: Pictures,
    projects: Projects,
    /// There once the codebooks are open.
    queue: OnceLock<Arc<Queue>>,
}

impl LabelStudio {
    /// The integration, without anything that it kept.
    pub(super) fn new(service: ServiceContext, config: LabelStudioConfig, pictures: Pictures) -> Self {
        let (projects, queue) = (Projects::default(), OnceLock::new());
        Self(Arc::new(Inner { service, config, pictures, projects, queue }))
    }

    /// Reads what was kept; a second time is ignored. Blocks.
    pub(super) fn read(&self, library: &Library) -> StorageResult<()> {
        if self.0.queue.get().is_none() {
            self.0.projects.open(library)?;
            let _ = self.0.queue.set(Arc::new(Queue::open(library, self.0.config.waiting)?));
        }
        Ok(())
    }

    pub(super) fn service(&self) -> &ServiceContext {
        &self.0.service
    }

    pub(super) fn config(&self) -> &LabelStudioConfig {
        &self.0.config
    }

    pub(super) fn pictures(&self) -> &Pictures {
        &self.0.pictures
    }

    pub(super) fn projects(&self) -> &Projects {
        &self.0.projects
    }

    /// What setup told of a project, if it did.
    pub(super) fn known_project(&self, project: &str) -> Option<ProjectRecord> {
        self.0.projects.find(project)
    }

    /// What setup told of a project.
    pub(super) fn project(&self, project: &str) -> ProjectRecord {
        self.0.projects.get(project)
    }

    /// The codebook of a project.
    pub(super) fn codebook(&self, known: &ProjectRecord) -> CodebookName {
        // The configured one was checked at the start.
        known.codebook.clone().unwrap_or_else(|| self.0.config.codebook.parse().unwrap_or_default())
    }

    /// What a project's pictures need.
    pub(super) fn origin(known: ProjectRecord) -> PictureOrigin {
        PictureOrigin { hostname: known.hostname, token: known.token }
    }

    /// The queue of annotations.
    ///
    /// # Errors
    /// 503 until the codebooks are open.
    pub(super) fn queue(&self) -> Result<Arc<Queue>> {
        self.opened().ok_or_else(|| Problem::new(ProblemKind::NotReady, "The codebooks are being opened."))
    }

    /// The queue of annotations, if the codebooks are open.
    pub(super) fn opened(&self) -> Option<Arc<Queue>> {
        self.0.queue.get().map(Arc::clone)
    }
}
