//! Makes a data folder of a backup.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use reasonedit_codebook::store::{RestoredStore, StoreRestore};
use reasonedit_codebook::{CodebookError, ImageStore};
use reasonedit_keyring::{Keyring, OperatorKey};
use serde::Serialize;

use crate::error::{BackupError, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest};
use crate::objects::{private_folder, sync_folder, write_whole};
use crate::pack;
use crate::progress::{BackupProgress, Watch, tell};
use crate::repository::{BackupRepository, KEYS, Kinds};

/// How the folder is called in which a data folder is made.
const UNFINISHED: &str = ".restoring-";

/// Where codebooks, pictures and the file of keys lie in a data folder.
type Folders<'a> = &'a dyn Fn(&Path) -> [PathBuf; 3];

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// Which backup.
    pub id: BackupId,
    /// Codebooks.
    pub codebooks: usize,
    /// Live edits of all codebooks.
    pub edits: usize,
    /// Pictures.
    pub pictures: usize,
    /// Bytes that were read and compared.
    pub bytes: u64,
    /// Edits that were live then, and were erased since: they are not in it.
    pub erased: usize,
}

impl BackupRepository {
    /// Makes a data folder of a backup, the newest unless another is named. `folders` says where codebooks,
    /// pictures and keys lie in one; `operator` is the key that wraps these, where one does. What was erased
    /// since is erased in it. Everything that is read is compared with what was written, and the codebooks
    /// are read once more as a service reads them, before anything stands where it is to be; the codebooks
    /// come last. Where the newest is damaged none is restored, since that is for whoever asked to say.
    ///
    /// # Errors
    /// `NotEmpty`, `Unknown`, `Nothing`, `InUse`; `Harmed` names what is damaged or missing, `NewestHarmed`
    /// the newest backup that is whole as well; `Differs`, `Codebook`, `Stopped`, a disk that refuses.
    pub fn restore(
        &self,
        id: Option<&BackupId>,
        out: &Path,
        folders: Folders<'_>,
        operator: Option<&OperatorKey>,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<RestoreSummary> {
        let _lock = self.share()?;
        if let Some(id) = id {
            return self.restore_of(id, out, folders, operator, watch);
        }
        let ids = self.ids()?;
        let (newest, older) = ids.split_last().ok_or(BackupError::Nothing)?;
        let restored = self.restore_of(newest, out, folders, operator, watch);
        let Err(BackupError::Harmed(harmed)) = restored else { return restored };
        // Which is whole is known once all of it was read.
        let mut whole = None;
        for id in older.iter().rev() {
            if self.verify(Some(id), watch)?.harmed.iter().all(|harm| harm.of.is_empty()) {
                whole = Some(id.clone());
                break;
            }
        }
        Err(BackupError::NewestHarmed { newest: newest.clone(), harmed, whole })
    }

    fn restore_of(
        &self,
        id: &BackupId,
        out: &Path,
        folders: Folders<'_>,
        operator: Option<&OperatorKey>,
        watch: Watch<'_>,
    ) -> Result<RestoreSummary> {
        let manifest = self.manifest(id)?;
        let failed = || BackupError::file(out);
        match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(BackupError::NotEmpty),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => private_folder(out).map_err(failed())?,
        }
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(out).map_err(failed())?;
        let [store, images, keys] = folders(unfinished.path());
        let kinds = self.kinds();
        restore_files(&manifest, &kinds, unfinished.path())?;
        let keys = self.restore_keys(&manifest, &keys, operator)?;
        let images = restore_images(&images, &keys)?;
        let pictures = restore_pictures(&manifest, &kinds, &images, watch)?;
        let restored = restore_rows(&manifest, &kinds, &store, &keys, watch)?;
        sync_folder(unfinished.path())?;
        // A service that is started meanwhile must find no codebooks before it finds their tokens.
        let mut parts: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(unfinished.path()).map_err(failed())? {
            parts.push(entry.map_err(failed())?.path());
        }
        parts.sort_by_key(|part| *part == store);
        for part in parts {
            let place = out.join(part.file_name().unwrap_or_default());
            fs::rename(&part, &place).map_err(BackupError::file(&place))?;
        }
        drop(unfinished);
        sync_folder(out)?;
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(RestoreSummary {
            codebooks: restored.codebooks,
            edits: restored.edits,
            pictures,
            erased: restored.erased,
            bytes: manifest.bytes(),
            id: manifest.id,
        })
    }
}

fn restore_files(manifest: &BackupManifest, kinds: &Kinds, data: &Path) -> Result<()> {
    for file in &manifest.files {
        let path = place_of(&file.name, data)?;
        let folder = path.parent().unwrap_or(data);
        let written = || {
            private_folder(folder)?;
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            if let Err(harm) = kinds.files.copy(&file.object.sum, &mut new)? {
                return Ok(Some(harm));
            }
            new.as_file().sync_all()?;
            new.persist_noclobber(&path).map_err(|error| error.error)?;
            Ok(None)
        };
        if let Some(harm) = written().map_err(BackupError::file(&path))? {
            return Err(BackupError::harmed(kinds.files.place(&file.object.sum), harm));
        }
    }
    Ok(())
}

/// Where a file belongs in a data folder: in itself, or in one folder of it. No name leads out of it.
fn place_of(name: &str, data: &Path) -> Result<PathBuf> {
    let parts: Vec<Component<'_>> = Path::new(name).components().collect();
    if matches!(parts[..], [Component::Normal(_)] | [Component::Normal(_), Component::Normal(_)]) {
        return Ok(data.join(name));
    }
    let reason = "its name is none that a file of a data folder has";
    Err(BackupError::Source { name: name.to_owned(), reason })
}

/// The images of a data folder that is being made.
fn restore_images(folder: &Path, keys: &Arc<Keyring>) -> Result<ImageStore> {
    private_folder(folder).map_err(BackupError::file(folder))?;
    Ok(ImageStore::open_with(folder, Arc::clone(keys))?)
}

/// Restores the pictures that were not erased since; how many they are.
fn restore_pictures(
    manifest: &BackupManifest,
    kinds: &Kinds,
    images: &ImageStore,
    watch: Watch<'_>,
) -> Result<usize> {
    let (total, mut restored) = (manifest.pictures.len(), 0);
    for (done, picture) in manifest.pictures.iter().enumerate() {
        tell(watch, "pictures", done, total)?;
        let file = kinds.images.need(&picture.sum)?;
        if let Some(id) = picture.image {
            restored += usize::from(images.put_stored(id, &file)?);
        } else {
            images.put_under(picture.id(), &file)?;
            restored += 1;
        }
    }
    Ok(restored)
}

/// Restores the rows.
fn restore_rows(
    manifest: &BackupManifest,
    kinds: &Kinds,
    store: &Path,
    keys: &Arc<Keyring>,
    watch: Watch<'_>,
) -> Result<RestoredStore> {
    let mut restored = StoreRestore::begin(store, manifest.schema, Arc::clone(keys))?;
    let total = manifest.packs.len();
    for (done, object) in manifest.packs.iter().enumerate() {
        tell(watch, "rows", done, total)?;
        let bytes = kinds.rows.need(&object.sum)?;
        for row in pack::rows(&bytes) {
            let no_pack = || BackupError::harmed(kinds.rows.place(&object.sum), ObjectHarm::Changed);
            restored.put(row.ok_or_else(no_pack)?)?;
        }
    }
    tell(watch, "rows", total, total)?;
    let restored = restored.finish()?;
    let found = (restored.codebooks as u64, (restored.edits + restored.erased) as u64, restored.rows);
    let said = (manifest.codebooks, manifest.edits, manifest.rows);
    if found != said {
        let told = |(codebooks, edits, rows)| format!("{codebooks} codebooks, {edits} edits and {rows} rows");
        return Err(BackupError::Differs { said: told(said), found: told(found) });
    }
    Ok(restored)
}

impl BackupRepository {
    /// Puts the keys of all backups into a data folder that is being made; a repository of before there were
    /// any has none.
    fn restore_keys(
        &self,
        manifest: &BackupManifest,
        into: &Path,
        operator: Option<&OperatorKey>,
    ) -> Result<Arc<Keyring>> {
        let harm = self.harm_of_keys();
        if manifest.form == 1 && harm == Some(ObjectHarm::Missing) {
            return Ok(Keyring::open(into, operator).map_err(CodebookError::from)?);
        }
        if let Some(harm) = harm {
            return Err(BackupError::harmed(KEYS.to_owned(), harm));
        }
        let from = self.keys();
        let bytes = fs::read(&from).map_err(BackupError::file(&from))?;
        let folder = into.parent().unwrap_or(Path::new("."));
        write_whole(folder, &into.file_name().unwrap_or_default().to_string_lossy(), &bytes)?;
        Ok(Keyring::open(into, operator).map_err(CodebookError::from)?)
    }
}
