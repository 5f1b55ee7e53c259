//! Entries, keys, radii, merging, the retrieval gate, the vector index, exact revert; and the stores.
//!
//! A [`Codebook`] is a fold over the [`Member`]s of its live edits. The store is the truth; keys, index,
//! hubness scales and gate are derived from it and published as immutable [`Snapshot`]s after the store has
//! committed. Everything here is synchronous: calls that write wait for the disk.

mod book;
mod build;
mod commits;
mod config;
mod error;
mod failure;
mod fold;
pub mod geometry;
mod hubness;
mod ids;
mod images;
mod index;
mod journal;
mod key;
mod library;
mod member;
mod merge;
mod records;
mod reservoir;
mod retrieve;
mod snapshot;
mod sorted;
mod space;
pub mod store;
mod supersession;
#[cfg(test)]
mod testing;

pub use book::{AppliedEdit, Codebook, EditFilter, EditView, Page, VerifyReport, check_edit};
pub use build::{Build, BuildProgress};
pub use config::{CodebookConfig, GateConfig, HubnessConfig, LookupConfig, RetrievalParams};
pub use error::{CodebookError, Result};
pub use ids::{CodebookName, EditId, GenerationId, ImageId, MemberId};
pub use images::{ImageStore, StagedImages};
pub use journal::{Journal, MAX_ROW_BYTES};
pub use key::{Key, Sentence};
pub use library::Library;
pub use member::{EntryKind, Member, Place};
pub use merge::{MergeConfig, MergeRule};
pub use records::{
    Draft, EditRecord, Embedding, Evidence, EvidenceSource, Generation, Idempotency, ImageInfo, Opinion,
    Statement,
};
pub use retrieve::{Fact, Retrieval, Superseded};
pub use snapshot::{EntryView, Snapshot, Stats};
pub use store::{
    CodebookStore, Event, EventOrigin, JournalStore, LoggedEvent, MemoryStore, RowKey, SharedEdit, SledStore,
    StoreKind,
};
