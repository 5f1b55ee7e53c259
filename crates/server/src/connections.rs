//! Serving one connection: what hyper is told of it, and when it has to end.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use reasonedit_http::client::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::TimeoutsConfig;
use crate::connection::TimedStream;
use crate::exchanges::{AnswerTimes, Exchanges};
use crate::memory::{HEAD_BYTES, WINDOW_BYTES};
use crate::refusal;
use crate::tls::Tls;

/// How often a connection is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 100;

/// Why a connection ended before its client ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum CutOff {
    /// What was sent was not taken in time.
    #[error("the client takes too long over its answer")]
    Answer,
    /// Nothing was asked for too long.
    #[error("the client asks nothing")]
    Quiet,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

struct Shared {
    router: Router,
    tls: Option<Tls>,
    builder: Builder<TokioExecutor>,
    header: Duration,
    stalled: Duration,
    times: AnswerTimes,
    stopping: CancellationToken,
}

impl Connections {
    /// Connections to this service.
    pub(crate) fn new(router: Router, tls: Option<Tls>, timeouts: &TimeoutsConfig) -> Self {
        let (header, stalled) = (timeouts.header(), timeouts.body_idle());
        Self(Arc::new(Shared {
            router,
            tls,
            builder: builder(header),
            header,
            stalled,
            times: AnswerTimes { whole: timeouts.answer(), piece: stalled },
            stopping: CancellationToken::new(),
        }))
    }

    /// Takes no more requests on any connection; those that run may end.
    pub(crate) fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Says to a client that it has more connections than it may, as far as that can be said at once.
    pub(crate) fn refuse(&self, stream: &TcpStream) {
        // Behind TLS there would have to be a handshake first, which is what too many must not have.
        if self.0.tls.is_none() {
            let _ = stream.try_write(&refusal::too_many_connections());
        }
    }

    /// Serves a connection until it ends.
    ///
    /// # Errors
    /// What ends it early: resets, a client that speaks no HTTP, or takes or says nothing for too long.
    pub(crate) async fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(tls) = &self.0.tls else { return self.speak(stream, peer).await };
        let stream = tokio::time::timeout(self.0.header, tls.acceptor().accept(stream)).await??;
        self.speak(stream, peer).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Shared { router, builder, header, stalled, times, stopping, .. } = &*self.0;
        let exchanges = Exchanges::new(*times);
        let service = service_fn(|request: Request<Incoming>| {
            let (exchanges, exchange) = (exchanges.clone(), exchanges.begin());
            let mut request = request.map(|body| Body::new(ReadBody::new(body, exchanges.clone())));
            request.extensions_mut().insert(Peer(peer));
            let answering = router.clone().oneshot(request);
            async move { answering.await.map(|response| exchanges.answer(exchange, response)) }
        });
        let stream = TokioIo::new(TimedStream::new(stream, *header, *stalled, exchanges.clone()));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut looking = tokio::time::interval(LOOK_EVERY.min(*header / 4).max(Duration::from_millis(1)));
        let mut told = false;
        loop {
            let quiet = tokio::select! {
                served = &mut connection => return served,
                () = stopping.cancelled(), if !told => true,
                now = looking.tick() => {
                    if exchanges.overdue(now) {
                        return Err(CutOff::Answer.into());
                    }
                    // HTTP/1.1 has ended by then: its next head has less time.
                    let quiet = exchanges.quiet(now);
                    if quiet > 3 * *header {
                        return Err(CutOff::Quiet.into());
                    }
                    quiet > 2 * *header
                }
            };
            if quiet && !told {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The next connection, once there is a place for it.
pub(crate) async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so a place always comes.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Events must not wait for more to be sent along.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "the connection has gone");
                }
                return (stream, peer, place);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: trying again at once would only keep the processor busy.
                tracing::error!(%error, "connections can't be accepted");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn builder(header: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(header))
        .keep_alive_timeout(header)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_send_buf_size(HEAD_BYTES)
        .max_concurrent_streams(STREAMS);
    builder
}

/// The body of a request, of which it is known whether it was read to its end.
struct ReadBody {
    body: Incoming,
    ended: bool,
    exchanges: Exchanges,
}

impl ReadBody {
    fn new(body: Incoming, exchanges: Exchanges) -> Self {
        Self { ended: body.is_end_stream(), body, exchanges }
    }
}

impl HttpBody for ReadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReadBody {
    fn drop(&mut self) {
        if !self.ended {
            self.exchanges.left_unread();
        }
    }
}
