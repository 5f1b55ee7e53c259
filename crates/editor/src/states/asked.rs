//! Finds or makes the state that a question is to be asked about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reasonedit_codebook::{Codebook, CodebookError, EditId, Moment, Snapshot};

use super::{AskedState, Hypothetical, IDLE, StateName};
use crate::core::Core;
use crate::error::EditorError;
use crate::pictures::{Picture, blocking};
use crate::types::RetrievalOverride;

impl Core {
    /// The revision of a codebook that was never begun, if that is one that can be asked.
    ///
    /// # Errors
    /// One that is yet to come.
    pub(crate) fn before_the_first(wishes: &RetrievalOverride) -> Result<u64, EditorError> {
        match wishes.as_of {
            Some(Moment::Revision(revision)) if revision > 0 => {
                Err(CodebookError::NoSuchRevision { revision, newest: 0 }.into())
            }
            _ => Ok(0),
        }
    }

    /// The state of a codebook that a question is to be asked about.
    ///
    /// # Errors
    /// A revision that is yet to come, one whose keys are not kept; no memory for another state; failing
    /// storage.
    pub(crate) async fn asked_state(
        self: &Arc<Self>,
        book: &Arc<Codebook>,
        wishes: &RetrievalOverride,
    ) -> Result<AskedState, EditorError> {
        let live = book.snapshot();
        if wishes.as_of.is_none() && wishes.without.is_empty() {
            return Ok(AskedState::live(live));
        }
        let revision = match wishes.as_of {
            None => live.revision(),
            Some(moment) => {
                let book = Arc::clone(book);
                blocking(move || Ok(book.revision_at(moment)?)).await?
            }
        };
        let without: BTreeSet<EditId> = wishes.without.iter().copied().collect();
        if revision == live.revision() && without.iter().all(|id| live.edit(*id).is_none()) {
            return Ok(AskedState { absent: without.into_iter().collect(), ..AskedState::live(live) });
        }
        let name = StateName { codebook: book.name().clone(), revision, without };
        let states = self.states();
        let state = match states.known(&name) {
            Some(state) => state,
            None => self.made(book, &live, name).await?,
        };
        let snapshot = Arc::clone(&state.snapshot);
        Ok(AskedState { snapshot, hypothetical: Some(state), absent: Vec::new() })
    }

    /// A state to be asked about that nobody else will ask for.
    ///
    /// # Errors
    /// No memory for another state.
    pub(crate) async fn supposed(
        &self,
        snapshot: Arc<Snapshot>,
        tried: Option<&Picture>,
    ) -> Result<AskedState, EditorError> {
        let held = self.states().room(snapshot.vector_bytes()).await?;
        let state = Hypothetical {
            snapshot: Arc::clone(&snapshot),
            erased: Vec::new(),
            absent: Vec::new(),
            tried: tried.cloned(),
            calibrated: Default::default(),
            held,
        };
        Ok(AskedState { snapshot, hypothetical: Some(Arc::new(state)), absent: Vec::new() })
    }

    async fn made(
        self: &Arc<Self>,
        book: &Arc<Codebook>,
        live: &Arc<Snapshot>,
        name: StateName,
    ) -> Result<Arc<Hypothetical>, EditorError> {
        let states = self.states();
        let _making = states.making.lock().await;
        if let Some(state) = states.known(&name) {
            return Ok(state);
        }
        let held = states.room(live.vector_bytes()).await?;
        let forgotten = states.forgotten.load(Ordering::Acquire);
        let (book, live, asked) = (Arc::clone(book), Arc::clone(live), name.clone());
        let (snapshot, erased, absent) = blocking(move || {
            let (base, erased) = if asked.revision == live.revision() {
                (live, Vec::new())
            } else {
                let past = book.past(asked.revision)?;
                (past.snapshot, past.erased)
            };
            let without = asked.without;
            let absent: Vec<EditId> = without.iter().copied().filter(|id| base.edit(*id).is_none()).collect();
            let changes = absent.len() < without.len();
            Ok((if changes { Arc::new(base.without_edits(&without)) } else { base }, erased, absent))
        })
        .await?;
        let state = Arc::new(Hypothetical {
            snapshot,
            erased,
            absent,
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
