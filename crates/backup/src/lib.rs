//! Backups of a data folder: codebooks with their history, pictures and tokens.
//!
//! A [`BackupRepository`] is a folder of objects, each under the BLAKE3 of its bytes, and of snapshots, which
//! say what a data folder was made of at one moment. Whatever two snapshots share lies there once. A snapshot
//! is written last, so that a backup is whole or isn't there.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use reasonedit_backup::{BackupRepository, BackupSource, CreateOptions};
//! use reasonedit_codebook::store::{self, StoreKind};
//! use reasonedit_codebook::{CodebookStore as _, ImageStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let (data, repository) = (folder.path().join("data"), folder.path().join("backups"));
//! let store = store::open(StoreKind::Sled, &data.join("codebooks"))?;
//! let images = ImageStore::open(&data.join("images"))?;
//! let source = BackupSource { images: &images, files: &[data.join("tokens.json")] };
//! let go_on = |_| ControlFlow::Continue(());
//!
//! let repository = BackupRepository::open_or_create(&repository)?;
//! let made = repository.create(&|take| store.dump(take), &source, CreateOptions::default(), &go_on)?;
//! assert!(repository.verify(None, &go_on)?.harmed.is_empty());
//!
//! let folders = |data: &std::path::Path| (data.join("codebooks"), data.join("images"));
//! let restored = repository.restore(None, &folder.path().join("restored"), &folders, &go_on)?;
//! assert_eq!((restored.id, restored.edits), (made.id, 0));
//! # Ok(())
//! # }
//! ```

mod create;
mod error;
mod manifest;
mod objects;
mod pack;
mod progress;
mod prune;
mod repository;
mod restore;
mod service;
mod verify;

pub use create::{BackupSource, BackupSummary, CreateOptions};
pub use error::{BackupError, HarmedObject, ObjectHarm, Result};
pub use manifest::{BackupFile, BackupId, BackupManifest, BackupObject};
pub use progress::BackupProgress;
pub use prune::PruneSummary;
pub use repository::{BackupListing, BackupRepository};
pub use restore::RestoreSummary;
pub use service::BackupService;
pub use verify::VerifySummary;
