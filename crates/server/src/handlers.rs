//! Handlers: parse, call one function of the editor, shape the answer. Statuses of failures are chosen in
//! [`reasonedit_http::problem`].

mod answered;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod canary;
pub(crate) mod codebook;
pub(crate) mod conflicts;
pub(crate) mod docs;
pub(crate) mod dry_run;
pub(crate) mod edits;
pub(crate) mod evidence;
pub(crate) mod feedback;
pub(crate) mod health;
pub(crate) mod if_match;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod modularity;
pub(crate) mod proposals;
pub(crate) mod query;
pub(crate) mod reverts;
pub(crate) mod sign_in;
pub(crate) mod tokens;
pub(crate) mod training_data;
pub(crate) mod versions;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use reasonedit_editor::EditId;
use reasonedit_http::problem::{Problem, Result};
use ulid::Ulid;

/// An edit's id in the path. What can't be an id is simply not there: 404.
pub(crate) struct EditIdPath(pub(crate) EditId);

impl<S: Send + Sync> FromRequestParts<S> for EditIdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = Path::from_request_parts(parts, state).await;
        let id = id_of(path, || Problem::not_found("No edit has an id like this."))?;
        Ok(Self(EditId(id)))
    }
}

/// A ULID in the path. What can't be one is simply not there.
///
/// # Errors
/// `missing`.
pub(crate) fn id_of(
    path: std::result::Result<Path<String>, PathRejection>,
    missing: impl FnOnce() -> Problem,
) -> Result<Ulid> {
    path.ok().and_then(|Path(text)| Ulid::from_string(&text).ok()).ok_or_else(missing)
}

#[cfg(test)]
mod tests;
