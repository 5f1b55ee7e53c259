//! What no source file may hold: names of dependencies that are others' business, input and output in pure
//! crates, marks of unfinished work, code that the compiler doesn't check.

use crate::manifests::WHO_NAMES;
use crate::tree::{Tree, short};
use crate::{assert_seen, fail_if_any};

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

/// Every Rust source line of the crates, without comments: (crate, path, number, code).
fn lines(tree: &Tree) -> impl Iterator<Item = (&str, &str, usize, &str)> {
    tree.files()
        .filter(|(path, _)| path.ends_with(".rs"))
        .filter_map(|(path, content)| Some((short(tree.crate_of(path)?), path, content)))
        .flat_map(|(name, path, content)| {
            content.lines().enumerate().map(move |(number, line)| (name, path, number + 1, code(line)))
        })
}

fn forbidden_names(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (name, path, number, code) in lines(tree) {
        for (dependency, allowed) in WHO_NAMES {
            let module = dependency.replace('-', "_");
            if code.contains(&module) && names_module(code, &module) && !allowed.contains(&name) {
                offenders.push(format!("{path}:{number}: names {module}; only {allowed:?} may"));
            }
        }
    }
    offenders
}

fn impure(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, content) in tree.files() {
        let pure = tree.crate_of(path).is_some_and(|folder| PURE_CRATES.contains(&short(folder)));
        if !pure || !path.contains("/src/") || !path.ends_with(".rs") || path.ends_with("tests.rs") {
            continue;
        }
        // Tests beside the code may read what they compare with.
        let product = content.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            for word in IMPURE.iter().filter(|word| code(line).contains(**word)) {
                offenders.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    offenders
}

fn unfinished(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, content) in tree.files() {
        for (number, line) in content.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
                offenders.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    offenders
}

/// The one file that may: what it calls of the C library has no safe name, and each call says why it holds.
const UNCHECKED: &str = "crates/cli/src/allocator.rs";

fn unchecked(tree: &Tree) -> Vec<String> {
    lines(tree)
        .filter(|(_, path, _, code)| {
            let marks = [concat!("uns", "afe {"), concat!("allow(uns", "afe_code")];
            *path != UNCHECKED && marks.iter().any(|mark| code.contains(mark))
        })
        .map(|(_, path, number, _)| format!("{path}:{number}"))
        .collect()
}

#[test]
fn sources_name_a_dependency_only_where_allowed() {
    fail_if_any("architecture invariant 1", &forbidden_names(Tree::checkout()));
}

#[test]
fn pure_crates_have_no_io_no_clock_no_global_state() {
    fail_if_any("pure crates do I/O, read a clock or hold global state", &impure(Tree::checkout()));
}

#[test]
fn nothing_is_left_unfinished() {
    fail_if_any("marks of unfinished work", &unfinished(Tree::checkout()));
}

#[test]
fn nobody_writes_unsafe_code() {
    fail_if_any("code that the compiler doesn't check", &unchecked(Tree::checkout()));
}

#[test]
fn what_no_source_may_hold_is_seen() {
    // In halves, so that this file itself holds none of it.
    let source = [
        concat!("use sl", "ed::Db;"),
        concat!("let bytes = std", "::fs::read(path);"),
        concat!("// TO", "DO: later"),
        concat!("uns", "afe { x }"),
        "#[cfg(test)]",
        concat!("use std", "::fs;"),
    ]
    .join("\n");
    let tree = Tree::of(&[
        ("crates/imaging/Cargo.toml", ""),
        ("crates/imaging/src/a.rs", &source),
        ("crates/codebook/Cargo.toml", ""),
        ("crates/codebook/src/a.rs", &source),
    ]);
    let imaging = "crates/imaging/src/a.rs";
    let codebook = "crates/codebook/src/a.rs";
    assert_seen(&forbidden_names(&tree), &[&format!("{imaging}:1: names")]);
    assert_seen(&impure(&tree), &[&format!("{imaging}:2: std")]);
    assert_seen(&unfinished(&tree), &[&format!("{codebook}:3"), &format!("{imaging}:3")]);
    assert_seen(&unchecked(&tree), &[&format!("{codebook}:4"), &format!("{imaging}:4")]);
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
