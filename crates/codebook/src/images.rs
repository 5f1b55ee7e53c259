//! Uploaded images, each under the hash of its bytes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::ids::ImageId;
use crate::{CodebookError, Result};

/// A folder of images: `ab/abcd…`, the first two digits of the id and then all of them. Writing the same bytes twice
/// writes them once. Durable when [`Self::put`] returns.
#[derive(Debug)]
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
        if !self.contains(id) {
            self.write(id, bytes).map_err(|e| failed("keep an image", &e))?;
        }
        Ok(id)
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
    /// `UnknownImage` if there is none of this id, `Corrupt` if its bytes are no longer those of the id, `Store`.
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

    /// Whether there is an image of this id.
    pub fn contains(&self, id: ImageId) -> bool {
        self.path(id).is_file()
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
