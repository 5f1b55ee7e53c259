//! Where edits last: the store trait, and its implementations.
//!
//! The record of a codebook is append-only: an edit is an event, its reverting is another. Nothing is rewritten but the
//! keys, when the whole codebook moves to another embedding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{CodebookName, EditId, GenerationId, MemberId};
use crate::member::{Member, Place};
use crate::records::{EditRecord, Embedding};
use crate::{CodebookError, Result};

#[cfg(test)]
mod conformance;
mod memory;
mod sled;
mod values;

pub use self::memory::MemoryStore;
pub use self::sled::{SCHEMA, SledStore};

/// What happened to a codebook, in the order in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "id", rename_all = "snake_case")]
pub enum Event {
    /// An edit was made.
    Edited(EditId),
    /// An edit was reverted.
    Reverted(EditId),
    /// All keys were replaced by those of another embedding.
    Reembedded(GenerationId),
}

/// The live part of a stored codebook.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredCodebook {
    /// What the keys were made by; `None` if there was never an edit.
    pub embedding: Option<Embedding>,
    /// Live edits in order of their ids.
    pub edits: Vec<EditRecord>,
    /// Their members in order of edit and ordinal.
    pub members: Vec<Member>,
}

/// Keeps codebooks. Every write is atomic, and durable when it returns: a crash at any moment leaves it whole or absent.
///
/// Callers write to one codebook from one thread at a time; reads may run beside.
pub trait CodebookStore: Send + Sync {
    /// Names of all codebooks that ever had an edit, in ascending order.
    ///
    /// # Errors
    /// `Store` or `Corrupt`, as for every method.
    fn names(&self) -> Result<Vec<CodebookName>>;

    /// Reads the live part of a codebook; an unknown name reads as an empty one.
    ///
    /// # Errors
    /// `Corrupt` with the name of the value that can't be read.
    fn load(&self, name: &CodebookName) -> Result<StoredCodebook>;

    /// Appends an edit with its members. `first` begins the codebook: it must be given with the first edit and not after.
    ///
    /// # Errors
    /// `Conflict` if the edit's id was ever used, or `first` doesn't fit.
    fn commit_edit(
        &self,
        name: &CodebookName,
        record: &EditRecord,
        members: &[Member],
        first: Option<&Embedding>,
    ) -> Result<()>;

    /// Appends the reverting of a live edit.
    ///
    /// # Errors
    /// `UnknownEdit` if it isn't live.
    fn commit_revert(&self, name: &CodebookName, edit: EditId) -> Result<()>;

    /// Replaces the keys and radii of all live members at once. Members of edits that aren't live are left out.
    ///
    /// # Errors
    /// `MissingMembers` if a live member is not among them, `UnknownCodebook` if there was never an edit.
    fn replace_embedding(&self, name: &CodebookName, embedding: &Embedding, members: &[Member])
    -> Result<()>;

    /// Everything that happened to a codebook, oldest first.
    ///
    /// # Errors
    /// `Corrupt` if an event can't be read.
    fn history(&self, name: &CodebookName) -> Result<Vec<Event>>;

    /// Keeps what came out of an edit (the answer after it, say), in the caller's own form. Replaces what was kept.
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
    /// `Corrupt` if it can't be read.
    fn idempotency(&self, name: &CodebookName, key: &str) -> Result<Option<([u8; 32], EditId)>>;
}

/// The new members by edit, in order, once it is sure that they cover `live` (members of other edits are left out).
fn cover(
    live: impl IntoIterator<Item = Place>,
    members: &[Member],
) -> Result<BTreeMap<EditId, Vec<&Member>>> {
    let given: BTreeMap<Place, &Member> = members.iter().map(|m| (m.place(), m)).collect();
    let mut by_edit: BTreeMap<EditId, Vec<&Member>> = BTreeMap::new();
    let mut missing = Vec::new();
    for place in live {
        match given.get(&place) {
            Some(member) => by_edit.entry(place.edit).or_default().push(member),
            None => missing.push(MemberId::derive(place.edit, place.ordinal)),
        }
    }
    if missing.is_empty() { Ok(by_edit) } else { Err(CodebookError::MissingMembers(missing)) }
}
