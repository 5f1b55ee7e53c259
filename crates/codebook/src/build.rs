//! Making a generation of keys beside the live one, and swapping it in.
//!
//! The keys of a generation are a map from edits to vectors, in the store as in memory. A build fills that
//! map, edit by edit, until it covers the live edits; the codebook is read and written meanwhile as if
//! nothing happened. Only the last comparison and the swap are made under the write lock, so no edit can slip
//! in between, and what a reader sees is the old generation or the new one. Taking up a half-made generation
//! after a restart, and rolling back to the generation that was kept, are the same thing with a map that is
//! partly full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::book::Codebook;
use crate::ids::{EditId, GenerationId};
use crate::member::{Member, validate_edit};
use crate::records::{Draft, Embedding, Generation, survives_json};
use crate::snapshot::Snapshot;
use crate::{CodebookError, Result};

/// A generation in the making; at most one per codebook. Dropped unfinished it stays in the store, to be gone
/// on with.
pub struct Build {
    book: Arc<Codebook>,
    target: Generation,
    /// Whether the target is the draft; else it is the generation that was kept.
    draft: bool,
    /// Keys that the target has in the store.
    made: BTreeMap<EditId, Vec<Arc<Member>>>,
    /// The codebook as it will be, as far as `made` goes.
    next: Option<Snapshot>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Discarded,
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildProgress {
    /// Live edits that have no keys yet, oldest first.
    pub edits: Vec<EditId>,
    /// Live edits in all.
    pub of: usize,
}

impl Codebook {
    /// Begins a generation under this embedding, or goes on with the one that was left half-made by the same
    /// recipe (then under the id which that one bears). One made by another recipe is removed.
    ///
    /// # Errors
    /// `Conflict` if a build runs or the embedding bears the id of a generation in use, `UnknownCodebook`
    /// before the first edit, `InvalidRecord` if λ isn't finite, `Store`, `Corrupt`.
    pub fn begin(self: &Arc<Self>, generation: Generation, recipe: [u8; 32]) -> Result<Build> {
        if !survives_json(&generation) {
            return Err(CodebookError::InvalidRecord("λ is not finite"));
        }
        let mut build = Build::new(self)?;
        {
            let _writer = self.write()?;
            let snapshot = self.snapshot();
            let used = |embedding: &Embedding| embedding.id == generation.embedding.id;
            if snapshot.embedding().is_some_and(|live| used(live))
                || snapshot.previous().is_some_and(|previous| used(&previous.embedding))
            {
                return Err(CodebookError::Conflict("the new generation needs an id of its own".to_owned()));
            }
            build.target = self.store.begin_draft(&self.name, &Draft { generation, recipe })?.generation;
            build.draft = true;
        }
        self.store.sweep(&self.name)?;
        build.take_up()?;
        Ok(build)
    }

    /// Begins a rollback to the generation that is kept, which must be `to` if that is given: it lacks only
    /// the keys of edits made since. `chosen` as for any generation.
    ///
    /// # Errors
    /// `Conflict` if a build runs, or none or another generation is kept, `Store`, `Corrupt`.
    pub fn begin_rollback(self: &Arc<Self>, to: Option<GenerationId>, chosen: bool) -> Result<Build> {
        let mut build = Build::new(self)?;
        let snapshot = self.snapshot();
        let previous = snapshot.previous().filter(|p| to.is_none_or(|to| p.embedding.id == to));
        let Some(previous) = previous else {
            return Err(CodebookError::Conflict("that generation of keys is not kept".to_owned()));
        };
        build.target = Generation { chosen, ..previous.as_ref().clone() };
        build.take_up()?;
        Ok(build)
    }

    /// Removes what a build left that was dropped unfinished, if there is any.
    ///
    /// # Errors
    /// `Conflict` if a build runs, `Store`.
    pub fn discard_draft(self: &Arc<Self>) -> Result<()> {
        if self.snapshot().embedding().is_none() {
            return Ok(());
        }
        let mut left = Build::new(self)?;
        left.draft = true;
        left.discard()
    }

    /// Makes the live embedding the codebook's own, so that another configuration leaves it as it is.
    ///
    /// # Errors
    /// `UnknownCodebook` before the first edit, `Store`.
    pub fn choose_live(&self) -> Result<()> {
        let mut writer = self.write()?;
        let live = self.snapshot();
        let Some(generation) = live.generation() else {
            return Err(CodebookError::UnknownCodebook(self.name.clone()));
        };
        let generation = Generation { chosen: true, ..generation };
        let next = live.copy().with_generation(true, live.previous().cloned());
        self.publish(&mut writer, next, || self.store.swap(&self.name, &generation))?;
        Ok(())
    }
}

impl Build {
    /// Takes the codebook's only place for a build.
    fn new(book: &Arc<Codebook>) -> Result<Self> {
        let Some(target) = book.snapshot().generation() else {
            return Err(CodebookError::UnknownCodebook(book.name.clone()));
        };
        if book.building.swap(true, Ordering::AcqRel) {
            return Err(CodebookError::Conflict("the codebook is being re-embedded already".to_owned()));
        }
        Ok(Self {
            book: Arc::clone(book),
            target,
            draft: false,
            made: BTreeMap::new(),
            next: None,
            state: State::Open,
        })
    }

    /// Reads the keys that the target has.
    fn take_up(&mut self) -> Result<()> {
        for member in self.book.store.members(&self.book.name, &self.target.embedding)? {
            self.made.entry(member.edit).or_default().push(Arc::new(member));
        }
        Ok(())
    }

    /// The codebook.
    pub fn book(&self) -> &Arc<Codebook> {
        &self.book
    }

    /// What is being made.
    pub fn generation(&self) -> &Generation {
        &self.target
    }

    /// Whether it has become the live generation.
    pub fn finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Prepares the swap as far as there are keys, and tells what lacks them. Costs what has changed since
    /// the last call; edits go on meanwhile, so more may be missing when it returns.
    pub fn prepare(&mut self) -> BuildProgress {
        let live = self.book.snapshot();
        let of = live.edit_count();
        BuildProgress { edits: self.follow(&live), of }
    }

    /// Adds the keys of whole edits; on disk when this returns. Members of edits that were reverted meanwhile
    /// are welcome.
    ///
    /// # Errors
    /// `DimensionMismatch`, `InvalidMember`, `Conflict` if the build has ended, `Store`.
    pub fn add(&mut self, members: Vec<Member>) -> Result<()> {
        self.open()?;
        let snapshot = self.book.snapshot();
        for edit in members.chunk_by(|a, b| a.edit == b.edit) {
            let Some(first) = edit.first() else { continue };
            validate_edit(first.edit, edit, self.target.embedding.dim())?;
            let expected = snapshot.members_of(first.edit).count();
            if snapshot.edit(first.edit).is_some() && expected != edit.len() {
                return Err(CodebookError::InvalidMember {
                    member: first.id,
                    reason: "its edit has another number of members",
                });
            }
        }
        self.book.store.put_keys(&self.book.name, self.target.embedding.id, &members)?;
        for member in members {
            // What the member says is the stored one's; only where it lies is new.
            let stored = snapshot.members_of(member.edit).find(|stored| stored.id == member.id);
            let Some(stored) = stored.cloned() else { continue };
            let member = Member { key: member.key, radius: member.radius, ..Arc::unwrap_or_clone(stored) };
            let of_edit = self.made.entry(member.edit).or_default();
            // An edit given twice is taken once.
            if of_edit.len() == member.ordinal as usize {
                of_edit.push(Arc::new(member));
            }
        }
        Ok(())
    }

    /// Makes it the live generation, in one step, if no live edit lacks its keys; the one that was live is
    /// kept until the next swap. `None` if edits were made since: add theirs and call again.
    ///
    /// # Errors
    /// `Conflict` if the build has ended, `Store`: whether the swap happened is then not known, and the
    /// codebook takes no further writes until it is reopened.
    pub fn finish(&mut self) -> Result<Option<Arc<Snapshot>>> {
        self.open()?;
        // The bulk of the work, without the lock.
        if !self.prepare().edits.is_empty() {
            return Ok(None);
        }
        let book = Arc::clone(&self.book);
        let mut writer = book.write()?;
        let live = book.snapshot();
        if !self.follow(&live).is_empty() {
            return Ok(None);
        }
        let Some(next) = self.next.take() else { return Ok(None) };
        let next = next.with_generation(self.target.chosen, live.generation().map(Arc::new));
        let published = book.publish(&mut writer, next, || book.store.swap(&book.name, &self.target))?;
        drop(writer);
        self.state = State::Finished;
        self.made.clear();
        if let Err(error) = book.store.sweep(&book.name) {
            tracing::warn!(codebook = %book.name, %error, "old keys are removed when the codebook is next opened");
        }
        Ok(Some(published))
    }

    /// Gives up: nothing of a draft is left. A rollback leaves the kept generation as it is, with the keys
    /// added to it.
    ///
    /// # Errors
    /// `Conflict` if the build has ended, `Store`.
    pub fn discard(&mut self) -> Result<()> {
        self.open()?;
        self.state = State::Discarded;
        self.made.clear();
        self.next = None;
        if !self.draft {
            return Ok(());
        }
        {
            let _writer = self.book.write()?;
            self.book.store.discard_draft(&self.book.name)?;
        }
        self.book.store.sweep(&self.book.name)
    }

    fn open(&self) -> Result<()> {
        if self.state == State::Open {
            Ok(())
        } else {
            Err(CodebookError::Conflict("the re-embedding has ended".to_owned()))
        }
    }

    /// Brings `next` in line with this state of the codebook, as far as there are keys; returns the edits
    /// that have none.
    fn follow(&mut self, live: &Snapshot) -> Vec<EditId> {
        let (mut missing, mut new, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for record in live.edits() {
            if !self.made.contains_key(&record.id) {
                missing.push(record.id);
            } else if self.next.as_ref().is_none_or(|next| next.edit(record.id).is_none()) {
                new.push(Arc::clone(record));
            }
        }
        if let Some(next) = &self.next {
            gone.extend(next.edits().map(|e| e.id).filter(|id| live.edit(*id).is_none()));
        }
        let embedding = Arc::new(self.target.embedding.clone());
        let next = match self.next.take() {
            // Few changes one by one, as the writer does; many are cheaper from scratch.
            Some(next) if (new.len() + gone.len()) * 2 <= next.edit_count() => {
                let next = gone.into_iter().fold(next, |next, id| next.without_edit(id));
                new.into_iter().fold(next, |next, record| {
                    let members = self.made.get(&record.id).into_iter().flatten().cloned();
                    next.with_edit(&embedding, record, members)
                })
            }
            _ => {
                let edits: Vec<_> = live.edits().filter(|e| self.made.contains_key(&e.id)).cloned().collect();
                let members: Vec<_> =
                    edits.iter().filter_map(|e| self.made.get(&e.id)).flatten().cloned().collect();
                Snapshot::build(Arc::clone(&self.book.config), Some(embedding), edits, members)
            }
        };
        self.next = Some(next);
        missing
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        self.book.building.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
