//! How often edits were used, and how that and the rest of what became known of an edit is stored beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::{Mutex, MutexGuard};
use reasonedit_codebook::{CodebookError, CodebookName, EditId, Library, Opinion};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::EditorError;
use crate::types::{Absence, Firings};

/// As it is stored.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StoredOutcome {
    pub(crate) after: Option<Opinion>,
    /// Why there is none; outcomes of before reasons were told have none either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_absent: Option<Absence>,
    pub(crate) timings_ms: BTreeMap<String, f64>,
    #[serde(default)]
    pub(crate) fired: Firings,
}

impl StoredOutcome {
    pub(crate) fn read(bytes: Option<&[u8]>) -> Option<Self> {
        serde_json::from_slice(bytes?).ok()
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, EditorError> {
        Ok(serde_json::to_vec(self).map_err(std::io::Error::from)?)
    }

    /// Whether what the edit's response said is kept here; else only firings were written.
    pub(crate) fn is_whole(&self) -> bool {
        !self.timings_ms.is_empty()
    }

    /// Why there is no answer after the edit. `asked` says whether there is one from before it: the model is
    /// asked for both, or for neither.
    pub(crate) fn absence_after(&self, asked: bool) -> Option<Absence> {
        if self.after.is_some() {
            return None;
        }
        let from_before_reasons_were_told = || {
            if !asked {
                Absence::not_asked()
            } else if self.is_whole() {
                Absence::failed("The edit is stored; the model gave no answer after it.")
            } else {
                Absence::not_kept()
            }
        };
        Some(self.after_absent.clone().unwrap_or_else(from_before_reasons_were_told))
    }
}

/// Firings that are not written yet.
#[derive(Default)]
pub(crate) struct Tally {
    pending: Mutex<HashMap<(CodebookName, EditId), Firings>>,
    /// Held from reading an outcome until it is written or put together with what is pending, so that nothing
    /// counts twice or not at all.
    turn: Mutex<()>,
}

impl Tally {
    /// Nothing is written while this is held.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// What was counted of an edit and is not written yet.
    pub(crate) fn pending(&self, codebook: &CodebookName, edit: EditId) -> Firings {
        self.pending.lock().get(&(codebook.clone(), edit)).copied().unwrap_or_default()
    }

    /// Counts one query for each of the edits. Whether these are the first that wait to be written.
    pub(crate) fn count(&self, codebook: &CodebookName, edits: BTreeSet<EditId>) -> bool {
        let once = Firings { queries: 1, last: Some(OffsetDateTime::now_utc()) };
        let mut pending = self.pending.lock();
        let first = pending.is_empty() && !edits.is_empty();
        for edit in edits {
            let firings = pending.entry((codebook.clone(), edit)).or_default();
            *firings = firings.and(once);
        }
        first
    }

    /// Writes what is pending.
    pub(crate) fn write(&self, library: &Library) {
        let waiting: Vec<_> = self.pending.lock().keys().cloned().collect();
        for (name, edit) in waiting {
            let _turn = self.turn.lock();
            let Some(fired) = self.pending.lock().remove(&(name.clone(), edit)) else { continue };
            let written = library.get(&name).map_err(EditorError::from).and_then(|book| {
                let found = book.edit(edit)?;
                let mut outcome = StoredOutcome::read(found.outcome.as_deref()).unwrap_or_default();
                outcome.fired = outcome.fired.and(fired);
                Ok(book.put_outcome(edit, &outcome.bytes()?)?)
            });
            match written {
                // Reverted since: nobody will ask.
                Ok(())
                | Err(EditorError::UnknownEdit(_) | EditorError::Codebook(CodebookError::Erased { .. })) => {}
                Err(error) => tracing::warn!(%error, %edit, "how often an edit was used was not kept"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
