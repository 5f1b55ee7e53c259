//! What is told of contradictions: a pair as it is now, and an edit with what contradicts it.

use reasonedit_codebook::{CodebookName, EditId, EditRecord, Snapshot};
use reasonedit_conflicts::{Decision, FoundConflict, SaidDigest};

use crate::core::Core;
use crate::types::{Conflict, ConflictView, Contradiction, EditView};

/// Tells of a contradiction, with what is told of the other edit already.
pub(super) fn tell_of(conflicts: &mut Vec<Conflict>, other: Conflict, found: Contradiction) {
    match conflicts.iter_mut().find(|known| known.edit_id == other.edit_id) {
        Some(known) => known.found = Some(found),
        None => conflicts.push(Conflict { found: Some(found), ..other }),
    }
}

/// What an edit says against another.
pub(super) fn says(record: &EditRecord, place: Option<u32>) -> String {
    let said = place.and_then(|place| record.reasoning.get(place as usize));
    said.map_or_else(|| record.answer.clone(), |said| said.statement.clone())
}

/// A pair as it is now; `None` where one of the edits is not live any more or says something else.
pub(super) fn shown(snapshot: &Snapshot, pair: FoundConflict) -> Option<ConflictView> {
    let newest = |at: usize| {
        let newest = snapshot.edit(snapshot.newest_version(pair.edits[at])?)?;
        (SaidDigest::of(newest) == pair.said[at]).then_some(newest)
    };
    let (first, second) = (newest(0)?, newest(1)?);
    let edits = [Conflict::from(first.as_ref()), Conflict::from(second.as_ref())];
    let says = [says(first, pair.statements[0]), says(second, pair.statements[1])];
    let open = is_open(snapshot, &pair);
    Some(ConflictView { pair, edits, says, open })
}

/// Whether both edits of a pair stand and nothing was decided.
fn is_open(snapshot: &Snapshot, pair: &FoundConflict) -> bool {
    let stands = |id: &EditId| {
        snapshot.newest_version(*id).is_some_and(|newest| snapshot.superseded_by(newest).is_none())
    };
    // Who was kept may have been undone since: then it is open again.
    let decided = pair.resolution().is_some_and(|one| one.decision == Decision::KeepBoth);
    !decided && pair.edits.iter().all(stands)
}

/// Tells an edit of what contradicts it.
pub(crate) fn tell(core: &Core, codebook: &CodebookName, snapshot: &Snapshot, view: &mut EditView) {
    let own = view.record.known_as();
    for pair in core.conflict_log().of_edit(codebook, own) {
        let Some(ConflictView { pair, edits, says: [first, second], .. }) = shown(snapshot, pair) else {
            continue;
        };
        let [a, b] = edits;
        let ((other, says), other_says) =
            if a.edit_id == own { ((b, first), second) } else { ((a, second), first) };
        let resolution = pair.resolution().cloned();
        let found = Contradiction { id: Some(pair.id), reason: pair.reason, says, other_says, resolution };
        tell_of(&mut view.conflicts, other, found);
    }
}
