//! Finds or makes the state that a question is to be asked about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reasonedit_codebook::{Codebook, CodebookError, CodebookName, EditId, Moment, Snapshot};
use reasonedit_proposals::{Proposal, ProposalState};
use ulid::Ulid;

use super::{AskedState, Hypothetical, IDLE, StateName};
use crate::core::Core;
use crate::edit::EditPipeline;
use crate::error::{EditorError, FieldError};
use crate::pictures::{DecodedPicture, blocking};
use crate::types::{CallContext, RetrievalOverride};

impl Core {
    /// Whether a codebook that was never begun can be asked as of then.
    ///
    /// # Errors
    /// A revision that is yet to come.
    fn before_the_first(wishes: &RetrievalOverride) -> Result<(), EditorError> {
        match wishes.as_of {
            Some(Moment::Revision(revision)) if revision > 0 => {
                Err(CodebookError::NoSuchRevision { revision, newest: 0 }.into())
            }
            _ => Ok(()),
        }
    }

    /// The state of a codebook that a question is to be asked about; `None` of one that was never begun.
    ///
    /// # Errors
    /// A revision that is yet to come, one whose keys are not kept; a proposal that isn't there, or could not
    /// be made; no memory for another state; failing storage.
    pub(crate) async fn asked_state(
        self: &Arc<Self>,
        (codebook, call): (&CodebookName, CallContext),
        wishes: &RetrievalOverride,
    ) -> Result<Option<AskedState>, EditorError> {
        let book = self.existing(codebook)?;
        let (waiting, decided) = self.proposals_named(codebook, wishes)?;
        let live = if let Some(book) = &book {
            book.snapshot()
        } else {
            Self::before_the_first(wishes)?;
            if waiting.is_empty() {
                return Ok(None);
            }
            Arc::new(Snapshot::empty(&self.config().codebook))
        };
        if wishes.as_of.is_none() && wishes.without.is_empty() && waiting.is_empty() {
            return Ok(Some(AskedState { decided, ..AskedState::live(live) }));
        }
        let revision = match (wishes.as_of, &book) {
            (None, _) | (_, None) => live.revision(),
            (Some(moment), Some(book)) => {
                let book = Arc::clone(book);
                blocking(move || Ok(book.revision_at(moment)?)).await?
            }
        };
        let without: BTreeSet<EditId> = wishes.without.iter().copied().collect();
        let idle = waiting.is_empty() && without.iter().all(|id| live.edit(*id).is_none());
        if revision == live.revision() && idle {
            let absent = without.into_iter().collect();
            return Ok(Some(AskedState { absent, decided, ..AskedState::live(live) }));
        }
        let as_if = waiting.iter().map(|one| (one.id, one.newest.number)).collect();
        let name = StateName { codebook: codebook.clone(), revision, without, as_if };
        let states = self.states();
        let state = match states.known(&name) {
            Some(state) => state,
            // On the heap: whoever asks would be as large as all stages of an edit.
            None => Box::pin(self.made((book, &live), name, (waiting, decided), call)).await?,
        };
        let snapshot = Arc::clone(&state.snapshot);
        Ok(Some(AskedState { hypothetical: Some(state), ..AskedState::live(snapshot) }))
    }

    /// The proposals that are to be taken as approved, in the order in which they were made: those that wait,
    /// and those that don't.
    ///
    /// # Errors
    /// One that is none of this codebook.
    fn proposals_named(
        &self,
        codebook: &CodebookName,
        wishes: &RetrievalOverride,
    ) -> Result<(Vec<Arc<Proposal>>, Vec<Ulid>), EditorError> {
        let (mut waiting, mut decided, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (at, id) in wishes.as_if.iter().enumerate() {
            match self.proposals().get(codebook, *id) {
                Ok(proposal) if proposal.state == ProposalState::Waiting => waiting.push(proposal),
                Ok(_) => decided.push(*id),
                Err(_) => faults.push(FieldError::new(
                    format!("/retrieval/as_if/{at}"),
                    format!("there is no proposal {id} of this codebook"),
                )),
            }
        }
        if !faults.is_empty() {
            return Err(EditorError::Invalid(faults));
        }
        waiting.sort_by_key(|one| one.id);
        waiting.dedup_by_key(|one| one.id);
        Ok((waiting, decided))
    }

    /// A state to be asked about that nobody else will ask for.
    ///
    /// # Errors
    /// No memory for another state.
    pub(crate) async fn supposed(
        &self,
        snapshot: Arc<Snapshot>,
        tried: Option<&DecodedPicture>,
    ) -> Result<AskedState, EditorError> {
        let held = self.states().room(snapshot.vector_bytes()).await?;
        let state = Hypothetical {
            snapshot: Arc::clone(&snapshot),
            erased: Vec::new(),
            absent: Vec::new(),
            decided: Vec::new(),
            tried: tried.cloned(),
            calibrated: Default::default(),
            held,
        };
        Ok(AskedState { hypothetical: Some(Arc::new(state)), ..AskedState::live(snapshot) })
    }

    async fn made(
        self: &Arc<Self>,
        (book, live): (Option<Arc<Codebook>>, &Arc<Snapshot>),
        name: StateName,
        (waiting, decided): (Vec<Arc<Proposal>>, Vec<Ulid>),
        call: CallContext,
    ) -> Result<Arc<Hypothetical>, EditorError> {
        let states = self.states();
        let _making = states.making.lock().await;
        if let Some(state) = states.known(&name) {
            return Ok(state);
        }
        let held = states.room(live.vector_bytes()).await?;
        let forgotten = states.forgotten.load(Ordering::Acquire);
        let (live, asked) = (Arc::clone(live), name.clone());
        let (mut snapshot, erased, absent) = blocking(move || {
            let (base, erased) = match book.filter(|_| asked.revision != live.revision()) {
                None => (live, Vec::new()),
                Some(book) => {
                    let past = book.past(asked.revision)?;
                    (past.snapshot, past.erased)
                }
            };
            let without = asked.without;
            let absent: Vec<EditId> = without.iter().copied().filter(|id| base.edit(*id).is_none()).collect();
            let changes = absent.len() < without.len();
            Ok((if changes { Arc::new(base.without_edits(&without)) } else { base }, erased, absent))
        })
        .await?;
        let pipeline = EditPipeline { core: self, codebook: &name.codebook, call };
        for proposal in &waiting {
            let (record, members, generation) = pipeline.imagine_proposed(proposal, &snapshot).await?;
            let base = snapshot;
            snapshot =
                blocking(move || Ok(Arc::new(base.with_hypothetical(record, members, &generation)?))).await?;
        }
        let state = Arc::new(Hypothetical {
            snapshot,
            erased,
            absent,
            decided,
            tried: None,
            calibrated: Default::default(),
            held,
        });
        states.keep(name, &state, forgotten);
        // Waiting keeps nothing alive.
        let core = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            if let Some(core) = core.upgrade() {
                core.states().drop_idle();
            }
        });
        Ok(state)
    }
}
