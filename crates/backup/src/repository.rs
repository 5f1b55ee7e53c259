//! The folder that backups lie in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use reasonedit_keyring::{Keyring, KeyringError};
use ulid::Ulid;

use crate::error::{BackupError, ObjectHarm, Result};
use crate::known::KnownRepositories;
use crate::manifest::{BackupId, BackupManifest, NoManifest};
use crate::objects::{Objects, UNFINISHED, private_folder, sync_folder, write_whole};

/// The file that says what the folder is.
const FORM_FILE: &str = "form";
/// What stands in it before the number of the form.
const FORM_TEXT: &str = "reasonedit backups ";
/// The form that this program writes.
const FORM: u32 = 1;
/// The file that says which repository it is, and its form once more.
const ID_FILE: &str = "repository";
/// What is locked while something is written or removed, and shared while everything is read.
const LOCK: &str = "lock";
/// The keys of all backups, in one file: what is erased is so in all of them. Twice, since nothing can be had
/// without them; of the two the first counts.
pub(crate) const KEYS: [&str; 2] = ["keys", "keys.copy"];
/// How long a lock that is held is tried again, and how often.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
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

    pub(crate) fn all(&self) -> [&Objects; 3] {
        [&self.rows, &self.images, &self.files]
    }
}

/// What the files say that tell what the folder is.
enum Told {
    /// A repository, which has this id if one can be read.
    Repository(Option<Ulid>),
    /// One of a later version.
    Later(u32),
    /// Something else.
    Other,
    /// Nothing.
    Nothing,
}

impl BackupRepository {
    /// Opens the repository of a data folder; a new or empty folder becomes one, unless the data folder was
    /// backed up to one there. `known` is the file of the data folder that says so, `keys` its keys; `new`
    /// says that whatever was there isn't wanted any more. Of the files that say what the folder is, those
    /// that are damaged are written anew.
    ///
    /// # Errors
    /// `Gone` if another repository was here, `NoRepository` if the folder holds something else,
    /// `FormTooNew`, `Source`, `Keys` for a repository of another data folder, a folder that can't be written
    /// to.
    pub fn open_or_create(folder: &Path, known: &Path, keys: &Keyring, new: bool) -> Result<Self> {
        let mut known = KnownRepositories::read(known)?;
        let before = known.of(folder);
        let found = told(folder)?;
        let [first, second] = KEYS.map(|name| folder.join(name));
        if let Told::Repository(_) = found
            && let Err(error @ KeyringError::OtherFolder) = keys.check_merge(&[&first, &second])
        {
            return Err(error.into());
        }
        let id = match found {
            Told::Repository(Some(id)) if before.is_empty() || new || before.contains(&id) => id,
            Told::Repository(Some(_)) => return Err(BackupError::Gone),
            // Its own file doesn't say which it is; whose keys it has does.
            Told::Repository(None) => match before[..] {
                [only] => only,
                _ => Ulid::new(),
            },
            Told::Later(found) => return Err(BackupError::FormTooNew { found, known: FORM }),
            Told::Other => return Err(BackupError::NoRepository),
            Told::Nothing if !before.is_empty() && !new => return Err(BackupError::Gone),
            Told::Nothing => Ulid::new(),
        };
        private_folder(folder).map_err(BackupError::file(folder))?;
        let opened = Self { folder: folder.to_owned() };
        let written = opened.write_form(id)?;
        known.add(folder, id)?;
        if let Some(parent) = folder.parent().filter(|parent| written && !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(opened)
    }

    /// Writes the files that say what the folder is, where they don't; whether they didn't.
    fn write_form(&self, id: Ulid) -> Result<bool> {
        let files = [(FORM_FILE, format!("{FORM_TEXT}{FORM}\n")), (ID_FILE, id_text(id))];
        let mut written = false;
        for (name, text) in files {
            if fs::read(self.folder.join(name)).ok().is_none_or(|there| there != text.as_bytes()) {
                write_whole(&self.folder, name, text.as_bytes())?;
                written = true;
            }
        }
        Ok(written)
    }

    /// Opens a repository that is there. Nothing is written.
    ///
    /// # Errors
    /// `Nothing` if it isn't, `NoRepository` if there is something else, `FormTooNew`, a folder that can't be
    /// read.
    pub fn open(folder: &Path) -> Result<Self> {
        match told(folder)? {
            Told::Repository(_) => Ok(Self { folder: folder.to_owned() }),
            Told::Later(found) => Err(BackupError::FormTooNew { found, known: FORM }),
            Told::Other => Err(BackupError::NoRepository),
            Told::Nothing => Err(BackupError::Nothing),
        }
    }

    /// What is wrong with the files that say what the folder is. The next backup writes them anew. `both`
    /// says that a version has been here that writes both.
    pub(crate) fn harm_of_form(&self, both: bool) -> Vec<(&'static str, ObjectHarm)> {
        let harm = |name: &'static str, fine: &dyn Fn(&str) -> bool| match fs::read_to_string(
            self.folder.join(name),
        ) {
            Ok(text) if fine(&text) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some((name, ObjectHarm::Missing)),
            Ok(_) | Err(_) => Some((name, ObjectHarm::Changed)),
        };
        let form = harm(FORM_FILE, &|text| form_of(text) == Some(FORM));
        let id = harm(ID_FILE, &|text| id_of(text).is_some())
            .filter(|(_, harm)| both || *harm != ObjectHarm::Missing);
        form.into_iter().chain(id).collect()
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
        taken(&|| file.try_lock(), &path)?;
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
        taken(&|| file.try_lock_shared(), &path)?;
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

    /// The files of keys.
    pub(crate) fn keys(&self) -> [PathBuf; 2] {
        KEYS.map(|name| self.folder.join(name))
    }

    /// What is wrong with each of the files of keys, if anything is; with the second too if it isn't what the
    /// first is.
    pub(crate) fn harms_of_keys(&self) -> [Option<ObjectHarm>; 2] {
        let paths = self.keys();
        let mut harms = paths.each_ref().map(|path| match reasonedit_keyring::is_whole(path) {
            Ok(Some(true)) => None,
            Ok(Some(false)) => Some(ObjectHarm::Changed),
            Ok(None) => Some(ObjectHarm::Missing),
            Err(_) => Some(ObjectHarm::Unreadable),
        });
        let [first, second] = paths.map(|path| fs::read(path).ok());
        if harms == [None, None] && first != second {
            harms[1] = Some(ObjectHarm::Changed);
        }
        harms
    }

    /// What is wrong with the keys, if neither file of them is whole.
    pub(crate) fn harm_of_keys(&self) -> Option<ObjectHarm> {
        let [first, second] = self.harms_of_keys();
        first.filter(|_| second.is_some())
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

/// What is in the folder, by the files that say it; one of which may be damaged, so that what else is there
/// tells whether it is a repository.
fn told(folder: &Path) -> Result<Told> {
    let read = |name: &str| {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::file(&path)(error)),
        }
    };
    let (form, id) = (read(FORM_FILE)?, read(ID_FILE)?);
    let numbered = form.as_deref().and_then(form_of);
    if let Some((known, id)) = id.as_deref().and_then(id_of) {
        return Ok(if known > FORM { Told::Later(known) } else { Told::Repository(Some(id)) });
    }
    match numbered {
        Some(FORM) => return Ok(Told::Repository(None)),
        Some(found) if found > FORM && id.is_none() => return Ok(Told::Later(found)),
        _ => {}
    }
    if has_snapshots(folder) {
        return Ok(Told::Repository(None));
    }
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Told::Nothing),
        entries => entries.map_err(BackupError::file(folder))?,
    };
    for entry in entries {
        let name = entry.map_err(BackupError::file(folder))?.file_name();
        let name = name.to_string_lossy();
        if name != OF_FILE_SYSTEM && !name.starts_with(UNFINISHED) {
            return Ok(Told::Other);
        }
    }
    Ok(Told::Nothing)
}

/// Whether there is a snapshot in the folder as this program writes them.
fn has_snapshots(folder: &Path) -> bool {
    let repository = BackupRepository { folder: folder.to_owned() };
    repository.ids().is_ok_and(|ids| ids.iter().any(|id| repository.manifest(id).is_ok()))
}

/// The number of the form that a file says.
fn form_of(text: &str) -> Option<u32> {
    text.strip_prefix(FORM_TEXT)?.strip_suffix('\n')?.parse().ok()
}

/// The file that has the id: its sum, the form, the id.
fn id_text(id: Ulid) -> String {
    let said = format!("{FORM_TEXT}{FORM} {id}");
    format!("{} {said}\n", &blake3::hash(said.as_bytes()).to_hex()[..16])
}

/// The form and the id that such a file says.
fn id_of(text: &str) -> Option<(u32, Ulid)> {
    let (sum, said) = text.strip_suffix('\n')?.split_once(' ')?;
    if blake3::hash(said.as_bytes()).to_hex()[..16] != *sum {
        return None;
    }
    let (form, id) = said.strip_prefix(FORM_TEXT)?.split_once(' ')?;
    Some((form.parse().ok()?, Ulid::from_string(id).ok()?))
}

/// Takes a lock. One that is held is tried again for a moment: a process that this one is starting has what
/// it had open until it runs its own program.
fn taken(lock: &dyn Fn() -> Result<(), TryLockError>, path: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(BackupError::InUse),
            Err(TryLockError::Error(error)) => return Err(BackupError::file(path)(error)),
        }
    }
}
