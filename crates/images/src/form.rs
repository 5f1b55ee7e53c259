//! The form that the files of images have: the bytes as they came, or sealed under a key of the file's own.
//!
//! A sealed file begins with `RE-IMG` and two zeros, and 16 bytes by which its key is found. Each time that
//! an image is stored it gets another key, so that one that was erased and sent again is another file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_keyring::{Erasure, KeyId, Keyring, overwrite};
use ulid::Ulid;

use super::{ImageStore, had};
use reasonedit_records::ids::ImageId;
use reasonedit_records::records::ImageHarm;
use reasonedit_records::{CodebookError, Result};

const MAGIC: &[u8; 8] = b"RE-IMG\0\0";
/// Bytes that the key of a file is found by.
const STAMP: usize = 16;
/// How the names of files begin that say which images are to be erased.
const INTENDED: &str = ".erasing-";
/// The file that says that all images are sealed.
const SEALED: &str = "sealed";

/// What tells a stored file of an image from each other file that ever was of it.
pub type ImageStamp = [u8; STAMP];

/// Why an image can't be had of its file.
pub(crate) enum NotHad {
    Erased,
    Harmed(ImageHarm),
}

fn key(id: ImageId, stamp: &ImageStamp) -> KeyId {
    KeyId::of("image", &[&id.0, stamp])
}

/// The stamp, and what is sealed, of a file that is.
fn parted(file: &[u8]) -> Option<(&ImageStamp, &[u8])> {
    file.strip_prefix(MAGIC)?.split_first_chunk::<STAMP>()
}

impl ImageStore {
    /// Opens the folder of images that are sealed by these keys, and creates it if need be. Such as are there
    /// and aren't sealed can be had as well; [`Self::seal_all`] seals them.
    ///
    /// # Errors
    /// `Store` if that fails.
    pub fn open_with(folder: &Path, keys: Arc<Keyring>) -> Result<Self> {
        Ok(Self { keys: Some(keys), ..Self::open(folder)? })
    }

    /// The file that is written for an image; its key is durable.
    pub(crate) fn formed(&self, id: ImageId, bytes: &[u8]) -> Result<Vec<u8>> {
        let Some(keys) = &self.keys else { return Ok(bytes.to_vec()) };
        let stamp = Ulid::new().to_bytes();
        let key = key(id, &stamp);
        let refused = |error| CodebookError::of_keyring("keep the key of an image", error);
        keys.ensure(&[key]).map_err(refused)?;
        let sealed = keys.seal(key, &id.0, bytes).map_err(refused)?;
        Ok([&MAGIC[..], &stamp, &sealed].concat())
    }

    /// The image of a file.
    pub(crate) fn original(&self, id: ImageId, file: Vec<u8>) -> Result<Vec<u8>, NotHad> {
        let Some((keys, (stamp, sealed))) = self.keys.as_ref().zip(parted(&file)) else {
            return match ImageHarm::of(id, &file) {
                None => Ok(file),
                Some(harm) => Err(NotHad::Harmed(harm)),
            };
        };
        let key = key(id, stamp);
        match keys.unseal(key, &id.0, sealed) {
            Ok(bytes) if ImageId::of(&bytes) == id => Ok(bytes),
            _ if keys.erased(key).is_some() => Err(NotHad::Erased),
            _ => Err(NotHad::Harmed(ImageHarm::Changed)),
        }
    }

    /// The stamp of a stored file, if it is sealed.
    pub fn stamp(&self, id: ImageId) -> Option<ImageStamp> {
        use std::io::Read as _;

        let mut head = [0; MAGIC.len() + STAMP];
        fs::File::open(self.path(id)).ok()?.read_exact(&mut head).ok()?;
        head.strip_prefix(MAGIC)?.first_chunk().copied()
    }

    /// The file of an image as it is stored, once it is known to hold the image.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn stored(&self, id: ImageId) -> Result<Vec<u8>> {
        let file = self.file(id)?;
        had(id, self.original(id, file.clone()))?;
        Ok(file)
    }

    /// Keeps the file of an image as it was stored before, if the image can be had of it by these keys;
    /// `false` if it was erased since.
    ///
    /// # Errors
    /// `HarmedImages` if it isn't that image; `Unwritable` or `Store` if the disk refuses.
    pub fn put_stored(&self, id: ImageId, file: &[u8]) -> Result<bool> {
        match self.original(id, file.to_vec()) {
            Err(NotHad::Erased) => return Ok(false),
            original => drop(had(id, original)?),
        }
        self.write(id, file).map_err(|e| CodebookError::of_disk("keep an image", &e))?;
        Ok(true)
    }

    /// Writes down that an image is to be erased unless an edit is about it, durably: before the edit that it
    /// was about is, so that whoever comes after a death in between ends it.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn intend_erasing(&self, id: ImageId) -> Result<()> {
        let written = || -> io::Result<()> {
            fs::File::create(self.intention(id))?.sync_all()?;
            fs::File::open(&self.folder)?.sync_all()
        };
        written().map_err(|e| CodebookError::of_disk("begin to erase an image", &e))
    }

    /// The images that are to be erased and of which it isn't done, or isn't known to be.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn intended(&self) -> Result<Vec<ImageId>> {
        let listed = || -> io::Result<Vec<ImageId>> {
            let mut ids = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name();
                let id = name.to_str().and_then(|name| name.strip_prefix(INTENDED)?.parse::<ImageId>().ok());
                ids.extend(id);
            }
            Ok(ids)
        };
        listed().map_err(|e| super::failed("list the images that are to be erased", &e))
    }

    /// Forgets that an image was to be erased: it is, or an edit is about it.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn settle_erasing(&self, id: ImageId) -> Result<()> {
        match fs::remove_file(self.intention(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CodebookError::of_disk("end erasing an image", &error))
            }
            _ => Ok(()),
        }
    }

    fn intention(&self, id: ImageId) -> PathBuf {
        self.folder.join(format!("{INTENDED}{id}"))
    }

    /// Whether a file is left of an image whose key was erased.
    pub(crate) fn is_left_over(&self, id: ImageId) -> bool {
        let stamp = self.keys.as_ref().and_then(|keys| Some((keys, self.stamp(id)?)));
        stamp.is_some_and(|(keys, stamp)| keys.erased(key(id, &stamp)).is_some())
    }

    /// Whether an image was erased since this process began and hasn't come again.
    pub fn was_erased(&self, id: ImageId) -> bool {
        self.erased.lock().contains(&id)
    }

    /// Erases an image: the key of its file first, then the file; one that isn't sealed is written over. What
    /// an earlier state has of it can't be read any more. Sent again, it is stored as any other.
    ///
    /// # Errors
    /// `UnknownImage` if there is none of this id; `Unwritable` or `Store` if the disk refuses.
    pub fn erase(&self, id: ImageId, by: Option<&str>) -> Result<Option<Erasure>> {
        let path = self.path(id);
        let mut erasure = None;
        match (self.stamp(id), &self.keys) {
            (Some(stamp), Some(keys)) => {
                let erased = keys.erase(&[key(id, &stamp)], by);
                erasure = Some(erased.map_err(|e| CodebookError::of_keyring("erase an image", e))?);
            }
            _ if !path.is_file() => return Err(CodebookError::UnknownImage(id)),
            _ => {
                let file = fs::OpenOptions::new().write(true).open(&path);
                let over = file.and_then(|file| overwrite(&file));
                over.map_err(|e| CodebookError::of_disk("erase an image", &e))?;
            }
        }
        let removed = || -> io::Result<()> {
            fs::remove_file(&path)?;
            fs::File::open(self.shard(id))?.sync_all()
        };
        self.erased.lock().insert(id);
        removed().map_err(|e| CodebookError::of_disk("erase an image", &e))?;
        Ok(erasure)
    }

    /// Seals the images that aren't, one after the other; a process that is killed meanwhile goes on the next
    /// time. Once all are, a file says so and nothing is looked at. Returns how many were sealed.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn seal_all(&self, mut told: impl FnMut(usize, usize)) -> Result<usize> {
        let done = self.folder.join(SEALED);
        if self.keys.is_none() || done.is_file() {
            return Ok(0);
        }
        let ids: Vec<ImageId> = self.ids()?.into_iter().filter(|id| self.stamp(*id).is_none()).collect();
        for (at, id) in ids.iter().enumerate() {
            told(at, ids.len());
            // What has decayed stays as it is, to be found and healed.
            if let Ok(bytes) = self.get(*id) {
                let file = self.formed(*id, &bytes)?;
                self.write(*id, &file).map_err(|e| CodebookError::of_disk("seal an image", &e))?;
            }
        }
        let marked = || -> io::Result<()> {
            fs::File::create(&done)?.sync_all()?;
            fs::File::open(&self.folder)?.sync_all()
        };
        marked().map_err(|e| CodebookError::of_disk("seal the images", &e))?;
        Ok(ids.len())
    }
}
