//! The table of proposals, of all codebooks: durable, and at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use reasonedit_codebook::{CodebookName, EditId, ImageId, Journal, Library};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::row::{self, Rows};
use crate::{
    Proposal, ProposalError, ProposalState, ProposalStep, ProposedContent, ProposedVersion, Result, Reviewer,
    StepKind,
};

/// Versions that one proposal may have.
const MOST_VERSIONS: u32 = 50;

/// Which proposals are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProposalFilter {
    /// In this state.
    pub state: Option<ProposalState>,
    /// Whose edit it would be by this author, or that came with this name's token.
    pub author: Option<String>,
}

impl ProposalFilter {
    fn holds(&self, proposal: &Proposal) -> bool {
        self.state.is_none_or(|state| proposal.state == state)
            && self.author.as_deref().is_none_or(|author| proposal.is_of(Some(author)))
    }
}

/// The proposals of all codebooks. What is written is durable when a call returns.
pub struct Proposals {
    journal: Journal,
    kept: RwLock<BTreeMap<Ulid, Arc<Proposal>>>,
    writing: Mutex<()>,
}

impl Proposals {
    /// Reads what is kept beside the codebooks. What can't be read is told in the log and stays where it is:
    /// somebody's words are in it.
    ///
    /// # Errors
    /// `Journal` when the disk refuses.
    pub fn open(library: &Library) -> Result<Self> {
        let journal = library.journal("proposals");
        let mut rows: BTreeMap<Ulid, Rows> = BTreeMap::new();
        for (at, value) in journal.all()? {
            rows.entry(at.id).or_default().take(at.number, value);
        }
        let mut kept = BTreeMap::new();
        for (id, rows) in rows {
            if let Some(proposal) = rows.read(id) {
                kept.insert(id, Arc::new(proposal));
            } else {
                tracing::error!(proposal = %id, "a proposal can't be read, and is passed over");
            }
        }
        Ok(Self { journal, kept: RwLock::new(kept), writing: Mutex::default() })
    }

    /// Keeps a new proposal, unless `most` of its codebook wait already.
    ///
    /// # Errors
    /// `TooMany`; `Journal` for one that is too large and when the disk refuses: it isn't kept then.
    pub fn put(&self, proposal: Proposal, most: usize) -> Result<Arc<Proposal>> {
        let _writing = self.writing.lock();
        if self.waiting(&proposal.codebook) >= most {
            return Err(ProposalError::TooMany(most));
        }
        if let Err(error) = row::write_all(&self.journal, &proposal) {
            // Of a half of it nothing is to stay; where that can't be removed either it is passed over.
            let _ = self.journal.remove(proposal.id);
            return Err(error);
        }
        Ok(self.hold(proposal))
    }

    /// How many of a codebook wait.
    pub fn waiting(&self, codebook: &CodebookName) -> usize {
        let kept = self.kept.read();
        let waits = |one: &&Arc<Proposal>| one.state == ProposalState::Waiting && one.codebook == *codebook;
        kept.values().filter(waits).count()
    }

    /// A proposal of a codebook.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn get(&self, codebook: &CodebookName, id: Ulid) -> Result<Arc<Proposal>> {
        let found = self.kept.read().get(&id).filter(|one| one.codebook == *codebook).cloned();
        found.ok_or(ProposalError::Unknown(id))
    }

    /// What a proposal said before, oldest first.
    ///
    /// # Errors
    /// `Journal` when the disk refuses, `Form`.
    pub fn earlier(&self, proposal: &Proposal) -> Result<Vec<ProposedVersion>> {
        row::earlier(&self.journal, proposal.id, proposal.newest.number)
    }

    /// The proposal of a codebook that came with this idempotency key.
    pub fn under_key(&self, codebook: &CodebookName, key: &str) -> Option<Arc<Proposal>> {
        let kept = self.kept.read();
        let came = |one: &&Arc<Proposal>| {
            one.codebook == *codebook && one.idempotency.as_ref().is_some_and(|with| with.key == key)
        };
        kept.values().find(came).cloned()
    }

    /// At most `limit` proposals of a codebook below `cursor`, newest first, and where the next page begins.
    pub fn list(
        &self,
        codebook: &CodebookName,
        filter: &ProposalFilter,
        cursor: Option<Ulid>,
        limit: usize,
    ) -> (Vec<Arc<Proposal>>, Option<Ulid>) {
        let kept = self.kept.read();
        let below = kept.values().rev().filter(|one| cursor.is_none_or(|cursor| one.id < cursor));
        let mut found = below.filter(|one| one.codebook == *codebook && filter.holds(one));
        let page: Vec<Arc<Proposal>> = found.by_ref().take(limit).cloned().collect();
        let next = found.next().and_then(|_| page.last()).map(|last| last.id);
        (page, next)
    }

    /// Those of whatever codebook that are `wanted`, oldest first.
    pub fn find(&self, wanted: impl Fn(&Proposal) -> bool) -> Vec<Arc<Proposal>> {
        self.kept.read().values().filter(|one| wanted(one)).cloned().collect()
    }

    /// Says otherwise what a proposal says. Approvals of the version before don't count for the new one.
    ///
    /// # Errors
    /// `Unknown`, `Closed`, `OtherVersion`, `TooManyVersions`; `Journal`: what was before stands then.
    pub fn amend(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        (content, made_of): (ProposedContent, Option<EditId>),
        by: &Reviewer,
    ) -> Result<Arc<Proposal>> {
        let _writing = self.writing.lock();
        let proposal = self.get(codebook, id)?;
        require(&proposal, by)?;
        let number = proposal.newest.number + 1;
        if number > MOST_VERSIONS {
            return Err(ProposalError::TooManyVersions(MOST_VERSIONS));
        }
        let mut next = proposal.as_ref().clone();
        let by = by.name.clone();
        next.newest =
            ProposedVersion { number, at: OffsetDateTime::now_utc(), by: by.clone(), content, made_of };
        next.steps.push(step(StepKind::Amended, by, number));
        row::write_all(&self.journal, &next)?;
        Ok(self.hold(next))
    }

    /// Approves of the newest version. Whether that is enough the caller says with [`Self::settle`], once the
    /// edit is stored.
    ///
    /// # Errors
    /// `Unknown`, `Closed`, `OtherVersion`; `ApprovedBefore` unless `again`; `Journal`.
    pub fn approve(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        by: &Reviewer,
        again: bool,
    ) -> Result<Arc<Proposal>> {
        let _writing = self.writing.lock();
        let proposal = self.get(codebook, id)?;
        require(&proposal, by)?;
        if proposal.approvals().iter().any(|given| given.by == by.name.as_deref()) {
            return if again { Ok(proposal) } else { Err(ProposalError::ApprovedBefore(id)) };
        }
        let version = proposal.newest.number;
        self.with(&proposal, step(StepKind::Approved, by.name.clone(), version), None)
    }

    /// Takes back the last step, if that is an approval of this person's: its edit could not be made.
    ///
    /// # Errors
    /// `Unknown`, `Journal`.
    pub fn unapprove(&self, (codebook, id): (&CodebookName, Ulid), by: &Reviewer) -> Result<()> {
        let _writing = self.writing.lock();
        let mut next = self.get(codebook, id)?.as_ref().clone();
        let last = next.steps.last().is_some_and(|last| {
            last.what == StepKind::Approved && last.by == by.name && next.state == ProposalState::Waiting
        });
        if last {
            next.steps.pop();
            row::write_head(&self.journal, &next)?;
            self.hold(next);
        }
        Ok(())
    }

    /// Its edit is stored.
    ///
    /// # Errors
    /// `Unknown`, `Journal`.
    pub fn settle(&self, codebook: &CodebookName, id: Ulid) -> Result<Arc<Proposal>> {
        let _writing = self.writing.lock();
        let mut next = self.get(codebook, id)?.as_ref().clone();
        next.state = ProposalState::Approved;
        row::write_head(&self.journal, &next)?;
        Ok(self.hold(next))
    }

    /// Rejects a proposal for a reason; without one it is taken back.
    ///
    /// # Errors
    /// `Unknown`, `Closed`, `OtherVersion`, `Journal`.
    pub fn close(
        &self,
        (codebook, id): (&CodebookName, Ulid),
        reason: Option<String>,
        by: &Reviewer,
    ) -> Result<Arc<Proposal>> {
        let _writing = self.writing.lock();
        let proposal = self.get(codebook, id)?;
        require(&proposal, by)?;
        let (what, state) = match reason {
            Some(reason) => (StepKind::Rejected(reason), ProposalState::Rejected),
            None => (StepKind::Withdrawn, ProposalState::Withdrawn),
        };
        self.with(&proposal, step(what, by.name.clone(), proposal.newest.number), Some(state))
    }

    /// Whether one is about this picture.
    pub fn about(&self, image: ImageId) -> bool {
        self.kept.read().values().any(|one| one.newest.content.image == image)
    }

    /// The codebooks that have proposals about this picture.
    pub fn codebooks_about(&self, image: ImageId) -> BTreeSet<CodebookName> {
        let kept = self.kept.read();
        let about = kept.values().filter(|one| one.newest.content.image == image);
        about.map(|one| one.codebook.clone()).collect()
    }

    /// Removes for good what is not to stay; what that was.
    ///
    /// # Errors
    /// `Journal`: part of it may be gone then, and asking again ends it.
    pub fn remove_where(&self, goes: impl Fn(&Proposal) -> bool) -> Result<Vec<Arc<Proposal>>> {
        let _writing = self.writing.lock();
        let going: Vec<Ulid> = self.kept.read().values().filter(|one| goes(one)).map(|one| one.id).collect();
        let mut gone = Vec::with_capacity(going.len());
        for id in going {
            self.journal.remove(id)?;
            gone.extend(self.kept.write().remove(&id));
        }
        Ok(gone)
    }

    /// Called by whoever writes.
    fn with(
        &self,
        proposal: &Proposal,
        step: ProposalStep,
        state: Option<ProposalState>,
    ) -> Result<Arc<Proposal>> {
        let mut next = proposal.clone();
        next.steps.push(step);
        next.state = state.unwrap_or(next.state);
        row::write_head(&self.journal, &next)?;
        Ok(self.hold(next))
    }

    fn hold(&self, proposal: Proposal) -> Arc<Proposal> {
        let proposal = Arc::new(proposal);
        self.kept.write().insert(proposal.id, Arc::clone(&proposal));
        proposal
    }
}

/// Whether it waits, and is as somebody saw it.
fn require(proposal: &Proposal, by: &Reviewer) -> Result<()> {
    if proposal.state != ProposalState::Waiting {
        return Err(ProposalError::Closed { id: proposal.id, state: proposal.state });
    }
    match &by.seen {
        Some(seen) if !seen.contains(&proposal.steps.len()) => Err(ProposalError::OtherVersion(proposal.id)),
        _ => Ok(()),
    }
}

fn step(what: StepKind, by: Option<String>, version: u32) -> ProposalStep {
    ProposalStep { at: OffsetDateTime::now_utc(), by, what, version }
}

#[cfg(test)]
mod tests;
