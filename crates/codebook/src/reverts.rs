//! Many edits taken back in one step, and the step undone.
//!
//! The history says of each edit by which step it went, so nothing else has to be kept of a step, and it is
//! whole or not at all as the history is. What is undone comes back from the rows that reverted edits keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;
use ulid::Ulid;

use crate::book::{Codebook, EditFilter, Page, Writer};
use crate::ids::{EditId, RevertId};
use crate::records::EditRecord;
use crate::relations;
use crate::snapshot::Snapshot;
use crate::store::{Event, LoggedEvent, Reverting, SharedEdit};
use crate::{CodebookError, Result};

/// How often what a step leads to is worked out beside the writers, before they wait for it.
const TRIES: usize = 3;

/// Which edits to take back: all that fit the filter, of those that are named if any are.
#[derive(Debug, Clone, Default)]
pub struct EditSelection {
    /// What they have to be. The author and the times are those of the edit's first version, or of its
    /// newest ones, which then go alone; tags and texts are those of the newest.
    pub filter: EditFilter,
    /// These alone, by the id of any of their versions.
    pub edits: Option<BTreeSet<EditId>>,
    /// Of these, by the id of their first versions; others, and those that aren't live, are passed over.
    pub among: Option<BTreeSet<EditId>>,
}

/// An edit that a selection takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedEdit {
    /// What it is known as.
    pub edit: EditId,
    /// The stored ids of the versions that go, newest first.
    pub versions: Vec<EditId>,
    /// Whether these are all that it has; else the versions before stay.
    pub whole: bool,
}

/// What was taken back in one step.
#[derive(Debug, Clone)]
pub struct RevertedEdits {
    /// The edits, in the order in which they were made.
    pub edits: Vec<SelectedEdit>,
    /// Edits that stood back for one of them, and stand now.
    pub standing: Vec<EditId>,
    /// The codebook right after it, or as it would be.
    pub snapshot: Arc<Snapshot>,
}

/// What came back as a step was undone.
#[derive(Debug, Clone)]
pub struct RestoredEdits {
    /// The edits, in the order in which they were made.
    pub edits: Vec<EditId>,
    /// Those that stay away, because they were erased meanwhile.
    pub erased: Vec<EditId>,
    /// The codebook right after it.
    pub snapshot: Arc<Snapshot>,
}

/// A step that took edits back, as the history tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// What it is known by.
    pub id: RevertId,
    /// When, UTC.
    pub at: Option<OffsetDateTime>,
    /// Who did it, as far as it is known.
    pub by: Option<String>,
    /// Stored ids of what went, in that order.
    pub edits: Vec<EditId>,
    /// When and by whom it was undone.
    pub undone: Option<(Option<OffsetDateTime>, Option<String>)>,
}

impl Snapshot {
    /// The edits that a selection takes, in the order in which they were made.
    ///
    /// # Errors
    /// `UnknownEdit` if one that is named isn't live.
    pub fn selected(&self, selection: &EditSelection) -> Result<Vec<SelectedEdit>> {
        let named = selection.edits.as_ref().map(|named| {
            let known_as = |id: &EditId| self.known_as(*id).ok_or(CodebookError::UnknownEdit(*id));
            named.iter().map(known_as).collect::<Result<BTreeSet<EditId>>>()
        });
        let named = named.transpose()?;
        let filter = selection.filter.canonical();
        let made =
            EditFilter { author: filter.author, from: filter.from, to: filter.to, ..Default::default() };
        let says = EditFilter { tag: filter.tag, q: filter.q, ..Default::default() };
        let mut selected = Vec::new();
        for first in self.edits().filter(|record| record.relations.version.is_none()) {
            let lacks = |ids: &BTreeSet<EditId>| !ids.contains(&first.id);
            if named.as_ref().is_some_and(lacks) || selection.among.as_ref().is_some_and(lacks) {
                continue;
            }
            let mut versions = self.standing().versions(first.id);
            versions.reverse();
            let is = |id: &EditId, filter: &EditFilter| self.edit(*id).is_some_and(|one| filter.takes(one));
            if !versions.first().is_some_and(|newest| is(newest, &says)) {
                continue;
            }
            let whole = made.takes(first);
            if !whole {
                let own = versions.iter().take_while(|id| is(id, &made)).count();
                versions.truncate(own);
            }
            if !versions.is_empty() {
                selected.push(SelectedEdit { edit: first.id, versions, whole });
            }
        }
        Ok(selected)
    }

    /// This codebook without what a selection takes.
    ///
    /// # Errors
    /// As [`Self::selected`].
    pub fn without_selected(&self, selection: &EditSelection) -> Result<RevertedEdits> {
        let edits = self.selected(selection)?;
        let gone: BTreeSet<EditId> = edits.iter().flat_map(|one| one.versions.iter().copied()).collect();
        let next = if gone.is_empty() { self.copy() } else { self.changed_much(&gone, &[]) };
        let back = |record: &&Arc<EditRecord>| {
            self.superseded_by(record.id).is_some() && next.superseded_by(record.id).is_none()
        };
        let standing: Vec<EditId> = next.edits().filter(back).map(|record| record.known_as()).collect();
        Ok(RevertedEdits { edits, standing, snapshot: Arc::new(next) })
    }
}

impl Codebook {
    /// Takes back in one step what a selection takes, all of it or nothing: the codebook becomes what it
    /// would be had it never been made. Nothing is written if the selection takes nothing.
    ///
    /// # Errors
    /// `UnknownEdit` if an edit that is named isn't live, `Store`.
    pub fn revert_selected(
        &self,
        selection: &EditSelection,
        revert: RevertId,
        by: Option<&str>,
    ) -> Result<RevertedEdits> {
        let (mut writer, mut reverted) = self.prepared(|current| current.without_selected(selection))?;
        let gone: Vec<EditId> = reverted.edits.iter().flat_map(|one| one.versions.iter().copied()).collect();
        if !gone.is_empty() {
            let step = Reverting { edits: &gone, revert: Some(revert), by };
            let commit = || self.store.commit_reverts(&self.name, &step);
            reverted.snapshot = self.publish(&mut writer, reverted.snapshot.copy(), commit)?;
        }
        Ok(reverted)
    }

    /// Undoes a step: what it took back is live again, to the last bit as if it had never gone. What was
    /// erased meanwhile stays away.
    ///
    /// # Errors
    /// `UnknownRevert`; `Conflict` if it was undone before, all of it was erased, the keys of then are not
    /// kept, or an edit has got another version since; `Store`. Nothing has changed then.
    pub fn undo_revert(&self, revert: RevertId, by: Option<&str>) -> Result<RestoredEdits> {
        let (mut writer, mut restored) = self.prepared(|current| self.restored(current, revert))?;
        let step = Reverting { edits: &restored.edits, revert: Some(revert), by };
        let commit = || self.store.commit_restores(&self.name, &step);
        restored.snapshot = self.publish(&mut writer, restored.snapshot.copy(), commit)?;
        Ok(restored)
    }

    /// Works out what a change leads to beside the writers, who wait for it only if they keep being faster.
    fn prepared<T>(
        &self,
        prepare: impl Fn(&Snapshot) -> Result<T>,
    ) -> Result<(parking_lot::MutexGuard<'_, Writer>, T)> {
        for _ in 0..TRIES {
            let current = self.snapshot();
            let prepared = prepare(&current)?;
            let writer = self.write()?;
            if Arc::ptr_eq(&self.snapshot(), &current) {
                return Ok((writer, prepared));
            }
        }
        let writer = self.write()?;
        let prepared = prepare(&self.snapshot())?;
        Ok((writer, prepared))
    }

    /// This codebook with what a step took back.
    fn restored(&self, current: &Snapshot, revert: RevertId) -> Result<RestoredEdits> {
        let events = self.events(0, usize::MAX)?;
        let step = steps(&events).remove(&revert).ok_or(CodebookError::UnknownRevert(revert))?;
        if step.undone.is_some() {
            return Err(CodebookError::Conflict(format!("{revert} was undone before")));
        }
        let (erased, gone): (Vec<EditId>, Vec<EditId>) =
            step.edits.into_iter().partition(|id| self.erased(*id).is_some());
        let Some(embedding) = current.embedding().filter(|_| !gone.is_empty()) else {
            let detail = format!("all that was taken back under {revert} was erased since");
            return Err(CodebookError::Conflict(detail));
        };
        let found = self.store.kept_edits(&self.name, &gone, embedding)?;
        if found.len() != gone.len() {
            let detail = "other keys have become live since; go back to those of then, and undo it there";
            return Err(CodebookError::Conflict(detail.to_owned()));
        }
        let mut found: Vec<SharedEdit> = found
            .into_iter()
            .map(|(record, members)| (Arc::new(record), members.into_iter().map(Arc::new).collect()))
            .collect();
        found.sort_by_key(|(record, _)| record.id);
        let edits: Vec<EditId> = found.iter().map(|(record, _)| record.id).collect();
        for (record, _) in &found {
            let Some(version) = record.relations.version else { continue };
            let follows = current.standing().newest_version(version.of) == Some(version.after)
                || edits.binary_search(&version.after).is_ok();
            if !follows {
                let detail = format!("the edit {} has another version since", version.of);
                return Err(CodebookError::Conflict(detail));
            }
        }
        relations::check_import(current, found.iter().map(|(record, _)| record.as_ref()))?;
        let next = current.changed_much(&BTreeSet::new(), &found);
        Ok(RestoredEdits { edits, erased, snapshot: Arc::new(next) })
    }

    /// The steps that took edits back, the last one first, from the one after `cursor` on. Reads the history.
    ///
    /// # Errors
    /// `Store` or `Corrupt`.
    pub fn reverts(&self, cursor: Option<RevertId>, limit: usize) -> Result<Page<Revert, RevertId>> {
        let events = self.events(0, usize::MAX)?;
        let steps = steps(&events).into_values().rev();
        let after = steps.filter(|step| cursor.is_none_or(|cursor| step.id < cursor));
        Ok(Page::take(after, limit, |step| step.id))
    }

    /// The edits that came with an import, as far as the history names it. Reads the history.
    ///
    /// # Errors
    /// `Store` or `Corrupt`.
    pub fn imported_by(&self, import: Ulid) -> Result<Vec<EditId>> {
        let of = |logged: LoggedEvent| match logged.event {
            Event::Edited(edit) if logged.import == Some(import) => Some(edit),
            _ => None,
        };
        Ok(self.events(0, usize::MAX)?.into_iter().filter_map(of).collect())
    }

    /// One of these steps.
    ///
    /// # Errors
    /// `UnknownRevert`; `Store` or `Corrupt`.
    pub fn revert_step(&self, revert: RevertId) -> Result<Revert> {
        let events = self.events(0, usize::MAX)?;
        steps(&events).remove(&revert).ok_or(CodebookError::UnknownRevert(revert))
    }
}

/// The steps of a history, by their ids, which are in the order in which they were taken.
fn steps(events: &[LoggedEvent]) -> BTreeMap<RevertId, Revert> {
    let mut steps: BTreeMap<RevertId, Revert> = BTreeMap::new();
    for logged in events {
        let Some(id) = logged.revert else { continue };
        let begun = || Revert { id, at: logged.at, by: logged.by.clone(), edits: Vec::new(), undone: None };
        let step = steps.entry(id).or_insert_with(begun);
        match logged.event {
            Event::Reverted(edit) => step.edits.push(edit),
            Event::Restored(_) => step.undone = Some((logged.at, logged.by.clone())),
            Event::Edited(_) | Event::Erased(_) | Event::Reembedded(_) => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests;
