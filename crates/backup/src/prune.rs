//! Removes old backups, and what no other one needs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::Result;
use crate::progress::{BackupProgress, Watch, tell};
use crate::repository::{BackupRepository, Kinds};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PruneSummary {
    /// Backups that are left.
    pub kept: usize,
    /// Backups that were removed.
    pub removed: usize,
    /// Bytes that nothing needed any more.
    pub freed_bytes: u64,
}

impl BackupRepository {
    /// Keeps the newest `keep` backups, at least one, and removes the others with all that no other one
    /// needs.
    ///
    /// # Errors
    /// `InUse` while the repository is worked with, `Harmed` where one that is to be kept can't be read: what
    /// it needs isn't known then, so that nothing is removed. A disk that refuses.
    pub fn prune(
        &self,
        keep: usize,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<PruneSummary> {
        let _lock = self.lock()?;
        let mut kinds = self.kinds();
        self.sweep_unfinished(&mut kinds)?;
        self.prune_locked(keep, &mut kinds, watch)
    }

    /// The same for whoever has locked the repository.
    pub(crate) fn prune_locked(
        &self,
        keep: usize,
        kinds: &mut Kinds,
        watch: Watch<'_>,
    ) -> Result<PruneSummary> {
        let ids = self.ids()?;
        let (old, kept) = ids.split_at(ids.len().saturating_sub(keep.max(1)));
        let mut needed: [BTreeSet<[u8; 32]>; 3] = Default::default();
        for id in kept {
            let manifest = self.manifest(id)?;
            let files = manifest.files.iter().map(|file| file.object);
            needed[0].extend(manifest.packs.iter().map(|object| *object.sum.as_bytes()));
            needed[1].extend(manifest.pictures.iter().map(|picture| *picture.sum.as_bytes()));
            needed[2].extend(files.map(|object| *object.sum.as_bytes()));
        }
        // What a backup needs goes after it, so that none that is there lacks anything at any moment.
        self.forget(old)?;
        let mut summary = PruneSummary { kept: kept.len(), removed: old.len(), freed_bytes: 0 };
        for (objects, needed) in kinds.each().into_iter().zip(needed) {
            let all = objects.all()?;
            let unneeded: Vec<_> = all.iter().filter(|sum| !needed.contains(sum.as_bytes())).collect();
            for (done, sum) in unneeded.iter().enumerate() {
                tell(watch, "removed", done, unneeded.len())?;
                summary.freed_bytes += objects.remove(sum)?;
            }
            objects.sync()?;
        }
        Ok(summary)
    }
}
