//! Backups of a data folder: codebooks with their history, pictures and tokens.
//!
//! A [`BackupRepository`] is a folder of objects, each under the BLAKE3 of its bytes, and of snapshots, which
//! say what a data folder was made of at one moment. Whatever two snapshots share lies there once. A snapshot
//! is written last, so that a backup is whole or isn't there. Rows and pictures lie there as in the data
//! folder, sealed; their keys lie in one file for all backups, twice, so that what is erased is so in all of
//! them.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use reasonedit_backup::{BackupRepository, BackupSource, CreateOptions, RestoreOptions};
//! use reasonedit_codebook::store;
//! use reasonedit_codebook::{CodebookStore as _, ImageStore};
//! use reasonedit_keyring::Keyring;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let (data, repository) = (folder.path().join("data"), folder.path().join("backups"));
//! std::fs::create_dir(&data)?;
//! let keys = Keyring::open(&data.join("keys"), None)?;
//! let store = store::open_with(&data.join("codebooks"), keys.clone())?;
//! let images = ImageStore::open_with(&data.join("images"), keys.clone())?;
//! let source = BackupSource { images: &images, keys: &keys, files: &[data.join("tokens.json")] };
//! let go_on = |_| ControlFlow::Continue(());
//!
//! let repository = BackupRepository::open_or_create(&repository, &data.join("backups.json"), &keys, false)?;
//! let made = repository.create(&|take| store.dump(take), &source, CreateOptions::default(), &go_on)?;
//! assert!(repository.verify(None, &go_on)?.harmed.is_empty());
//!
//! let folders = |data: &std::path::Path| ["codebooks", "images", "keys"].map(|name| data.join(name));
//! let restored = repository.restore(&folder.path().join("restored"), &folders, RestoreOptions::default(), &go_on)?;
//! assert_eq!((restored.id, restored.edits), (made.id, 0));
//! # Ok(())
//! # }
//! ```

mod create;
mod error;
mod known;
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
pub use known::verify_known;
pub use manifest::{BackupFile, BackupId, BackupManifest, BackupObject};
pub use progress::BackupProgress;
pub use prune::PruneSummary;
pub use repository::{BackupListing, BackupRepository};
pub use restore::{RestoreOptions, RestoreSummary};
pub use service::BackupService;
pub use verify::VerifySummary;
