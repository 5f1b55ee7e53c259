//! What becomes known of an edit after it was stored: the answer right after it, what it took, how often it
//! was used. Kept beside the edit, lost without harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reasonedit_codebook::{Codebook, CodebookName, EditId, EditRecord, Fact, Library, Opinion, Snapshot};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{Absence, Conflict, EditView, Firings};
use crate::{Editor, Inner};

/// How long firings are collected before they are written: a write reaches the disk, and a busy edit fires
/// with every query.
const COLLECTED: Duration = Duration::from_secs(2);

/// As it is stored.
#[derive(Default, Serialize, Deserialize)]
struct Outcome {
    after: Option<Opinion>,
    /// Why there is none; outcomes of before reasons were told have none either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_absent: Option<Absence>,
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

    /// Whether what the edit's response said is kept here; else only firings were written.
    fn is_whole(&self) -> bool {
        !self.timings_ms.is_empty()
    }

    /// Why there is no answer after the edit. `asked` says whether there is one from before it: the model is
    /// asked for both, or for neither.
    fn after_absent(&self, asked: bool) -> Option<Absence> {
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

impl Firings {
    /// With these as well.
    fn and(self, other: Self) -> Self {
        Self { queries: self.queries + other.queries, last: self.last.max(other.last) }
    }
}

/// The edits about the same picture and question that answer otherwise than one.
pub(crate) struct Rivals {
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) superseded_by: Option<Conflict>,
}

impl Rivals {
    /// Those of a live edit; none of one that isn't.
    pub(crate) fn of(snapshot: &Snapshot, id: EditId) -> Self {
        let conflict = |record: &Arc<EditRecord>| Conflict::from(record.as_ref());
        Self {
            conflicts: snapshot.conflicts(id).into_iter().map(conflict).collect(),
            superseded_by: snapshot.superseded_by(id).map(conflict),
        }
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
        let (after, after_absent) = (view.after.clone(), view.after_absent.clone());
        let timings_ms = view.timings_ms.clone();
        let (editor, name, id) = (self.clone(), codebook.clone(), view.record.id);
        let kept = blocking(move || {
            let book = editor.library().get(&name)?;
            let _turn = lock(&editor.inner.tally.turn);
            // Found and used by a query before this was written, perhaps.
            let fired = Outcome::read(book.edit(id)?.outcome.as_deref()).unwrap_or_default().fired;
            Ok(book.put_outcome(id, &Outcome { after, after_absent, timings_ms, fired }.bytes()?)?)
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
        let outcome = Outcome::read(found.outcome.as_deref()).unwrap_or_default();
        let after_absent = outcome.after_absent(record.before.is_some());
        let timings_ms = if outcome.is_whole() { outcome.timings_ms } else { record.timings_ms.clone() };
        let rivals = Rivals::of(&book.snapshot(), id);
        Ok(EditView {
            before_absent: record.before.is_none().then(Absence::not_asked),
            entries: found.entries,
            generation: found.generation,
            after: outcome.after,
            after_absent,
            conflicts: rivals.conflicts,
            superseded_by: rivals.superseded_by,
            timings_ms,
            fired: outcome.fired.and(pending.unwrap_or_default()),
            replayed: false,
            record,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::AbsentReason;

    #[test]
    fn an_answer_that_was_not_kept_has_its_reason_whenever_it_was_written() {
        let fired = r#"{"after":null,"timings_ms":{},"fired":{"queries":3,"last":null}}"#;
        let old = r#"{"after":null,"timings_ms":{"total":8.5}}"#;
        let told = r#"{"after":null,"after_absent":{"reason":"failed","detail":"It was busy."},"timings_ms":{"total":8.5}}"#;
        let answered = r#"{"after":{"answer":"benign","probability":0.7},"timings_ms":{"total":8.5}}"#;
        for (stored, asked, reason) in [
            ("", true, Some(AbsentReason::NotKept)),
            ("", false, Some(AbsentReason::NotAsked)),
            (fired, true, Some(AbsentReason::NotKept)),
            (fired, false, Some(AbsentReason::NotAsked)),
            (old, true, Some(AbsentReason::Failed)),
            (old, false, Some(AbsentReason::NotAsked)),
            (told, true, Some(AbsentReason::Failed)),
            (answered, true, None),
        ] {
            let outcome = Outcome::read(Some(stored.as_bytes())).unwrap_or_default();
            let absence = outcome.after_absent(asked);
            assert_eq!(absence.as_ref().map(|absence| absence.reason), reason, "{stored} {asked}");
            assert_eq!(stored == told, absence.is_some_and(|absence| absence.detail == "It was busy."));
        }
    }
}
