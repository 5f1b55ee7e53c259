//! Proposals: edits that wait beside their codebook until somebody else has approved of them.
//!
//! The id under which a proposal waits is the one that its edit is stored under. So that it became an edit
//! stands in the codebook, in the transaction that made it; what is written of the proposal follows.

use std::sync::Arc;

use reasonedit_codebook::{CodebookError, CodebookName, EditId};
use reasonedit_proposals::{
    Approved, Proposal, ProposalError, ProposalFilter, ProposalState, ProposedVersion, Reviewer, Submitted,
    Submitter,
};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::config::ReviewMode;
use crate::core::{Core, Turn};
use crate::edit::EditPipeline;
use crate::editor::Editor;
use crate::erase::{ErasureView, end_erasures};
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{Amendment, CallContext, EditRequest};

impl Editor {
    /// Makes an edit, or keeps it as a proposal where those of this person wait in this codebook: durable
    /// when this returns.
    ///
    /// # Errors
    /// As [`Editor::edit`]; more proposals than may wait.
    pub async fn submit(
        &self,
        codebook: &CodebookName,
        request: EditRequest,
        by: &Submitter,
        call: CallContext,
    ) -> Result<Submitted, EditorError> {
        let pipeline = EditPipeline { core: &self.core, codebook, call };
        if self.waits(codebook, by) {
            return Box::pin(pipeline.propose(request, by.name.as_deref())).await;
        }
        if let Some(before) = Box::pin(pipeline.submitted_before(request.idempotency.as_ref())).await? {
            return Ok(before);
        }
        Ok(Submitted::Made(Box::new(self.edit(codebook, request, call).await?)))
    }

    /// Makes a new version of an edit, or keeps it as a proposal, as [`Editor::submit`] does.
    ///
    /// # Errors
    /// As [`Editor::amend`]; more proposals than may wait.
    pub async fn submit_amendment(
        &self,
        codebook: &CodebookName,
        id: EditId,
        amendment: Amendment,
        by: &Submitter,
        call: CallContext,
    ) -> Result<Submitted, EditorError> {
        let pipeline = EditPipeline { core: &self.core, codebook, call };
        if self.waits(codebook, by) {
            return Box::pin(pipeline.propose_amendment(id, amendment, by.name.as_deref())).await;
        }
        if let Some(before) = Box::pin(pipeline.submitted_before(amendment.idempotency.as_ref())).await? {
            return Ok(before);
        }
        Ok(Submitted::Made(Box::new(self.amend(codebook, id, amendment, call).await?)))
    }

    /// Whether what this person submits waits in this codebook.
    pub fn waits(&self, codebook: &CodebookName, by: &Submitter) -> bool {
        self.config().review.of(codebook).waits(by.contributor)
    }

    /// A proposal, and what it said before, oldest first.
    ///
    /// # Errors
    /// An unknown one, failing storage.
    pub async fn proposal(
        &self,
        codebook: &CodebookName,
        id: Ulid,
    ) -> Result<(Arc<Proposal>, Vec<ProposedVersion>), EditorError> {
        let (core, codebook) = (Arc::clone(&self.core), codebook.clone());
        blocking(move || {
            let proposal = core.proposals().get(&codebook, id)?;
            let earlier = core.proposals().earlier(&proposal)?;
            Ok((proposal, earlier))
        })
        .await
    }

    /// At most `limit` proposals of a codebook below `cursor`, newest first, and where the next page begins.
    pub fn proposals(
        &self,
        codebook: &CodebookName,
        filter: &ProposalFilter,
        cursor: Option<Ulid>,
        limit: usize,
    ) -> (Vec<Arc<Proposal>>, Option<Ulid>) {
        self.core.proposals().list(codebook, filter, cursor, limit)
    }

    /// The proposals of whatever codebook that are `wanted`, oldest first.
    pub fn find_proposals(&self, wanted: impl Fn(&Proposal) -> bool) -> Vec<Arc<Proposal>> {
        self.core.proposals().find(wanted)
    }

    /// Says otherwise what a proposal says; what it said before is kept, and who approved of that has not
    /// approved of this.
    ///
    /// # Errors
    /// Unusable input; a proposal that doesn't wait any more, or has other steps by now than were seen;
    /// failing storage.
    pub async fn amend_proposal(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        change: Amendment,
        by: &Reviewer,
        call: CallContext,
    ) -> Result<Arc<Proposal>, EditorError> {
        let core = &self.core;
        let _turn = core.turn(codebook, Turn::Proposal(id)).await;
        let proposal = core.current(codebook, id).await?;
        let pipeline = EditPipeline { core, codebook, call };
        let next = Box::pin(pipeline.reworded(&proposal, change)).await?;
        let (core, codebook, by) = (Arc::clone(core), codebook.clone(), by.clone());
        blocking(move || Ok(core.proposals().amend((&codebook, id), next, &by)?)).await
    }

    /// Approves of a proposal; with enough approvals it becomes an edit by its author, under its id, as if
    /// they had made it now. Goes on though nobody waits for it.
    ///
    /// # Errors
    /// One's own proposal, one that was approved by the same person before, that doesn't wait any more, or
    /// has other steps by now than were seen; as [`Editor::edit`]: then the proposal waits as before.
    pub async fn approve(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        by: &Reviewer,
        call: CallContext,
    ) -> Result<Approved, EditorError> {
        let (core, codebook, by) = (Arc::clone(&self.core), codebook.clone(), by.clone());
        let work = async move {
            let _turn = core.turn(&codebook, Turn::Proposal(id)).await;
            core.approve((&codebook, id), &by, call).await
        };
        tokio::spawn(work).await.map_err(|_| EditorError::Internal("an approval ended too early"))?
    }

    /// Rejects a proposal for a reason; without one it is taken back.
    ///
    /// # Errors
    /// One that doesn't wait any more, or has other steps by now than were seen; failing storage.
    pub async fn close_proposal(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        reason: Option<String>,
        by: &Reviewer,
    ) -> Result<Arc<Proposal>, EditorError> {
        let (core, codebook, by) = (Arc::clone(&self.core), codebook.clone(), by.clone());
        let _turn = core.turn(&codebook, Turn::Proposal(id)).await;
        core.current(&codebook, id).await?;
        blocking(move || Ok(core.proposals().close((&codebook, id), reason, &by)?)).await
    }

    /// Erases a proposal that is no edit, with all that it said, and its picture where nothing else is about
    /// it. An edit that came of one is erased by its own name, and takes the proposal with it.
    ///
    /// # Errors
    /// An unknown one, one that became an edit, failing storage.
    pub async fn erase_proposal(&self, codebook: &CodebookName, id: Ulid) -> Result<(), EditorError> {
        let (core, codebook) = (Arc::clone(&self.core), codebook.clone());
        let _turn = core.turn(&codebook, Turn::Proposal(id)).await;
        let proposal = core.current(&codebook, id).await?;
        let gate = core.gate().write_owned().await;
        blocking(move || {
            if proposal.state == ProposalState::Approved {
                return Err(ProposalError::Closed { id, state: proposal.state }.into());
            }
            core.remove_proposals(|one| one.id == id)?;
            drop(gate);
            Ok(())
        })
        .await
    }

    /// Erases the proposals that were rejected or withdrawn before this time; what went with each.
    ///
    /// # Errors
    /// Failing storage; what was erased before stays so.
    pub(crate) async fn erase_proposals_closed_before(
        &self,
        before: OffsetDateTime,
    ) -> Result<Vec<ErasureView>, EditorError> {
        let core = Arc::clone(&self.core);
        let is_over = |one: &Proposal| {
            let closed = matches!(one.state, ProposalState::Rejected | ProposalState::Withdrawn);
            closed && one.steps.last().is_some_and(|last| last.at < before)
        };
        let over = core.proposals().find(is_over);
        if over.is_empty() {
            return Ok(Vec::new());
        }
        let gate = core.gate().write_owned().await;
        blocking(move || {
            let mut views = Vec::with_capacity(over.len());
            for proposal in over {
                core.remove_proposals(|one| one.id == proposal.id)?;
                let image = proposal.newest.content.image;
                let gone = !core.pictures().store().contains(image);
                views.push(ErasureView {
                    at: OffsetDateTime::now_utc(),
                    by: None,
                    edits: vec![(proposal.codebook.clone(), EditId(proposal.id))],
                    picture: gone.then_some(image),
                    kept_picture: (!gone).then_some(image),
                    unsealed_copies: core.library().unsealed_copies(),
                });
            }
            drop(gate);
            Ok(views)
        })
        .await
    }
}

impl Core {
    async fn approve(
        self: &Arc<Self>,
        (codebook, id): (&CodebookName, Ulid),
        by: &Reviewer,
        call: CallContext,
    ) -> Result<Approved, EditorError> {
        let rule = self.config().review.of(codebook);
        let (before, name) = (self.current(codebook, id).await?, by.name.as_deref());
        // Where everybody's edits wait, so do the words of who amended it.
        if before.is_of(name) || (rule.mode == ReviewMode::All && before.is_said_by(name)) {
            return Err(ProposalError::Own(id).into());
        }
        let again = before.approvals().len() >= rule.approvals;
        let (core, name, who) = (Arc::clone(self), codebook.clone(), by.clone());
        let proposal = blocking(move || Ok(core.proposals().approve((&name, id), &who, again)?)).await?;
        if proposal.approvals().len() < rule.approvals {
            return Ok(Approved { proposal, edit: None });
        }
        match (EditPipeline { core: self, codebook, call }).make_proposed(&proposal).await {
            Ok(view) => {
                let proposal = self.settled(codebook, id).await?;
                Ok(Approved { proposal, edit: Some(Box::new(view)) })
            }
            Err(error) => {
                let (core, name, who) = (Arc::clone(self), codebook.clone(), by.clone());
                let undone = blocking(move || {
                    if core.became_edit(&proposal)? {
                        return Ok(core.proposals().settle(&name, id).map(drop)?);
                    }
                    Ok(core.proposals().unapprove((&name, id), &who)?)
                });
                if let Err(error) = undone.await {
                    tracing::error!(%error, proposal = %id, "an approval without an edit is not taken back");
                }
                Err(error)
            }
        }
    }

    async fn settled(
        self: &Arc<Self>,
        codebook: &CodebookName,
        id: Ulid,
    ) -> Result<Arc<Proposal>, EditorError> {
        let (core, codebook) = (Arc::clone(self), codebook.clone());
        blocking(move || Ok(core.proposals().settle(&codebook, id)?)).await
    }

    /// A proposal as it is: one whose edit was made when the disk refused to say so is approved.
    async fn current(
        self: &Arc<Self>,
        codebook: &CodebookName,
        id: Ulid,
    ) -> Result<Arc<Proposal>, EditorError> {
        let (core, codebook) = (Arc::clone(self), codebook.clone());
        blocking(move || {
            let proposal = core.proposals().get(&codebook, id)?;
            let open = proposal.state == ProposalState::Waiting && !proposal.approvals().is_empty();
            if open && core.became_edit(&proposal)? {
                return Ok(core.proposals().settle(&codebook, id)?);
            }
            Ok(proposal)
        })
        .await
    }

    /// Whether the codebook has, or had, the edit of a proposal.
    fn became_edit(&self, proposal: &Proposal) -> Result<bool, EditorError> {
        let Some(book) = self.existing(&proposal.codebook)? else { return Ok(false) };
        match book.record(EditId(proposal.id)) {
            Ok(_) | Err(CodebookError::Erased { .. }) => Ok(true),
            Err(CodebookError::UnknownEdit(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what a process that ended had made of proposals.
    pub(crate) async fn settle_proposals(self: &Arc<Self>) -> Result<(), EditorError> {
        let core = Arc::clone(self);
        blocking(move || {
            let undecided = core
                .proposals()
                .find(|one| one.state == ProposalState::Waiting && !one.approvals().is_empty());
            for proposal in undecided {
                match core.became_edit(&proposal) {
                    Ok(true) => drop(core.proposals().settle(&proposal.codebook, proposal.id)?),
                    Ok(false) => {}
                    // A codebook that is set aside keeps nobody from starting.
                    Err(error) => {
                        tracing::warn!(%error, proposal = %proposal.id, "a proposal is not settled");
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes proposals for good, and their pictures where nothing else is about them; how many they were.
    /// Called by whoever holds the gate.
    pub(crate) fn remove_proposals(&self, goes: impl Fn(&Proposal) -> bool) -> Result<usize, EditorError> {
        let gone = self.proposals().remove_where(|one| {
            // Told first: should the process end in between, the picture goes with the next sweep.
            goes(one)
                && self
                    .pictures()
                    .store()
                    .intend_erasing(one.newest.content.image)
                    .inspect_err(|error| tracing::error!(%error, "a picture is not marked to go"))
                    .is_ok()
        })?;
        for proposal in &gone {
            self.states().forget(&proposal.codebook);
        }
        end_erasures(self, None)?;
        Ok(gone.len())
    }
}
