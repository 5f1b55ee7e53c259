//! Images that are to come into the store all at once, beside it until then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use reasonedit_records::ids::ImageId;
use reasonedit_records::records::ImageInfo;
use reasonedit_records::{CodebookError, Result};
use ulid::Ulid;

use super::{ImageStore, STAGED, Scratch, failed, had, left_over, make, own};

/// What follows in the name of a folder whose images are for work that may be gone on with.
const FOR: &str = "for-";
/// What is known of the images that were checked, a line each: id, width, height.
const CHECKED: &str = "checked";

/// The work that the images of a folder of this name are for, if it may be gone on with.
pub(crate) fn work_of(name: &str) -> Option<Ulid> {
    name.strip_prefix(STAGED)?.rsplit_once(FOR)?.1.parse().ok()
}

/// What the lines say; one that was cut short says nothing.
fn checked_before(lines: &[u8]) -> BTreeMap<ImageId, ImageInfo> {
    let parse = |line: &[u8]| {
        let mut fields = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (width, height) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        fields.next().is_none().then_some((id, ImageInfo { id, width, height }))
    };
    lines.split_inclusive(|byte| *byte == b'\n').filter_map(parse).collect()
}

impl ImageStore {
    /// A place beside the store for images that may not be wanted after all.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn stage(&self) -> Result<StagedImages> {
        let folder = tempfile::Builder::new().prefix(&own(STAGED)).tempdir_in(&self.folder);
        let folder = folder.map_err(|e| CodebookError::of_disk("keep images beside the others", &e))?;
        let folder = Folder { path: folder.keep(), lasts: false };
        Ok(StagedImages { images: self.clone(), folder, checked: BTreeMap::new(), ids: BTreeSet::new() })
    }

    /// The same for work that may be gone on with: what a process that was killed had staged for it is there
    /// already, and stays until [`Self::unstage`].
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn stage_for(&self, work: Ulid) -> Result<StagedImages> {
        let (path, lines) =
            self.begun_for(work).map_err(|e| CodebookError::of_disk("keep images beside the others", &e))?;
        let (folder, checked) = (Folder { path, lasts: true }, checked_before(&lines));
        Ok(StagedImages { images: self.clone(), folder, checked, ids: BTreeSet::new() })
    }

    fn begun_for(&self, work: Ulid) -> io::Result<(PathBuf, Vec<u8>)> {
        let path = self.folder.join(format!("{}{FOR}{work}", own(STAGED)));
        for folder in self.staged_for(|name, of| of == work && left_over(name, STAGED))? {
            fs::rename(folder, &path)?;
        }
        make(&path)?;
        match fs::read(path.join(CHECKED)) {
            Ok(lines) => Ok((path, lines)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// Folders of images for work that may be gone on with.
    fn staged_for(&self, which: impl Fn(&str, Ulid) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if work_of(&name).is_some_and(|work| which(&name, work)) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    fn remove_staged(&self, which: impl Fn(&str, Ulid) -> bool) -> Result<()> {
        let removed = || self.staged_for(which)?.iter().try_for_each(fs::remove_dir_all);
        removed().map_err(|e: io::Error| failed("remove images that were not finished", &e))
    }

    /// Removes what is staged for work that is over.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub fn unstage(&self, work: Ulid) -> Result<()> {
        self.remove_staged(|_, of| of == work)
    }

    /// Removes what a process that was killed had staged for work that is over.
    ///
    /// # Errors
    /// As [`Self::unstage`].
    pub fn sweep_staged(&self, is_over: impl Fn(Ulid) -> bool) -> Result<()> {
        self.remove_staged(|name, work| left_over(name, STAGED) && is_over(work))
    }
}

/// A folder beside the store.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Whether it is for work that may be gone on with.
    lasts: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.lasts {
            // What stays is found by the next process.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Images that are kept beside the store until it is known that they are wanted. Dropped, they are gone,
/// unless they are for work that may be gone on with; those of a process that was killed are found by
/// [`ImageStore::sweep_unfinished`].
#[derive(Debug)]
pub struct StagedImages {
    images: ImageStore,
    folder: Folder,
    /// Images that were checked, by this process or one before.
    checked: BTreeMap<ImageId, ImageInfo>,
    ids: BTreeSet<ImageId>,
}

impl StagedImages {
    /// Keeps the bytes beside the store, unless it has them as they are, and returns their id.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn put(&mut self, bytes: &[u8]) -> Result<ImageId> {
        let id = ImageId::of(bytes);
        if !self.images.holds(id, bytes) && self.ids.insert(id) {
            if self.folder.lasts && self.staged(id).is_ok_and(|there| there == bytes) {
                return Ok(id);
            }
            let file = self.images.formed(id, bytes)?;
            self.write(id, &file).map_err(|e| CodebookError::of_disk("keep an image", &e))?;
        }
        Ok(id)
    }

    fn write(&self, id: ImageId, stored: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.folder.path.join(id.to_string()))?;
        file.write_all(stored)?;
        file.sync_all()
    }

    /// What is known of an image that was checked before, by a process that did the same work.
    pub fn checked(&self, id: ImageId) -> Option<ImageInfo> {
        self.checked.get(&id).copied()
    }

    /// Keeps what is known of an image that was checked. It isn't waited for: what is lost is checked again.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn note(&mut self, info: ImageInfo) -> Result<()> {
        if self.folder.lasts && self.checked.insert(info.id, info).is_none() {
            let line = format!("{} {} {}\n", info.id, info.width, info.height);
            let file = File::options().create(true).append(true).open(self.folder.path.join(CHECKED));
            let noted = file.and_then(|mut file| file.write_all(line.as_bytes()));
            noted.map_err(|e| CodebookError::of_disk("keep what is known of an image", &e))?;
        }
        Ok(())
    }

    fn staged(&self, id: ImageId) -> Result<Vec<u8>> {
        let file = fs::read(self.folder.path.join(id.to_string()));
        let file = file.map_err(|e| failed("read an image", &e))?;
        had(id, self.images.original(id, file))
    }

    /// The bytes of an image, staged or in the store.
    ///
    /// # Errors
    /// As [`ImageStore::get`].
    pub fn get(&self, id: ImageId) -> Result<Vec<u8>> {
        if self.ids.contains(&id) { self.staged(id) } else { self.images.get(id) }
    }

    /// Whether there is an image of this id, staged or in the store.
    pub fn contains(&self, id: ImageId) -> bool {
        self.ids.contains(&id) || self.images.contains(id)
    }

    /// A file without a name, sealed, on the disk of the images.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn scratch(&self) -> Result<Scratch> {
        Scratch::begin(&self.folder.path).map_err(|e| failed("keep a file", &e))
    }

    /// Lets those go that are none of these: nothing is to refer to them.
    pub fn keep_only(&mut self, wanted: &BTreeSet<ImageId>) {
        let path = self.folder.path.clone();
        self.ids.retain(|id| {
            let kept = wanted.contains(id);
            if !kept {
                // What can't be removed now goes with the folder.
                let _ = fs::remove_file(path.join(id.to_string()));
            }
            kept
        });
    }

    /// Puts all of them into the store, durably. They are staged as well until this is dropped, so that they
    /// are taken out again should the process be killed before anything refers to them.
    ///
    /// # Errors
    /// `Unwritable` or `Store` if the disk refuses.
    pub fn install(&self) -> Result<()> {
        self.link_all().map_err(|e| CodebookError::of_disk("keep an image", &e))
    }

    fn link_all(&self) -> io::Result<()> {
        File::open(&self.folder.path)?.sync_all()?;
        let mut shards = BTreeSet::new();
        for &id in &self.ids {
            let shard = self.images.shard(id);
            if shards.insert(shard.clone()) {
                make(&shard)?;
            }
            let staged = self.folder.path.join(id.to_string());
            self.images.erased.lock().remove(&id);
            // Not every file system has links; and what stands there already may have decayed.
            if fs::hard_link(&staged, self.images.path(id)).is_err() && self.images.get(id).is_err() {
                self.images.write(id, &fs::read(&staged)?)?;
            }
        }
        File::open(&self.images.folder)?.sync_all()?;
        shards.iter().try_for_each(|shard| File::open(shard)?.sync_all())
    }
}
