//! Uploaded images, each under the hash of its bytes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::ids::ImageId;
use crate::{CodebookError, Result};

/// How the names of folders begin that hold staged images.
const STAGED: &str = ".staged-";

/// A folder of images: `ab/abcd…`, the first two digits of the id and then all of them. Writing the same
/// bytes twice writes them once. Durable when [`Self::put`] returns.
#[derive(Clone, Debug)]
pub struct ImageStore {
    folder: PathBuf,
}

impl ImageStore {
    /// Opens the folder, and creates it if need be.
    ///
    /// # Errors
    /// `Store` if that fails.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| failed("open the image folder", &e))?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn shard(&self, id: ImageId) -> PathBuf {
        self.folder.join(format!("{:02x}", id.0[0]))
    }

    fn path(&self, id: ImageId) -> PathBuf {
        self.shard(id).join(id.to_string())
    }

    /// Keeps the bytes and returns their id.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn put(&self, bytes: &[u8]) -> Result<ImageId> {
        let id = ImageId::of(bytes);
        self.put_under(id, bytes)?;
        Ok(id)
    }

    /// Keeps the bytes under their id, which the caller has made of them already.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn put_under(&self, id: ImageId, bytes: &[u8]) -> Result<()> {
        if !self.contains(id) {
            self.write(id, bytes).map_err(|e| failed("keep an image", &e))?;
        }
        Ok(())
    }

    /// Beside, synced, then renamed: under an id there is never half an image.
    fn write(&self, id: ImageId, bytes: &[u8]) -> io::Result<()> {
        let shard = self.shard(id);
        if !shard.is_dir() {
            fs::create_dir_all(&shard)?;
            File::open(&self.folder)?.sync_all()?;
        }
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&shard)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.path(id)).map_err(|e| e.error)?;
        File::open(&shard)?.sync_all()
    }

    /// The bytes of an image.
    ///
    /// # Errors
    /// `UnknownImage` if there is none of this id, `Corrupt` if its bytes are no longer those of the id,
    /// `Store`.
    pub fn get(&self, id: ImageId) -> Result<Vec<u8>> {
        let bytes = match fs::read(self.path(id)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(CodebookError::UnknownImage(id)),
            Err(e) => return Err(failed("read an image", &e)),
        };
        if ImageId::of(&bytes) != id {
            return Err(CodebookError::corrupt(format!("image {id}"), "its bytes have another hash"));
        }
        Ok(bytes)
    }

    /// A place beside the store for images that may not be wanted after all.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn stage(&self) -> Result<StagedImages> {
        let folder = tempfile::Builder::new().prefix(STAGED).tempdir_in(&self.folder);
        let folder = folder.map_err(|e| failed("keep images beside the others", &e))?;
        Ok(StagedImages { images: self.clone(), folder, ids: BTreeSet::new() })
    }

    /// Removes what a process left staged that was killed, and such of it as had been put into the store
    /// already unless it is `wanted`. While nobody else works with the store.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn sweep_staged(&self, wanted: impl Fn(ImageId) -> bool) -> Result<()> {
        self.sweep(wanted).map_err(|e| failed("remove images that were staged", &e))
    }

    fn sweep(&self, wanted: impl Fn(ImageId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let staged = entry.file_name().to_string_lossy().starts_with(STAGED);
            if !staged || !entry.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(entry.path())? {
                let name = file?.file_name().to_string_lossy().into_owned();
                if let Ok(id) = name.parse::<ImageId>()
                    && self.contains(id)
                    && !wanted(id)
                {
                    fs::remove_file(self.path(id))?;
                }
            }
            // Last: what is interrupted here is found again.
            fs::remove_dir_all(entry.path())?;
        }
        Ok(())
    }

    /// Whether there is an image of this id.
    pub fn contains(&self, id: ImageId) -> bool {
        self.path(id).is_file()
    }
}

/// Images that are kept beside the store until it is known that they are wanted. Dropped, they are gone;
/// those of a process that was killed are found by [`ImageStore::sweep_staged`].
#[derive(Debug)]
pub struct StagedImages {
    images: ImageStore,
    folder: TempDir,
    ids: BTreeSet<ImageId>,
}

impl StagedImages {
    /// Keeps the bytes beside the store, unless it has them, and returns their id.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn put(&mut self, bytes: &[u8]) -> Result<ImageId> {
        let id = ImageId::of(bytes);
        if !self.images.contains(id) && self.ids.insert(id) {
            self.write(id, bytes).map_err(|e| failed("keep an image", &e))?;
        }
        Ok(id)
    }

    fn write(&self, id: ImageId, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create_new(self.folder.path().join(id.to_string()))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// The bytes of an image, staged or in the store.
    ///
    /// # Errors
    /// As [`ImageStore::get`].
    pub fn get(&self, id: ImageId) -> Result<Vec<u8>> {
        if self.ids.contains(&id) {
            return fs::read(self.folder.path().join(id.to_string()))
                .map_err(|e| failed("read an image", &e));
        }
        self.images.get(id)
    }

    /// Whether there is an image of this id, staged or in the store.
    pub fn contains(&self, id: ImageId) -> bool {
        self.ids.contains(&id) || self.images.contains(id)
    }

    /// A file without a name, on the disk of the images.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn scratch(&self) -> Result<File> {
        tempfile::tempfile_in(self.folder.path()).map_err(|e| failed("keep a file", &e))
    }

    /// Puts all of them into the store, durably. They are staged as well until this is dropped, so that they
    /// are taken out again should the process be killed before anything refers to them.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn install(&self) -> Result<()> {
        self.link_all().map_err(|e| failed("keep an image", &e))
    }

    fn link_all(&self) -> io::Result<()> {
        File::open(self.folder.path())?.sync_all()?;
        let mut shards = BTreeSet::new();
        for &id in &self.ids {
            let shard = self.images.shard(id);
            if shards.insert(shard.clone()) {
                fs::create_dir_all(&shard)?;
            }
            match fs::hard_link(self.folder.path().join(id.to_string()), self.images.path(id)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Not every file system has links.
                Err(_) => {
                    let bytes = fs::read(self.folder.path().join(id.to_string()))?;
                    self.images.write(id, &bytes)?;
                }
            }
        }
        File::open(&self.images.folder)?.sync_all()?;
        shards.iter().try_for_each(|shard| File::open(shard)?.sync_all())
    }
}

/// The kind of the error and not its text, which may hold a path.
fn failed(action: &'static str, error: &io::Error) -> CodebookError {
    CodebookError::store(action, error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_by_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(&folder.path().join("images")).unwrap();
        let id = images.put(b"a picture").unwrap();
        assert_eq!(id, ImageId::of(b"a picture"));
        assert_eq!(images.put(b"a picture").unwrap(), id);
        assert_eq!(images.get(id).unwrap(), b"a picture");
        assert!(images.contains(id));
        // One image, and nothing half-written beside it.
        let files: Vec<_> = fs::read_dir(images.shard(id)).unwrap().collect();
        assert_eq!(files.len(), 1);

        let other = ImageId::of(b"another");
        assert!(!images.contains(other));
        assert!(matches!(images.get(other), Err(CodebookError::UnknownImage(unknown)) if unknown == other));
    }

    #[test]
    fn staged_images_are_there_once_they_are_installed() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let old = images.put(b"old").unwrap();
        let mut staged = images.stage().unwrap();
        let new = staged.put(b"new").unwrap();
        assert_eq!((staged.put(b"old").unwrap(), staged.put(b"new").unwrap()), (old, new));
        assert!(staged.contains(new) && staged.contains(old) && !images.contains(new));
        assert_eq!((staged.get(new).unwrap(), staged.get(old).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        staged.install().unwrap();
        staged.install().unwrap();
        drop(staged);
        assert_eq!(images.get(new).unwrap(), b"new");

        let mut dropped = images.stage().unwrap();
        let gone = dropped.put(b"gone").unwrap();
        drop(dropped);
        assert!(!images.contains(gone));
        assert!(fs::read_dir(folder.path()).unwrap().all(|e| e.unwrap().file_name().len() == 2));
    }

    #[test]
    fn what_a_killed_process_staged_is_removed_unless_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let mut staged = images.stage().unwrap();
        let ids = [b"a", b"b", b"c"].map(|bytes| staged.put(bytes).unwrap());
        staged.install().unwrap();
        let later = images.stage().unwrap();
        // As if the process were gone: nothing is cleaned up.
        std::mem::forget((staged, later));
        images.sweep_staged(|id| id == ids[1]).unwrap();
        assert_eq!(ids.map(|id| images.contains(id)), [false, true, false]);
        assert!(fs::read_dir(folder.path()).unwrap().all(|e| e.unwrap().file_name().len() == 2));
        images.sweep_staged(|_| false).unwrap();
        assert!(images.contains(ids[1]));
    }

    #[test]
    fn a_changed_image_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let id = images.put(b"a picture").unwrap();
        fs::write(images.path(id), b"b picture").unwrap();
        let error = images.get(id).unwrap_err();
        assert!(matches!(&error, CodebookError::Corrupt { key, .. } if key.contains(&id.to_string())));
        assert!(!error.to_string().contains(folder.path().to_str().unwrap()));
    }
}
