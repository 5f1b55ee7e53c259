//! One codebook: a writer, and snapshots for its readers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use reasonedit_text::{canonical, searchable};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::check::{check_edit, require_embedding};
use crate::commits::Listeners;
use crate::config::{CodebookConfig, RetrievalParams};
use crate::ids::{CodebookName, EditId, GenerationId, MemberId};
use crate::key::Key;
use crate::member::Member;
use crate::records::{EditRecord, Generation};
use crate::relations;
use crate::retrieve::Retrieval;
use crate::snapshot::{EntryView, Snapshot, Stats};
use crate::store::{CodebookStore, Event, EventOrigin, SharedEdit, StoredCodebook};
use crate::{CodebookError, Result};

/// A codebook under one name. Writers wait for each other and for the disk; readers never wait for either.
pub struct Codebook {
    pub(crate) name: CodebookName,
    pub(crate) store: Arc<dyn CodebookStore>,
    pub(crate) config: Arc<CodebookConfig>,
    live: ArcSwap<Snapshot>,
    pub(crate) writer: Mutex<Writer>,
    /// Whether a generation is being made: one at a time.
    pub(crate) building: AtomicBool,
    /// Events that are on disk and may be told of.
    pub(crate) recorded: AtomicU64,
    listeners: Arc<Listeners>,
}

/// What only the holder of the write lock sees.
#[derive(Default)]
pub(crate) struct Writer {
    /// A write failed at the disk: whether the store holds it is not known, so the codebook is read anew
    /// before anything more is written on top.
    failed: bool,
}

/// What an edit did.
#[derive(Debug, Clone)]
pub struct AppliedEdit {
    /// Its entries in order, each with the key that it merged into.
    pub entries: Vec<EntryView>,
    /// The codebook right after it.
    pub snapshot: Arc<Snapshot>,
    /// Time it took to merge its members into the keys.
    pub merge_time: Duration,
    /// Time it took until the store had it on disk.
    pub store_time: Duration,
}

/// An edit as it stands in the codebook.
#[derive(Debug, Clone)]
pub struct LiveEdit {
    /// The record.
    pub record: Arc<EditRecord>,
    /// Its entries in order, each with the key that it merged into.
    pub entries: Vec<EntryView>,
    /// The generation of keys that the entries are of.
    pub generation: GenerationId,
    /// What [`Codebook::put_outcome`] kept.
    pub outcome: Option<Vec<u8>>,
}

/// Which edits to list. All conditions that are given must hold; texts are compared in their
/// [`canonical`] form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EditFilter {
    /// Made by this author.
    pub author: Option<String>,
    /// Bearing this tag.
    pub tag: Option<String>,
    /// Text in the question, the answer or a statement, in whatever case.
    pub q: Option<String>,
    /// Made at this time or later.
    #[serde(with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// Made before this time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
}

impl EditFilter {
    /// The filter in the form that [`Self::takes`] compares with.
    pub(crate) fn canonical(&self) -> Self {
        let of = |text: &Option<String>| text.as_deref().map(|text| canonical(text).into_owned());
        Self {
            author: of(&self.author),
            tag: of(&self.tag),
            q: self.q.as_deref().map(searchable),
            ..self.clone()
        }
    }

    /// Whether a record fits a filter in its canonical form.
    pub(crate) fn takes(&self, record: &EditRecord) -> bool {
        let is = |text: &str, wanted: &str| canonical(text) == wanted;
        let found = |text: &str, q: &str| searchable(text).contains(q);
        self.author.as_ref().is_none_or(|author| record.author.as_deref().is_some_and(|own| is(own, author)))
            && self.tag.as_ref().is_none_or(|tag| record.tags.iter().any(|own| is(own, tag)))
            && self.from.is_none_or(|from| record.created_at >= from)
            && self.to.is_none_or(|to| record.created_at < to)
            && self.q.as_ref().is_none_or(|q| {
                found(&record.question, q)
                    || found(&record.answer, q)
                    || record.reasoning.iter().any(|s| found(&s.statement, q))
            })
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next part begins; `None` if this is the last.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Takes `limit` items (at least one), and names the last one taken if more follow.
    pub(crate) fn take(mut items: impl Iterator<Item = T>, limit: usize, cursor: impl Fn(&T) -> C) -> Self {
        let taken: Vec<T> = items.by_ref().take(limit.max(1)).collect();
        let next = items.next().and(taken.last()).map(cursor);
        Self { items: taken, next }
    }
}

/// Whether the live codebook is what the store says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Live edits in the store.
    pub edits: usize,
    /// Their members.
    pub members: usize,
    /// Keys of the fold from scratch.
    pub keys: usize,
    /// Events in the history.
    pub events: usize,
    /// What differs; empty if all is well.
    pub differences: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing differs.
    pub fn ok(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Codebook {
    /// Reads the codebook from the store (empty if it has none of this name) and derives the rest.
    ///
    /// # Errors
    /// `Corrupt` or `Store` if it can't be read, `InvalidConfig`.
    pub fn open(
        store: Arc<dyn CodebookStore>,
        name: CodebookName,
        config: Arc<CodebookConfig>,
    ) -> Result<Self> {
        Self::open_heard(store, name, config, Arc::default())
    }

    /// As [`Self::open`], with those who are told of what is committed.
    pub(crate) fn open_heard(
        store: Arc<dyn CodebookStore>,
        name: CodebookName,
        config: Arc<CodebookConfig>,
        listeners: Arc<Listeners>,
    ) -> Result<Self> {
        config.validate()?;
        let stored = store.load(&name)?;
        // What an interrupted swap or a discarded draft left.
        match store.sweep(&name) {
            // What is left over lies there until it can be removed.
            Err(CodebookError::Unwritable(why)) => {
                tracing::warn!(codebook = %name, %why, "old keys are not removed");
            }
            swept => swept?,
        }
        let events = store.events(&name)?;
        let live = ArcSwap::from_pointee(fold(stored, &config).at_revision(events));
        let (building, recorded) = (AtomicBool::new(false), AtomicU64::new(events));
        Ok(Self { name, store, config, live, writer: Mutex::default(), building, recorded, listeners })
    }

    /// Its name.
    pub fn name(&self) -> &CodebookName {
        &self.name
    }

    /// The state right now. It stays as it is while edits go on.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load_full()
    }

    pub(crate) fn write(&self) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock();
        if writer.failed {
            self.read_anew()?;
            writer.failed = false;
        }
        Ok(writer)
    }

    /// After a write that failed: what the store has of it, if anything, is live from now on.
    fn read_anew(&self) -> Result<()> {
        self.store.recover()?;
        let stored = self.store.load(&self.name)?;
        self.store.sweep(&self.name)?;
        let events = self.store.events(&self.name)?;
        self.live.store(Arc::new(fold(stored, &self.config).at_revision(events)));
        self.recorded.store(events, Ordering::Release);
        self.listeners.tell();
        Ok(())
    }

    /// Commits to the store, and publishes what follows from it, if anything does, only after that.
    pub(crate) fn publish(
        &self,
        writer: &mut Writer,
        next: impl Into<Option<Snapshot>>,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<Arc<Snapshot>> {
        commit().inspect_err(|error| {
            writer.failed = matches!(error, CodebookError::Store { .. } | CodebookError::Unwritable(_));
        })?;
        let recorded = self.store.events(&self.name).unwrap_or_else(|error| {
            // The change itself stands, and is one event mostly; what can't be counted is read anew before
            // anything more is written.
            tracing::warn!(codebook = %self.name, %error, "the history can't be counted");
            writer.failed = true;
            self.recorded() + 1
        });
        match next.into() {
            Some(next) => self.live.store(Arc::new(next.at_revision(recorded))),
            None if self.snapshot().revision() == recorded => {}
            None => self.live.store(Arc::new(self.snapshot().copy().at_revision(recorded))),
        }
        self.recorded.store(recorded, Ordering::Release);
        self.listeners.tell();
        Ok(self.snapshot())
    }

    /// Makes an edit. When this returns it is on disk and live.
    ///
    /// `members` are numbered from 0 without gaps, 0 being the answer entry; their keys, and
    /// `record.embedding`, are of this generation. The first edit of a codebook sets its generation.
    ///
    /// # Errors
    /// `EmbeddingMismatch` if the codebook's keys are of another generation (embed again with the one it has
    /// now), `AlreadyMade` if the record's idempotency key was used before, `Conflict` if its id was,
    /// `NotToSupersede`, `Contradicted` and `OtherVersion` for how it stands to others, `InvalidRecord`,
    /// `DimensionMismatch` or `InvalidMember` for what can't be stored, `Store`.
    pub fn apply(
        &self,
        record: EditRecord,
        members: Vec<Member>,
        generation: &Generation,
    ) -> Result<AppliedEdit> {
        check_edit(&record, &members, &generation.embedding)?;
        let embedding = &generation.embedding;
        let mut writer = self.write()?;
        // Under the lock: of two requests with one key, the second finds the first.
        if let Some(given) = &record.idempotency
            && let Some((body, edit)) = self.store.idempotency(&self.name, &given.key)?
        {
            return Err(CodebookError::AlreadyMade { edit, body });
        }
        let current = self.snapshot();
        require_embedding(&current, embedding)?;
        if current.edit(record.id).is_some() {
            return Err(CodebookError::Conflict(format!("the edit id {} was used before", record.id)));
        }
        relations::check_edit(&current, &record)?;
        let first = current.embedding().is_none().then_some(generation);
        let record = Arc::new(record);
        let id = record.id;
        let shared = members.iter().cloned().map(Arc::new);
        let merging = Instant::now();
        let mut next = current.with_edit(&Arc::new(embedding.clone()), Arc::clone(&record), shared);
        if first.is_some() {
            next = next.with_generation(generation.chosen, None);
        }
        let merge_time = merging.elapsed();
        let storing = Instant::now();
        let commit =
            move || self.store.commit_edit(&self.name, &record, &members, first, EventOrigin::Direct);
        let snapshot = self.publish(&mut writer, next, commit)?;
        let store_time = storing.elapsed();
        Ok(AppliedEdit { entries: snapshot.entries_of(id), snapshot, merge_time, store_time })
    }

    /// Takes in edits that were made elsewhere or earlier, all of them or none; the history says that they
    /// were [`EventOrigin::Imported`]. Those that are live already stay as they are, and those that were
    /// erased stay so. An idempotency key that another edit has here is left out of the record: who sends it
    /// again means the one made here.
    ///
    /// Returns the ids of those that are new.
    ///
    /// # Errors
    /// As [`Self::apply`], but for `AlreadyMade`; `Conflict` for edits that supersede each other in a circle,
    /// and for a version of an edit that is neither there nor among these. Nothing has changed then.
    pub fn import(&self, edits: Vec<SharedEdit>, generation: &Generation) -> Result<Vec<EditId>> {
        self.import_as(edits, generation, None)
    }

    /// As [`Self::import`]; the history names the import by this id.
    ///
    /// # Errors
    /// As there.
    pub fn import_as(
        &self,
        edits: Vec<SharedEdit>,
        generation: &Generation,
        import: Option<Ulid>,
    ) -> Result<Vec<EditId>> {
        let embedding = &generation.embedding;
        for (record, members) in &edits {
            check_edit(record, members, embedding)?;
        }
        let mut writer = self.write()?;
        let current = self.snapshot();
        require_embedding(&current, embedding)?;
        let mut keys = BTreeSet::new();
        let mut new: Vec<SharedEdit> = Vec::with_capacity(edits.len());
        for (mut record, members) in edits {
            // With an edit all versions of it were erased, also those that were made elsewhere.
            let erased = |edit| self.store.erased(&self.name, edit).is_some();
            if current.edit(record.id).is_some() || erased(record.id) || erased(record.known_as()) {
                continue;
            }
            if let Some(given) = &record.idempotency
                && (self.is_used(&given.key)? || !keys.insert(given.key.clone()))
            {
                Arc::make_mut(&mut record).idempotency = None;
            }
            new.push((record, members));
        }
        let ids: Vec<EditId> = new.iter().map(|(record, _)| record.id).collect();
        if new.is_empty() {
            return Ok(ids);
        }
        relations::check_import(&current, new.iter().map(|(record, _)| record.as_ref()))?;
        let first = current.embedding().is_none().then_some(generation);
        let mut next = current.changed(&Arc::new(embedding.clone()), &BTreeSet::new(), &new);
        if first.is_some() {
            next = next.with_generation(generation.chosen, None);
        }
        let commit = || self.store.commit_edits(&self.name, &new, first, import);
        self.publish(&mut writer, next, commit)?;
        Ok(ids)
    }

    /// Retrieves from the current snapshot; see [`Snapshot::retrieve`].
    ///
    /// # Errors
    /// As there.
    pub fn retrieve(&self, query: &[f32], params: &RetrievalParams) -> Result<Retrieval> {
        self.snapshot().retrieve(query, params)
    }

    /// One edit.
    ///
    /// # Errors
    /// `UnknownEdit` if it isn't live, `Erased`, `Store`.
    pub fn edit(&self, id: EditId) -> Result<LiveEdit> {
        let snapshot = self.snapshot();
        let record = Arc::clone(snapshot.edit(id).ok_or_else(|| self.unknown(id))?);
        let outcome = match self.store.outcome(&self.name, id) {
            // It can be done without, and is written anew with the next use of the edit.
            Err(error @ CodebookError::Corrupt { .. }) => {
                tracing::warn!(codebook = %self.name, edit = %id, %error, "what came out of an edit is lost");
                None
            }
            outcome => outcome?,
        };
        // An edit was made, so there is an embedding.
        let generation = snapshot.embedding().map_or(record.embedding, |embedding| embedding.id);
        Ok(LiveEdit { record, entries: snapshot.entries_of(id), generation, outcome })
    }

    /// Live edits in their newest versions, from the one after `cursor` on, the one that was made last first.
    pub fn edits(
        &self,
        filter: &EditFilter,
        cursor: Option<EditId>,
        limit: usize,
    ) -> Page<Arc<EditRecord>, EditId> {
        let (snapshot, filter) = (self.snapshot(), filter.canonical());
        let page = |edits: &mut dyn Iterator<Item = &Arc<EditRecord>>| {
            let first = edits.filter(|record| record.relations.version.is_none());
            let newest = first.filter_map(|record| snapshot.edit(snapshot.newest_version(record.id)?));
            let taken = newest.filter(|record| filter.takes(record)).cloned();
            Page::take(taken, limit, |record: &Arc<EditRecord>| record.known_as())
        };
        match cursor {
            Some(id) => page(&mut snapshot.edits_before(id)),
            None => page(&mut snapshot.edits().rev()),
        }
    }

    /// Keys in ascending order of their ids, from the one after `cursor` on.
    pub fn entries(&self, cursor: Option<MemberId>, limit: usize) -> Page<Arc<Key>, MemberId> {
        let snapshot = self.snapshot();
        let page = |keys: &mut dyn Iterator<Item = &Arc<Key>>| {
            Page::take(keys.cloned(), limit, |key: &Arc<Key>| key.id)
        };
        match cursor {
            Some(id) => page(&mut snapshot.keys_after(id)),
            None => page(&mut snapshot.keys()),
        }
    }

    /// Counts of the codebook.
    pub fn stats(&self) -> Stats {
        self.snapshot().stats()
    }

    /// Keeps what came out of an edit, in the caller's own form.
    ///
    /// # Errors
    /// `UnknownEdit` if it was never made, `Store`.
    pub fn put_outcome(&self, edit: EditId, outcome: &[u8]) -> Result<()> {
        self.store.put_outcome(&self.name, edit, outcome)
    }

    /// The edit that was made under this idempotency key, live or not, with the hash of its request's body.
    ///
    /// # Errors
    /// `Erased` if that was; `Store` or `Corrupt`; `Unwritable` as long as a write that failed is in doubt.
    pub fn idempotency(&self, key: &str) -> Result<Option<([u8; 32], EditId)>> {
        // After a write that failed the store may have an edit that isn't live here yet.
        drop(self.write()?);
        self.store.idempotency(&self.name, key)
    }

    /// Whether an edit was made under this idempotency key, whatever became of it.
    fn is_used(&self, key: &str) -> Result<bool> {
        match self.store.idempotency(&self.name, key) {
            Err(CodebookError::Erased { .. }) => Ok(true),
            found => Ok(found?.is_some()),
        }
    }

    /// Folds what the store holds from scratch and compares it with the live codebook. Edits wait meanwhile.
    ///
    /// # Errors
    /// `Store` or `Corrupt` if the store can't be read.
    pub fn verify(&self) -> Result<VerifyReport> {
        let _writer = self.writer.lock();
        let live = self.snapshot();
        let events = self.store.history(&self.name, 0, usize::MAX)?;
        let mut logged = BTreeSet::new();
        for event in &events {
            match &event.event {
                Event::Edited(id) | Event::Restored(id) => logged.insert(*id),
                Event::Reverted(id) => logged.remove(id),
                Event::Erased(_) | Event::Reembedded(_) => false,
            };
        }
        let scratch = fold(self.store.load(&self.name)?, &self.config);
        let checks = [
            (
                (scratch.generation(), scratch.previous()) == (live.generation(), live.previous()),
                "the stored keys are of other generations than the live ones",
            ),
            (scratch.edits().eq(live.edits()), "the stored edits are not the live ones"),
            (scratch.members().eq(live.members()), "the stored members are not the live ones"),
            (scratch.edits().map(|e| e.id).eq(logged), "the history does not end with the stored edits"),
            (
                scratch.canonical() == live.canonical(),
                "the fold from scratch has other keys than the live one",
            ),
            (live.consistent(), "the index does not hold the keys of the fold"),
        ];
        let stats = scratch.stats();
        Ok(VerifyReport {
            edits: stats.edits,
            members: stats.members,
            keys: stats.keys,
            events: events.len(),
            differences: checks.iter().filter(|(ok, _)| !ok).map(|(_, what)| (*what).to_owned()).collect(),
        })
    }
}

fn fold(stored: StoredCodebook, config: &Arc<CodebookConfig>) -> Snapshot {
    let chosen = stored.generation.as_ref().is_some_and(|generation| generation.chosen);
    Snapshot::build(
        Arc::clone(config),
        stored.generation.map(|generation| Arc::new(generation.embedding)),
        stored.edits.into_iter().map(Arc::new),
        stored.members.into_iter().map(Arc::new),
    )
    .with_generation(chosen, stored.previous.map(Arc::new))
}

#[cfg(test)]
mod failing_tests;
#[cfg(test)]
mod tests;
