//! The folder that backups lie in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{BackupError, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest, NoManifest};
use crate::objects::{Objects, UNFINISHED, private_folder, sync_folder, write_whole};

/// The file that says what the folder is.
const FORM_FILE: &str = "form";
/// What stands in it before the number of the form.
const FORM_TEXT: &str = "reasonedit backups ";
/// The form that this program writes.
const FORM: u32 = 1;
/// What is locked while something is written or removed, and shared while everything is read.
const LOCK: &str = "lock";
/// The file of keys, one for all backups: what is erased is so in all of them.
pub(crate) const KEYS: &str = "keys";
/// The folder of snapshots.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// What the names of snapshots end with.
const JSON: &str = ".json";
/// What file systems put into their own root.
const OF_FILE_SYSTEM: &str = "lost+found";

/// A folder of backups. Several processes may have it open; one at a time writes.
#[derive(Debug, Clone)]
pub struct BackupRepository {
    folder: PathBuf,
}

/// A backup of a repository.
#[derive(Debug)]
pub struct BackupListing {
    /// Which.
    pub id: BackupId,
    /// What it says of itself; `None` if that can't be read as it was written.
    pub manifest: Option<BackupManifest>,
}

/// The objects of a repository, by what they are.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) rows: Objects,
    pub(crate) images: Objects,
    pub(crate) files: Objects,
}

impl Kinds {
    pub(crate) fn each(&mut self) -> [&mut Objects; 3] {
        [&mut self.rows, &mut self.images, &mut self.files]
    }
}

impl BackupRepository {
    /// Opens a repository; a new or empty folder becomes one.
    ///
    /// # Errors
    /// `NoRepository` if the folder holds something else, `FormTooNew`, a folder that can't be written to.
    pub fn open_or_create(folder: &Path) -> Result<Self> {
        match Self::open(folder) {
            Err(BackupError::Nothing) => {}
            opened => return opened,
        }
        let failed = || BackupError::file(folder);
        private_folder(folder).map_err(failed())?;
        for entry in fs::read_dir(folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            let name = name.to_string_lossy();
            if name != OF_FILE_SYSTEM && !name.starts_with(UNFINISHED) {
                return Err(BackupError::NoRepository);
            }
        }
        write_whole(folder, FORM_FILE, format!("{FORM_TEXT}{FORM}\n").as_bytes())?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Opens a repository that is there.
    ///
    /// # Errors
    /// `Nothing` if it isn't, `NoRepository` if the file that says what it is says something else,
    /// `FormTooNew`, a folder that can't be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FORM_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BackupError::Nothing),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(BackupError::NoRepository);
            }
            Err(error) => return Err(BackupError::file(&path)(error)),
        };
        let form = text.strip_prefix(FORM_TEXT).and_then(|rest| rest.strip_suffix('\n'));
        match form.and_then(|form| form.parse().ok()) {
            Some(FORM) => Ok(Self { folder: folder.to_owned() }),
            Some(found) if found > FORM => Err(BackupError::FormTooNew { found, known: FORM }),
            _ => Err(BackupError::NoRepository),
        }
    }

    pub(crate) fn kinds(&self) -> Kinds {
        Kinds {
            rows: Objects::new(&self.folder, "rows"),
            images: Objects::new(&self.folder, "images"),
            files: Objects::new(&self.folder, "files"),
        }
    }

    /// Keeps all others out for as long as what is returned lives.
    ///
    /// # Errors
    /// `InUse`.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(BackupError::file(&path))?;
        taken(file.try_lock(), &path)?;
        Ok(file)
    }

    /// Keeps those out that write, for as long as what is returned lives. Nobody has written yet where there
    /// is nothing to lock, and nobody does where it can't be.
    ///
    /// # Errors
    /// `InUse`.
    pub(crate) fn share(&self) -> Result<Option<File>> {
        let path = self.folder.join(LOCK);
        let Ok(file) = File::open(&path) else { return Ok(None) };
        taken(file.try_lock_shared(), &path)?;
        Ok(Some(file))
    }

    /// The backups, oldest first.
    ///
    /// # Errors
    /// A folder that can't be read, a snapshot of a later form.
    pub fn list(&self) -> Result<Vec<BackupListing>> {
        let listed = self.ids()?.into_iter().map(|id| match self.manifest(&id) {
            Ok(manifest) => Ok(BackupListing { id, manifest: Some(manifest) }),
            Err(BackupError::Harmed(_)) => Ok(BackupListing { id, manifest: None }),
            Err(error) => Err(error),
        });
        listed.collect()
    }

    /// The ids of all backups, oldest first.
    pub(crate) fn ids(&self) -> Result<Vec<BackupId>> {
        let folder = self.folder.join(SNAPSHOTS);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(BackupError::file(&folder))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(BackupError::file(&folder))?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_suffix(JSON)?.parse().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The file of keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join(KEYS)
    }

    /// What is wrong with the file of keys, if anything is.
    pub(crate) fn harm_of_keys(&self) -> Option<ObjectHarm> {
        match reasonedit_keyring::is_whole(&self.keys()) {
            Ok(Some(true)) => None,
            Ok(Some(false)) => Some(ObjectHarm::Changed),
            Ok(None) => Some(ObjectHarm::Missing),
            Err(_) => Some(ObjectHarm::Unreadable),
        }
    }

    fn snapshot(&self, id: &BackupId) -> PathBuf {
        self.folder.join(SNAPSHOTS).join(format!("{id}{JSON}"))
    }

    /// What a backup says of itself.
    ///
    /// # Errors
    /// `Unknown`, `Harmed`, `FormTooNew`.
    pub(crate) fn manifest(&self, id: &BackupId) -> Result<BackupManifest> {
        let harmed = |harm| BackupError::harmed(format!("{SNAPSHOTS}/{id}{JSON}"), harm);
        let bytes = match fs::read(self.snapshot(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::Unknown(id.to_string()));
            }
            Err(_) => return Err(harmed(ObjectHarm::Unreadable)),
        };
        match BackupManifest::read(&bytes) {
            // One that lies under another's name would be taken for that one.
            Ok(manifest) if manifest.id == *id => Ok(manifest),
            Ok(_) | Err(NoManifest::Changed) => Err(harmed(ObjectHarm::Changed)),
            Err(NoManifest::Later(found)) => Err(BackupError::FormTooNew { found, known: FORM }),
        }
    }

    /// Writes what a backup says of itself: from now on it is there.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn add(&self, manifest: &BackupManifest) -> Result<()> {
        let folder = self.folder.join(SNAPSHOTS);
        private_folder(&folder).map_err(BackupError::file(&folder))?;
        sync_folder(&self.folder)?;
        let text = manifest.write().map_err(|error| BackupError::file(&folder)(error.into()))?;
        write_whole(&folder, &format!("{}{JSON}", manifest.id), text.as_bytes())
    }

    /// Removes backups; what they were made of stays.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn forget(&self, ids: &[BackupId]) -> Result<()> {
        for id in ids {
            let path = self.snapshot(id);
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
        if ids.is_empty() { Ok(()) } else { sync_folder(&self.folder.join(SNAPSHOTS)) }
    }

    /// Removes what a killed process was writing; the repository is locked.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn sweep_unfinished(&self, kinds: &mut Kinds) -> Result<()> {
        for objects in kinds.each() {
            objects.sweep_unfinished()?;
        }
        for folder in [self.folder.clone(), self.folder.join(SNAPSHOTS)] {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(UNFINISHED))
            {
                fs::remove_file(entry.path()).map_err(BackupError::file(&entry.path()))?;
            }
        }
        Ok(())
    }
}

fn taken(lock: Result<(), TryLockError>, path: &Path) -> Result<()> {
    match lock {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(BackupError::InUse),
        Err(TryLockError::Error(error)) => Err(BackupError::file(path)(error)),
    }
}
