//! What became of stored images, found by reading them: an id is the hash of the bytes that belong under it.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::{ImageStore, NotHad, failed};
use reasonedit_records::Result;
use reasonedit_records::ids::ImageId;
use reasonedit_records::records::{HarmedImage, ImageHarm};

impl ImageStore {
    /// Those of these images that can't be had as they came, each once, in order of their ids. Reads all of
    /// them, one at a time.
    pub fn harmed(&self, ids: impl IntoIterator<Item = ImageId>) -> Vec<HarmedImage> {
        let ids: BTreeSet<ImageId> = ids.into_iter().collect();
        ids.into_iter().filter_map(|id| Some(HarmedImage { id, harm: self.harm(id)? })).collect()
    }

    fn harm(&self, id: ImageId) -> Option<ImageHarm> {
        match fs::read(self.path(id)) {
            Ok(file) => match self.original(id, file) {
                Ok(_) => None,
                Err(NotHad::Erased) => Some(ImageHarm::Missing),
                Err(NotHad::Harmed(harm)) => Some(harm),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(ImageHarm::Missing),
            Err(_) => Some(ImageHarm::Unreadable),
        }
    }

    /// The ids of all images that are stored, whatever became of their bytes, in ascending order.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn ids(&self) -> Result<Vec<ImageId>> {
        self.list().map_err(|e| failed("list the images", &e))
    }

    fn list(&self) -> io::Result<Vec<ImageId>> {
        let mut ids = Vec::new();
        for shard in fs::read_dir(&self.folder)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shard.path())? {
                let file = file?;
                let id = file.file_name().to_str().and_then(|name| name.parse::<ImageId>().ok());
                let id = id.filter(|id| !self.is_left_over(*id));
                // What lies in another folder than its id says is found by nobody who asks for it.
                ids.extend(id.filter(|id| self.path(*id) == file.path()));
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}
