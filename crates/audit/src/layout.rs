//! Where the trail lies: a folder of the data folder with a file a day (UTC), the record of its end,
//! that of its beginning, and a lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use time::Date;
use time::macros::format_description;

use crate::error::{AuditError, Result};

/// What the folder is called in the data folder.
pub const FOLDER: &str = "audit";
/// Where the trail ended when it was last brought to the disk.
pub(crate) const HEAD: &str = "head";
/// What the first line of the first file that is kept follows.
pub(crate) const ANCHOR: &str = "anchor.json";
/// What the one process that writes has locked.
pub(crate) const LOCK: &str = "lock";
/// The key that signs checkpoints, where the settings name no other file.
pub(crate) const SIGNING_KEY: &str = "signing-key";
/// What the names of files begin with that are being written.
pub(crate) const UNFINISHED: &str = ".audit-";
/// How the names of days' files end.
const LINES: &str = ".jsonl";

/// A day's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DayFile {
    pub(crate) day: Date,
    pub(crate) path: PathBuf,
}

impl DayFile {
    pub(crate) fn of(folder: &Path, day: Date) -> Self {
        Self { day, path: folder.join(format!("{}{LINES}", written(day))) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A day as it is written.
pub(crate) fn written(day: Date) -> String {
    day.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

/// A day from its text.
pub(crate) fn day(text: &str) -> Option<Date> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    (written(day) == text).then_some(day)
}

/// The days' files, the oldest first; none where there is no folder.
///
/// # Errors
/// [`AuditError::File`].
pub(crate) fn day_files(folder: &Path) -> Result<Vec<DayFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::file(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(AuditError::file(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(day) = name.strip_suffix(LINES).and_then(day) {
            files.push(DayFile { day, path });
        }
    }
    files.sort();
    Ok(files)
}

/// The files of a trail in the order in which they are to be copied while it is written: the record of its
/// end before the lines, which are then no fewer, and that of its beginning after them.
///
/// # Errors
/// [`AuditError::File`].
pub fn trail_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let lines = day_files(folder)?.into_iter().map(|file| file.path);
    Ok(std::iter::once(folder.join(HEAD)).chain(lines).chain([folder.join(ANCHOR)]).collect())
}

/// Makes the folder, for its owner alone.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// How a file is opened to be written: made for its owner alone.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// How a file of lines is opened: nothing that stands in it is written over.
pub(crate) fn lines_options() -> OpenOptions {
    let mut options = options();
    options.append(true);
    options
}

/// Brings to the disk which files are there.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Whether the path leads to this open file still.
pub(crate) fn is_there(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;

        let open = file.metadata()?;
        match fs::metadata(path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(path.exists())
    }
}

/// The one process that writes.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = options().open(&path).map_err(AuditError::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::InUse(folder.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(AuditError::file(&path)(error)),
    }
}
