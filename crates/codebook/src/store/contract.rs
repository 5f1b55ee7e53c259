//! What a store promises: the trait that every one of them fulfils, and what it is told and tells.

use std::ops::ControlFlow;
use std::sync::Arc;

use reasonedit_keyring::{Erasure, Keyring};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use super::dump::{DumpReport, DumpedRow};
use super::journal::JournalStore;
use crate::ids::{CodebookName, EditId, GenerationId, RevertId};
use crate::member::Member;
use crate::records::{Draft, EditRecord, Embedding, Generation, RevertedEdit};
use crate::{CodebookError, Result};

/// What happened to a codebook, in the order in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "id", rename_all = "snake_case")]
pub enum Event {
    /// An edit was made.
    Edited(EditId),
    /// An edit was reverted.
    Reverted(EditId),
    /// An edit that was reverted is live again.
    Restored(EditId),
    /// Everything that was stored of an edit was erased. It was taken back before.
    Erased(EditId),
    /// Another generation of keys became the live one.
    Reembedded(GenerationId),
}

/// How an event came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOrigin {
    /// Somebody asked for just this: an edit was made, keys were made anew.
    #[default]
    Direct,
    /// The edit was made elsewhere, or earlier, and came with an archive.
    Imported,
    /// Keys that had been kept were taken up again.
    RolledBack,
}

/// An event as it stands in the history, with what would be forgotten otherwise. Events of versions that kept
/// less lack it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// When it was committed, UTC.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub at: Option<OffsetDateTime>,
    /// How it came about.
    #[serde(default, skip_serializing_if = "is_default")]
    pub origin: EventOrigin,
    /// Of what was erased, or reverted or restored together with others: by whom, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of what was reverted together with others, or is live again since that was undone: what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertId>,
    /// Of an edit that was imported: the import, if that is known by anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Ulid>,
    /// Of keys that became live: what they were made by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl LoggedEvent {
    /// What is written of an event that happens now.
    pub(super) fn now(event: Event, origin: EventOrigin) -> Self {
        Self {
            event,
            at: Some(OffsetDateTime::now_utc()),
            origin,
            by: None,
            revert: None,
            import: None,
            generation: None,
        }
    }

    /// What is written of an edit that was made elsewhere.
    pub(super) fn imported(edit: EditId, import: Option<Ulid>) -> Self {
        Self { import, ..Self::now(Event::Edited(edit), EventOrigin::Imported) }
    }

    /// What is written of an edit that is reverted, or comes back.
    pub(super) fn of_reverting(event: Event, reverting: &Reverting<'_>) -> Self {
        let by = reverting.by.map(str::to_owned);
        Self { by, revert: reverting.revert, ..Self::now(event, EventOrigin::Direct) }
    }

    /// What is written of a generation that becomes live now; `kept` if it was the previous one.
    pub(super) fn swapped(to: &Generation, kept: bool) -> Self {
        let origin = if kept { EventOrigin::RolledBack } else { EventOrigin::Direct };
        Self { generation: Some(to.clone()), ..Self::now(Event::Reembedded(to.embedding.id), origin) }
    }
}

/// Edits that are reverted in one step, or come back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reverting<'a> {
    /// Their stored ids, in the order in which it happens.
    pub edits: &'a [EditId],
    /// What the step is known by, if it can be undone.
    pub revert: Option<RevertId>,
    /// Who does it.
    pub by: Option<&'a str>,
}

impl<'a> Reverting<'a> {
    /// A step that nobody will ask for again.
    pub fn of(edits: &'a [EditId]) -> Self {
        Self { edits, ..Self::default() }
    }
}

/// The live part of a stored codebook.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredCodebook {
    /// The live generation of keys; `None` if there was never an edit.
    pub generation: Option<Generation>,
    /// The generation that was live before.
    pub previous: Option<Generation>,
    /// Live edits in order of their ids.
    pub edits: Vec<EditRecord>,
    /// Their members in order of edit and ordinal.
    pub members: Vec<Member>,
}

/// An edit with its members, as snapshots share them.
pub type SharedEdit = (Arc<EditRecord>, Vec<Arc<Member>>);

/// Keeps codebooks. Every write is atomic, and durable when it returns: a crash at any moment leaves it whole
/// or absent.
///
/// Callers write to one codebook from one thread at a time; reads may run beside. So may [`Self::put_keys`]
/// and [`Self::sweep`] (of one codebook not both at once), which touch nothing that is live.
pub trait CodebookStore: Send + Sync {
    /// The rows of [`crate::Journal`] in this store.
    fn journal(&self) -> &dyn JournalStore;

    /// Names of all codebooks that ever had an edit, in ascending order; also of those that can't be read.
    ///
    /// # Errors
    /// `Store` or `Corrupt`, as for every method.
    fn names(&self) -> Result<Vec<CodebookName>>;

    /// Everything that is stored of a codebook and can't be read, or is missing, read or not by anything
    /// else. A store that can't decay finds nothing.
    fn examine(&self, _name: &CodebookName) -> Vec<CodebookError> {
        Vec::new()
    }

    /// What is wrong with the store as a whole, or was when it was opened, in words for whoever runs it.
    fn faults(&self) -> Vec<String> {
        Vec::new()
    }

    /// What its values are sealed by, where they are.
    fn keys(&self) -> Option<Arc<Keyring>> {
        None
    }

    /// Folders beside it that hold what it was before its values were sealed: what is erased is still in
    /// them.
    fn unsealed_copies(&self) -> Vec<String> {
        Vec::new()
    }

    /// Hands on every row as it is at one moment, tree by tree and in the order of keys, until `take` has
    /// enough; `None` then. Writers wait meanwhile, readers don't.
    ///
    /// # Errors
    /// `Damaged` names a codebook that isn't whole, `Corrupt` a value that can't be read; `Store`, also of a
    /// store that keeps nothing.
    fn dump(&self, _take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>) -> Result<Option<DumpReport>> {
        Err(CodebookError::store("dump its rows", "it keeps nothing beyond the process"))
    }

    /// Sees whether it can be written to, and has it take writes again where an earlier one failed and the
    /// cause is gone. What it says afterwards is what it has, which may be more than was acknowledged.
    ///
    /// # Errors
    /// `Unwritable` as long as it can't.
    fn recover(&self) -> Result<()> {
        Ok(())
    }

    /// Reads the live part of a codebook; an unknown name reads as an empty one.
    ///
    /// # Errors
    /// `Corrupt` with the name of the value that can't be read, or that is missing though others speak of it.
    fn load(&self, name: &CodebookName) -> Result<StoredCodebook>;

    /// Appends an edit with its members, made here or [`EventOrigin::Imported`]. `first` begins the codebook:
    /// it must be given with the first edit and not after.
    ///
    /// # Errors
    /// `Conflict` if the edit's id was ever used, or `first` doesn't fit.
    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Generation>,
        origin: EventOrigin,
    ) -> Result<()>;

    /// Appends many edits that were made elsewhere in this order, however many they are: all of them, or
    /// none. `first` as in [`Self::commit_edit`]; `import` is what they came with is known by.
    ///
    /// # Errors
    /// `Conflict` if one of the ids was ever used or comes twice, or `first` doesn't fit.
    fn commit_edits(
        &self,
        name: &CodebookName,
        edits: &[SharedEdit],
        first: Option<&Generation>,
        import: Option<Ulid>,
    ) -> Result<()>;

    /// Appends the reverting of live edits, in this order: all of them, or none.
    ///
    /// # Errors
    /// `UnknownEdit` if one isn't live.
    fn commit_reverts(&self, name: &CodebookName, reverting: &Reverting<'_>) -> Result<()>;

    /// Appends that reverted edits are live again, in this order: all of them, or none.
    ///
    /// # Errors
    /// `UnknownEdit` if one wasn't reverted, or was erased.
    fn commit_restores(&self, name: &CodebookName, restoring: &Reverting<'_>) -> Result<()>;

    /// Appends the reverting of a live edit.
    ///
    /// # Errors
    /// As [`Self::commit_reverts`].
    fn commit_revert(&self, name: &CodebookName, edit: EditId) -> Result<()> {
        self.commit_reverts(name, &Reverting::of(&[edit]))
    }

    /// Begins the draft of a generation, in place of another. Returns the draft that stands then: a draft of
    /// the same keys goes on, under its id and with `chosen` as it is asked for now.
    ///
    /// # Errors
    /// `UnknownCodebook` if there was never an edit, `Conflict` if the id is that of a draft of other keys.
    fn begin_draft(&self, name: &CodebookName, draft: &Draft) -> Result<Draft>;

    /// The live members with the keys and radii of this generation, in order of edit and ordinal; those of
    /// edits that have none in it are left out.
    ///
    /// # Errors
    /// `Corrupt` with the name of the value that can't be read.
    fn members(&self, name: &CodebookName, embedding: &Embedding) -> Result<Vec<Member>>;

    /// These edits, live or taken back, with the keys and radii of this generation, in the order given; those
    /// of which the record or the keys are not there (any more) are left out.
    ///
    /// # Errors
    /// `Corrupt` with the name of the value that can't be read.
    fn kept_edits(
        &self,
        name: &CodebookName,
        edits: &[EditId],
        embedding: &Embedding,
    ) -> Result<Vec<(EditRecord, Vec<Member>)>>;

    /// Keeps the keys and radii of whole edits, as they are in the draft or the previous generation; of the
    /// members only these are new.
    ///
    /// # Errors
    /// `Conflict` if the generation is neither.
    fn put_keys(&self, name: &CodebookName, generation: GenerationId, members: &[Member]) -> Result<()>;

    /// Makes the draft or the previous generation the live one, and the live one the previous one. The caller
    /// has put the keys of every live edit. Of the live generation itself only `chosen` is changed.
    ///
    /// # Errors
    /// `Conflict` if the generation is none of these.
    fn swap(&self, name: &CodebookName, to: &Generation) -> Result<()>;

    /// Forgets the draft, if there is one; its keys go with the next [`Self::sweep`].
    ///
    /// # Errors
    /// `Store`.
    fn discard_draft(&self, name: &CodebookName) -> Result<()>;

    /// Removes keys that belong to no generation in use. Running it again, after a crash say, does the rest.
    ///
    /// # Errors
    /// `Store`.
    fn sweep(&self, name: &CodebookName) -> Result<()>;

    /// What happened to a codebook, oldest first: at most `limit` events from number `from` on, the first of
    /// all being number 0. Costs what it returns, however long the history is.
    ///
    /// # Errors
    /// `Corrupt` if an event can't be read.
    fn history(&self, name: &CodebookName, from: u64, limit: usize) -> Result<Vec<LoggedEvent>>;

    /// How many events there are: the number of the next one.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    fn events(&self, name: &CodebookName) -> Result<u64>;

    /// The record of an edit, live or reverted.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    fn record(&self, name: &CodebookName, edit: EditId) -> Result<Option<EditRecord>>;

    /// Keeps what came out of an edit (the answer after it, say), in the caller's own form. Replaces what was
    /// kept.
    ///
    /// # Errors
    /// `UnknownEdit` if the edit was never made.
    fn put_outcome(&self, name: &CodebookName, edit: EditId, outcome: &[u8]) -> Result<()>;

    /// What [`Self::put_outcome`] kept.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    fn outcome(&self, name: &CodebookName, edit: EditId) -> Result<Option<Vec<u8>>>;

    /// The edit that was committed under this idempotency key, with the hash of its request's body.
    ///
    /// # Errors
    /// `Erased` if that was; `Corrupt` if it can't be read.
    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>>;

    /// Erases everything that was ever stored of an edit, live or taken back, but that it was made, taken
    /// back and erased, when, and by whom; its id stays used. What an earlier state has of it can't be read
    /// any more. Erasing it again finishes what was interrupted, and says what was said then.
    ///
    /// # Errors
    /// `UnknownEdit` if it was never made.
    fn erase(&self, name: &CodebookName, edit: EditId, by: Option<&str>) -> Result<Erasure>;

    /// When and by whom an edit was erased, if it was.
    fn erased(&self, name: &CodebookName, edit: EditId) -> Option<Erasure>;

    /// The edits that were taken back and not erased. Costs a look at each of them.
    ///
    /// # Errors
    /// `Store`; those that can't be read are left out.
    fn reverted_edits(&self, name: &CodebookName) -> Result<Vec<RevertedEdit>>;
}

/// Whether a field says nothing that its absence wouldn't.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The first id that is there twice.
pub(super) fn twice(ids: impl IntoIterator<Item = EditId>) -> Option<EditId> {
    let mut seen = std::collections::HashSet::new();
    ids.into_iter().find(|id| !seen.insert(*id))
}

pub(super) fn used_before(id: EditId) -> CodebookError {
    CodebookError::Conflict(format!("the edit id {id} was used before"))
}

pub(super) fn unknown(id: GenerationId) -> CodebookError {
    CodebookError::Conflict(format!("{id} is no generation of keys that may be written or made live"))
}
