//! How corrections are answered, be they edits or proposals, and what of them the audit trail is told.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reasonedit_dto::edit::EditDto;
use reasonedit_dto::proposal::{ProposalDto, ProposedEditDto, ProposedStatus};
use reasonedit_editor::{CodebookName, EditView, Editor, Proposal};
use reasonedit_http::audit::Audited;

use super::if_match::tag;

/// Tells a repeated request's answer from the first.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An edit as it is answered, under the tag of its newest version.
pub(super) fn answered(status: StatusCode, view: &EditView) -> Response {
    let mut response = (status, [(header::ETAG, tag(view))], Json(EditDto::from(view))).into_response();
    if view.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// An edit is shown, with what its answer says of others.
pub(super) fn shown(audited: &Audited, view: &EditView) {
    audited.edit(view.record.known_as());
    audited.image(view.record.image.id);
    audited.edits(
        view.conflicts
            .iter()
            .chain(&view.superseded_by)
            .chain(&view.near_duplicates)
            .map(|other| other.edit_id),
    );
}

/// A correction that waits, as it is answered.
pub(super) fn proposed(
    (editor, codebook): (&Editor, &CodebookName),
    named: Option<&str>,
    proposal: &Proposal,
    replayed: bool,
) -> Response {
    let proposal_dto = ProposalDto::new(proposal, editor.config().review.of(codebook));
    let mut location = format!("/proposals/{}", proposal.id);
    if named.is_some() {
        location = format!("{location}?codebook={codebook}");
    }
    let body = ProposedEditDto { status: ProposedStatus::Proposed, proposal: proposal_dto };
    let head = [(header::LOCATION, location), (header::ETAG, tag_of(proposal))];
    let mut response = (StatusCode::ACCEPTED, head, Json(body)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A proposal is shown.
pub(super) fn seen(audited: &Audited, proposal: &Proposal) {
    audited.edit(proposal.id);
    audited.edits(proposal.amends);
    audited.image(proposal.newest.content.image);
}

/// The tag of a proposal: everything that is done with it makes another.
pub(super) fn tag_of(proposal: &Proposal) -> String {
    format!("\"{}.{}\"", proposal.id, proposal.steps.len())
}
