//! Opening sled's files, also where some of them are damaged. Two of them only save time or say what is
//! always the same: `conf`, the settings the folder was made with, and `snap.…`, where the pages lay at the
//! last start. sled refuses to open with either damaged, and makes both anew where they are not there.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sled::Db;

use crate::{CodebookError, Result};

/// Bytes of pages that sled keeps in memory; keys are held by the snapshots anyway.
const CACHE: u64 = 64 << 20;
/// What is appended to the name of a file that is set aside.
const ASIDE: &str = ".damaged";

/// Opens the files of a folder, and tells what had to be set aside for that.
///
/// # Errors
/// `Locked` if another process keeps it open, `Corrupt` if nothing helps, `Store`.
pub(super) fn database(folder: &Path) -> Result<(Db, Vec<String>)> {
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
        "the file `{name}` was damaged, is set aside and was made anew; nothing of the codebooks is in it"
    )
}
