//! What all requests share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reasonedit_editor::Editor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Tokens;
use crate::body::BodyBudget;
use crate::config::{ServerConfig, TimeoutsConfig};
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::origin::Origins;
use crate::problem::{Problem, ProblemKind, Result};
use crate::server::ServerError;

/// Where the editor arrives once its model is loaded; until then edits and queries are answered with 503.
#[derive(Clone, Default)]
pub struct EditorSlot(Arc<OnceLock<Editor>>);

impl EditorSlot {
    /// Puts the editor in: from now on the service is ready. A second editor is ignored.
    ///
    /// Returns whether this one was taken.
    pub fn fill(&self, editor: Editor) -> bool {
        self.0.set(editor).is_ok()
    }

    /// The editor, if it has arrived.
    pub fn get(&self) -> Option<&Editor> {
        self.0.get()
    }
}

impl std::fmt::Debug for EditorSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EditorSlot").field(&self.0.get().is_some()).finish()
    }
}

/// What all requests share; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

struct Shared {
    slot: EditorSlot,
    timeouts: TimeoutsConfig,
    import_bytes: u64,
    tokens: Tokens,
    origins: Origins,
    budget: BodyBudget,
    requests: Arc<Semaphore>,
    archives: Arc<Semaphore>,
    fetcher: Fetcher,
    metrics: Metrics,
    openapi: OnceLock<Bytes>,
}

impl AppState {
    /// The state for a valid configuration.
    ///
    /// # Errors
    /// [`ServerError::Client`] when pictures may be fetched by URL and TLS can't be set up.
    pub(crate) fn new(config: &ServerConfig, slot: EditorSlot) -> Result<Self, ServerError> {
        let limits = &config.limits;
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Ok(Self(Arc::new(Shared {
            slot,
            tokens: Tokens::new(&config.auth_tokens),
            origins: Origins::new(&config.cors_origins),
            budget: BodyBudget::new(
                limits.bodies_in_memory_bytes,
                limits.body_bytes,
                config.timeouts.body_idle(),
            ),
            requests: permits(limits.requests),
            archives: permits(limits.archives),
            fetcher: Fetcher::new(config)?,
            metrics: Metrics::default(),
            import_bytes: limits.import_bytes,
            timeouts: config.timeouts.clone(),
            openapi: OnceLock::new(),
        })))
    }

    /// The editor, ready to work.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    pub(crate) fn editor(&self) -> Result<&Editor> {
        self.ready_editor().ok_or_else(|| {
            Problem::new(
                ProblemKind::NotReady,
                "The model is being loaded; /health/ready says when it is done.",
            )
        })
    }

    /// The editor if its model is loaded.
    pub(crate) fn ready_editor(&self) -> Option<&Editor> {
        self.0.slot.get().filter(|editor| editor.engine().ready())
    }

    pub(crate) fn timeouts(&self) -> &TimeoutsConfig {
        &self.0.timeouts
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.0.origins
    }

    pub(crate) fn budget(&self) -> &BodyBudget {
        &self.0.budget
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn import_bytes(&self) -> u64 {
        self.0.import_bytes
    }

    pub(crate) fn openapi(&self) -> &OnceLock<Bytes> {
        &self.0.openapi
    }

    /// A place among the requests worked on.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn request_permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0.requests)
            .try_acquire_owned()
            .map_err(|_| Problem::new(ProblemKind::Overloaded, "Too many requests at a time."))
    }

    /// A place among the archives written or read.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn archive_permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0.archives).try_acquire_owned().map_err(|_| {
            Problem::new(ProblemKind::Overloaded, "Too many archives are written or read at a time.")
                .retry_after(Duration::from_secs(10))
        })
    }
}
