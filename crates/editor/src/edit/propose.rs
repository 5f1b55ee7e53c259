//! Edits that wait: checked as an edit is, and kept beside the codebook; made, or imagined, from there.

use std::sync::Arc;

use reasonedit_codebook::{EditId, EditRecord, Generation, Member, Relations, Snapshot};
use reasonedit_proposals::{Proposal, ProposedContent, Submitted};

use super::amend::Base;
use super::{EditPipeline, relations};
use crate::core::Turn;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};
use crate::types::{Amendment, EditRequest, EditView, IdempotencyKey};
use crate::validate;

impl EditPipeline<'_> {
    /// What came of the request with this key before: an edit, or a proposal.
    pub(crate) async fn submitted_before(
        &self,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Submitted>, EditorError> {
        let Some(key) = key else { return Ok(None) };
        if let Some(view) = self.replay_of(Some(key)).await? {
            return Ok(Some(Submitted::Made(Box::new(view))));
        }
        let Some(proposal) = self.core.proposals().under_key(self.codebook, &key.key) else {
            return Ok(None);
        };
        let known = proposal.idempotency.as_ref().map(|known| known.body);
        if known.is_some_and(|body| body == key.body || key.former.contains(&body)) {
            return Ok(Some(Submitted::Proposed { proposal, replayed: true }));
        }
        Err(EditorError::IdempotencyConflict)
    }

    /// Keeps an edit as a proposal of this person's.
    ///
    /// # Errors
    /// As for an edit that is made, but nothing is computed; as many proposals as there may be.
    pub(crate) async fn propose(
        &self,
        mut request: EditRequest,
        by: Option<&str>,
    ) -> Result<Submitted, EditorError> {
        validate::repair::edit(&mut request);
        validate::edit(&request, &self.core.config().limits)?;
        let _turn = self.turn_of(request.idempotency.as_ref()).await;
        if let Some(before) = self.submitted_before(request.idempotency.as_ref()).await? {
            return Ok(before);
        }
        let relations = relations::asked_for(self.core, self.codebook, &request)?;
        self.keep(request, relations, None, by).await
    }

    /// Keeps a new version of an edit as a proposal of this person's; one that says nothing new is the edit
    /// as it is.
    ///
    /// # Errors
    /// As for an amendment that is made, but nothing is computed; as many proposals as there may be.
    pub(crate) async fn propose_amendment(
        &self,
        id: EditId,
        amendment: Amendment,
        by: Option<&str>,
    ) -> Result<Submitted, EditorError> {
        let _turn = self.turn_of(amendment.idempotency.as_ref()).await;
        if let Some(before) = self.submitted_before(amendment.idempotency.as_ref()).await? {
            return Ok(before);
        }
        let (base, request, relations) = self.amended(id, amendment)?;
        if base.says(&request) && relations.supersedes.is_empty() {
            let view = super::outcome::view(self.core, self.codebook, base.record().id).await?;
            return Ok(Submitted::Made(Box::new(view)));
        }
        self.keep(request, relations, Some(base), by).await
    }

    /// Checks what a proposal is to say from now on, as an edit's is: with the version that it is made of, if
    /// it is to be one of an edit.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub(crate) async fn reworded(
        &self,
        proposal: &Proposal,
        change: Amendment,
    ) -> Result<(ProposedContent, Option<EditId>), EditorError> {
        // It is held against the edit as that is now: who reads it next sees what they approve of.
        let next = proposal.reworded(change);
        let (request, relations, base) = self.asked(&next)?;
        let (kept, made_of) = (ProposedContent::from(&request), base.map(|base| base.record().id));
        self.checked(request, relations).await?;
        Ok((kept, made_of))
    }

    /// What a proposal asks for, checked.
    fn asked(&self, proposal: &Proposal) -> Result<(EditRequest, Relations, Option<Base>), EditorError> {
        if let Some(edit) = proposal.amends {
            let (base, request, relations) = self.amended(edit, proposal.amendment())?;
            return Ok((request, relations, Some(base)));
        }
        let mut request = proposal.request();
        validate::repair::edit(&mut request);
        validate::edit(&request, &self.core.config().limits)?;
        let relations = relations::asked_for(self.core, self.codebook, &request)?;
        Ok((request, relations, None))
    }

    /// Makes the edit of a proposal, under its id: durable and live when this returns.
    ///
    /// # Errors
    /// As for an edit, or an amendment.
    pub(crate) async fn make_proposed(&self, proposal: &Proposal) -> Result<EditView, EditorError> {
        let id = Some(EditId(proposal.id));
        match proposal.amends {
            Some(edit) => Box::pin(self.amend(edit, proposal.amendment(), id)).await,
            None => Box::pin(self.run(proposal.request(), id)).await,
        }
    }

    /// The edit of a proposal as it would be stored into this state of the codebook.
    ///
    /// # Errors
    /// As [`Self::make_proposed`].
    pub(crate) async fn imagine_proposed(
        &self,
        proposal: &Proposal,
        snapshot: &Snapshot,
    ) -> Result<(EditRecord, Vec<Member>, Generation), EditorError> {
        let (request, relations, base) = self.asked(proposal)?;
        let request = EditRequest { verify: false, idempotency: None, ..request };
        let place = (base, Some(EditId(proposal.id)));
        Ok(self.imagine_checked(request, relations, place, snapshot).await?.0)
    }

    /// Held until what the request with this key came to is known.
    async fn turn_of(&self, key: Option<&IdempotencyKey>) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let key = key?.key.clone();
        Some(self.core.turn(self.codebook, Turn::Request(key)).await)
    }

    /// What can be seen of an edit without the model: its picture, its boxes, whether it may stand.
    async fn checked(
        &self,
        request: EditRequest,
        relations: Relations,
    ) -> Result<DecodedPicture, EditorError> {
        let embedder = self.core.embedder_of(self.codebook)?;
        let edit = self.decode(request, relations, &embedder, self.call.flow).await?;
        self.admit(&edit)?;
        Ok(edit.picture)
    }

    async fn keep(
        &self,
        request: EditRequest,
        relations: Relations,
        base: Option<Base>,
        by: Option<&str>,
    ) -> Result<Submitted, EditorError> {
        let amends = base.map(|base| (base.record().known_as(), base.record().id));
        let (id, name) = (self.core.next_id(), self.codebook.clone());
        let proposal = Proposal::new(id, name, by.map(str::to_owned), &request, amends);
        let picture = self.checked(request, relations).await?;
        let (core, most) = (Arc::clone(self.core), self.core.config().review.most);
        // No picture goes while one that needs it is written.
        let gate = self.core.gate().read_owned().await;
        let proposal = blocking(move || {
            core.pictures().keep(&picture)?;
            let kept = core.proposals().put(proposal, most);
            drop(gate);
            Ok(kept?)
        })
        .await?;
        Ok(Submitted::Proposed { proposal, replayed: false })
    }
}
