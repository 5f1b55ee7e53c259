//! What a route asks of the layers around it, said where the route is registered: a route without a policy
//! can't be.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::MethodRouter;
use reasonedit_access::AccessRole;
use time::Date;
use utoipa::openapi::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::body::BodyBudget;
use crate::deprecation::Deprecation;
use crate::limits::Archives;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone: a browser can't send a token when a person opens a page, and probes have none. Nothing of
    /// what people gave may be told here.
    Open,
    /// Who has a token of this role, or of one that may more.
    Token(AccessRole),
    /// The same, with a token that may be the password of basic authentication, for clients that know no
    /// other.
    Password(AccessRole),
}

impl Access {
    /// The role that is needed; none where everyone may ask.
    pub const fn role(self) -> Option<AccessRole> {
        match self {
            Self::Open => None,
            Self::Token(role) | Self::Password(role) => Some(role),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Token(role) => write!(f, "{role}"),
            Self::Password(role) => write!(f, "{role}, also by password"),
        }
    }
}

/// What body a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPolicy {
    /// None; what is sent all the same is not read.
    None,
    /// JSON.
    Json,
    /// JSON, or nothing.
    OptionalJson,
    /// JSON of whatever media type it is said to be.
    UntypedJson,
    /// JSON or a form.
    Form,
    /// A stream that is never held in memory, with limits of its own.
    Upload,
}

/// How a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerPolicy {
    /// At once.
    Whole,
    /// Piece by piece, or at once where that was asked for.
    Streamed,
}

/// Which of the configured times an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlinePolicy {
    /// That of a request.
    Request,
    /// That of an upload, whose body takes its time.
    Upload,
}

/// What the audit trail holds of a route. Requests that are refused are in it wherever a token is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditPolicy {
    /// Every request, of which those by GET change nothing.
    ByMethod,
    /// Every request, none of which changes anything.
    Reads,
    /// None that is answered: nothing of what people gave is told.
    Off,
    /// Every request, as somebody's sign-in, though everyone may ask.
    SignIn,
}

/// What a route asks of the layers around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who may ask.
    pub access: Access,
    /// Whether it is answered even when all places are taken: probes must not fail because the service is
    /// busy.
    pub always: bool,
    /// What body it takes.
    pub body: BodyPolicy,
    /// Bytes that the body may have, where that is less than bodies may have.
    pub body_bytes: Option<usize>,
    /// How it answers.
    pub answer: AnswerPolicy,
    /// How long that may take.
    pub deadline: DeadlinePolicy,
    /// Whether it takes a place among the archives that are written or read.
    pub archives: bool,
    /// That it is to go, if it is.
    pub deprecated: Option<Deprecation>,
    /// What the audit trail holds of it; nothing where everyone may ask, sign-ins left out.
    pub audit: AuditPolicy,
}

impl Policy {
    /// For readers, without a body, answered at once.
    pub const READER: Self = Self {
        access: Access::Token(AccessRole::Reader),
        always: false,
        body: BodyPolicy::None,
        body_bytes: None,
        answer: AnswerPolicy::Whole,
        deadline: DeadlinePolicy::Request,
        archives: false,
        deprecated: None,
        audit: AuditPolicy::ByMethod,
    };
    /// For everyone.
    pub const OPEN: Self = Self { access: Access::Open, ..Self::READER };
    /// For everyone, also when all places are taken.
    pub const PROBE: Self = Self { always: true, ..Self::OPEN };
    /// For who makes edits.
    pub const CONTRIBUTOR: Self = Self { access: Access::Token(AccessRole::Contributor), ..Self::READER };
    /// For who answers for others' edits.
    pub const EDITOR: Self = Self { access: Access::Token(AccessRole::Editor), ..Self::READER };
    /// For who looks after the service itself.
    pub const ADMIN: Self = Self { access: Access::Token(AccessRole::Admin), ..Self::READER };

    /// The token may be the password of basic authentication.
    #[must_use]
    pub const fn password(self) -> Self {
        match self.access {
            Access::Token(role) => Self { access: Access::Password(role), ..self },
            Access::Open | Access::Password(_) => self,
        }
    }

    /// It takes such a body.
    #[must_use]
    pub const fn body(self, body: BodyPolicy) -> Self {
        Self { body, ..self }
    }

    /// Its body has no more bytes than this.
    #[must_use]
    pub const fn at_most(self, bytes: usize) -> Self {
        Self { body_bytes: Some(bytes), ..self }
    }

    /// It takes a stream, and the time that this needs.
    #[must_use]
    pub const fn upload(self) -> Self {
        Self { body: BodyPolicy::Upload, deadline: DeadlinePolicy::Upload, ..self }
    }

    /// It answers piece by piece.
    #[must_use]
    pub const fn streamed(self) -> Self {
        Self { answer: AnswerPolicy::Streamed, ..self }
    }

    /// It takes a place among the archives.
    #[must_use]
    pub const fn archives(self) -> Self {
        Self { archives: true, ..self }
    }

    /// It is answered even when all places are taken.
    #[must_use]
    pub const fn always(self) -> Self {
        Self { always: true, ..self }
    }

    /// It changes nothing, whatever its method.
    #[must_use]
    pub const fn reads(self) -> Self {
        Self { audit: AuditPolicy::Reads, ..self }
    }

    /// The audit trail holds nothing of what it answers.
    #[must_use]
    pub const fn unaudited(self) -> Self {
        Self { audit: AuditPolicy::Off, ..self }
    }

    /// Somebody signs in by it.
    #[must_use]
    pub const fn signs_in(self) -> Self {
        Self { audit: AuditPolicy::SignIn, ..self }
    }

    /// It is no longer meant to be used, and may be gone from the day `sunset` on.
    #[must_use]
    pub const fn deprecated(self, since: Date, sunset: Date) -> Self {
        Self { deprecated: Some(Deprecation { since, sunset }), ..self }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access, always, body, body_bytes, answer, deadline, archives, deprecated, audit } = self;
        let body = match body {
            BodyPolicy::None => "none",
            BodyPolicy::Json => "json",
            BodyPolicy::OptionalJson => "json or none",
            BodyPolicy::UntypedJson => "json of any type",
            BodyPolicy::Form => "json or form",
            BodyPolicy::Upload => "upload",
        };
        let answer = format!("{answer:?}").to_lowercase();
        let deadline = format!("{deadline:?}").to_lowercase();
        write!(f, "access: {access}; body: {body}; answer: {answer}; deadline: {deadline}")?;
        for (is, word) in [(always, "always answered"), (archives, "a place among archives")] {
            if *is {
                write!(f, "; {word}")?;
            }
        }
        if let Some(bytes) = body_bytes {
            write!(f, "; a body of at most {bytes} bytes")?;
        }
        match audit {
            AuditPolicy::ByMethod => {}
            AuditPolicy::Reads => f.write_str("; audited as a look")?,
            AuditPolicy::Off => f.write_str("; not audited")?,
            AuditPolicy::SignIn => f.write_str("; audited as a sign-in")?,
        }
        if let Some(Deprecation { since, sunset }) = deprecated {
            write!(f, "; deprecated since {since}, gone from {sunset}")?;
        }
        Ok(())
    }
}

/// The policies of all routes.
#[derive(Clone, Debug, Default)]
pub struct Policies(HashMap<String, Vec<(Method, Policy)>>);

impl Policies {
    fn add(&mut self, path: &str, method: Method, policy: Policy) {
        self.0.entry(path.to_owned()).or_default().push((method, policy));
    }

    /// The policy of a request. What no route is registered for needs a token, so that nothing is told of
    /// what there is.
    fn of(&self, path: Option<&str>, method: &Method) -> Policy {
        let Some(methods) = path.and_then(|path| self.0.get(path)) else { return Policy::READER };
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let exact = methods.iter().find(|(known, _)| known == method);
        // A method that the resource doesn't have.
        let policy = exact.or(methods.first()).map_or(Policy::READER, |(_, policy)| *policy);
        if exact.is_some() {
            policy
        } else {
            Policy { body: BodyPolicy::None, archives: false, deprecated: None, ..policy }
        }
    }

    /// All of them: path, method, policy, in the order of their paths.
    pub fn all(&self) -> Vec<(String, String, Policy)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .flat_map(|(path, methods)| {
                methods.iter().map(|(method, policy)| (path.clone(), method.to_string(), *policy))
            })
            .collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }
}

/// Routes with their policies and their place in the contract.
#[derive(Clone)]
pub struct Routes<S: Clone + Send + Sync + 'static = ()> {
    router: OpenApiRouter<S>,
    policies: Policies,
}

impl<S: Clone + Send + Sync + 'static> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.policies).finish()
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: OpenApiRouter::new(), policies: Policies::default() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes, and the contract that theirs become parts of.
    pub fn with_openapi(openapi: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(openapi), policies: Policies::default() }
    }

    /// A route of the contract: what `utoipa_axum::routes!` makes of its handler.
    #[must_use]
    pub fn route(mut self, policy: Policy, mut route: UtoipaMethodRouter<S>) -> Self {
        for (path, item) in &mut route.1.paths {
            let operations = [
                (&mut item.get, Method::GET),
                (&mut item.post, Method::POST),
                (&mut item.put, Method::PUT),
                (&mut item.delete, Method::DELETE),
                (&mut item.patch, Method::PATCH),
            ];
            for (operation, method) in operations {
                let Some(operation) = operation else { continue };
                if let Some(deprecation) = policy.deprecated {
                    deprecation.write(operation);
                }
                if policy.audit == AuditPolicy::Off {
                    // Only what has to be in the trail is refused where it can't be.
                    operation.responses.responses.remove("507");
                }
                if let Some(role) = policy.access.role() {
                    let said = Extensions::builder().add("x-required-role", role.name()).build();
                    operation.extensions.get_or_insert_default().merge(said);
                }
                self.policies.add(path, method, policy);
            }
        }
        self.router = self.router.routes(route);
        self
    }

    /// A route that is read and not part of the contract: pages, and other names of what is.
    #[must_use]
    pub fn page(mut self, policy: Policy, path: &str, get: MethodRouter<S>) -> Self {
        self.policies.add(path, Method::GET, policy);
        self.router = self.router.route(path, get);
        self
    }

    /// These and others.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.policies.0.extend(other.policies.0);
        self.router = self.router.merge(other.router);
        self
    }

    /// The same with what their handlers share, for routes with another state to be put beside them.
    #[must_use]
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: S) -> Routes<T> {
        Routes { router: self.router.with_state(state), policies: self.policies }
    }

    /// The router, the contract and the policies.
    pub fn split(self) -> (axum::Router<S>, OpenApi, Policies) {
        let (router, openapi) = self.router.split_for_parts();
        (router, openapi, self.policies)
    }
}

/// What the layers and handlers of each route are given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The policies of all routes.
    pub policies: Arc<Policies>,
    /// Memory for bodies.
    pub budget: BodyBudget,
    /// Places among the archives.
    pub archives: Archives,
}

/// Gives a request the policy of its route, and what that entitles its handler to.
pub async fn attach(
    State(given): State<Given>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let policy = given.policies.of(path.as_ref().map(MatchedPath::as_str), request.method());
    let extensions = request.extensions_mut();
    extensions.insert(policy);
    if policy.body != BodyPolicy::None {
        extensions.insert(match policy.body_bytes {
            Some(bytes) => given.budget.at_most(bytes),
            None => given.budget,
        });
    }
    if policy.archives {
        extensions.insert(given.archives);
    }
    let mut response = next.run(request).await;
    if let Some(deprecation) = policy.deprecated {
        deprecation.tell(response.headers_mut());
    }
    response
}

/// The policy that a request was given; that of what no route is registered for where it was given none.
pub fn of(request: &Request) -> Policy {
    request.extensions().get().copied().unwrap_or(Policy::READER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_route_needs_a_token() {
        let mut policies = Policies::default();
        policies.add("/health", Method::GET, Policy::PROBE);
        policies.add("/edits", Method::POST, Policy::CONTRIBUTOR.body(BodyPolicy::Form));
        policies.add("/edits", Method::GET, Policy::READER);
        assert_eq!(policies.of(Some("/health"), &Method::HEAD), Policy::PROBE);
        assert_eq!(policies.of(Some("/edits"), &Method::POST).body, BodyPolicy::Form);
        assert_eq!(policies.of(Some("/edits"), &Method::GET), Policy::READER);
        assert_eq!(policies.of(Some("/edits"), &Method::DELETE), Policy::CONTRIBUTOR);
        assert_eq!(policies.of(Some("/health"), &Method::POST).access, Access::Open);
        assert_eq!(policies.of(None, &Method::GET), Policy::READER);
    }

    #[test]
    fn a_policy_reads_as_a_sentence() {
        assert_eq!(
            Policy::CONTRIBUTOR.upload().archives().to_string(),
            "access: contributor; body: upload; answer: whole; deadline: upload; a place among archives"
        );
    }
}
