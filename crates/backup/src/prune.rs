//! Removes old backups, and what no other one needs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::{BackupError, HarmedObject, ObjectHarm, Result};
use crate::manifest::{BackupObject, BackupPicture};
use crate::progress::{BackupProgress, Watch, tell};
use crate::repository::{BackupRepository, KEYS, Kinds};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PruneSummary {
    /// Backups that are whole and kept.
    pub kept: usize,
    /// Backups that are damaged and left, newer than some that are kept. They are not among these.
    pub damaged: usize,
    /// Backups that were removed.
    pub removed: usize,
    /// Bytes that nothing needed any more.
    pub freed_bytes: u64,
}

impl PruneSummary {
    /// What there is to say of backups that are damaged.
    pub(crate) fn doubt(&self) -> Option<String> {
        (self.damaged > 0).then(|| {
            format!(
                "{} of the backups are damaged and don't count among those that are kept; `reasonedit backup verify` \
                 names what is wrong with them",
                self.damaged
            )
        })
    }
}

impl BackupRepository {
    /// Keeps the newest `keep` backups that are whole, at least one, and removes those that are older than
    /// all of these, with all that no other one needs. Whether one is whole is told by whether everything is
    /// there and as long as it was; with `check` everything is read.
    ///
    /// # Errors
    /// `InUse` while the repository is worked with, `Harmed` where none is whole: nothing is removed then. A
    /// disk that refuses.
    pub fn prune(
        &self,
        keep: usize,
        check: bool,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<PruneSummary> {
        let _lock = self.lock()?;
        let mut kinds = self.kinds();
        self.sweep_unfinished(&mut kinds)?;
        self.prune_locked(keep, check, &mut kinds, watch)
    }

    /// The same for whoever has locked the repository.
    pub(crate) fn prune_locked(
        &self,
        keep: usize,
        check: bool,
        kinds: &mut Kinds,
        watch: Watch<'_>,
    ) -> Result<PruneSummary> {
        let ids = self.ids()?;
        let keys = self.harm_of_keys();
        let mut summary = PruneSummary::default();
        let mut needed: [BTreeSet<[u8; 32]>; 3] = Default::default();
        let mut lost: BTreeSet<[u8; 32]> = BTreeSet::new();
        // From the newest on, until enough are whole. What one needs that can't be read isn't known.
        let (mut begin, mut unknown, mut harmed) = (ids.len(), false, None);
        while summary.kept < keep.max(1) && begin > 0 {
            begin -= 1;
            tell(watch, "snapshots", ids.len() - begin, ids.len())?;
            let manifest = match self.manifest(&ids[begin]) {
                Ok(manifest) => manifest,
                Err(BackupError::Harmed(found)) => {
                    (unknown, summary.damaged) = (true, summary.damaged + 1);
                    harmed = harmed.or(Some(found));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let objects: [Vec<BackupObject>; 3] = [
                manifest.packs.clone(),
                manifest.pictures.iter().map(BackupPicture::object).collect(),
                manifest.files.iter().map(|file| file.object).collect(),
            ];
            let mut whole = keys.is_none() || manifest.form == 1;
            for ((own, needed), kind) in objects.iter().zip(&mut needed).zip(kinds.each()) {
                let sound = |object: &BackupObject| {
                    if check { kind.check(&object.sum) == Ok(object.bytes) } else { kind.stands(object) }
                };
                for object in own {
                    let sum = *object.sum.as_bytes();
                    // Each is looked at once.
                    if needed.insert(sum) && !sound(object) {
                        lost.insert(sum);
                    }
                    if lost.contains(&sum) {
                        whole = false;
                        let (place, of) = (kind.place(&object.sum), Vec::new());
                        harmed.get_or_insert(vec![HarmedObject { place, harm: ObjectHarm::Changed, of }]);
                    }
                }
            }
            if whole { summary.kept += 1 } else { summary.damaged += 1 }
        }
        if summary.kept == 0 {
            return match harmed {
                Some(harmed) => Err(BackupError::Harmed(harmed)),
                None => keys.map_or(Ok(summary), |harm| Err(BackupError::harmed(KEYS.to_owned(), harm))),
            };
        }
        // What a backup needs goes after it, so that none that is there lacks anything at any moment.
        let old = &ids[..begin];
        self.forget(old)?;
        summary.removed = old.len();
        if unknown {
            return Ok(summary);
        }
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
