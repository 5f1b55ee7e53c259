//! What a service needs to back itself up: everything but the codebooks, decided where it is started.

use std::ops::ControlFlow;
use std::path::PathBuf;

use reasonedit_codebook::{ImageStore, Library};
use time::OffsetDateTime;

use crate::create::{BackupSource, BackupSummary, CreateOptions};
use crate::error::{BackupError, Result};
use crate::progress::BackupProgress;
use crate::repository::{BackupListing, BackupRepository};

/// Where a service's backups go, and what they are made of beside its codebooks. Nothing that a request says
/// changes either.
#[derive(Debug, Clone)]
pub struct BackupService {
    /// The folder of the repository.
    pub folder: PathBuf,
    /// Backups that are kept, the newest; 0: all.
    pub keep: usize,
    /// The pictures.
    pub images: ImageStore,
    /// Files of the data folder itself.
    pub files: Vec<PathBuf>,
    /// The file of the data folder that says which repositories it was backed up to; it need not be there.
    pub known: PathBuf,
}

impl BackupService {
    /// Makes a backup; into a new repository, where another one was, only if `new` says so.
    ///
    /// # Errors
    /// As [`BackupRepository::create`] and [`BackupRepository::open_or_create`].
    pub fn create(
        &self,
        library: &Library,
        check: bool,
        new: bool,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupSummary> {
        let Some(keys) = library.keys() else {
            let name = "the store".to_owned();
            return Err(BackupError::Source { name, reason: "keeps nothing beyond the process" });
        };
        let repository = BackupRepository::open_or_create(&self.folder, &self.known, &keys, new)?;
        let source = BackupSource { images: &self.images, keys: &keys, files: &self.files };
        let options = CreateOptions { check, keep: self.keep };
        repository.create(&|take| library.dump(take), &source, options, watch)
    }

    /// When the newest backup was begun; `None` if there is none, or the folder can't be read.
    pub fn newest(&self) -> Option<OffsetDateTime> {
        let ids = BackupRepository::open(&self.folder).and_then(|repository| repository.ids()).ok()?;
        ids.last()?.at_second()
    }

    /// The backups, oldest first; none before the first.
    ///
    /// # Errors
    /// As [`BackupRepository::list`] and [`BackupRepository::open`].
    pub fn list(&self) -> Result<Vec<BackupListing>> {
        match BackupRepository::open(&self.folder) {
            Err(BackupError::Nothing) => Ok(Vec::new()),
            opened => opened?.list(),
        }
    }
}
