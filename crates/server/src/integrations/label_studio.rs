//! Annotation in Label Studio: predictions out, corrections in.
//!
//! Speaks the protocol of its machine learning backends. A project is read by its labeling configuration
//! (`labels`); a task's question is asked of its picture (`predict`, `pictures`); a submitted annotation with
//! reasoning (`events`, `annotation`) waits durably (`queue`) until it has become an edit (`worker`). Which
//! edits are of which annotation stands in the edits; `projects` keeps what only setup tells.

mod annotation;
mod config;
mod dto;
mod events;
mod handlers;
mod labels;
mod pictures;
mod predict;
mod projects;
mod queue;
mod regions;
mod token;
mod version;
mod worker;

use std::sync::{Arc, OnceLock};

use reasonedit_codebook::{CodebookName, Library};
use reasonedit_editor::Editor;
use tokio_util::sync::CancellationToken;
use utoipa_axum::routes;

pub use self::config::LabelStudioConfig;
use self::pictures::{Origin, Pictures};
use self::projects::{ProjectRecord, Projects};
use self::queue::Queue;
use crate::config::ServerConfig;
use crate::fetch::Fetcher;
use crate::policy::{BodyPolicy, Policy, Routes};
use crate::problem::{Problem, ProblemKind, Result};
use crate::state::AppState;

/// Label Studio knows no tokens but passwords, and doesn't always say that it sends JSON.
const POLICY: Policy = Policy::PASSWORD;
const POSTED: Policy = POLICY.body(BodyPolicy::UntypedJson);

/// The routes of the integration.
pub(crate) fn routes() -> Routes<AppState> {
    Routes::default()
        .route(POLICY, routes!(handlers::root))
        .route(POLICY, routes!(handlers::health))
        .route(POLICY, routes!(handlers::metrics))
        .route(POLICY, routes!(handlers::versions))
        .route(POLICY, routes!(handlers::annotations))
        .route(POSTED, routes!(handlers::setup))
        .route(POSTED, routes!(handlers::predict))
        .route(POSTED, routes!(handlers::webhook))
}

/// What the integration knows; cheap to clone.
#[derive(Clone)]
pub(crate) struct LabelStudio(Arc<Inner>);

struct Inner {
    config: LabelStudioConfig,
    pictures: Pictures,
    projects: Projects,
    /// There once the codebooks are open.
    queue: OnceLock<Arc<Queue>>,
}

impl LabelStudio {
    /// The integration, without anything that it kept.
    ///
    /// # Errors
    /// What the TLS library says when it can't be set up.
    pub(crate) fn new(config: &ServerConfig, fetcher: Fetcher) -> reqwest::Result<Self> {
        Ok(Self(Arc::new(Inner {
            config: config.label_studio.clone(),
            pictures: Pictures::new(config, fetcher)?,
            projects: Projects::default(),
            queue: OnceLock::new(),
        })))
    }

    /// Reads what was kept: from now on annotations are taken up. A second time is ignored. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn open(&self, library: &Library) -> reasonedit_codebook::Result<()> {
        if self.0.queue.get().is_none() {
            self.0.projects.open(library)?;
            let _ = self.0.queue.set(Arc::new(Queue::open(library, self.0.config.waiting)?));
        }
        Ok(())
    }

    /// Begins to make edits of annotations. Needs a tokio runtime, and [`Self::open`] before.
    pub(crate) fn start(&self, editor: Editor, stopping: CancellationToken) {
        if let Some(queue) = self.0.queue.get() {
            tokio::spawn(worker::run(self.clone(), Arc::clone(queue), editor, stopping));
        }
    }

    fn config(&self) -> &LabelStudioConfig {
        &self.0.config
    }

    fn pictures(&self) -> &Pictures {
        &self.0.pictures
    }

    fn projects(&self) -> &Projects {
        &self.0.projects
    }

    /// What setup told of a project.
    fn project(&self, project: &str) -> ProjectRecord {
        self.0.projects.get(project)
    }

    /// The codebook of a project.
    fn codebook(&self, known: &ProjectRecord) -> CodebookName {
        // The configured one was checked at the start.
        known.codebook.clone().unwrap_or_else(|| self.0.config.codebook.parse().unwrap_or_default())
    }

    /// What a project's pictures need.
    fn origin(known: ProjectRecord) -> Origin {
        Origin { hostname: known.hostname, token: known.token }
    }

    /// The queue of annotations.
    ///
    /// # Errors
    /// 503 until the codebooks are open.
    fn queue(&self) -> Result<Arc<Queue>> {
        let opened = self.0.queue.get().map(Arc::clone);
        opened.ok_or_else(|| Problem::new(ProblemKind::NotReady, "The codebooks are being opened."))
    }
}
