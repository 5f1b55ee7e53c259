//! Holds the rules of the house that no compiler checks: who may name which dependency, how long a file may
//! be, what stands in every crate. Works on the files of the checkout, with or without git.
//!
//! It needs nothing but the standard library, so that it can be run in seconds before anything else compiles:
//!
//! ```sh
//! CARGO_MANIFEST_DIR=crates/cli rustc --edition 2024 --test -o target/tidy crates/cli/tests/tidy/main.rs
//! target/tidy circles --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "names of this repository, in one case")]

mod circles;
mod modules;
mod tokens;
#[expect(dead_code, reason = "the other checks walk by themselves still")]
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

/// A file above this does not pass.
const MOST_LINES: usize = 800;
/// A file above this is named in the test's output: it asks to be split.
const MANY_LINES: usize = 500;

/// Folders that are not ours, or hold data.
const SKIPPED: [&str; 7] = [".git", "target", "data", "models", "__pycache__", ".venv", "fixtures"];
/// Files that programs write.
const GENERATED: [&str; 2] = ["Cargo.lock", "openapi.yaml"];
/// What counts as text that people write.
const EXTENSIONS: [&str; 12] =
    ["rs", "py", "sh", "toml", "md", "html", "css", "js", "sql", "yml", "yaml", "cuda"];

/// Architecture invariant 1: a dependency, and the only crates that may name it.
const WHO_NAMES: [(&str, &[&str]); 7] = [
    ("candle-core", &["vlm"]),
    ("candle-nn", &["vlm"]),
    ("candle-transformers", &["vlm"]),
    ("tokenizers", &["vlm"]),
    ("sled", &["codebook"]),
    ("sqlx", &["codebook"]),
    ("axum", &["server"]),
];

/// Architecture invariant 1: crates without I/O, clock or global state, and paths that would give one of
/// those away.
const PURE_CRATES: [&str; 2] = ["imaging", "topology"];
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::time",
    "std::process",
    "static mut",
    "rand::rng(",
    "thread_rng(",
];

/// Words of unfinished work. Spelled in two halves so that this file does not contain them.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file people write, as (path relative to the root, content).
fn files() -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, into: &mut Vec<(String, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    walk(&path, root, into);
                }
                continue;
            }
            let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            let script =
                path.parent().is_some_and(|parent| parent.file_name().is_some_and(|name| name == ".ci"));
            if GENERATED.contains(&name.as_str())
                || !(EXTENSIONS.contains(&extension.as_str()) || script || name == "Dockerfile")
            {
                continue;
            }
            // Another program may take a temporary file away between the listing and the reading.
            if let Ok(content) = fs::read_to_string(&path) {
                into.push((path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), content));
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 50, "the walk over the checkout found only {} files", found.len());
    found
}

/// The folders under `crates/`.
fn crates() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// `crates/NAME/…` to `NAME`.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

/// A source line without its line comment; block comments are not used here.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

/// Whether `code` names the module `module` (`module::`, `use module;`), not a longer word that ends in it.
fn names_module(code: &str, module: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(module).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + module.len()..];
        !before.is_some_and(|c| is_word(c) || c == '"')
            && (after.starts_with("::") || code.trim_start().starts_with("use ") && after.starts_with(';'))
    })
}

fn fail_if_any(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn no_file_is_too_long() {
    let mut offenders = Vec::new();
    for (path, content) in files() {
        let lines = content.lines().count();
        if lines > MOST_LINES {
            offenders.push(format!("{path}: {lines} lines"));
        } else if lines > MANY_LINES {
            println!("asks to be split: {path}: {lines} lines");
        }
    }
    fail_if_any(&format!("files above {MOST_LINES} lines"), &offenders);
}

#[test]
fn manifests_name_a_dependency_only_where_allowed() {
    let mut offenders = Vec::new();
    for name in crates() {
        let manifest = fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml")).unwrap();
        for (dependency, allowed) in WHO_NAMES {
            let named = manifest.lines().any(|line| {
                let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
                key == dependency || line.trim().starts_with(&format!("[dependencies.{dependency}"))
            });
            if named && !allowed.contains(&name.as_str()) {
                offenders.push(format!("crates/{name}/Cargo.toml names {dependency}; only {allowed:?} may"));
            }
        }
    }
    fail_if_any("architecture invariant 1", &offenders);
    for (dependency, _) in [WHO_NAMES[0], WHO_NAMES[4], WHO_NAMES[6]] {
        let somewhere = crates().iter().any(|name| {
            let manifest = root().join("crates").join(name).join("Cargo.toml");
            fs::read_to_string(manifest).unwrap().lines().any(|line| line.starts_with(dependency))
        });
        assert!(somewhere, "no manifest names {dependency}: this test looks for the wrong thing");
    }
}

#[test]
fn sources_name_a_dependency_only_where_allowed() {
    let mut offenders = Vec::new();
    for (path, content) in files() {
        let Some(name) = crate_of(&path).filter(|_| path.ends_with(".rs")) else { continue };
        for (dependency, allowed) in WHO_NAMES {
            let module = dependency.replace('-', "_");
            for (number, line) in content.lines().enumerate() {
                if names_module(code(line), &module) && !allowed.contains(&name) {
                    offenders.push(format!("{path}:{} names {module}; only {allowed:?} may", number + 1));
                }
            }
        }
    }
    fail_if_any("architecture invariant 1", &offenders);
}

#[test]
fn pure_crates_have_no_io_no_clock_no_global_state() {
    let mut offenders = Vec::new();
    for (path, content) in files() {
        let pure = crate_of(&path).is_some_and(|name| PURE_CRATES.contains(&name));
        if !pure || !path.contains("/src/") || path.ends_with("tests.rs") {
            continue;
        }
        // Tests beside the code may read what they compare with.
        let product = content.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            for word in IMPURE {
                if code(line).contains(word) {
                    offenders.push(format!("{path}:{}: {word}", number + 1));
                }
            }
        }
    }
    fail_if_any("pure crates do I/O, read a clock or hold global state", &offenders);
}

#[test]
fn every_crate_has_a_readme_of_a_screen() {
    let mut offenders = Vec::new();
    for name in crates() {
        match fs::read_to_string(root().join("crates").join(&name).join("README.md")) {
            Err(_) => offenders.push(format!("crates/{name}: no README.md")),
            Ok(text) if text.trim().is_empty() => {
                offenders.push(format!("crates/{name}: an empty README.md"));
            }
            Ok(text) if text.lines().count() > 80 => {
                offenders.push(format!("crates/{name}/README.md: {} lines", text.lines().count()));
            }
            Ok(_) => {}
        }
    }
    fail_if_any("a README.md of at most one screen per crate", &offenders);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let without: Vec<String> = crates()
        .into_iter()
        .filter(|name| {
            let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
            !manifest.contains("[lints]\nworkspace = true")
        })
        .collect();
    fail_if_any("crates without the workspace's lints", &without);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut offenders = Vec::new();
    for (path, content) in files() {
        for (number, line) in content.lines().enumerate() {
            for word in UNFINISHED {
                if line.contains(word) {
                    offenders.push(format!("{path}:{}: {word}", number + 1));
                }
            }
        }
    }
    fail_if_any("marks of unfinished work", &offenders);
}

#[test]
fn nobody_writes_unsafe_code() {
    let mut offenders = Vec::new();
    for (path, content) in files() {
        if !path.ends_with(".rs") {
            continue;
        }
        for (number, line) in content.lines().enumerate() {
            let code = code(line);
            if code.contains(concat!("uns", "afe {")) || code.contains(concat!("allow(uns", "afe_code)")) {
                offenders.push(format!("{path}:{}", number + 1));
            }
        }
    }
    fail_if_any("code that the compiler doesn't check", &offenders);
}

#[test]
fn module_names_are_told_apart() {
    // In halves, so that this file itself names none of them.
    assert!(names_module(concat!("let db = sl", "ed::open(path)?;"), "sled"));
    assert!(names_module(concat!("use candle_", "core::Tensor;"), "candle_core"));
    assert!(names_module("use axum;", "axum"));
    assert!(!names_module("let tassled::x = 1;", "sled"));
    assert!(!names_module("utoipa_axum::router::OpenApiRouter", "axum"));
    assert!(!names_module("reasonedit_tokenizers::x", "tokenizers"));
    assert_eq!(code(concat!("  // sl", "ed::open")), "");
}
