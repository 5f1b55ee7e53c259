//! Makes a data folder of a backup.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use reasonedit_codebook::store::StoreRestore;
use serde::Serialize;

use crate::error::{BackupError, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest};
use crate::objects::{Objects, private_folder, sync_folder};
use crate::pack;
use crate::progress::{BackupProgress, Watch, tell};
use crate::repository::{BackupRepository, Kinds};

/// How the folder is called in which a data folder is made.
const UNFINISHED: &str = ".restoring-";

/// Where codebooks and pictures lie in a data folder.
type Folders<'a> = &'a dyn Fn(&Path) -> (PathBuf, PathBuf);

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
}

impl BackupRepository {
    /// Makes a data folder of a backup, the newest unless another is named. `folders` says where codebooks
    /// and pictures lie in one. Everything that is read is compared with what was written, and the codebooks
    /// are read once more as a service reads them, before anything stands where it is to be; the codebooks
    /// come last.
    ///
    /// # Errors
    /// `NotEmpty`, `Unknown`, `Nothing`, `InUse`; `Harmed` names what is damaged or missing; `Differs`,
    /// `Codebook`, `Stopped`, a disk that refuses.
    pub fn restore(
        &self,
        id: Option<&BackupId>,
        out: &Path,
        folders: Folders<'_>,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<RestoreSummary> {
        let _lock = self.share()?;
        let manifest = match id {
            Some(id) => self.manifest(id)?,
            None => self.manifest(self.ids()?.last().ok_or(BackupError::Nothing)?)?,
        };
        let failed = || BackupError::file(out);
        match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(BackupError::NotEmpty),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => private_folder(out).map_err(failed())?,
        }
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(out).map_err(failed())?;
        let (store, images) = folders(unfinished.path());
        let kinds = self.kinds();
        restore_files(&manifest, &kinds, unfinished.path())?;
        restore_pictures(&manifest, &kinds, &images, watch)?;
        let (codebooks, edits) = restore_rows(&manifest, &kinds, &store, watch)?;
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
            codebooks,
            edits,
            pictures: manifest.pictures.len(),
            bytes: manifest.bytes(),
            id: manifest.id,
        })
    }
}

fn restore_files(manifest: &BackupManifest, kinds: &Kinds, data: &Path) -> Result<()> {
    for file in &manifest.files {
        let path = data.join(Path::new(&file.name).file_name().unwrap_or_default());
        let bytes = kinds.files.need(&file.object.sum)?;
        let written = || {
            let mut new = tempfile::NamedTempFile::new_in(data)?;
            io::Write::write_all(&mut new, &bytes)?;
            new.as_file().sync_all()?;
            new.persist_noclobber(&path).map_err(|error| error.error)
        };
        written().map_err(BackupError::file(&path))?;
    }
    Ok(())
}

fn restore_pictures(manifest: &BackupManifest, kinds: &Kinds, images: &Path, watch: Watch<'_>) -> Result<()> {
    private_folder(images).map_err(BackupError::file(images))?;
    let mut restored = Objects::at(images);
    let total = manifest.pictures.len();
    for (done, picture) in manifest.pictures.iter().enumerate() {
        tell(watch, "pictures", done, total)?;
        restored.put(picture.sum, &kinds.images.need(&picture.sum)?)?;
    }
    restored.sync()
}

/// Restores the rows; how many codebooks and live edits they make.
fn restore_rows(
    manifest: &BackupManifest,
    kinds: &Kinds,
    store: &Path,
    watch: Watch<'_>,
) -> Result<(usize, usize)> {
    let mut restored = StoreRestore::begin(store, manifest.schema)?;
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
    let found = (restored.codebooks as u64, restored.edits as u64, restored.rows);
    let said = (manifest.codebooks, manifest.edits, manifest.rows);
    if found != said {
        let told = |(codebooks, edits, rows)| format!("{codebooks} codebooks, {edits} edits and {rows} rows");
        return Err(BackupError::Differs { said: told(said), found: told(found) });
    }
    Ok((restored.codebooks, restored.edits))
}
