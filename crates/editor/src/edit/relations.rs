//! How an edit stands to others: what a request says of that, and what is told of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditId, EditRecord, Relations, Snapshot};

use crate::core::Core;
use crate::error::{EditorError, FieldError};
use crate::types::{Conflict, EditRequest, EditVersion};

/// What is stored of how an edit stands to others. Who names an edit names what it says: its newest version,
/// and those that say exactly the same by now.
///
/// # Errors
/// `Invalid` with the places of those that aren't live.
pub(super) fn asked_for(
    core: &Core,
    codebook: &CodebookName,
    request: &EditRequest,
) -> Result<Relations, EditorError> {
    let snapshot = core.existing(codebook)?.map(|book| book.snapshot());
    let (mut named, mut faults) = (BTreeSet::new(), Vec::new());
    for (index, id) in request.supersedes.iter().enumerate() {
        match snapshot.as_ref().and_then(|snapshot| Some((snapshot, snapshot.edit(*id)?))) {
            Some((snapshot, record)) => named.extend(of_fact(snapshot, record.known_as())),
            None => faults.push(FieldError::new(
                format!("/supersedes/{index}"),
                format!("no edit {id} is live in this codebook"),
            )),
        }
    }
    if !faults.is_empty() {
        return Err(EditorError::Invalid(faults));
    }
    let conflicts = &core.config().conflicts;
    let configured = conflicts.codebooks.get(codebook).copied().unwrap_or(conflicts.on_conflict);
    Ok(Relations {
        supersedes: named.into_iter().collect(),
        on_conflict: request.on_conflict.unwrap_or(configured),
        version: None,
        shares_keys: true,
    })
}

/// The edit that is known as this and its newest version, with the others that say the same.
fn of_fact(snapshot: &Snapshot, known_as: EditId) -> Vec<EditId> {
    let standing = snapshot.standing();
    let Some(newest) = standing.newest_version(known_as) else { return Vec::new() };
    let known = |id: EditId| snapshot.edit(id).map_or(id, |record| record.known_as());
    let saying = standing.same_fact(newest).into_iter().chain([newest]);
    let newest = saying.filter(|id| standing.newest_version(known(*id)) == Some(*id));
    newest.flat_map(|id| [known(id), id]).collect()
}

/// What is told of an edit beside others.
pub(crate) struct Others {
    pub(crate) supersedes: Vec<EditId>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) superseded_by: Option<Conflict>,
    pub(crate) duplicate_of: Option<EditId>,
    pub(crate) near_duplicates: Vec<Conflict>,
    pub(crate) versions: Vec<EditVersion>,
}

impl Others {
    /// Those of an edit; of one that isn't live only what its record says.
    pub(crate) fn of(snapshot: &Snapshot, record: &EditRecord) -> Self {
        let standing = snapshot.standing();
        let conflict = |record: &Arc<EditRecord>| Conflict::from(record.as_ref());
        let known = |id: EditId| snapshot.edit(id).map_or(id, |record| record.known_as());
        let of_versions: Vec<&Arc<EditRecord>> =
            standing.versions(record.known_as()).into_iter().filter_map(|id| snapshot.edit(id)).collect();
        let named = of_versions.iter().flat_map(|record| &record.relations.supersedes);
        let supersedes: BTreeSet<EditId> =
            named.chain(&record.relations.supersedes).map(|id| known(*id)).collect();
        let near = standing.near_duplicates(record).into_iter();
        Self {
            supersedes: supersedes.into_iter().collect(),
            conflicts: snapshot.conflicts(record.id).into_iter().map(conflict).collect(),
            superseded_by: snapshot.superseded_by(record.id).map(conflict),
            duplicate_of: standing.duplicate_of(record).map(known),
            near_duplicates: near.filter_map(|id| snapshot.edit(id)).map(conflict).collect(),
            versions: EditVersion::all(&of_versions),
        }
    }
}
