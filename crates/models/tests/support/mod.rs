//! The golden checkpoints, and copies of them that may be changed.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of a golden checkpoint.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// The golden checkpoints of an architecture: its name and a number.
pub(crate) fn goldens_of(architecture: &str) -> Vec<String> {
    let numbered = |name: &str| {
        let number = name.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let mut names: Vec<String> = std::fs::read_dir(golden(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| numbered(name))
        .collect();
    names.sort_unstable();
    names
}

/// A JSON file of a folder.
pub(crate) fn json(folder: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

/// A copy of a golden checkpoint in a folder of its own.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(name), folder.path());
    folder
}

/// Sets what a JSON file has at a pointer, whose parent must be there; null removes it.
pub(crate) fn set(folder: &Path, file: &str, pointer: &str, value: Value) {
    let mut json = json(folder, file);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap_or_else(|| panic!("{file} has no {parent}"));
    let parent = parent.as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name).unwrap_or_else(|| panic!("{file} has no {pointer}"));
    } else {
        parent.insert(name.to_owned(), value);
    }
    std::fs::write(folder.join(file), json.to_string()).unwrap();
}
