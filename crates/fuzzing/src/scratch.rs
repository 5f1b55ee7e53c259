//! A folder for what has to lie in files: in memory, where there is such a file system.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What the names of folders begin with, before the process that made them.
const PREFIX: &str = "reasonedit-fuzzing-";

/// A folder. What executions share is never dropped, so that folders are left: the next process removes them.
pub(crate) fn folder() -> TempDir {
    let in_memory = PathBuf::from("/dev/shm");
    let place = if in_memory.is_dir() { in_memory } else { std::env::temp_dir() };
    sweep(&place);
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(place).expect("a folder for files")
}

/// Removes what processes have left that are gone.
fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A file of the workspace.
pub(crate) fn of_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
