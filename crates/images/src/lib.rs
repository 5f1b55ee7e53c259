//! Uploaded images, each under the hash of its bytes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use reasonedit_keyring::Keyring;
use ulid::Ulid;

use reasonedit_records::ids::ImageId;
use reasonedit_records::records::HarmedImage;
use reasonedit_records::{CodebookError, Result};

mod form;
mod harm;
mod scratch;
mod staged;

pub use form::ImageStamp;
use form::NotHad;
pub use scratch::{Scratch, ScratchReader};
pub use staged::StagedImages;

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
    /// What images are sealed by, where they are.
    keys: Option<Arc<Keyring>>,
    /// Erased since the process began.
    erased: Arc<Mutex<BTreeSet<ImageId>>>,
}

impl ImageStore {
    /// Opens the folder of images that are stored as they come, and creates it if need be.
    ///
    /// # Errors
    /// `Store` if that fails.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| failed("open the image folder", &e))?;
        Ok(Self { folder: folder.to_owned(), keys: None, erased: Arc::default() })
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
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn put(&self, bytes: &[u8]) -> Result<ImageId> {
        let id = ImageId::of(bytes);
        self.put_under(id, bytes)?;
        Ok(id)
    }

    /// Keeps the bytes under their id, which the caller has made of them already.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn put_under(&self, id: ImageId, bytes: &[u8]) -> Result<()> {
        if !self.holds(id, bytes) {
            let file = self.formed(id, bytes)?;
            self.write(id, &file).map_err(|e| CodebookError::of_disk("keep an image", &e))?;
        }
        Ok(())
    }

    /// Whether just these bytes stand under the id; a file that can't be read holds nothing.
    fn holds(&self, id: ImageId, bytes: &[u8]) -> bool {
        self.contains(id) && self.get(id).is_ok_and(|there| there == bytes)
    }

    /// Beside, synced, then renamed: under an id there is never half an image.
    fn write(&self, id: ImageId, stored: &[u8]) -> io::Result<()> {
        let shard = self.shard(id);
        if !shard.is_dir() {
            make(&shard)?;
            File::open(&self.folder)?.sync_all()?;
        }
        let mut file = tempfile::Builder::new().prefix(&own(UNFINISHED)).tempfile_in(&shard)?;
        file.write_all(stored)?;
        file.as_file().sync_all()?;
        file.persist(self.path(id)).map_err(|e| e.error)?;
        self.erased.lock().remove(&id);
        File::open(&shard)?.sync_all()
    }

    /// The bytes of an image.
    ///
    /// # Errors
    /// `UnknownImage` if there is none of this id, `HarmedImages` if its bytes are no longer those of the id,
    /// `Store`.
    pub fn get(&self, id: ImageId) -> Result<Vec<u8>> {
        let file = self.file(id)?;
        had(id, self.original(id, file))
    }

    fn file(&self, id: ImageId) -> Result<Vec<u8>> {
        fs::read(self.path(id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CodebookError::UnknownImage(id),
            _ => failed("read an image", &error),
        })
    }

    /// Removes what a process left that was killed: files that it was writing; what it had staged, unless
    /// that is for work that may be gone on with, and such of it as had been put into the store already
    /// unless it is `wanted`. While no other process works with the folder; what this one works on is left
    /// alone.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
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
            if staged::work_of(&name).is_none() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether there is an image of this id.
    pub fn contains(&self, id: ImageId) -> bool {
        self.path(id).is_file()
    }

    /// How many bytes the file of this id has, without looking at them; `None` if there is none.
    pub fn length(&self, id: ImageId) -> Option<u64> {
        fs::metadata(self.path(id)).ok().filter(fs::Metadata::is_file).map(|found| found.len())
    }
}

/// The image of a file, or why it can't be had.
fn had(id: ImageId, original: Result<Vec<u8>, NotHad>) -> Result<Vec<u8>> {
    original.map_err(|not| match not {
        NotHad::Erased => CodebookError::UnknownImage(id),
        NotHad::Harmed(harm) => CodebookError::HarmedImages(vec![HarmedImage { id, harm }]),
    })
}

/// Makes a folder in one that is there: what was moved away isn't begun anew beside it.
fn make(shard: &Path) -> io::Result<()> {
    match fs::create_dir(shard) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
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
mod tests;
