//! An edit as it is answered: what was stored, and what became known of it afterwards. The latter is kept
//! beside the edit, and lost without harm.

use std::sync::Arc;

use reasonedit_codebook::{Codebook, CodebookName, EditId};

use super::relations::Others;
use crate::conflicts::telling;
use crate::core::Core;
use crate::error::EditorError;
use crate::firings::StoredOutcome;
use crate::pictures::blocking;
use crate::types::{Absence, EditView, Firings};

/// Keeps what an edit's response said beyond its record, so that a repeated request gets the same answer.
pub(crate) async fn remember(core: &Arc<Core>, codebook: &CodebookName, view: &EditView) {
    let (after, after_absent) = (view.after.clone(), view.after_absent.clone());
    let timings_ms = view.timings_ms.clone();
    let (core, name, id) = (Arc::clone(core), codebook.clone(), view.record.id);
    let kept = blocking(move || {
        let book = core.library().get(&name)?;
        let _turn = core.tally().turn();
        // Found and used by a query before this was written, perhaps.
        let fired = StoredOutcome::read(book.edit(id)?.outcome.as_deref()).unwrap_or_default().fired;
        Ok(book.put_outcome(id, &StoredOutcome { after, after_absent, timings_ms, fired }.bytes()?)?)
    });
    if let Err(error) = kept.await {
        tracing::warn!(%error, edit = %id, "what came after the edit was not kept");
    }
}

/// A live edit with all that is known of it, read from the store.
pub(crate) fn read(core: &Core, book: &Codebook, id: EditId) -> Result<EditView, EditorError> {
    let turn = core.tally().turn();
    let snapshot = book.snapshot();
    let newest = snapshot.newest_version(id).unwrap_or(id);
    let found = book.edit(newest)?;
    // Counted under the id that people know.
    let known_as = found.record.known_as();
    let earlier = if known_as == newest { Firings::default() } else { fired(book, known_as)? };
    let counted = earlier.and(core.tally().pending(book.name(), known_as));
    drop(turn);
    let record = found.record.as_ref().clone();
    let outcome = StoredOutcome::read(found.outcome.as_deref()).unwrap_or_default();
    let after_absent = outcome.absence_after(record.before.is_some());
    let timings_ms = if outcome.is_whole() { outcome.timings_ms } else { record.timings_ms.clone() };
    let others = Others::of(&snapshot, &record);
    let mut view = EditView {
        before_absent: record.before.is_none().then(Absence::not_asked),
        entries: found.entries,
        generation: found.generation,
        after: outcome.after,
        after_absent,
        conflicts: others.conflicts,
        superseded_by: others.superseded_by,
        supersedes: others.supersedes,
        duplicate_of: others.duplicate_of,
        near_duplicates: others.near_duplicates,
        versions: others.versions,
        timings_ms,
        fired: outcome.fired.and(counted),
        broken_canaries: Vec::new(),
        replayed: false,
        record,
    };
    telling::tell(core, book.name(), &snapshot, &mut view);
    Ok(view)
}

/// How often an edit was used by its first version, as it is written.
fn fired(book: &Codebook, edit: EditId) -> Result<Firings, EditorError> {
    Ok(StoredOutcome::read(book.edit(edit)?.outcome.as_deref()).unwrap_or_default().fired)
}

/// As [`read`], off the async threads.
pub(crate) async fn view(
    core: &Arc<Core>,
    codebook: &CodebookName,
    id: EditId,
) -> Result<EditView, EditorError> {
    let book = core.existing(codebook)?.ok_or(EditorError::UnknownEdit(id))?;
    let core = Arc::clone(core);
    blocking(move || read(&core, &book, id)).await
}
