//! A receiver of webhooks: a real HTTP server that keeps what it is sent and answers as it is told to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::sync::watch;

/// What its messages are signed with.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// A test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With a status and nothing else.
    Status(u16),
    /// With 503 and a wish to be asked again after so many seconds.
    Later(u64),
    /// With a redirect to a path of its own.
    Redirect,
    /// With 200 and a body without end.
    Endless,
    /// With 200 and a body of which nothing ever comes.
    Silent,
    /// Not before it is released.
    Held,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it was taken.
    pub(crate) taken: bool,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn edit(&self) -> String {
        self.json()["data"]["edit"]["id"].as_str().unwrap().to_owned()
    }

    /// Holds it to its signature.
    pub(crate) fn verify(&self) -> &Self {
        Webhook::new(SECRET).unwrap().verify(&self.body, &self.headers).unwrap();
        self
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    seen: watch::Sender<Vec<Seen>>,
    replies: Mutex<VecDeque<Reply>>,
    released: watch::Sender<bool>,
}

impl Receiver {
    /// One on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            seen: watch::Sender::new(Vec::new()),
            replies: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// What a service is configured with to tell this one: tried again at once.
    pub(crate) fn endpoint(&self) -> Value {
        json!({"url": self.url, "secret": SECRET, "allow_private": true})
    }

    /// Has the next messages answered like this; those after them are taken.
    pub(crate) fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.replies.lock().unwrap().extend(replies);
    }

    /// Has what comes from now on taken.
    pub(crate) fn replies_clear(&self) {
        self.shared.replies.lock().unwrap().clear();
    }

    /// Answers what is held.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// What it took so far.
    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.taken).collect()
    }

    /// Waits until what came is as asked for.
    pub(crate) async fn wait(&self, mut enough: impl FnMut(&[Seen]) -> bool) -> Vec<Seen> {
        let mut seen = self.shared.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await;
        assert!(waited.is_ok(), "what is waited for doesn't come; there is {:#?}", self.seen());
        self.seen()
    }

    /// Waits until it took so many, and gives them.
    pub(crate) async fn took(&self, count: usize) -> Vec<Seen> {
        self.wait(|seen| seen.iter().filter(|seen| seen.taken).count() >= count).await;
        self.taken()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let reply = shared.replies.lock().unwrap().pop_front().unwrap_or(Reply::Status(204));
    let taken = match reply {
        Reply::Status(status) => (200..300).contains(&status),
        Reply::Endless | Reply::Silent => true,
        Reply::Later(_) | Reply::Redirect | Reply::Held => false,
    };
    let seen = Seen { path: parts.uri.path().to_owned(), headers: parts.headers, body, taken };
    shared.seen.send_modify(|all| all.push(seen));
    let answer = Response::builder();
    let endless = || futures::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])));
    let answer = match reply {
        Reply::Status(status) => answer.status(status).body(Body::empty()),
        Reply::Later(seconds) => answer.status(503).header(header::RETRY_AFTER, seconds).body(Body::empty()),
        Reply::Redirect => answer.status(307).header(header::LOCATION, "/elsewhere").body(Body::empty()),
        Reply::Endless => answer.body(Body::from_stream(endless())),
        Reply::Silent => {
            answer.body(Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>()))
        }
        Reply::Held => {
            let mut released = shared.released.subscribe();
            released.wait_for(|released| *released).await.unwrap();
            answer.status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty())
        }
    };
    answer.unwrap()
}
