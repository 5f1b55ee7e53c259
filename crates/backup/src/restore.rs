//! Makes a data folder of a backup.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use reasonedit_codebook::store::{self, RestoredStore, SalvagedStore, StoreRestore};
use reasonedit_codebook::{CodebookError, ImageId, ImageStore};
use reasonedit_keyring::{Keyring, OperatorKey, salvaged_copy, whole_copy};
use serde::Serialize;

use crate::error::{BackupError, HarmedObject, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest, FIRST_FORM};
use crate::objects::{private_folder, sync_folder, write_whole};
use crate::pack;
use crate::progress::{BackupProgress, Watch, tell};
use crate::repository::{BackupRepository, KEYS, Kinds};

/// How the folder is called in which a data folder is made.
const UNFINISHED: &str = ".restoring-";
/// What the name of a store ends with of which rows are lost.
const INCOMPLETE: &str = "incomplete";

/// Where codebooks, pictures and the file of keys lie in a data folder.
type Folders<'a> = &'a dyn Fn(&Path) -> [PathBuf; 3];

/// What is restored, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions<'a> {
    /// Which backup; the newest if none is named.
    pub snapshot: Option<&'a BackupId>,
    /// The key that wraps those of the backups, where one does.
    pub operator: Option<&'a OperatorKey>,
    /// Whether what is damaged or missing is left out, and named, instead of nothing being restored.
    pub incomplete: bool,
}

/// What was restored.
#[derive(Debug, Serialize)]
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
    /// What of the repository was damaged or missing. Other files of the data folder are restored as they are
    /// then, or empty, since they tell by themselves that they are damaged; all else is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub harmed: Vec<HarmedObject>,
    /// The pictures that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost_pictures: Vec<ImageId>,
    /// What could be saved of the codebooks, where rows or keys are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salvaged: Option<SalvagedStore>,
}

/// What a data folder is made of, and what can't be had of it.
struct Restoring<'a> {
    manifest: &'a BackupManifest,
    kinds: Kinds,
    incomplete: bool,
    harmed: Vec<HarmedObject>,
    lost_pictures: Vec<ImageId>,
    watch: Watch<'a>,
}

impl BackupRepository {
    /// Makes a data folder of a backup. `folders` says where codebooks, pictures and keys lie in one. What
    /// was erased since is erased in it. Everything that is read is compared with what was written, and the
    /// codebooks are read once more as a service reads them, before anything stands where it is to be; the
    /// codebooks come last. Where something of it is damaged nothing is restored, since what then is for
    /// whoever asked to say.
    ///
    /// # Errors
    /// `NotEmpty`, `Unknown`, `Nothing`, `InUse`; `Harmed` names what is damaged or missing, `NewestHarmed`
    /// the newest backup that is whole as well; `Differs`, `Codebook`, `Stopped`, a disk that refuses.
    pub fn restore(
        &self,
        out: &Path,
        folders: Folders<'_>,
        options: RestoreOptions<'_>,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<RestoreSummary> {
        let _lock = self.share()?;
        if let Some(id) = options.snapshot {
            return self.restore_of(&self.manifest(id)?, out, folders, options, watch);
        }
        let ids = self.ids()?;
        let (newest, older) = ids.split_last().ok_or(BackupError::Nothing)?;
        let restored = if options.incomplete {
            return self.restore_newest_readable(&ids, out, folders, options, watch);
        } else {
            self.manifest(newest).and_then(|newest| self.restore_of(&newest, out, folders, options, watch))
        };
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

    /// What can be had of the newest of which that is known.
    fn restore_newest_readable(
        &self,
        ids: &[BackupId],
        out: &Path,
        folders: Folders<'_>,
        options: RestoreOptions<'_>,
        watch: Watch<'_>,
    ) -> Result<RestoreSummary> {
        let mut unreadable = Vec::new();
        for id in ids.iter().rev() {
            match self.manifest(id) {
                Ok(manifest) => {
                    let mut restored = self.restore_of(&manifest, out, folders, options, watch)?;
                    restored.harmed.splice(..0, unreadable);
                    return Ok(restored);
                }
                Err(BackupError::Harmed(harmed)) => unreadable.extend(harmed),
                Err(error) => return Err(error),
            }
        }
        Err(BackupError::Harmed(unreadable))
    }

    fn restore_of(
        &self,
        manifest: &BackupManifest,
        out: &Path,
        folders: Folders<'_>,
        options: RestoreOptions<'_>,
        watch: Watch<'_>,
    ) -> Result<RestoreSummary> {
        let failed = || BackupError::file(out);
        match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(BackupError::NotEmpty),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => private_folder(out).map_err(failed())?,
        }
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(out).map_err(failed())?;
        let [store, images, keys] = folders(unfinished.path());
        let RestoreOptions { operator, incomplete, .. } = options;
        let kinds = self.kinds();
        let mut restoring =
            Restoring { manifest, kinds, incomplete, harmed: Vec::new(), lost_pictures: Vec::new(), watch };
        restoring.files(unfinished.path())?;
        let (keys, all_keys) = restoring.keys(self, &keys, operator)?;
        let pictures = restoring.pictures(&restored_images(&images, &keys)?)?;
        let (restored, salvaged) = restoring.rows(&store, &keys, all_keys)?;
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
        let Restoring { harmed, lost_pictures, .. } = restoring;
        Ok(RestoreSummary {
            codebooks: restored.codebooks,
            edits: restored.edits,
            pictures,
            erased: restored.erased,
            bytes: manifest.bytes(),
            id: manifest.id.clone(),
            harmed,
            lost_pictures,
            salvaged,
        })
    }
}

impl Restoring<'_> {
    /// Goes on without something, or doesn't.
    fn without(&mut self, place: String, harm: ObjectHarm) -> Result<()> {
        if !self.incomplete {
            return Err(BackupError::harmed(place, harm));
        }
        self.harmed.push(HarmedObject { place, harm, of: vec![self.manifest.id.clone()] });
        Ok(())
    }

    /// Restores the files of the data folder itself. One that is damaged is better than none: it has sums of
    /// its own, and without it a service would ask for no tokens.
    fn files(&mut self, data: &Path) -> Result<()> {
        for file in &self.manifest.files {
            let path = place_of(&file.name, data)?;
            let folder = path.parent().unwrap_or(data);
            let incomplete = self.incomplete;
            let written = || {
                private_folder(folder)?;
                let mut new = tempfile::NamedTempFile::new_in(folder)?;
                let harm = self.kinds.files.copy(&file.object.sum, &mut new)?.err();
                if harm.is_none() || incomplete {
                    new.as_file().sync_all()?;
                    new.persist_noclobber(&path).map_err(|error| error.error)?;
                }
                Ok(harm)
            };
            if let Some(harm) = written().map_err(BackupError::file(&path))? {
                self.without(self.kinds.files.place(&file.object.sum), harm)?;
            }
        }
        Ok(())
    }

    /// Restores the pictures that were not erased since; how many they are.
    fn pictures(&mut self, images: &ImageStore) -> Result<usize> {
        let (total, mut restored) = (self.manifest.pictures.len(), 0);
        for (done, picture) in self.manifest.pictures.iter().enumerate() {
            tell(self.watch, "pictures", done, total)?;
            let file = match self.kinds.images.read(&picture.sum) {
                Ok(file) => file,
                Err(harm) => {
                    self.without(self.kinds.images.place(&picture.sum), harm)?;
                    self.lost_pictures.push(picture.id());
                    continue;
                }
            };
            let put = match picture.image {
                Some(id) => images.put_stored(id, &file),
                None => images.put_under(picture.id(), &file).map(|()| true),
            };
            match put {
                Ok(put) => restored += usize::from(put),
                // Its key is lost.
                Err(CodebookError::HarmedImages(_)) if self.incomplete => {
                    self.lost_pictures.push(picture.id());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(restored)
    }

    /// Restores the rows; and where some are lost, or keys of theirs, what can be saved of the codebooks.
    fn rows(
        &mut self,
        store: &Path,
        keys: &Arc<Keyring>,
        all_keys: bool,
    ) -> Result<(RestoredStore, Option<SalvagedStore>)> {
        let mut restored = StoreRestore::begin(store, self.manifest.schema, Arc::clone(keys))?;
        let (total, mut all) = (self.manifest.packs.len(), all_keys);
        for (done, object) in self.manifest.packs.iter().enumerate() {
            tell(self.watch, "rows", done, total)?;
            let place = || self.kinds.rows.place(&object.sum);
            let bytes = match self.kinds.rows.read(&object.sum) {
                Ok(bytes) => bytes,
                Err(harm) => {
                    let place = place();
                    self.without(place, harm)?;
                    all = false;
                    continue;
                }
            };
            for row in pack::rows(&bytes) {
                // Its sum holds: it was no pack when it was written.
                let no_pack = || BackupError::harmed(place(), ObjectHarm::Changed);
                restored.put(row.ok_or_else(no_pack)?)?;
            }
        }
        tell(self.watch, "rows", total, total)?;
        if !all {
            return self.salvaged(restored, store, keys);
        }
        let restored = restored.finish()?;
        let found = (restored.codebooks as u64, (restored.edits + restored.erased) as u64, restored.rows);
        let said = (self.manifest.codebooks, self.manifest.edits, self.manifest.rows);
        if found != said {
            let told =
                |(codebooks, edits, rows)| format!("{codebooks} codebooks, {edits} edits and {rows} rows");
            return Err(BackupError::Differs { said: told(said), found: told(found) });
        }
        Ok((restored, None))
    }

    /// Puts what can be saved of an incomplete store into its place.
    fn salvaged(
        &self,
        incomplete: StoreRestore,
        store: &Path,
        keys: &Arc<Keyring>,
    ) -> Result<(RestoredStore, Option<SalvagedStore>)> {
        tell(self.watch, "salvage", 0, 1)?;
        let RestoredStore { erased, rows, .. } = incomplete.finish_incomplete()?;
        let aside = store.with_extension(INCOMPLETE);
        fs::rename(store, &aside).map_err(BackupError::file(store))?;
        let saved = store::salvage(&aside, store, Arc::clone(keys))?;
        fs::remove_dir_all(&aside).map_err(BackupError::file(&aside))?;
        tell(self.watch, "salvage", 1, 1)?;
        let edits = saved.codebooks.iter().map(|book| book.edits).sum();
        Ok((RestoredStore { codebooks: saved.codebooks.len(), edits, rows, erased }, Some(saved)))
    }

    /// Puts the keys of all backups into a data folder that is being made, and says whether they are all of
    /// them; a repository of before there were any has none.
    fn keys(
        &mut self,
        repository: &BackupRepository,
        into: &Path,
        operator: Option<&OperatorKey>,
    ) -> Result<(Arc<Keyring>, bool)> {
        let [first, second] = repository.keys();
        let copies = [first.as_path(), second.as_path()];
        let [harm, of_second] = repository.harms_of_keys();
        let lost = harm.filter(|_| of_second.is_some());
        let open = || Keyring::open(into, operator).map_err(CodebookError::from);
        if self.manifest.form == FIRST_FORM && lost == Some(ObjectHarm::Missing) {
            return Ok((open()?, true));
        }
        if let Some(harm) = lost {
            self.without(KEYS[0].to_owned(), harm)?;
        } else if let Some(harm) = harm {
            // The other is whole; nothing is lost, and the next backup writes this one anew.
            self.harmed.push(HarmedObject { place: KEYS[0].to_owned(), harm, of: Vec::new() });
        }
        let Some(bytes) = whole_copy(&copies).or_else(|| salvaged_copy(&copies)) else {
            // Without a head nothing can be had.
            return Err(BackupError::Harmed(std::mem::take(&mut self.harmed)));
        };
        let folder = into.parent().unwrap_or(Path::new("."));
        write_whole(folder, &into.file_name().unwrap_or_default().to_string_lossy(), &bytes)?;
        Ok((open()?, lost.is_none()))
    }
}

/// The images of a data folder that is being made.
fn restored_images(folder: &Path, keys: &Arc<Keyring>) -> Result<ImageStore> {
    private_folder(folder).map_err(BackupError::file(folder))?;
    Ok(ImageStore::open_with(folder, Arc::clone(keys))?)
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
