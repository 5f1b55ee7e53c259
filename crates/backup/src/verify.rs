//! Reads what backups are made of, and names what is not as it was written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use blake3::Hash;
use serde::Serialize;

use crate::error::{BackupError, HarmedObject, ObjectHarm, Result};
use crate::manifest::{BackupId, BackupManifest, BackupObject, BackupPicture, FIRST_FORM, FORM};
use crate::objects::Objects;
use crate::progress::{BackupProgress, tell};
use crate::repository::{BackupRepository, KEYS};

/// What was read, and what is not as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifySummary {
    /// Backups.
    pub backups: usize,
    /// Files that they are made of, each once.
    pub objects: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// What is not as it was written.
    pub harmed: Vec<HarmedObject>,
}

/// One kind of objects, and the backups that need each of them.
type Needed = BTreeMap<[u8; 32], (u64, Vec<BackupId>)>;

fn need(needed: &mut Needed, objects: &[BackupObject], id: &BackupId) {
    for object in objects {
        let (_, of) = needed.entry(*object.sum.as_bytes()).or_insert_with(|| (object.bytes, Vec::new()));
        if of.last() != Some(id) {
            of.push(id.clone());
        }
    }
}

impl BackupRepository {
    /// Reads everything that a backup, or all of them, are made of.
    ///
    /// # Errors
    /// `InUse` while one is made, `Unknown`, `Nothing` where there is none, `Stopped`.
    pub fn verify(
        &self,
        only: Option<&BackupId>,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<VerifySummary> {
        let _lock = self.share()?;
        let ids = only.map_or_else(|| self.ids(), |id| Ok(vec![id.clone()]))?;
        if ids.is_empty() {
            return Err(BackupError::Nothing);
        }
        let mut summary = VerifySummary { backups: ids.len(), ..VerifySummary::default() };
        let [mut rows, mut images, mut files]: [Needed; 3] = Default::default();
        // Backups that nothing can be had of without the keys.
        let (mut sealed, mut newest_form) = (Vec::new(), FIRST_FORM);
        for id in &ids {
            let manifest = match self.manifest(id) {
                Ok(manifest) => manifest,
                Err(BackupError::Harmed(harmed)) => {
                    let of = |harm: HarmedObject| HarmedObject { of: vec![id.clone()], ..harm };
                    summary.harmed.extend(harmed.into_iter().map(of));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let BackupManifest { form, packs, pictures, files: named, .. } = manifest;
            need(&mut rows, &packs, id);
            let pictures: Vec<BackupObject> = pictures.iter().map(BackupPicture::object).collect();
            need(&mut images, &pictures, id);
            sealed.extend((form > FIRST_FORM).then(|| id.clone()));
            newest_form = newest_form.max(form);
            need(&mut files, &named.into_iter().map(|file| file.object).collect::<Vec<_>>(), id);
        }
        // Versions of before wrote one file of keys, and no id.
        let both = newest_form >= FORM;
        if !sealed.is_empty() {
            let [first, second] = self.harms_of_keys();
            let of = if first.is_some() && second.is_some() { sealed } else { Vec::new() };
            let second = second.filter(|harm| both || *harm != ObjectHarm::Missing);
            for (place, harm) in KEYS.into_iter().zip([first, second]) {
                let harmed = |harm| HarmedObject { place: place.to_owned(), harm, of: of.clone() };
                summary.harmed.extend(harm.map(harmed));
            }
        }
        summary.harmed.extend(self.harm_of_form(both).into_iter().map(|(place, harm)| HarmedObject {
            place: place.to_owned(),
            harm,
            of: Vec::new(),
        }));
        let kinds = self.kinds();
        let all: Vec<(&Objects, [u8; 32], u64, Vec<BackupId>)> =
            [(&kinds.rows, rows), (&kinds.images, images), (&kinds.files, files)]
                .into_iter()
                .flat_map(|(objects, needed)| {
                    needed.into_iter().map(move |(sum, (bytes, of))| (objects, sum, bytes, of))
                })
                .collect();
        let total = all.len();
        for (done, (objects, sum, bytes, of)) in all.into_iter().enumerate() {
            tell(watch, "files", done, total)?;
            let sum = Hash::from_bytes(sum);
            summary.objects += 1;
            let harm = match objects.check(&sum) {
                Ok(length) if length == bytes => None,
                Ok(_) => Some(ObjectHarm::Changed),
                Err(harm) => Some(harm),
            };
            match harm {
                None => summary.bytes += bytes,
                Some(harm) => summary.harmed.push(HarmedObject { place: objects.place(&sum), harm, of }),
            }
        }
        tell(watch, "files", total, total)?;
        Ok(summary)
    }
}
