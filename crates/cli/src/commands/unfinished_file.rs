//! Files that are there whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{CliError, Result};

/// Written beside the file and renamed at the end: a broken export never looks like a whole one.
pub(super) struct UnfinishedFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl UnfinishedFile {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).map_err(|error| CliError::file(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The file, from its beginning on.
    ///
    /// # Errors
    /// It can't be opened.
    pub(super) fn open(&self) -> Result<File> {
        self.file.reopen().map_err(|error| CliError::file(&self.path, error))
    }

    /// Puts it where it is to be.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn keep(self) -> Result<()> {
        let path = self.path;
        self.file.as_file().sync_all().map_err(|error| CliError::file(&path, error))?;
        self.file.persist(&path).map_err(|error| CliError::file(&path, error.error))?;
        Ok(())
    }
}
