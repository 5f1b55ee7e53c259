//! The audit trail of requests: who asked for what, and which ids were touched, told where that is known.
//!
//! Handlers are given [`Audited`] and add what they touch; the layer writes one line when the answer is
//! ready to be sent, before any of it is. Nothing that a person wrote gets here but ids and names that were
//! checked.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use reasonedit_access::{Caller, Credential};
pub use reasonedit_audit::{AuditCaller, AuditEvent, AuditOutcome, AuditRecord};
use reasonedit_audit::{AuditError, AuditTrail, AuditWait};
use tokio::sync::oneshot;

use crate::client::{Peer, Proxies};
use crate::policy::{self, Access, AuditPolicy, Policy};
use crate::problem::Problem;
use crate::request_id::{RequestId, method_name};

/// Ids of one kind that a line has room for; of more their number is told.
const MOST_IDS: usize = 1000;
/// How long a request waits for its line at most: a disk that hangs is one that fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest name of a codebook.
const CODEBOOK_CHARS: usize = 64;

/// Where the trail is once it is opened, if one is kept.
#[derive(Clone, Debug, Default)]
pub struct AuditSink(Arc<OnceLock<AuditTrail>>);

impl AuditSink {
    /// Says where the trail is. A second time is ignored.
    pub fn set(&self, trail: AuditTrail) {
        let _ = self.0.set(trail);
    }

    /// Adds what a job did, if a trail is kept.
    pub fn job(&self, done: AuditRecord) {
        self.add(&AuditRecord { event: AuditEvent::Job, ..done });
    }

    /// Adds what the service did by itself, if a trail is kept.
    pub fn add(&self, done: &AuditRecord) {
        if let Some(trail) = self.trail() {
            trail.append(done);
        }
    }

    /// The trail, if one is kept.
    pub fn trail(&self) -> Option<&AuditTrail> {
        self.0.get()
    }
}

/// What the layer needs.
#[derive(Clone, Debug)]
pub struct Auditing {
    sink: AuditSink,
    proxies: Proxies,
}

impl Auditing {
    /// Into this trail; who asks is told apart by what these proxies say.
    pub fn new(sink: AuditSink, proxies: Proxies) -> Self {
        Self { sink, proxies }
    }
}

/// What is known of a request by and by.
#[derive(Debug, Default)]
struct Touched {
    caller: Option<Caller>,
    codebook: Option<String>,
    whole: bool,
    edits: Ids,
    images: Ids,
    jobs: Ids,
    tokens: Ids,
}

/// Ids, each once.
#[derive(Debug, Default)]
struct Ids {
    kept: BTreeSet<String>,
    more: u64,
}

impl Ids {
    fn add(&mut self, id: String) {
        if self.kept.len() < MOST_IDS {
            self.kept.insert(id);
        } else if !self.kept.contains(&id) {
            self.more += 1;
        }
    }

    fn take(&mut self, more: &mut u64) -> Vec<String> {
        *more += self.more;
        std::mem::take(&mut self.kept).into_iter().collect()
    }
}

/// What a request touches, for its line in the audit trail; cheap to clone, and fit for other tasks.
#[derive(Clone, Debug, Default)]
pub struct Audited(Arc<Mutex<Touched>>);

impl Audited {
    /// Who asks, or has signed in.
    pub fn by(&self, caller: &Caller) {
        self.0.lock().caller = Some(caller.clone());
    }

    /// The codebook, which is handed back.
    pub fn codebook<T: Display>(&self, name: T) -> T {
        self.0.lock().codebook = Some(name.to_string());
        name
    }

    /// All of the codebook is handed out or taken in.
    pub fn whole(&self) {
        self.0.lock().whole = true;
    }

    /// An edit that is made, taken back, shown, or put in front of a question.
    pub fn edit(&self, id: impl Display) {
        self.0.lock().edits.add(id.to_string());
    }

    /// Several.
    pub fn edits(&self, ids: impl IntoIterator<Item: Display>) {
        ids.into_iter().for_each(|id| self.edit(id));
    }

    /// A picture that is sent, shown or asked about.
    pub fn image(&self, id: impl Display) {
        self.0.lock().images.add(id.to_string());
    }

    /// A job.
    pub fn job(&self, id: impl Display) {
        self.0.lock().jobs.add(id.to_string());
    }

    /// A token, by its id.
    pub fn token(&self, id: impl Display) {
        self.0.lock().tokens.add(id.to_string());
    }
}

impl<S: Sync> FromRequestParts<S> for Audited {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Where there is no trail nobody looks at what is added.
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// The caller as lines name them.
fn named(caller: Option<&Caller>) -> AuditCaller {
    let Some(caller) = caller else { return AuditCaller::Anonymous };
    let name = || caller.name().unwrap_or_default().to_owned();
    match caller.credential() {
        Credential::Given(id) => AuditCaller::Token { id: id.to_string(), name: name() },
        Credential::Issued(issuer) => AuditCaller::Issuer { issuer: issuer.to_string(), name: name() },
        Credential::Configured => AuditCaller::Configured,
        Credential::None => AuditCaller::Anonymous,
    }
}

/// The codebook that a request names, if it could be a name.
fn codebook_named(uri: &Uri) -> Option<String> {
    let (_, name) =
        form_urlencoded::parse(uri.query()?.as_bytes()).find(|(parameter, _)| parameter == "codebook")?;
    let sane = (1..=CODEBOOK_CHARS).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    sane.then(|| name.into_owned())
}

/// What a route does with what people gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Look,
    Change,
}

fn does(policy: &Policy, method: &Method) -> Option<Does> {
    match policy.audit {
        AuditPolicy::Off => None,
        AuditPolicy::Reads => Some(Does::Look),
        AuditPolicy::ByMethod if matches!(*method, Method::GET | Method::HEAD) => Some(Does::Look),
        AuditPolicy::SignIn | AuditPolicy::ByMethod => Some(Does::Change),
    }
}

/// A request whose line is to be written, also where its client goes or its handler panics.
struct Pending {
    trail: AuditTrail,
    event: AuditEvent,
    audited: Audited,
    does: Option<Does>,
    address: Option<IpAddr>,
    method: &'static str,
    route: Option<String>,
    request_id: Option<String>,
    /// For those that are refused before a handler knows.
    codebook: Option<String>,
    written: bool,
}

impl Pending {
    fn record(&self, status: u16, outcome: AuditOutcome) -> AuditRecord {
        let mut touched = self.audited.0.lock();
        let (role, mut more) = (touched.caller.as_ref().map(|caller| caller.role().to_string()), 0);
        AuditRecord {
            event: self.event,
            caller: Some(named(touched.caller.as_ref())),
            role,
            address: self.address,
            method: Some(self.method.to_owned()),
            route: self.route.clone(),
            status: Some(status),
            outcome: Some(outcome),
            request_id: self.request_id.clone(),
            codebook: touched.codebook.clone().or_else(|| self.codebook.clone()),
            whole: touched.whole,
            edits: touched.edits.take(&mut more),
            images: touched.images.take(&mut more),
            jobs: touched.jobs.take(&mut more),
            tokens: touched.tokens.take(&mut more),
            more,
            ..AuditRecord::default()
        }
    }

    /// Whether it came as far as to be told who asks: whoever didn't can't fill the disk.
    fn known(&self) -> bool {
        self.audited.0.lock().caller.is_some()
    }

    /// Writes the line of an answer, and waits for it as long as the settings ask for that.
    async fn answered(mut self, status: u16) -> Result<(), AuditError> {
        self.written = true;
        let outcome = AuditOutcome::of_status(status);
        let record = self.record(status, outcome);
        let Some(does) = self.does else {
            if outcome == AuditOutcome::Refused {
                self.trail.refused(record);
            }
            return Ok(());
        };
        if outcome == AuditOutcome::Refused || !self.known() {
            self.trail.refused(record);
            return Ok(());
        }
        let changed = does == Does::Change && outcome == AuditOutcome::Answered;
        match self.trail.wait(changed) {
            None => {
                self.trail.append(&record);
                Ok(())
            }
            Some(until) => wait(&self.trail, &record, until).await,
        }
    }
}

async fn wait(trail: &AuditTrail, record: &AuditRecord, until: AuditWait) -> Result<(), AuditError> {
    let (sender, done) = oneshot::channel();
    trail.append_then(record, until, move |result| drop(sender.send(result)));
    let done = match tokio::time::timeout(PATIENCE, done).await {
        Ok(done) => done.unwrap_or(Ok(())),
        Err(_) => Err(AuditError::Unwritten { full: false, reason: "the disk takes too long".to_owned() }),
    };
    match done {
        // Told where it was found; what waits is written later.
        Err(_) if !trail.refuses() => Ok(()),
        done => done,
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.written || self.does.is_none() {
            return;
        }
        let (status, outcome) =
            if std::thread::panicking() { (500, AuditOutcome::Failed) } else { (499, AuditOutcome::Aborted) };
        let record = self.record(status, outcome);
        if self.known() { self.trail.append(&record) } else { self.trail.refused(record) }
    }
}

/// Writes a line into the audit trail for every request of a route whose policy asks for that, and for those
/// that are refused.
pub async fn record(
    State(Auditing { sink, proxies }): State<Auditing>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let policy = policy::of(&request);
    let signs_in = policy.audit == AuditPolicy::SignIn;
    let Some(trail) = sink.trail().filter(|_| policy.access != Access::Open || signs_in) else {
        return next.run(request).await;
    };
    // What no route is registered for tells nobody anything.
    let does = path.as_ref().and_then(|_| does(&policy, request.method()));
    if let Some(problem) = does.and_then(|_| trail.ready().err()) {
        return Problem::from(problem).into_response();
    }
    let audited = Audited::default();
    let extensions = request.extensions();
    let pending = Pending {
        trail: trail.clone(),
        event: if signs_in { AuditEvent::SignIn } else { AuditEvent::Request },
        audited: audited.clone(),
        does,
        address: extensions.get::<Peer>().map(|peer| proxies.client(*peer, request.headers())),
        method: method_name(request.method()),
        route: path.map(|path| path.as_str().to_owned()),
        request_id: extensions.get::<RequestId>().map(ToString::to_string),
        codebook: codebook_named(request.uri()),
        written: false,
    };
    request.extensions_mut().insert(audited);
    let response = next.run(request).await;
    match pending.answered(response.status().as_u16()).await {
        Ok(()) => response,
        Err(error) => Problem::from(error).into_response(),
    }
}
