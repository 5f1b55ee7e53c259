//! Listening, serving, stopping.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use reasonedit_access::TokenStore;
use reasonedit_http::auth::Tokens;
use reasonedit_http::client::Proxies;
use reasonedit_http::policy::Policies;
use reasonedit_http::problem::Problem;
use reasonedit_integration::{Integration, IntegrationError, ServiceContext};
use reasonedit_page::HomePage;
use reasonedit_resilience::{MemoryBudget, blocking};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::addresses::AddressShares;
use crate::config::ServerConfig;
use crate::connections::{Connections, accept};
use crate::error::ServerError;
use crate::probes::Probes;
use crate::router;
use crate::state::{AppState, EditorSlot};
use crate::tls::Tls;

/// The HTTP service. It can serve before its editor has arrived.
#[derive(Debug)]
pub struct Server {
    router: Router,
    policies: Arc<Policies>,
    config: ServerConfig,
    tokens: Tokens,
    tls: Option<Tls>,
    slot: EditorSlot,
    /// What is answered where probes alone are.
    probing: Router,
}

impl Server {
    /// A service, and the slot that its editor is to be put into.
    ///
    /// # Errors
    /// [`ServerError::Config`] for unusable settings, [`ServerError::Client`] when TLS can't be set up.
    pub fn new(config: ServerConfig) -> Result<(Self, EditorSlot), ServerError> {
        Self::assemble(config, None, HomePage::default(), |_| Ok(Vec::new()))
    }

    /// The same with tokens that were given to people, beside those of the configuration.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn guarded(config: ServerConfig, tokens: Arc<TokenStore>) -> Result<(Self, EditorSlot), ServerError> {
        Self::with_page(config, tokens, HomePage::default())
    }

    /// The same with a page that is not as it is by default.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_page(
        config: ServerConfig,
        tokens: Arc<TokenStore>,
        page: HomePage,
    ) -> Result<(Self, EditorSlot), ServerError> {
        Self::assemble(config, Some(tokens), page, |_| Ok(Vec::new()))
    }

    /// The same with integrations beside those of the list, for who embeds the service and has one of their
    /// own.
    ///
    /// # Errors
    /// As [`Self::new`], and what `more` says.
    pub fn with(
        config: ServerConfig,
        more: impl FnOnce(&ServiceContext) -> Result<Vec<Arc<dyn Integration>>, IntegrationError>,
    ) -> Result<(Self, EditorSlot), ServerError> {
        Self::assemble(config, None, HomePage::default(), more)
    }

    fn assemble(
        config: ServerConfig,
        given: Option<Arc<TokenStore>>,
        page: HomePage,
        more: impl FnOnce(&ServiceContext) -> Result<Vec<Arc<dyn Integration>>, IntegrationError>,
    ) -> Result<(Self, EditorSlot), ServerError> {
        config.validate()?;
        let tls = config.tls.is_on().then(|| Tls::new(&config.tls)).transpose()?;
        let slot = EditorSlot::new(&config, more)?;
        let state = AppState::new(&config, slot.clone(), given)?;
        let tokens = state.tokens().clone();
        let probing = router::probes(state.clone());
        let (router, policies) = router::service(state, &config, page);
        Ok((Self { router, policies, config, tokens, tls, slot: slot.clone(), probing }, slot))
    }

    /// The service as a tower service, for tests and for embedding in another server.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The memory that requests may take.
    pub fn memory(&self) -> MemoryBudget {
        self.slot.memory().whole.clone()
    }

    /// What each route asks of the layers around it, a line each: method, path, policy.
    pub fn policies(&self) -> Vec<String> {
        let all = self.policies.all().into_iter();
        all.map(|(path, method, policy)| format!("{method} {path}: {policy}")).collect()
    }

    /// Listens on the configured address.
    ///
    /// # Errors
    /// [`ServerError::Bind`] when it is taken or not ours, [`ServerError::Open`] when others could reach it
    /// and no tokens are asked for.
    pub async fn bind(&self) -> Result<TcpListener, ServerError> {
        let address = &self.config.bind;
        let failed = |reason| ServerError::Bind { address: address.clone(), reason };
        let listener = address.listen().await.map_err(failed)?;
        let ip = listener.local_addr().map_err(|error| failed(error.to_string()))?.ip();
        if !self.tokens.asked_for() && !ip.to_canonical().is_loopback() {
            if !self.config.insecure_no_auth {
                return Err(ServerError::Open { address: address.clone() });
            }
            tracing::warn!(
                %address,
                "NO AUTHENTICATION: whoever reaches this address reads every picture and changes every edit \
                 (server.insecure_no_auth); give tokens with `reasonedit token create`"
            );
        }
        Ok(listener)
    }

    /// Answers probes on the address that is configured for them, if one is, until what is returned is
    /// dropped.
    ///
    /// # Errors
    /// [`ServerError::Bind`] when it is taken or not ours, or no thread is to be had.
    pub async fn probes(&self) -> Result<Option<Probes>, ServerError> {
        let Some(address) = &self.config.health_bind else { return Ok(None) };
        let failed = |reason| ServerError::Bind { address: address.clone(), reason };
        let in_words = |error: io::Error| failed(error.to_string());
        let listener = address.listen().await.map_err(failed)?.into_std().map_err(in_words)?;
        let probes =
            Probes::serve(listener, self.probing.clone(), &self.config.timeouts).map_err(in_words)?;
        Ok(Some(probes))
    }

    /// Serves until `shutdown` is done, then stops accepting and lets running requests end within the
    /// configured time. Jobs stop at once and go on from their checkpoints at the next start.
    ///
    /// Returns whether all of them did.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> bool {
        let (limits, timeouts) = (&self.config.limits, &self.config.timeouts);
        let grace = timeouts.shutdown_grace();
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let shares =
            AddressShares::new(limits.connections_per_address, Proxies::new(&self.config.trusted_proxies));
        let connections = Connections::new(self.router.clone(), self.tls.clone(), timeouts);
        let following = self.tls.clone().map(|tls| tokio::spawn(tls.follow()));
        let mut serving = JoinSet::new();
        let (noting, noted) = note_uses(self.tokens.given().cloned());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let (stream, peer, place) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &places) => accepted,
                // Ended ones are let go, so that the set doesn't grow.
                Some(_) = serving.join_next() => continue,
            };
            let Some(share) = shares.take(peer.ip()) else {
                connections.refuse(&stream);
                continue;
            };
            let connections = connections.clone();
            serving.spawn(async move {
                let _held = (place, share);
                // Resets and clients that speak no HTTP are no business of the log.
                if let Err(error) = connections.serve(stream, peer.ip()).await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
        if let Some(following) = following {
            following.abort();
        }
        drop(listener);
        drop(noting);
        tracing::info!(grace_ms = grace.as_millis(), "stopping: no new requests, running ones may end");
        self.slot.stop();
        let all = async {
            connections.stop();
            while serving.join_next().await.is_some() {}
            if let Some(jobs) = self.slot.jobs() {
                jobs.stopped().await;
            }
            for integration in self.slot.integrations() {
                integration.stopped().await;
            }
            let _ = noted.await;
        };
        let drained = tokio::time::timeout(grace, all).await.is_ok();
        if !drained {
            tracing::warn!("some requests were still running after the time allowed and are cut off");
            serving.shutdown().await;
        }
        drained
    }
}

/// Writes down every minute, and once what is returned is dropped, when tokens were last used.
fn note_uses(tokens: Option<Arc<TokenStore>>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (noting, mut ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let Some(tokens) = tokens else { return };
        loop {
            let last = tokio::time::timeout(Duration::from_mins(1), &mut ended).await.is_ok();
            let writing = Arc::clone(&tokens);
            // What fails is told where failures are turned into problems; the next turn tries again.
            let _ = blocking(move || writing.write_uses().map_err(Problem::from)).await;
            if last {
                return;
            }
        }
    });
    (noting, task)
}
