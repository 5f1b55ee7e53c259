//! Entries, keys, radii, merging, the retrieval gate, the vector index, exact revert; and the stores.
//!
//! A [`Codebook`] is a fold over the [`Member`]s of its live edits. The store is the truth; keys, index,
//! hubness scales and gate are derived from it and published as immutable [`Snapshot`]s after the store has
//! committed. Everything here is synchronous: calls that write wait for the disk.
//!
//! An edit, a retrieval, and the edit taken back:
//!
//! ```
//! use std::path::Path;
//!
//! use reasonedit_codebook::store::{self, StoreKind};
//! use reasonedit_codebook::{
//!     CodebookConfig, CodebookName, EditId, EditRecord, Generation, Library, Member, RetrievalParams,
//! };
//! use serde_json::{from_value, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let library = Library::open(store::open(StoreKind::Memory, Path::new("."))?, CodebookConfig::default())?;
//! let book = library.get_or_create(&CodebookName::default())?;
//!
//! // What keys are made by: here of two numbers each, one of the picture and one of the text.
//! let generation: Generation = from_value(json!({
//!     "embedding": {
//!         "id": "00000000000000000000000001", "model_fingerprint": "m", "tap": "vision.7", "pooling": "mean",
//!         "lambda": 1.0, "encoder_fingerprint": "e", "vision_dim": 1, "sentence_dim": 1,
//!     },
//!     "chosen": false,
//! }))?;
//! let (id, image) = (EditId::from_bytes([1; 16]), "0".repeat(64));
//! let record: EditRecord = from_value(json!({
//!     "id": id, "created_at": "2026-01-01T00:00:00Z", "image": {"id": &image, "width": 600, "height": 450},
//!     "question": "Is it benign?", "answer": "no", "choices": ["yes", "no"], "reasoning": [], "author": null,
//!     "tags": [], "metadata": null, "embedding": generation.embedding.id, "before": null, "timings_ms": {},
//!     "idempotency": null,
//! }))?;
//! let member: Member = from_value(json!({
//!     "id": reasonedit_codebook::MemberId::derive(id, 0), "edit": id, "ordinal": 0, "kind": "answer",
//!     "statement": null, "image": &image, "area": null, "sentence": "It is not benign.", "key": [0.3, 0.4],
//!     "radius": 1.0,
//! }))?;
//!
//! book.apply(record, vec![member], &generation)?;
//! let near = book.retrieve(&[0.3, 0.5], &RetrievalParams::default())?;
//! assert_eq!(near.facts[0].value, "It is not benign.");
//! let far = book.retrieve(&[30.0, 50.0], &RetrievalParams::default())?;
//! assert!(far.rejected && far.facts.is_empty());
//!
//! book.revert(id)?;
//! assert!(book.retrieve(&[0.3, 0.5], &RetrievalParams::default())?.facts.is_empty());
//! # Ok(())
//! # }
//! ```

mod book;
mod build;
mod check;
mod commits;
mod erase;
mod familiarity;
mod fold;
mod hypothesis;
mod journal;
mod library;
mod relations;
mod retrieve;
mod reverts;
mod snapshot;
pub mod store;
#[cfg(test)]
mod testing;
mod versions;

use reasonedit_key_index::{config, index, merge, space};
pub use reasonedit_records::geometry;
use reasonedit_records::{error, ids, key, member, records, sorted};

pub use book::{AppliedEdit, Codebook, EditFilter, LiveEdit, Page, VerifyReport};
pub use build::{Build, BuildProgress};
pub use check::check_edit;
pub use config::{
    CodebookConfig, FamiliarityConfig, GateConfig, HubnessConfig, LookupConfig, RetrievalParams,
};
pub use error::{CodebookError, Result, Unwritable};
pub use familiarity::Familiarity;
pub use hypothesis::PastState;
pub use ids::{CodebookName, EditId, GenerationId, ImageId, MemberId, RevertId};
pub use journal::{Journal, MAX_ROW_BYTES};
pub use key::{Key, Sentence};
pub use library::{Library, Shelved};
pub use member::{EntryKind, Member, MemberPosition};
pub use merge::{MergeConfig, MergeRule};
pub use reasonedit_images::{ImageStamp, ImageStore, Scratch, ScratchReader, StagedImages};
pub use reasonedit_keyring::Erasure;
pub use reasonedit_records::moment::Moment;
pub use reasonedit_records::relations::{OnConflict, Relations, Version};
pub use reasonedit_records::relevant::{Relevance, Relevant, RelevantStatement};
pub use reasonedit_records::seeds::{EditSeeds, Seeds};
pub use records::{
    Draft, EditRecord, Embedding, Evidence, EvidenceSource, Generation, HarmedImage, Idempotency, ImageHarm,
    ImageInfo, Opinion, RevertedEdit, Statement,
};
pub use retrieve::{Fact, Retrieval, Superseded};
pub use reverts::{EditSelection, RestoredEdits, Revert, RevertedEdits, SelectedEdit};
pub use snapshot::{EntryView, Snapshot, Stats};
pub use store::{
    CodebookStore, DumpReport, DumpedRow, Event, EventOrigin, JournalStore, LoggedEvent, MemoryStore,
    ReadRow, Reverting, RowKey, SharedEdit, SledStore, StoreKind,
};
