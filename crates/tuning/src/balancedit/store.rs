//! Where the copies of weights lie: as differences to the model's own, in half precision, a file each.
//!
//! A copy of the last feed-forward is as large as that; thousands of them are not held in memory. The system
//! keeps what is read often, and a saved state shares the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use tempfile::TempDir;

use crate::error::{Result, TuningError};
use crate::method::file;
use crate::weights::WeightPatch;

/// What tuned weights differ by, value by value in the order of the model's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Differences(Vec<u8>);

impl Differences {
    /// What has to be added to `own`.
    pub(super) fn between(tuned: &WeightPatch, own: &WeightPatch) -> Result<Self> {
        let mut bytes = Vec::with_capacity(Self::bytes_of(own));
        for (place, weight) in &own.0 {
            let changed =
                tuned.0.get(place).ok_or_else(|| TuningError::Setting(format!("{place:?} isn't tuned")))?;
            let differences = (changed - weight)?.flatten_all()?.to_dtype(DType::BF16)?.to_vec1::<bf16>()?;
            bytes.extend(differences.into_iter().flat_map(bf16::to_le_bytes));
        }
        Ok(Self(bytes))
    }

    /// `own` with what is to be added.
    pub(super) fn onto(&self, own: &WeightPatch) -> Result<WeightPatch> {
        let mut rest = self.0.as_slice();
        let mut tuned = BTreeMap::new();
        for (place, weight) in &own.0 {
            let (these, after) = rest.split_at(weight.elem_count() * size_of::<bf16>());
            rest = after;
            let values: Vec<f32> =
                these.as_chunks().0.iter().map(|two| bf16::from_le_bytes(*two).to_f32()).collect();
            let differences = Tensor::from_vec(values, weight.shape(), &Device::Cpu)?;
            tuned.insert(*place, (weight + differences.to_device(weight.device())?)?);
        }
        Ok(WeightPatch(tuned))
    }

    /// Bytes of the differences to these weights.
    pub(super) fn bytes_of(own: &WeightPatch) -> usize {
        own.0.values().map(|weight| weight.elem_count() * size_of::<bf16>()).sum()
    }
}

/// What says that a folder is in use: locked as long as the process lives that made it.
const IN_USE: &str = "in-use";
/// A folder without that file is being made, unless it is older.
const BEING_MADE: Duration = Duration::from_hours(1);

/// A folder that goes with its owner, or else with [`clear_abandoned`].
#[derive(Debug)]
struct OwnFolder {
    folder: TempDir,
    _in_use: File,
}

impl OwnFolder {
    fn below(parent: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        let folder = tempfile::tempdir_in(parent)?;
        let in_use = File::create(folder.path().join(IN_USE))?;
        in_use.lock()?;
        Ok(Self { folder, _in_use: in_use })
    }
}

/// Removes the folders below `parent` whose processes were killed. What can't be removed stays.
pub(super) fn clear_abandoned(parent: &Path) {
    for folder in std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let abandoned = if let Ok(in_use) = File::open(folder.join(IN_USE)) {
            in_use.try_lock().is_ok()
        } else {
            let made = folder.metadata().and_then(|of| of.modified()).ok();
            folder.is_dir() && made.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > BEING_MADE)
        };
        if abandoned {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Differences by name. A name is never given twice, and a file never written again.
#[derive(Debug)]
pub(super) struct PatchStore {
    parent: PathBuf,
    folder: Option<OwnFolder>,
    names: BTreeSet<u64>,
    next_name: u64,
    /// Bytes of one.
    size: usize,
}

impl PatchStore {
    /// An empty one, with a folder of its own below `parent` once there is something to be kept.
    pub(super) fn new(parent: PathBuf) -> Self {
        Self { parent, folder: None, names: BTreeSet::new(), next_name: 0, size: 0 }
    }

    /// Keeps some; returns their name.
    pub(super) fn put(&mut self, differences: &Differences) -> Result<u64> {
        let name = self.next_name;
        let path = self.path(name)?;
        std::fs::write(&path, &differences.0).map_err(|error| file(&path, error))?;
        self.size = differences.0.len();
        self.names.insert(name);
        self.next_name += 1;
        Ok(name)
    }

    /// What was kept under a name.
    pub(super) fn get(&self, name: u64) -> Result<Differences> {
        let path = match &self.folder {
            Some(own) => file_of(own.folder.path(), name),
            None => return Err(file(&self.parent, format!("no weights {name} were kept"))),
        };
        Ok(Differences(std::fs::read(&path).map_err(|error| file(&path, error))?))
    }

    /// Forgets what was kept under a name.
    pub(super) fn free(&mut self, name: u64) {
        if let Some(own) = self.folder.as_ref().filter(|_| self.names.remove(&name)) {
            // What can't be removed now goes with the folder.
            let _ = std::fs::remove_file(file_of(own.folder.path(), name));
        }
    }

    /// Bytes of all that is kept.
    pub(super) fn bytes(&self) -> u64 {
        (self.names.len() * self.size) as u64
    }

    /// Puts all that is kept into a folder.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let Some(own) = &self.folder else { return Ok(()) };
        self.names.iter().try_for_each(|&name| share(own.folder.path(), folder, name))
    }

    /// Takes `names` of what was saved to a folder, and keeps nothing else any more. Each has `size` bytes.
    pub(super) fn restore(
        &mut self,
        folder: &Path,
        size: usize,
        names: impl Iterator<Item = u64>,
    ) -> Result<()> {
        let mut restored = Self { size, ..Self::new(self.parent.clone()) };
        for name in names {
            let path = file_of(folder, name);
            let found = std::fs::metadata(&path).map_err(|error| file(&path, error))?.len();
            if found != size as u64 {
                return Err(file(&path, format!("{found} bytes, not {size}")));
            }
            let own = restored.path(name)?;
            share(folder, own.parent().unwrap_or(&self.parent), name)?;
            restored.names.insert(name);
            restored.next_name = restored.next_name.max(name + 1);
        }
        *self = restored;
        Ok(())
    }

    fn path(&mut self, name: u64) -> Result<PathBuf> {
        if self.folder.is_none() {
            let own = OwnFolder::below(&self.parent).map_err(|error| file(&self.parent, error))?;
            self.folder = Some(own);
        }
        let folder = self.folder.as_ref().map_or(self.parent.as_path(), |own| own.folder.path());
        Ok(file_of(folder, name))
    }
}

fn file_of(folder: &Path, name: u64) -> PathBuf {
    folder.join(format!("weights-{name}.bf16"))
}

/// The same file in another folder: the same bytes on the disk where that can be.
fn share(from: &Path, to: &Path, name: u64) -> Result<()> {
    let (from, to) = (file_of(from, name), file_of(to, name));
    let shared = std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop));
    shared.map_err(|error| file(&to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(parent: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let mut store = PatchStore::new(parent.path().to_owned());
        let name = store.put(&Differences(vec![1, 2])).unwrap();
        let in_use = folders(parent.path());
        // A killed process leaves the same files, and no lock.
        let left = parent.path().join("left");
        std::fs::create_dir(&left).unwrap();
        for entry in std::fs::read_dir(&in_use[0]).unwrap().flatten() {
            std::fs::copy(entry.path(), left.join(entry.file_name())).unwrap();
        }
        assert_eq!(std::fs::read_dir(&left).unwrap().count(), 2);
        // One that another process is making now.
        let being_made = parent.path().join("being-made");
        std::fs::create_dir(&being_made).unwrap();
        clear_abandoned(parent.path());
        assert_eq!(folders(parent.path()).len(), 2);
        assert!(!left.exists() && being_made.exists());
        assert_eq!(store.get(name).unwrap(), Differences(vec![1, 2]));
        // As a version without locks left it, long ago.
        let old = std::time::SystemTime::now() - 2 * BEING_MADE;
        File::open(&being_made).unwrap().set_modified(old).unwrap();
        clear_abandoned(parent.path());
        assert_eq!(folders(parent.path()), in_use);
        drop(store);
        assert!(folders(parent.path()).is_empty());
        clear_abandoned(&parent.path().join("missing"));
    }
}
