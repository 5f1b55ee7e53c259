//! Removes old backups, and what no other one needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::{BackupError, HarmedObject, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest, BackupObject, BackupPicture, FIRST_FORM};
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

/// The sums of one kind of objects.
type Sums = BTreeSet<[u8; 32]>;

/// What is kept, as far as is known.
#[derive(Default)]
struct Choice {
    /// Of the ids, oldest first, the first that stays.
    begin: usize,
    kept: usize,
    damaged: usize,
    /// Whether one stays of which it isn't known what it needs.
    unknown: bool,
    /// What is wrong with the newest that isn't whole.
    harmed: Option<Vec<HarmedObject>>,
    /// What those that stay are made of.
    needed: [BTreeMap<[u8; 32], BackupObject>; 3],
}

/// Which objects are as they were, each looked at once.
struct Soundness<'a> {
    kinds: &'a Kinds,
    check: bool,
    looked: [BTreeMap<[u8; 32], bool>; 3],
    compared: [Sums; 3],
}

impl Soundness<'_> {
    fn of(&mut self, kind: usize, object: &BackupObject) -> bool {
        let objects = self.kinds.all()[kind];
        *self.looked[kind].entry(*object.sum.as_bytes()).or_insert_with(|| {
            if self.check { objects.check(&object.sum) == Ok(object.bytes) } else { objects.stands(object) }
        })
    }

    /// Compares the bytes of these, but for those in `but`; whether one is damaged that wasn't known to be.
    fn compare(
        &mut self,
        needed: &[BTreeMap<[u8; 32], BackupObject>; 3],
        but: &[Sums; 3],
        watch: Watch<'_>,
    ) -> Result<bool> {
        let mut found = false;
        for (kind, objects) in needed.iter().enumerate() {
            for (done, (sum, object)) in objects.iter().enumerate() {
                tell(watch, "compared", done, objects.len())?;
                let known = but[kind].contains(sum) || self.looked[kind].get(sum) == Some(&false);
                if known || !self.compared[kind].insert(*sum) {
                    continue;
                }
                if self.kinds.all()[kind].check(&object.sum) != Ok(object.bytes) {
                    self.looked[kind].insert(*sum, false);
                    found = true;
                }
            }
        }
        Ok(found)
    }
}

fn objects_of(manifest: &BackupManifest) -> [Vec<BackupObject>; 3] {
    [
        manifest.packs.clone(),
        manifest.pictures.iter().map(BackupPicture::object).collect(),
        manifest.files.iter().map(|file| file.object).collect(),
    ]
}

impl BackupRepository {
    /// Keeps the newest `keep` backups that are whole, at least one, and removes those that are older than
    /// all of these, with all that no other one needs. Whether one is whole is told by whether everything is
    /// there and as long as it was, and of what is not in all of those that go, whether its bytes are what
    /// they were: none goes that is sound for one that isn't. With `check` everything is read.
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
        let (looked, compared) = Default::default();
        let mut sound = Soundness { kinds, check, looked, compared };
        let choice = loop {
            let choice = self.choose(&ids, keep, keys.is_some(), &mut sound, watch)?;
            let old = &ids[..choice.begin];
            if check || choice.kept == 0 || old.is_empty() {
                break choice;
            }
            // What all that go have in common can be had of none of them if it can't of those that stay.
            let Some(common) = self.common(old)? else { break choice };
            if !sound.compare(&choice.needed, &common, watch)? {
                break choice;
            }
        };
        let Choice { begin, kept, damaged, unknown, harmed, needed } = choice;
        let mut summary = PruneSummary { kept, damaged, ..PruneSummary::default() };
        if summary.kept == 0 {
            return match harmed {
                Some(harmed) => Err(BackupError::Harmed(harmed)),
                None => keys.map_or(Ok(summary), |harm| Err(BackupError::harmed(KEYS[0].to_owned(), harm))),
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
            let unneeded: Vec<_> = all.iter().filter(|sum| !needed.contains_key(sum.as_bytes())).collect();
            for (done, sum) in unneeded.iter().enumerate() {
                tell(watch, "removed", done, unneeded.len())?;
                summary.freed_bytes += objects.remove(sum)?;
            }
            objects.sync()?;
        }
        Ok(summary)
    }

    /// From the newest on, until enough are whole.
    fn choose(
        &self,
        ids: &[BackupId],
        keep: usize,
        keyless: bool,
        sound: &mut Soundness<'_>,
        watch: Watch<'_>,
    ) -> Result<Choice> {
        let mut choice = Choice { begin: ids.len(), ..Choice::default() };
        while choice.kept < keep.max(1) && choice.begin > 0 {
            choice.begin -= 1;
            tell(watch, "snapshots", ids.len() - choice.begin, ids.len())?;
            let manifest = match self.manifest(&ids[choice.begin]) {
                Ok(manifest) => manifest,
                Err(BackupError::Harmed(found)) => {
                    (choice.unknown, choice.damaged) = (true, choice.damaged + 1);
                    choice.harmed = choice.harmed.or(Some(found));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut whole = !keyless || manifest.form == FIRST_FORM;
            for (kind, objects) in objects_of(&manifest).into_iter().enumerate() {
                for object in objects {
                    if !sound.of(kind, &object) {
                        whole = false;
                        let (place, of) = (sound.kinds.all()[kind].place(&object.sum), Vec::new());
                        let harm = ObjectHarm::Changed;
                        choice.harmed.get_or_insert_with(|| vec![HarmedObject { place, harm, of }]);
                    }
                    choice.needed[kind].insert(*object.sum.as_bytes(), object);
                }
            }
            if whole { choice.kept += 1 } else { choice.damaged += 1 }
        }
        Ok(choice)
    }

    /// What all of these are made of that can be read; `None` if that is none.
    fn common(&self, ids: &[BackupId]) -> Result<Option<[Sums; 3]>> {
        let mut common: Option<[Sums; 3]> = None;
        for id in ids {
            let manifest = match self.manifest(id) {
                Ok(manifest) => manifest,
                Err(BackupError::Harmed(_)) => continue,
                Err(error) => return Err(error),
            };
            let own = objects_of(&manifest)
                .map(|objects| objects.iter().map(|object| *object.sum.as_bytes()).collect::<Sums>());
            common = Some(match common {
                None => own,
                Some(mut common) => {
                    for (common, own) in common.iter_mut().zip(&own) {
                        common.retain(|sum| own.contains(sum));
                    }
                    common
                }
            });
        }
        Ok(common)
    }
}
