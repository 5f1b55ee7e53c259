//! Codebooks as they were, and as they would be: snapshots of other live edits than the present ones.
//!
//! The history says which edits were live after any number of events, and the keys of an edit that was taken
//! back stay with its record. So a state of before is the fold over the edits of then, exactly: what today's
//! snapshot has in common with it is shared, and only the difference is decided again. Nothing of it is
//! stored. What can't be had any more are edits that were erased, and keys of a generation that is no longer
//! kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::book::Codebook;
use crate::config::CodebookConfig;
use crate::ids::{EditId, GenerationId};
use crate::member::Member;
use crate::records::{EditRecord, Embedding, Generation};
use crate::snapshot::Snapshot;
use crate::store::{Event, EventOrigin, LoggedEvent, SharedEdit};
use crate::{CodebookError, Moment, Result};

/// A codebook as it was.
#[derive(Debug, Clone)]
pub struct PastState {
    /// It, but for what is missing, by today's configuration.
    pub snapshot: Arc<Snapshot>,
    /// Edits that were live then and have been erased since, in order of their ids: it is as if they had
    /// never been made.
    pub erased: Vec<EditId>,
}

/// What the beginning of a history comes to.
#[derive(Debug, Default)]
struct Replayed {
    live: BTreeSet<EditId>,
    /// The events that made generations of keys live, and how many of them had come.
    swaps: Vec<(u64, GenerationId, EventOrigin)>,
    before: usize,
}

impl Codebook {
    /// How many events had come at a moment.
    ///
    /// # Errors
    /// `NoSuchRevision` for one that is yet to come, `Store`, `Corrupt`.
    pub fn revision_at(&self, moment: Moment) -> Result<u64> {
        let newest = self.recorded();
        match moment {
            Moment::Revision(revision) if revision <= newest => Ok(revision),
            Moment::Revision(revision) => Err(CodebookError::NoSuchRevision { revision, newest }),
            Moment::Time(time) => {
                let events = self.events(0, usize::MAX)?;
                let later = events.iter().position(|logged| logged.at.is_some_and(|at| at > time));
                Ok(later.unwrap_or(events.len()) as u64)
            }
        }
    }

    /// The codebook after so many events of its history ([`Self::revision_at`]).
    ///
    /// # Errors
    /// `NoSuchRevision`; `KeysNotKept` if other keys were live then and are not kept any more; `Store`,
    /// `Corrupt`.
    pub fn past(&self, revision: u64) -> Result<PastState> {
        let now = self.snapshot();
        if revision == now.revision() {
            return Ok(PastState { snapshot: now, erased: Vec::new() });
        }
        let events = self.events(0, usize::MAX)?;
        if revision > events.len() as u64 {
            return Err(CodebookError::NoSuchRevision { revision, newest: events.len() as u64 });
        }
        let replayed = Replayed::of(&events, revision);
        let generation = generation_then(&now, revision, &replayed)?;
        let Some((embedding, is_live)) = generation else {
            let empty = Snapshot::build(Arc::clone(&self.config), None, [], []);
            return Ok(PastState { snapshot: Arc::new(empty.at_revision(revision)), erased: Vec::new() });
        };
        let (base, gone) = if is_live {
            let gone = now.edits().map(|edit| edit.id).filter(|id| !replayed.live.contains(id)).collect();
            (Some(now.as_ref()), gone)
        } else {
            (None, BTreeSet::new())
        };
        let missing: Vec<EditId> = replayed
            .live
            .iter()
            .copied()
            .filter(|id| base.is_none_or(|now| now.edit(*id).is_none()))
            .collect();
        let found = self.store.kept_edits(&self.name, &missing, &embedding)?;
        let found: Vec<SharedEdit> = found
            .into_iter()
            .map(|(record, members)| (Arc::new(record), members.into_iter().map(Arc::new).collect()))
            .collect();
        let erased = self.erased_of(&missing, &found, revision)?;
        // Keys that aren't live stand for themselves, whatever the configuration says.
        let (chosen, previous) = if is_live { (now.chosen(), now.previous().cloned()) } else { (true, None) };
        let snapshot = state_of(&self.config, base, &embedding, &gone, &found)
            .with_generation(chosen, previous)
            .at_revision(revision);
        Ok(PastState { snapshot: Arc::new(snapshot), erased })
    }

    /// Which of these edits were erased: all that were not found.
    fn erased_of(&self, asked: &[EditId], found: &[SharedEdit], revision: u64) -> Result<Vec<EditId>> {
        let found: BTreeSet<EditId> = found.iter().map(|(record, _)| record.id).collect();
        let lost: Vec<EditId> = asked.iter().copied().filter(|id| !found.contains(id)).collect();
        if lost.iter().all(|id| self.erased(*id).is_some()) {
            return Ok(lost);
        }
        // A re-embedding may have ended since, and the keys of before it were removed.
        Err(CodebookError::KeysNotKept { revision, earliest: self.recorded() })
    }
}

impl Replayed {
    fn of(events: &[LoggedEvent], revision: u64) -> Self {
        let mut replayed = Self::default();
        for (number, logged) in (1u64..).zip(events) {
            let within = number <= revision;
            match logged.event {
                Event::Edited(id) | Event::Restored(id) if within => drop(replayed.live.insert(id)),
                Event::Reverted(id) if within => drop(replayed.live.remove(&id)),
                Event::Reembedded(id) => {
                    replayed.swaps.push((number, id, logged.origin));
                    replayed.before += usize::from(within);
                }
                Event::Edited(_) | Event::Reverted(_) | Event::Restored(_) | Event::Erased(_) => {}
            }
        }
        replayed
    }

    /// The generation after this many swaps, where the history names it. A rollback makes the one before the
    /// last live again: so the first of all has a name if the second swap was one.
    fn generation(&self, swaps: usize) -> Option<GenerationId> {
        match swaps {
            0 => self.swaps.get(1).filter(|(.., origin)| *origin == EventOrigin::RolledBack),
            n => self.swaps.get(n - 1),
        }
        .map(|(_, id, _)| *id)
    }
}

/// What keys were live after so many events, and whether they still are; `None` if there were none yet.
fn generation_then(
    now: &Snapshot,
    revision: u64,
    replayed: &Replayed,
) -> Result<Option<(Arc<Embedding>, bool)>> {
    let Some(live) = now.embedding().filter(|_| revision > 0) else { return Ok(None) };
    let swaps = &replayed.swaps;
    if replayed.before == swaps.len() {
        return Ok(Some((Arc::clone(live), true)));
    }
    let kept = now.previous();
    let then = replayed.generation(replayed.before);
    // The one before the last swap bears no name in the history if it was the first of all.
    let is_previous = replayed.before + 1 == swaps.len()
        || then.is_some_and(|id| kept.is_some_and(|kept| kept.embedding.id == id));
    if then == Some(live.id) {
        return Ok(Some((Arc::clone(live), true)));
    }
    if let Some(Generation { embedding, .. }) = kept.map(AsRef::as_ref).filter(|_| is_previous) {
        return Ok(Some((Arc::new(embedding.clone()), false)));
    }
    // From the earliest swap on after which the keys are there.
    let there = |id: GenerationId| id == live.id || kept.is_some_and(|kept| kept.embedding.id == id);
    let earliest = swaps.iter().skip(replayed.before).find(|(_, id, _)| there(*id));
    let earliest = earliest.map_or_else(|| now.revision(), |(number, ..)| *number);
    Err(CodebookError::KeysNotKept { revision, earliest })
}

/// The codebook of other edits than `base`, which is of the same keys: from it where it differs in few.
fn state_of(
    config: &Arc<CodebookConfig>,
    base: Option<&Snapshot>,
    embedding: &Arc<Embedding>,
    gone: &BTreeSet<EditId>,
    new: &[SharedEdit],
) -> Snapshot {
    if let Some(base) = base
        && (gone.len() + new.len()) * 2 <= base.edit_count()
    {
        return base.changed(embedding, gone, new);
    }
    let (mut edits, mut members) = (Vec::new(), Vec::new());
    for record in base.into_iter().flat_map(Snapshot::edits).filter(|record| !gone.contains(&record.id)) {
        members.extend(base.into_iter().flat_map(|base| base.members_of(record.id)).cloned());
        edits.push(Arc::clone(record));
    }
    for (record, of_edit) in new {
        edits.push(Arc::clone(record));
        members.extend(of_edit.iter().cloned());
    }
    Snapshot::build(Arc::clone(config), Some(Arc::clone(embedding)), edits, members)
}

impl Snapshot {
    /// This codebook without some of its edits and with others, however many.
    pub(crate) fn changed_much(&self, gone: &BTreeSet<EditId>, new: &[SharedEdit]) -> Self {
        let Some(embedding) = self.embedding() else { return self.copy() };
        let config = Arc::new(*self.config());
        state_of(&config, Some(self), embedding, gone, new)
            .with_generation(self.chosen(), self.previous().cloned())
            .at_revision(self.revision())
    }

    /// A codebook in which nothing has happened.
    #[must_use]
    pub fn empty(config: &CodebookConfig) -> Self {
        Self::build(Arc::new(*config), None, [], [])
    }

    /// Bytes of the vectors that keys are looked up by, as they are and rounded, as if nothing were shared.
    pub fn vector_bytes(&self) -> u64 {
        let spaces = 1 + usize::from(self.config().lookup.by_kind);
        let of_key = self.embedding().map_or(0, |embedding| embedding.dim()) * 6 * spaces;
        (self.key_count() * of_key) as u64
    }

    /// This codebook as it would be had these edits never been made; those that aren't live change nothing.
    #[must_use]
    pub fn without_edits(&self, edits: &BTreeSet<EditId>) -> Self {
        let mut next = self.copy();
        next.change(edits, &[]);
        next
    }

    /// This codebook as it would be with one more edit, whose keys are of its generation, or begin it.
    ///
    /// # Errors
    /// As [`Codebook::apply`] for what can't be stored.
    pub fn with_hypothetical(
        &self,
        record: EditRecord,
        members: Vec<Member>,
        generation: &Generation,
    ) -> Result<Self> {
        let embedding = &generation.embedding;
        crate::check::check_edit(&record, &members, embedding)?;
        crate::check::require_embedding(self, embedding)?;
        crate::relations::check_edit(self, &record)?;
        let members = members.into_iter().map(Arc::new);
        Ok(self.with_edit(&Arc::new(embedding.clone()), Arc::new(record), members))
    }
}

#[cfg(test)]
mod tests;
