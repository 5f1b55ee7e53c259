//! Uploaded images, each under the hash of its bytes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;
use ulid::Ulid;

use crate::ids::ImageId;
use crate::records::{HarmedImage, ImageHarm};
use crate::{CodebookError, Result};

mod harm;

/// How the names of folders begin that hold staged images.
const STAGED: &str = ".staged-";
/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";
/// What follows in the names of this process: what it works on is not left over.
static OF_THIS_PROCESS: LazyLock<String> = LazyLock::new(|| format!("{}-", Ulid::new()));

/// How the names begin that this process gives.
fn own(kind: &str) -> String {
    format!("{kind}{}", *OF_THIS_PROCESS)
}

/// Whether a name of this kind was given by a process that is no more.
fn left_over(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|rest| !rest.starts_with(OF_THIS_PROCESS.as_str()))
}

/// A folder of images: `ab/abcd…`, the first two digits of the id and then all of them. Writing the same
/// bytes twice writes them once, unless the first have decayed: then they are written anew. Durable when
/// [`Self::put`] returns.
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
        if !self.holds(id, bytes) {
            self.write(id, bytes).map_err(|e| failed("keep an image", &e))?;
        }
        Ok(())
    }

    /// Whether just these bytes stand under the id; a file that can't be read holds nothing.
    fn holds(&self, id: ImageId, bytes: &[u8]) -> bool {
        let path = self.path(id);
        let as_long = fs::metadata(&path).is_ok_and(|there| there.len() == bytes.len() as u64);
        as_long && fs::read(&path).is_ok_and(|there| there == bytes)
    }

    /// Beside, synced, then renamed: under an id there is never half an image.
    fn write(&self, id: ImageId, bytes: &[u8]) -> io::Result<()> {
        let shard = self.shard(id);
        if !shard.is_dir() {
            fs::create_dir_all(&shard)?;
            File::open(&self.folder)?.sync_all()?;
        }
        let mut file = tempfile::Builder::new().prefix(&own(UNFINISHED)).tempfile_in(&shard)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.path(id)).map_err(|e| e.error)?;
        File::open(&shard)?.sync_all()
    }

    /// The bytes of an image.
    ///
    /// # Errors
    /// `UnknownImage` if there is none of this id, `HarmedImages` if its bytes are no longer those of the id,
    /// `Store`.
    pub fn get(&self, id: ImageId) -> Result<Vec<u8>> {
        let bytes = match fs::read(self.path(id)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(CodebookError::UnknownImage(id)),
            Err(e) => return Err(failed("read an image", &e)),
        };
        match ImageHarm::of(id, &bytes) {
            None => Ok(bytes),
            Some(harm) => Err(CodebookError::HarmedImages(vec![HarmedImage { id, harm }])),
        }
    }

    /// A place beside the store for images that may not be wanted after all.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn stage(&self) -> Result<StagedImages> {
        let folder = tempfile::Builder::new().prefix(&own(STAGED)).tempdir_in(&self.folder);
        let folder = folder.map_err(|e| failed("keep images beside the others", &e))?;
        Ok(StagedImages { images: self.clone(), folder, ids: BTreeSet::new() })
    }

    /// Removes what a process left that was killed: files that it was writing; what it had staged, and such
    /// of that as had been put into the store already unless it is `wanted`. While no other process works with
    /// the folder; what this one works on is left alone.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn sweep_unfinished(&self, wanted: impl Fn(ImageId) -> bool) -> Result<()> {
        self.sweep(wanted).map_err(|e| failed("remove images that were not finished", &e))
    }

    fn sweep(&self, wanted: impl Fn(ImageId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if !left_over(&name, STAGED) {
                remove_unfinished(&entry.path())?;
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
/// those of a process that was killed are found by [`ImageStore::sweep_unfinished`].
#[derive(Debug)]
pub struct StagedImages {
    images: ImageStore,
    folder: TempDir,
    ids: BTreeSet<ImageId>,
}

impl StagedImages {
    /// Keeps the bytes beside the store, unless it has them as they are, and returns their id.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn put(&mut self, bytes: &[u8]) -> Result<ImageId> {
        let id = ImageId::of(bytes);
        if !self.images.holds(id, bytes) && self.ids.insert(id) {
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
            let staged = self.folder.path().join(id.to_string());
            // Not every file system has links; and what stands there already may have decayed.
            if fs::hard_link(&staged, self.images.path(id)).is_err() {
                let bytes = fs::read(&staged)?;
                if !self.images.holds(id, &bytes) {
                    self.images.write(id, &bytes)?;
                }
            }
        }
        File::open(&self.images.folder)?.sync_all()?;
        shards.iter().try_for_each(|shard| File::open(shard)?.sync_all())
    }
}

/// Removes the files of a folder that were never finished.
fn remove_unfinished(shard: &Path) -> io::Result<()> {
    for file in fs::read_dir(shard)? {
        let file = file?;
        if left_over(&file.file_name().to_string_lossy(), UNFINISHED) {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
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
        // Another editor of this process begins.
        images.sweep_unfinished(|_| false).unwrap();
        assert!(ids.iter().all(|id| images.contains(*id)));
        // As if the process were gone: nothing is cleaned up.
        std::mem::forget((staged, later));
        for (number, entry) in fs::read_dir(folder.path()).unwrap().flatten().enumerate() {
            if entry.file_name().to_string_lossy().starts_with(STAGED) {
                fs::rename(entry.path(), folder.path().join(format!("{STAGED}{number}"))).unwrap();
            }
        }
        images.sweep_unfinished(|id| id == ids[1]).unwrap();
        assert_eq!(ids.map(|id| images.contains(id)), [false, true, false]);
        assert!(fs::read_dir(folder.path()).unwrap().all(|e| e.unwrap().file_name().len() == 2));
        images.sweep_unfinished(|_| false).unwrap();
        assert!(images.contains(ids[1]));
    }

    #[test]
    fn a_file_that_was_never_finished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let id = images.put(b"a picture").unwrap();
        let left = images.shard(id).join(".new-abc123");
        fs::write(&left, b"half a pic").unwrap();
        images.sweep_unfinished(|_| false).unwrap();
        assert!(!left.exists());
        assert_eq!(images.get(id).unwrap(), b"a picture", "what was finished stays, wanted or not");
    }

    /// Whatever became of a file, the same bytes sent again take its place.
    #[test]
    fn a_decayed_image_is_an_error_until_its_bytes_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let (id, other) = (images.put(b"a picture").unwrap(), images.put(b"another").unwrap());
        for (decayed, harm) in [
            (Some(&b"b picture"[..]), ImageHarm::Changed),
            (Some(b"a pict"), ImageHarm::Changed),
            (Some(b"a picture and more"), ImageHarm::Changed),
            (Some(b""), ImageHarm::Empty),
            (None, ImageHarm::Missing),
        ] {
            for how in 0..3 {
                match decayed {
                    Some(bytes) => fs::write(images.path(id), bytes).unwrap(),
                    None => fs::remove_file(images.path(id)).unwrap(),
                }
                let error = images.get(id).unwrap_err();
                match &error {
                    CodebookError::HarmedImages(harmed) => assert_eq!(harmed, &[HarmedImage { id, harm }]),
                    CodebookError::UnknownImage(unknown) => assert_eq!((unknown, decayed), (&id, None)),
                    other => panic!("{other}"),
                }
                assert!(error.to_string().contains(&id.to_string()), "{error}");
                assert!(!error.to_string().contains(folder.path().to_str().unwrap()));
                assert_eq!(images.harmed([id, other]), [HarmedImage { id, harm }]);
                match how {
                    0 => assert_eq!(images.put(b"a picture").unwrap(), id),
                    1 => images.put_under(id, b"a picture").unwrap(),
                    _ => {
                        let mut staged = images.stage().unwrap();
                        staged.put(b"a picture").unwrap();
                        assert_eq!(staged.get(id).unwrap(), b"a picture");
                        staged.install().unwrap();
                    }
                }
                assert_eq!(images.get(id).unwrap(), b"a picture");
                assert_eq!(images.harmed([id, other]), []);
            }
        }
    }

    #[test]
    fn every_stored_image_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        let mut ids: Vec<ImageId> = (0..40u8).map(|n| images.put(&[n]).unwrap()).collect();
        ids.sort_unstable();
        fs::write(images.shard(ids[0]).join(".new-left"), b"x").unwrap();
        fs::write(folder.path().join("notes.txt"), b"x").unwrap();
        // In a folder where nobody looks for it.
        fs::write(images.shard(ids[0]).join(ImageId::of(b"stray").to_string()), b"stray").unwrap();
        assert_eq!(images.ids().unwrap(), ids);
    }
}
