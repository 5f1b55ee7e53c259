//! What becomes known of an edit after it was stored: the answer right after it, what it took, how often it was used. Kept beside the edit, lost
//! without harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reasonedit_codebook::{Codebook, CodebookName, EditId, Fact, Library, Opinion};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{EditView, Firings};
use crate::{Editor, Inner};

/// How long firings are collected before they are written: a write reaches the disk, and a busy edit fires with every query.
const COLLECTED: Duration = Duration::from_secs(2);

/// As it is stored.
#[derive(Default, Serialize, Deserialize)]
struct Outcome {
    after: Option<Opinion>,
    timings_ms: BTreeMap<String, f64>,
    #[serde(default)]
    fired: Firings,
}

impl Outcome {
    fn read(bytes: Option<&[u8]>) -> Option<Self> {
        serde_json::from_slice(bytes?).ok()
    }

    fn bytes(&self) -> Result<Vec<u8>, EditorError> {
        Ok(serde_json::to_vec(self).map_err(std::io::Error::from)?)
    }
}

impl Firings {
    /// With these as well.
    fn and(self, other: Self) -> Self {
        Self { queries: self.queries + other.queries, last: self.last.max(other.last) }
    }
}

/// Firings that are not written yet.
#[derive(Default)]
pub(crate) struct Tally {
    pending: Mutex<HashMap<(CodebookName, EditId), Firings>>,
    /// Held from reading an outcome until it is written or put together with what is pending, so that nothing counts twice or not at all.
    turn: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Counts one query for each of the edits. Whether these are the first that wait to be written.
    fn count(&self, codebook: &CodebookName, edits: BTreeSet<EditId>) -> bool {
        let once = Firings { queries: 1, last: Some(OffsetDateTime::now_utc()) };
        let mut pending = lock(&self.pending);
        let first = pending.is_empty() && !edits.is_empty();
        for edit in edits {
            let firings = pending.entry((codebook.clone(), edit)).or_default();
            *firings = firings.and(once);
        }
        first
    }

    /// Writes what is pending.
    pub(crate) fn write(&self, library: &Library) {
        let waiting: Vec<_> = lock(&self.pending).keys().cloned().collect();
        for (name, edit) in waiting {
            let _turn = lock(&self.turn);
            let Some(fired) = lock(&self.pending).remove(&(name.clone(), edit)) else { continue };
            let written = library.get(&name).map_err(EditorError::from).and_then(|book| {
                let found = book.edit(edit)?;
                let mut outcome = Outcome::read(found.outcome.as_deref()).unwrap_or_default();
                outcome.fired = outcome.fired.and(fired);
                Ok(book.put_outcome(edit, &outcome.bytes()?)?)
            });
            match written {
                // Reverted since: nobody will ask.
                Ok(()) | Err(EditorError::UnknownEdit(_)) => {}
                Err(error) => tracing::warn!(%error, %edit, "how often an edit was used was not kept"),
            }
        }
    }
}

/// What is pending is written when the last handle goes.
impl Drop for Inner {
    fn drop(&mut self) {
        self.tally.write(&self.library);
    }
}

impl Editor {
    /// Counts an answer for every edit that a sentence put in front of it comes from.
    pub(crate) fn count_firing(&self, codebook: &CodebookName, facts: &[Fact]) {
        let edits = facts.iter().flat_map(|fact| fact.edit_ids.iter().copied()).collect();
        if !self.inner.tally.count(codebook, edits) {
            return;
        }
        // Waiting keeps nothing alive: an editor that goes meanwhile writes when it is dropped.
        let editor = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(COLLECTED).await;
            let Some(inner) = editor.upgrade() else { return };
            let written = blocking(move || {
                inner.tally.write(&inner.library);
                Ok(())
            });
            // What went wrong is in the log.
            written.await.ok();
        });
    }

    /// Keeps what an edit's response said beyond its record, so that a repeated request gets the same answer.
    pub(crate) async fn remember_outcome(&self, codebook: &CodebookName, view: &EditView) {
        let (after, timings_ms) = (view.after.clone(), view.timings_ms.clone());
        let (editor, name, id) = (self.clone(), codebook.clone(), view.record.id);
        let kept = blocking(move || {
            let book = editor.library().get(&name)?;
            let _turn = lock(&editor.inner.tally.turn);
            // Found and used by a query before this was written, perhaps.
            let fired = Outcome::read(book.edit(id)?.outcome.as_deref()).unwrap_or_default().fired;
            Ok(book.put_outcome(id, &Outcome { after, timings_ms, fired }.bytes()?)?)
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, edit = %id, "what came after the edit was not kept");
        }
    }

    /// A live edit with all that is known of it. Reads the store.
    pub(crate) fn view(&self, book: &Codebook, id: EditId) -> Result<EditView, EditorError> {
        let turn = lock(&self.inner.tally.turn);
        let found = book.edit(id)?;
        let pending = lock(&self.inner.tally.pending).get(&(book.name().clone(), id)).copied();
        drop(turn);
        let record = found.record.as_ref().clone();
        let (after, timings_ms, fired) = match Outcome::read(found.outcome.as_deref()) {
            // One that only firings were written of has no times.
            Some(outcome) if !outcome.timings_ms.is_empty() => {
                (outcome.after, outcome.timings_ms, outcome.fired)
            }
            Some(outcome) => (outcome.after, record.timings_ms.clone(), outcome.fired),
            None => (None, record.timings_ms.clone(), Firings::default()),
        };
        Ok(EditView {
            record,
            entries: found.entries,
            generation: found.generation,
            after,
            timings_ms,
            fired: fired.and(pending.unwrap_or_default()),
            replayed: false,
        })
    }
}
