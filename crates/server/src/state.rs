//! What all requests share.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use reasonedit_access::{BearerVerifier, TokenStore};
use reasonedit_audit::AuditTrail;
use reasonedit_backup::BackupService;
use reasonedit_editor::{Editor, Library};
use reasonedit_feedback::FeedbackLog;
use reasonedit_http::audit::AuditSink;
use reasonedit_http::auth::Tokens;
use reasonedit_http::client::Proxies;
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::metrics::Metrics;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_integration::{EditorCell, Integration, IntegrationError, ServiceContext};
use reasonedit_jobs::{JobLimits, Jobs};
use reasonedit_oidc::Oidc;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::config::{ServerConfig, TimeoutsConfig};
use crate::error::ServerError;
use crate::memory::ServiceMemory;
use crate::sources::Sources;
use crate::workers::{self, JobDependencies};

/// Where the editor arrives once its model is loaded; until then edits and queries are answered with 503.
#[derive(Clone)]
pub struct EditorSlot(Arc<Slot>);

struct Slot {
    editor: EditorCell,
    /// There before the editor.
    jobs: OnceLock<Jobs>,
    feedback: OnceLock<FeedbackLog>,
    integrations: Vec<Arc<dyn Integration>>,
    fetcher: Fetcher,
    memory: ServiceMemory,
    item_bytes: u64,
    import_bytes: u64,
    job_limits: JobLimits,
    sources: OnceLock<Sources>,
    backups: OnceLock<BackupService>,
    audit: AuditSink,
    /// One at a time fills the slot: jobs are taken up once.
    filling: Mutex<()>,
    stopping: CancellationToken,
}

impl Drop for Slot {
    /// Whoever embeds the service and drops it has ended it: what works in the background must not hold the
    /// store.
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl EditorSlot {
    /// An empty slot.
    ///
    /// # Errors
    /// [`ServerError::Client`] when pictures may be fetched by URL and TLS can't be set up,
    /// [`ServerError::Integration`] when an integration can't be made.
    pub(crate) fn new(
        config: &ServerConfig,
        more: impl FnOnce(&ServiceContext) -> Result<Vec<Arc<dyn Integration>>, IntegrationError>,
    ) -> Result<Self, ServerError> {
        let limits = &config.limits;
        let (hosts, timeout) = (&config.allowed_image_hosts, config.timeouts.fetch());
        let memory = ServiceMemory::new(
            limits.memory_for_requests(),
            limits.bodies_in_memory_bytes,
            limits.answers_in_memory_bytes,
        );
        let fetcher = Fetcher::new(hosts, limits.fetched_image_bytes, timeout)?.within(memory.bodies.clone());
        let service = ServiceContext {
            editor: EditorCell::default(),
            fetcher: fetcher.clone(),
            picture_bytes: limits.fetched_image_bytes,
            fetch: timeout,
            keep_alive: config.timeouts.keep_alive(),
            audit: AuditSink::default(),
        };
        let mut integrations = config.integrations(&service)?;
        integrations.extend(more(&service)?);
        Ok(Self(Arc::new(Slot {
            integrations,
            editor: service.editor,
            audit: service.audit,
            jobs: OnceLock::new(),
            feedback: OnceLock::new(),
            fetcher,
            memory,
            item_bytes: limits.body_bytes as u64,
            import_bytes: limits.import_bytes,
            job_limits: limits.jobs(),
            sources: OnceLock::new(),
            backups: OnceLock::new(),
            filling: Mutex::new(()),
            stopping: CancellationToken::new(),
        })))
    }

    /// Names the sets that layers can be measured on, besides a codebook's own. Before the editor comes; a
    /// second time is ignored.
    pub fn offer(&self, sources: Sources) {
        let _ = self.0.sources.set(sources);
    }

    /// Says where backups go. Before the editor comes; a second time is ignored. Without it none are made.
    pub fn back_up(&self, service: BackupService) {
        let _ = self.0.backups.set(service);
    }

    /// Says where the audit trail is. Before the first request; a second time is ignored. Without it none is
    /// kept.
    pub fn audit(&self, trail: AuditTrail) {
        self.0.audit.set(trail);
    }

    fn sources(&self) -> &Sources {
        self.0.sources.get_or_init(Sources::default)
    }

    /// Opens what integrations keep beside the codebooks, so that they take up what comes while the model is
    /// being loaded. May be left out.
    ///
    /// # Errors
    /// [`ServerError::Integration`] when it can't be read.
    pub fn open(&self, library: &Arc<Library>) -> Result<(), ServerError> {
        for integration in &self.0.integrations {
            integration.open(library)?;
        }
        Ok(())
    }

    /// Puts the editor in: from now on the service is ready, the jobs that had not ended when it was stopped
    /// go on, and receivers are told what they have not been told. Uploads that jobs work on lie in `folder`,
    /// which belongs beside the editor's store. A second editor is ignored. Needs a tokio runtime.
    ///
    /// Returns whether this one was taken.
    ///
    /// # Errors
    /// [`ServerError::Jobs`] when the jobs of before can't be taken up, [`ServerError::Integration`] when an
    /// integration can't be opened; the slot stays empty.
    pub fn fill(&self, editor: Editor, folder: &Path) -> Result<bool, ServerError> {
        let _filling = self.0.filling.lock();
        if self.get().is_some() {
            return Ok(false);
        }
        editor.stay_within(&self.0.memory.whole);
        let dependencies = JobDependencies {
            editor: editor.clone(),
            fetcher: self.0.fetcher.clone(),
            sources: self.sources().clone(),
            item_bytes: self.0.item_bytes,
            import_bytes: self.0.import_bytes,
            backups: self.0.backups.get().cloned(),
            audit: self.0.audit.clone(),
        };
        let (library, registry) = (editor.library(), workers::registry(dependencies));
        // Before anything is edited, jobs included: new receivers of events begin at the present.
        self.open(library)?;
        let jobs = Jobs::open(library, folder, self.0.job_limits, registry, self.0.stopping.clone())?;
        let (unfinished, _) = jobs.list(|job| !job.state().ended(), None, usize::MAX);
        if let Err(error) = editor.sweep_imports(|work| unfinished.iter().all(|job| job.id != work)) {
            tracing::warn!(%error, "pictures of imports that are over were not removed");
        }
        let _ = self.0.feedback.set(FeedbackLog::open(library)?);
        let _ = self.0.jobs.set(jobs);
        let taken = self.0.editor.set(editor);
        for integration in &self.0.integrations {
            integration.start(&self.0.stopping);
        }
        Ok(taken)
    }

    /// The editor, if it has arrived.
    pub fn get(&self) -> Option<&Editor> {
        self.0.editor.get()
    }

    /// The memory that requests may take.
    pub(crate) fn memory(&self) -> &ServiceMemory {
        &self.0.memory
    }

    /// Stops the jobs. An editor that comes later begins none.
    pub(crate) fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// The jobs, once the editor arrives.
    pub(crate) fn jobs(&self) -> Option<&Jobs> {
        self.0.jobs.get()
    }

    /// What people said of answers, once the editor arrives.
    pub(crate) fn feedback(&self) -> Option<&FeedbackLog> {
        self.0.feedback.get()
    }

    /// The integrations.
    pub(crate) fn integrations(&self) -> &[Arc<dyn Integration>] {
        &self.0.integrations
    }
}

impl std::fmt::Debug for EditorSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EditorSlot").field(&self.get().is_some()).finish()
    }
}

/// What an upload of edits may weigh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    /// Bytes of one line or picture.
    pub(crate) item_bytes: u64,
}

/// What all requests share; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

struct Shared {
    slot: EditorSlot,
    timeouts: TimeoutsConfig,
    import_bytes: u64,
    batch: BatchLimits,
    metrics: Arc<Metrics>,
    tokens: Tokens,
    oidc: Option<Arc<Oidc>>,
    contract: OnceLock<OpenApi>,
    /// The contract as it is sent.
    openapi: OnceLock<Bytes>,
}

impl AppState {
    /// The state for a valid configuration.
    ///
    /// # Errors
    /// [`ServerError::Metrics`] for metrics that can't be, [`ServerError::Oidc`] for an issuer that can't be
    /// asked.
    pub(crate) fn new(
        config: &ServerConfig,
        slot: EditorSlot,
        given: Option<Arc<TokenStore>>,
    ) -> Result<Self, ServerError> {
        let limits = &config.limits;
        let oidc = config.oidc.is_on().then(|| Oidc::new(config.oidc.clone())).transpose()?;
        let oidc = oidc.map(Arc::new);
        let verifier = oidc.clone().map(|oidc| oidc as Arc<dyn BearerVerifier>);
        Ok(Self(Arc::new(Shared {
            slot,
            batch: BatchLimits {
                bytes: limits.batch_bytes,
                lines: limits.batch_lines,
                item_bytes: limits.body_bytes as u64,
            },
            metrics: Arc::new(Metrics::new()?),
            tokens: Tokens::new(&config.auth_tokens, given, Proxies::new(&config.trusted_proxies))
                .with_verifier(verifier),
            oidc,
            import_bytes: limits.import_bytes,
            timeouts: config.timeouts.clone(),
            contract: OnceLock::new(),
            openapi: OnceLock::new(),
        })))
    }

    /// The editor, ready to work.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    pub(crate) fn editor(&self) -> Result<&Editor> {
        self.0.slot.0.editor.ready()
    }

    /// The editor if its model is loaded.
    pub(crate) fn ready_editor(&self) -> Option<&Editor> {
        self.0.slot.0.editor.loaded()
    }

    /// Whether the service is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.slot.0.stopping.is_cancelled()
    }

    pub(crate) fn timeouts(&self) -> &TimeoutsConfig {
        &self.0.timeouts
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.slot.0.fetcher
    }

    /// The memory that requests may take.
    pub(crate) fn memory(&self) -> &ServiceMemory {
        self.0.slot.memory()
    }

    /// The sets that layers can be measured on, besides a codebook's own.
    pub(crate) fn sources(&self) -> &Sources {
        self.0.slot.sources()
    }

    /// Where backups go, if anybody said so.
    pub(crate) fn backups(&self) -> Option<&BackupService> {
        self.0.slot.0.backups.get()
    }

    /// Where the audit trail is, if one is kept.
    pub(crate) fn audit(&self) -> &AuditSink {
        &self.0.slot.0.audit
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The tokens that are taken.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// The issuer whose tokens are taken too, if there is one.
    pub(crate) fn oidc(&self) -> Option<&Oidc> {
        self.0.oidc.as_deref()
    }

    pub(crate) fn import_bytes(&self) -> u64 {
        self.0.import_bytes
    }

    pub(crate) fn batch_limits(&self) -> BatchLimits {
        self.0.batch
    }

    /// The jobs.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    pub(crate) fn jobs(&self) -> Result<&Jobs> {
        self.editor()?;
        self.0.slot.jobs().ok_or_else(|| Problem::internal(&"an editor without jobs"))
    }

    /// What people said of answers.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    pub(crate) fn feedback(&self) -> Result<&FeedbackLog> {
        self.editor()?;
        self.0.slot.feedback().ok_or_else(|| Problem::internal(&"an editor without feedback"))
    }

    /// The integrations.
    pub(crate) fn integrations(&self) -> &[Arc<dyn Integration>] {
        self.0.slot.integrations()
    }

    /// Keeps the contract of the routes that are served. A second time is ignored.
    pub(crate) fn set_contract(&self, contract: OpenApi) {
        let _ = self.0.contract.set(contract);
    }

    /// The contract of the routes that are served.
    pub(crate) fn contract(&self) -> OpenApi {
        self.0.contract.get().cloned().unwrap_or_default()
    }

    pub(crate) fn openapi(&self) -> &OnceLock<Bytes> {
        &self.0.openapi
    }
}
