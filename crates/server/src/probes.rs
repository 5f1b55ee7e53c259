//! Probes on an address of their own: answered by a thread that does nothing else.
//!
//! Under load the threads that read bodies and shake hands are busy, and wait for a core each time that they
//! have something to do. A thread that mostly sleeps gets one soon, and shares neither their connections nor
//! their certificate.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::config::TimeoutsConfig;
use crate::connections::{Connections, accept};

/// Connections at a time: a few monitors. A newer one ends the oldest, so that nobody who only holds
/// connections open keeps a monitor waiting.
const CONNECTIONS: usize = 64;

/// What answers probes, until it is dropped.
#[derive(Debug)]
pub struct Probes {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Probes {
    /// Answers probes that come here.
    ///
    /// # Errors
    /// No thread or no sockets to be had.
    pub(crate) fn serve(
        listener: std::net::TcpListener,
        router: Router,
        timeouts: &TimeoutsConfig,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connections = Connections::new(router, None, timeouts);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let thread = std::thread::Builder::new().name("probes".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(answer(listener, connections)));
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where they are answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

async fn answer(listener: TcpListener, connections: Connections) {
    let places = Arc::new(Semaphore::new(CONNECTIONS + 1));
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer, place) = accept(&listener, &places).await;
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connections = connections.clone();
        let connection = tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connections.serve(stream, peer.ip()).await {
                tracing::debug!(%error, "a probe's connection ended");
            }
        });
        open.push_back(connection.abort_handle());
    }
}
