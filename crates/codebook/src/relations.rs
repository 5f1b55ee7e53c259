//! What has to hold of how an edit stands to others before it is stored.

use std::collections::BTreeMap;

use reasonedit_records::relations::OnConflict;
use reasonedit_standing::cycle;
use reasonedit_text::same;

use crate::ids::EditId;
use crate::records::EditRecord;
use crate::snapshot::Snapshot;
use crate::{CodebookError, Result};

/// Whether an edit that is made now may stand to the live ones as it says.
///
/// # Errors
/// `NotToSupersede` if it names one that isn't live, `Contradicted` if it is to contradict none and does,
/// `OtherVersion` if it is to follow on another version than the newest, `UnknownEdit` if on none that is
/// live.
pub(crate) fn check_edit(current: &Snapshot, record: &EditRecord) -> Result<()> {
    let relations = &record.relations;
    if let Some(unknown) = relations.supersedes.iter().find(|id| current.edit(**id).is_none()) {
        return Err(CodebookError::NotToSupersede(*unknown));
    }
    let mut says_the_same = false;
    if let Some(version) = relations.version {
        let newest = current.standing().newest_version(version.of);
        let newest = newest.and_then(|newest| current.edit(newest));
        let newest = newest.ok_or(CodebookError::UnknownEdit(version.of))?;
        if newest.id != version.after || newest.version() + 1 != version.number {
            return Err(CodebookError::OtherVersion { edit: version.of, newest: newest.id });
        }
        says_the_same = same(&newest.answer, &record.answer);
    }
    // Who keeps an answer that was admitted contradicts nobody anew.
    if relations.on_conflict == OnConflict::Refuse && !says_the_same {
        let others = current.standing().in_the_way(record);
        if !others.is_empty() {
            let known_as = |id: &EditId| current.edit(*id).map_or(*id, |record| record.known_as());
            return Err(CodebookError::Contradicted(others.iter().map(known_as).collect()));
        }
    }
    Ok(())
}

impl Snapshot {
    /// Whether an edit may be made that stands to the live ones as this one says.
    ///
    /// # Errors
    /// `NotToSupersede`, `Contradicted`, `OtherVersion`, `UnknownEdit`: as when it is applied.
    pub fn admits(&self, record: &EditRecord) -> Result<()> {
        check_edit(self, record)
    }
}

/// Whether edits that were made elsewhere may stand to each other and to the live ones as they say.
///
/// # Errors
/// `Conflict`.
pub(crate) fn check_import<'r>(
    current: &'r Snapshot,
    new: impl Iterator<Item = &'r EditRecord> + Clone,
) -> Result<()> {
    let coming: BTreeMap<EditId, &EditRecord> = new.clone().map(|record| (record.id, record)).collect();
    let found = |id: &EditId| coming.get(id).copied().or_else(|| current.edit(*id).map(AsRef::as_ref));
    for record in new.clone() {
        let Some(version) = record.relations.version else { continue };
        let is_first = |first: &&EditRecord| {
            first.relations.version.is_none()
                && first.image == record.image
                && same(&first.question, &record.question)
        };
        if version.number < 2 || !found(&version.of).as_ref().is_some_and(is_first) {
            let detail = format!("the edit {} is a version of none that is here or comes with it", record.id);
            return Err(CodebookError::Conflict(detail));
        }
    }
    // Without one that names others nothing can go round.
    if new.clone().any(|record| !record.relations.supersedes.is_empty())
        && let Some(edit) = cycle(current.edits().map(AsRef::as_ref).chain(new))
    {
        let detail = format!("the edit {edit} supersedes itself over others");
        return Err(CodebookError::Conflict(detail));
    }
    Ok(())
}
