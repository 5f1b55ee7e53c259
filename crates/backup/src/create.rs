//! Makes a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use reasonedit_audit::AuditError;
use reasonedit_codebook::{
    CodebookError, DumpReport, DumpedRow, HarmedImage, ImageId, ImageStore, Result as CodebookResult,
};
use reasonedit_keyring::Keyring;
use serde::Serialize;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{BackupError, Result};
use crate::manifest::{BackupFile, BackupId, BackupManifest, BackupObject, BackupPicture, FORM};
use crate::objects::{Objects, Unnamed};
use crate::pack::Packer;
use crate::progress::{BackupProgress, Watch, tell};
use crate::prune::PruneSummary;
use crate::repository::BackupRepository;

/// Rows between two words on how far it is.
const TOLD_AFTER: u64 = 1000;

/// What is handed each row of a store, and says whether it goes on.
type TakeRow<'a> = &'a mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>;

/// Dumps the store that is backed up.
pub(crate) type Dump<'a> = &'a dyn Fn(TakeRow<'_>) -> CodebookResult<Option<DumpReport>>;

/// What is backed up beside the rows of the store.
#[derive(Debug, Clone, Copy)]
pub struct BackupSource<'a> {
    /// The pictures.
    pub images: &'a ImageStore,
    /// The keys that rows and pictures are sealed by.
    pub keys: &'a Keyring,
    /// Files of the data folder itself, those of its tokens, and the folder of its audit trail; they need not
    /// be there.
    pub files: &'a [PathBuf],
}

/// How a backup is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct CreateOptions {
    /// Whether what lies in the repository already is read and compared; without it only its length is.
    pub check: bool,
    /// Backups that are kept afterwards, the newest; 0: all.
    pub keep: usize,
}

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupSummary {
    /// Which backup.
    pub id: BackupId,
    /// Codebooks.
    pub codebooks: u64,
    /// Live edits of all codebooks.
    pub edits: u64,
    /// Pictures.
    pub pictures: u64,
    /// Bytes of all that it is made of.
    pub bytes: u64,
    /// Packs of rows that were written, since they were not there or not sound.
    pub new_packs: u64,
    /// Pictures that were.
    pub new_pictures: u64,
    /// Bytes of all that was.
    pub new_bytes: u64,
    /// The longest that an edit made meanwhile may have waited, in milliseconds.
    pub edits_waited_ms: f64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Pictures that are damaged or missing and that no live edit needs.
    pub left_out: Vec<ImageId>,
    /// What is wrong with the store as a whole, in words.
    pub faults: Vec<String>,
    /// What became of older ones.
    pub pruned: Option<PruneSummary>,
    /// Why older ones were not removed though they were to be.
    pub not_pruned: Option<String>,
}

/// What was written of one kind.
#[derive(Default)]
struct Written {
    objects: u64,
    bytes: u64,
}

impl Written {
    fn count(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

impl BackupRepository {
    /// Makes a backup of what `dump` dumps and of the pictures and files of `source`. What lies in the
    /// repository already is not written again, unless it isn't as long as it should be. The backup is there
    /// when this returns, and not before.
    ///
    /// # Errors
    /// `InUse` while another is made, `Codebook` names the codebook or the pictures that can't be read,
    /// `Source` a file, `Stopped`, a disk that refuses.
    pub fn create(
        &self,
        dump: Dump<'_>,
        source: &BackupSource<'_>,
        options: CreateOptions,
        watch: &dyn Fn(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupSummary> {
        let (began, now) = (Instant::now(), OffsetDateTime::now_utc());
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let _lock = self.lock()?;
        let mut kinds = self.kinds();
        self.sweep_unfinished(&mut kinds)?;
        let (report, packs, new_packs) = dump_rows(dump, &mut kinds.rows, options, watch)?;
        let mut new_pictures = Written::default();
        let mut copying = Copying {
            images: source.images,
            former: self.former_pictures(),
            objects: &mut kinds.images,
            options,
            new: &mut new_pictures,
        };
        let (pictures, left_out) = copying.all(&report, watch)?;
        let mut new_files = Written::default();
        let files = copy_files(source.files, &mut kinds.files, options, &mut new_files)?;
        for objects in kinds.each() {
            objects.sync()?;
        }
        // Before the backup is there: none that is lacks its keys.
        let [first, second] = self.keys();
        source.keys.merge_into(&[&first, &second])?;
        let manifest = BackupManifest {
            form: FORM,
            id: BackupId::at(now),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: now,
            schema: report.schema,
            codebooks: report.codebooks as u64,
            edits: report.edits as u64,
            rows: report.rows,
            packs,
            pictures,
            files,
            left_out,
            faults: report.faults,
        };
        // The last moment at which it can be stopped: from then on it is there.
        tell(watch, "snapshot", 0, 1)?;
        self.add(&manifest)?;
        let doubtful = doubtful(&manifest);
        let prunes = options.keep > 0 && doubtful.is_none();
        let pruned = prunes.then(|| self.prune_locked(options.keep, options.check, &mut kinds, watch));
        let (pruned, not_pruned) = match pruned.transpose() {
            Ok(pruned) => {
                let why = pruned.as_ref().and_then(PruneSummary::doubt);
                (pruned, doubtful.filter(|_| options.keep > 0).map(str::to_owned).or(why))
            }
            Err(error) => {
                tracing::error!(%error, "older backups were not removed");
                (None, Some(not_pruned(&error)))
            }
        };
        Ok(BackupSummary {
            codebooks: manifest.codebooks,
            edits: manifest.edits,
            pictures: manifest.pictures.len() as u64,
            bytes: manifest.bytes(),
            new_packs: new_packs.objects,
            new_pictures: new_pictures.objects,
            new_bytes: new_packs.bytes + new_pictures.bytes + new_files.bytes,
            edits_waited_ms: report.writers_waited.as_secs_f64() * 1000.0,
            ms: began.elapsed().as_secs_f64() * 1000.0,
            left_out: manifest.left_out,
            faults: manifest.faults,
            pruned,
            not_pruned,
            id: manifest.id,
        })
    }
}

/// Why earlier backups are not to make room for this one.
fn doubtful(manifest: &BackupManifest) -> Option<&'static str> {
    if !manifest.faults.is_empty() {
        return Some(
            "the store that was backed up is not as it was written, and earlier backups may have more of it",
        );
    }
    // As where the disk of the data folder isn't there.
    (manifest.codebooks == 0).then_some("there are no codebooks in the newest")
}

/// Why older backups were not removed, without paths of the machine.
fn not_pruned(error: &BackupError) -> String {
    match error {
        BackupError::File { .. } => "a file can't be read or removed; the log names it".to_owned(),
        other => other.to_string(),
    }
}

/// Writes the rows of a store as packs. What waits for the disk is done when writers no longer wait.
fn dump_rows(
    dump: Dump<'_>,
    objects: &mut Objects,
    options: CreateOptions,
    watch: Watch<'_>,
) -> Result<(DumpReport, Vec<BackupObject>, Written)> {
    let mut packer = Packer::default();
    let (mut packs, mut unnamed): (Vec<BackupObject>, Vec<Unnamed>) = (Vec::new(), Vec::new());
    // The same pack twice is written once.
    let mut seen: BTreeSet<[u8; 32]> = BTreeSet::new();
    let mut emit = |pack: &[u8]| -> Result<()> {
        let object = BackupObject { sum: blake3::hash(pack), bytes: pack.len() as u64 };
        packs.push(object);
        if seen.insert(*object.sum.as_bytes()) && (options.check || !objects.stands(&object)) {
            unnamed.push(objects.write(object.sum, pack)?);
        }
        Ok(())
    };
    let (mut failed, mut rows) = (None, 0u64);
    let report = dump(&mut |row| {
        rows += 1;
        let told =
            if rows.is_multiple_of(TOLD_AFTER) { tell(watch, "rows", rows as usize, 0) } else { Ok(()) };
        match told.and_then(|()| packer.add(&row, &mut emit)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let report = report?.ok_or(BackupError::Stopped)?;
    packer.end(&mut emit)?;
    let (mut new, total) = (Written::default(), unnamed.len());
    for (done, written) in unnamed.into_iter().enumerate() {
        tell(watch, "packs", done, total)?;
        // Of those that are there all were written anew, to be compared.
        if options.check && objects.read(&written.object.sum).is_ok() {
            continue;
        }
        new.count(written.object.bytes);
        objects.name(written)?;
    }
    Ok((report, packs, new))
}

/// Pictures on their way into the repository.
struct Copying<'a> {
    images: &'a ImageStore,
    /// Those of the newest backup.
    former: BTreeMap<ImageId, BackupPicture>,
    objects: &'a mut Objects,
    options: CreateOptions,
    new: &'a mut Written,
}

impl Copying<'_> {
    /// Copies the pictures that rows speak of; and those that are damaged and not needed.
    fn all(&mut self, report: &DumpReport, watch: Watch<'_>) -> Result<(Vec<BackupPicture>, Vec<ImageId>)> {
        let needed: BTreeMap<ImageId, bool> = (report.other_images.iter().map(|id| (*id, false)))
            .chain(report.images.iter().map(|id| (*id, true)))
            .collect();
        let (mut pictures, mut left_out) = (Vec::with_capacity(needed.len()), Vec::new());
        let mut harmed: Vec<HarmedImage> = Vec::new();
        for (done, (id, live)) in needed.iter().enumerate() {
            tell(watch, "pictures", done, needed.len())?;
            match self.one(*id)? {
                Ok(picture) => pictures.push(picture),
                // Since the rows were read.
                Err(_) if self.images.was_erased(*id) => {}
                Err(harm) if *live => harmed.push(harm),
                Err(_) => left_out.push(*id),
            }
        }
        tell(watch, "pictures", needed.len(), needed.len())?;
        if harmed.is_empty() {
            Ok((pictures, left_out))
        } else {
            Err(CodebookError::HarmedImages(harmed).into())
        }
    }

    /// Copies a picture, unless the repository has the same file as long as it is. The inner error says what
    /// became of it.
    fn one(&mut self, id: ImageId) -> Result<Result<BackupPicture, HarmedImage>> {
        let stamp = self.images.stamp(id).map(Ulid::from_bytes);
        if let Some(former) = self.former.get(&id).filter(|_| !self.options.check && stamp.is_some())
            && former.stamp == stamp
            && self.images.length(id) == Some(former.bytes)
            && self.objects.stands(&former.object())
        {
            return Ok(Ok(*former));
        }
        let file = match self.images.stored(id) {
            Ok(file) => file,
            Err(error @ (CodebookError::HarmedImages(_) | CodebookError::UnknownImage(_))) => {
                return self
                    .images
                    .harmed([id])
                    .pop()
                    .map_or_else(|| Err(error.into()), |harm| Ok(Err(harm)));
            }
            Err(error) => return Err(error.into()),
        };
        let (sum, bytes) = (blake3::hash(&file), file.len() as u64);
        let picture = BackupPicture { sum, bytes, image: stamp.map(|_| id), stamp };
        put_new(self.objects, picture.object(), &file, self.options, self.new)?;
        Ok(Ok(picture))
    }
}

impl BackupRepository {
    /// The pictures of the newest backup that can be read.
    fn former_pictures(&self) -> BTreeMap<ImageId, BackupPicture> {
        let newest = self.ids().into_iter().flatten().rev().find_map(|id| self.manifest(&id).ok());
        let pictures = newest.into_iter().flat_map(|manifest| manifest.pictures);
        pictures.map(|picture| (picture.id(), picture)).collect()
    }
}

fn put_new(
    objects: &mut Objects,
    object: BackupObject,
    bytes: &[u8],
    options: CreateOptions,
    new: &mut Written,
) -> Result<()> {
    let sound = if options.check { objects.read(&object.sum).is_ok() } else { objects.stands(&object) };
    if !sound {
        objects.put(object.sum, bytes)?;
        new.count(object.bytes);
    }
    Ok(())
}

/// The files and what they are called in the data folder; of a folder, which is that of the audit trail, its
/// files in the order that they are to be copied in.
fn named(files: &[PathBuf]) -> Result<Vec<(String, PathBuf)>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all = Vec::new();
    for path in files {
        if path.is_dir() {
            let inside = reasonedit_audit::trail_files(path).map_err(|error| match error {
                AuditError::File { path, source } => {
                    BackupError::file(&path)(io::Error::new(source.kind(), source.to_string()))
                }
                other => BackupError::file(path)(io::Error::other(other)),
            })?;
            all.extend(inside.into_iter().map(|file| (format!("{}/{}", name(path), name(&file)), file)));
        } else {
            all.push((name(path), path.clone()));
        }
    }
    Ok(all)
}

/// Copies files of the data folder itself.
fn copy_files(
    files: &[PathBuf],
    objects: &mut Objects,
    options: CreateOptions,
    new: &mut Written,
) -> Result<Vec<BackupFile>> {
    let mut copied = Vec::new();
    for (name, path) in named(files)? {
        // A service would not start on what isn't, and somebody would learn that from the restored folder.
        if path.extension().is_some_and(|own| own == "json")
            && let Ok(bytes) = fs::read(&path)
            && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err()
        {
            return Err(BackupError::Source { name, reason: "is damaged: it is not JSON" });
        }
        let (object, written) = match objects.put_file(&path, options.check)? {
            Ok(put) => put,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(BackupError::file(&path)(error)),
        };
        if written {
            new.count(object.bytes);
        }
        copied.push(BackupFile { name, object });
    }
    Ok(copied)
}
