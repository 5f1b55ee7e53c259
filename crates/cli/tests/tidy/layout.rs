//! What lies where, and how much of it: lengths of files and crates, one layout of modules, what every crate
//! brings with it.

use std::collections::BTreeSet;

use crate::circles::roots;
use crate::modules::Modules;
use crate::tree::{Tree, short};
use crate::{assert_seen, fail_if_any};

/// A file above this does not pass.
const MOST_LINES: usize = 800;
/// A file above this is named in the test's output: it asks to be split.
const MANY_LINES: usize = 500;
/// A crate has fewer lines of source than this, files of tests left out.
const LARGEST_CRATE: usize = 9_500;
/// What a crate's manifest takes from the workspace's.
const FIELDS: [&str; 6] = ["version", "edition", "rust-version", "license", "repository", "publish"];
/// A README is read on one screen.
const SCREEN: usize = 80;

fn too_long(tree: &Tree) -> Vec<String> {
    tree.files()
        .map(|(path, content)| (path, content.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect()
}

/// The lines of source of each crate.
fn sizes(tree: &Tree) -> Vec<(&str, usize)> {
    let size = |folder: &str| {
        let mut files = BTreeSet::new();
        for root in roots(tree, folder) {
            let modules = Modules::of(tree, &root);
            files.extend(
                (0..modules.files.len())
                    .filter(|file| !modules.is_test(*file))
                    .map(|file| modules.files[file].clone()),
            );
        }
        files.iter().filter_map(|file| tree.read(file)).map(|text| text.lines().count()).sum()
    };
    tree.crates().into_iter().map(|folder| (folder, size(folder))).collect()
}

fn too_large(tree: &Tree) -> Vec<String> {
    sizes(tree)
        .into_iter()
        .filter(|(_, lines)| *lines >= LARGEST_CRATE)
        .map(|(folder, lines)| format!("{folder}: {lines} lines of source"))
        .collect()
}

/// `x.rs` beside the folder `x/`, and every file of `src` reached by a `mod`.
fn laid_out_otherwise(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for folder in tree.crates() {
        let source = format!("{folder}/src/");
        let mut reached = BTreeSet::new();
        for root in roots(tree, folder) {
            reached.extend(Modules::of(tree, &root).files);
        }
        for (path, text) in tree.files().filter(|(path, _)| path.starts_with(folder) && path.ends_with(".rs"))
        {
            if tree.crate_of(path) != Some(folder) {
                continue;
            }
            if path.starts_with(&source) && path.ends_with("/mod.rs") {
                offenders.push(format!("{path}: stands beside its folder under the folder's name"));
            } else if path.starts_with(&source)
                && !path.starts_with(&format!("{source}bin/"))
                && !reached.contains(path)
            {
                offenders.push(format!("{path}: no `mod` leads to it"));
            }
            for (number, line) in text.lines().enumerate() {
                if line.trim_start().starts_with(concat!("#[pa", "th")) {
                    offenders.push(format!("{path}:{}: a module lies where its name says", number + 1));
                }
            }
        }
    }
    offenders
}

fn incomplete_crates(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for folder in tree.crates() {
        match tree.read(&format!("{folder}/README.md")).map(str::trim) {
            None | Some("") => {
                offenders.push(format!("{folder}/README.md: it is to say what the crate is for"));
            }
            Some(text) if text.lines().count() > SCREEN => {
                offenders.push(format!("{folder}/README.md: {} lines", text.lines().count()));
            }
            Some(_) => {}
        }
        if !tree.manifest(folder).contains("[lints]\nworkspace = true") {
            offenders.push(format!("{folder}/Cargo.toml: takes the workspace's lints"));
        }
        for field in FIELDS {
            if !tree.manifest(folder).lines().any(|line| line == format!("{field}.workspace = true")) {
                offenders.push(format!("{folder}/Cargo.toml: takes the workspace's {field}"));
            }
        }
        let root = roots(tree, folder).into_iter().next().unwrap_or_default();
        if !tree.read(&root).unwrap_or_default().starts_with("//!") {
            offenders.push(format!("{folder}/src: its first file is to say what the crate is for"));
        }
    }
    offenders
}

#[test]
fn no_file_is_too_long() {
    let tree = Tree::checkout();
    for (path, content) in tree.files().filter(|(_, content)| content.lines().count() > MANY_LINES) {
        println!("asks to be split: {path}: {} lines", content.lines().count());
    }
    fail_if_any(&format!("files above {MOST_LINES} lines"), &too_long(tree));
}

/// `-- --nocapture` shows the sizes.
#[test]
fn no_crate_is_too_large() {
    let tree = Tree::checkout();
    for (folder, lines) in sizes(tree) {
        println!("{:>6} {}", lines, short(folder));
    }
    fail_if_any(&format!("crates of {LARGEST_CRATE} lines or more"), &too_large(tree));
}

#[test]
fn modules_lie_where_their_names_say() {
    fail_if_any("one layout of modules", &laid_out_otherwise(Tree::checkout()));
}

#[test]
fn every_crate_says_what_it_is_for() {
    fail_if_any("a README of one screen, the lints, a first line", &incomplete_crates(Tree::checkout()));
}

#[test]
fn long_files_and_large_crates_are_seen() {
    let long = "//\n".repeat(MOST_LINES + 1);
    let mut files = vec![
        ("crates/one/Cargo.toml", ""),
        ("crates/one/src/lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
        ("crates/one/src/tests.rs", &long),
        ("docs/a.md", "a"),
    ];
    assert_seen(&too_long(&Tree::of(&files)), &["crates/one/src/tests.rs: 801 lines"]);
    assert_eq!(sizes(&Tree::of(&files)), [("crates/one", 1)], "tests are left out");
    let half = "//\n".repeat(LARGEST_CRATE / 2);
    files.extend([("crates/one/src/a.rs", half.as_str()), ("crates/one/src/b.rs", half.as_str())]);
    assert_seen(&too_large(&Tree::of(&files)), &["crates/one: 9501 lines"]);
}

#[test]
fn another_layout_is_seen() {
    let tree = Tree::of(&[
        ("crates/group/one/Cargo.toml", ""),
        ("crates/group/one/src/lib.rs", "mod a; mod b;\n#[path = \"elsewhere.rs\"]\nmod c;"),
        ("crates/group/one/src/a/mod.rs", ""),
        ("crates/group/one/src/b.rs", ""),
        ("crates/group/one/src/lost.rs", ""),
        ("crates/group/one/tests/it/common/mod.rs", ""),
    ]);
    let expected = [
        "crates/group/one/src/a/mod.rs: stands beside",
        "crates/group/one/src/lib.rs:2: a module lies",
        "crates/group/one/src/lost.rs: no `mod`",
    ];
    assert_seen(&laid_out_otherwise(&tree), &expected);
}

#[test]
fn an_incomplete_crate_is_seen() {
    let long = "a\n".repeat(SCREEN + 1);
    let fields = FIELDS.map(|field| format!("{field}.workspace = true\n")).concat();
    let (one, two) = (format!("{fields}[lints]\nworkspace = true\n"), fields.replace("edition", "#"));
    let tree = Tree::of(&[
        ("crates/group/one/Cargo.toml", &one),
        ("crates/group/one/src/lib.rs", "//! One."),
        ("crates/group/two/Cargo.toml", &two),
        ("crates/group/two/README.md", &long),
        ("crates/group/two/src/main.rs", "fn main() {}"),
    ]);
    let expected = [
        "crates/group/one/README.md: it is",
        "crates/group/two/README.md: 81 lines",
        "crates/group/two/Cargo.toml: takes the workspace's lints",
        "crates/group/two/Cargo.toml: takes the workspace's edition",
        "crates/group/two/src: its first",
    ];
    assert_seen(&incomplete_crates(&tree), &expected);
}
