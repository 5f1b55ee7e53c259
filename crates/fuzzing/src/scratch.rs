//! A folder for what has to lie in files: in memory, where there is such a file system.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that is gone with the value.
pub(crate) fn folder() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    let made = if in_memory.is_dir() { TempDir::new_in(in_memory) } else { TempDir::new() };
    made.expect("a folder for files")
}

/// A file of the workspace.
pub(crate) fn of_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
