//! Opening sled's files, also where some of them are damaged. Two of them only save time or say what is
//! always the same: `conf`, the settings the folder was made with, and `snap.…`, where the pages lay at the
//! last start. sled refuses to open with either damaged, and makes both anew where they are not there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sled::Db;

use super::layout::OWN_KEYS;
use super::seal;
use crate::store::reserve;

use crate::{CodebookError, Result};

/// Bytes of pages that sled keeps in memory; keys are held by the snapshots anyway.
const CACHE: u64 = 64 << 20;
/// How long a lock that is taken is let alone before it is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// What is appended to the name of a file that is set aside.
const ASIDE: &str = ".damaged";
/// What is appended to the name of the folder for the copy of a damaged log.
pub(super) const COPY: &str = ".damaged";

/// Opens the files of a folder, and tells what had to be set aside for that.
///
/// # Errors
/// `Locked` if another process keeps it open, `Corrupt` if nothing helps, `Store`.
pub(super) fn database(folder: &Path) -> Result<(Db, Vec<String>)> {
    let kept = keep_damaged(folder)?;
    let (db, mut faults) = opened(folder)?;
    faults.extend(kept);
    Ok((db, faults))
}

/// The folder beside another whose name is the other's and this.
pub(super) fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    folder.with_file_name(name)
}

/// Copies the files of a log that has damage in it before sled sees them, since it wipes whatever follows:
/// what can be saved is saved of the copy. One copy is kept; as long as it is there no other is made.
///
/// Returns what there is to tell of it.
fn keep_damaged(folder: &Path) -> Result<Option<String>> {
    let failed = |action: &'static str| move |error: io::Error| CodebookError::store(action, error.kind());
    let db = folder.join("db");
    if !db.is_file() {
        return Ok(None);
    }
    // Whoever has the folder open writes to the log.
    let _lock = locked(&db, Duration::ZERO)?;
    remove_unfinished(folder);
    let damage = reasonedit_sled_log::damage(&db).map_err(failed("read the log"))?;
    let Some(first) = damage.first() else { return Ok(None) };
    let copy = beside(folder, COPY);
    let told = |what: &str| {
        let copy = copy.file_name().unwrap_or_default().to_string_lossy();
        format!("the log is damaged ({first}; {} places in all); {what} `{copy}`", damage.len())
    };
    if copy.exists() {
        return Ok(Some(told("a copy of earlier damage is there already, so that none was made:")));
    }
    // Whole or not at all.
    let unfinished = copy.with_extension("unfinished");
    let copied = || -> io::Result<()> {
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir(&unfinished)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A copy of the keys would outlast what is erased.
            let left_out = [OWN_KEYS, reserve::FILE].iter().any(|name| entry.file_name() == *name);
            if entry.file_type()?.is_file() && !left_out {
                fs::copy(entry.path(), unfinished.join(entry.file_name()))?;
            }
        }
        fs::rename(&unfinished, &copy)
    };
    copied().map_err(failed("copy the damaged log before it is opened"))?;
    Ok(Some(told("it was copied before it was opened, for `reasonedit codebook salvage`, to")))
}

/// Removes what a process was writing beside the log when it died: sled takes its own unfinished snapshot for
/// a damaged one, and doesn't open with it there.
fn remove_unfinished(folder: &Path) {
    let sled =
        files_of(folder, "snap.").into_iter().filter(|file| file.extension() == Some("generating".as_ref()));
    let own =
        files_of(folder, seal::FILE).into_iter().filter(|file| file.file_name() != Some(seal::FILE.as_ref()));
    for file in sled.chain(own) {
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(error = %error.kind(), "an unfinished file could not be removed");
        }
    }
}

/// The file of the log under the lock that sled takes, for which it waits at most so long; given back when it
/// is closed.
///
/// # Errors
/// `Locked` if another process has the folder open, `Store`.
pub(super) fn locked(db: &Path, patience: Duration) -> Result<File> {
    let failed = |error: io::Error| CodebookError::store("lock the data", error.kind());
    // A disk that can only be read is one to save something of.
    let read_only = |error: io::Error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => File::open(db),
        _ => Err(error),
    };
    let lock = File::options().read(true).write(true).open(db).or_else(read_only).map_err(failed)?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(CodebookError::Locked),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn opened(folder: &Path) -> Result<(Db, Vec<String>)> {
    let first = match open(folder) {
        Err(error @ CodebookError::Corrupt { .. }) => error,
        opened => return Ok((opened?, Vec::new())),
    };
    for prefixes in [&["conf"][..], &["snap."], &["conf", "snap."]] {
        let files = prefixes.iter().flat_map(|prefix| files_of(folder, prefix));
        let moved: Vec<PathBuf> = files.filter(|file| fs::rename(file, aside(file)).is_ok()).collect();
        match open(folder) {
            Err(CodebookError::Corrupt { .. }) => {}
            opened => return Ok((opened?, moved.iter().map(|file| told(file)).collect())),
        }
        // As it was: it was not at fault, or not alone.
        for file in &moved {
            if let Err(error) = fs::rename(aside(file), file) {
                tracing::warn!(error = %error.kind(), "a file that was set aside could not be put back");
            }
        }
    }
    Err(first)
}

fn open(folder: &Path) -> Result<Db> {
    let config = sled::Config::new()
        .path(folder)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms(None)
        .cache_capacity(CACHE);
    // sled asserts, where it reads a log that makes no sense.
    let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
    let Ok(opened) = opened else {
        return Err(CodebookError::corrupt("database", "its log makes no sense"));
    };
    opened.map_err(|error| match error {
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => CodebookError::Locked,
        sled::Error::Corruption { .. } => CodebookError::corrupt("database", "one of its files is damaged"),
        sled::Error::Io(io) => CodebookError::of_disk("open the data", &io),
        other => CodebookError::store("open the data", other),
    })
}

/// The files of a folder whose names begin so, but for those that were set aside.
fn files_of(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.path());
    names
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && !name.ends_with(ASIDE)
        })
        .collect()
}

/// Not after the name: sled takes whatever begins with `snap.` for one of its own.
fn aside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("set-aside.{name}{ASIDE}"))
}

fn told(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "the file `{name}` kept the store from opening, is set aside and was made anew; nothing of the codebooks \
         is in it"
    )
}
