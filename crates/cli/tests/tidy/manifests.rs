//! Manifests: which crate may use which, who may name what, that every dependency is used, and one number for
//! the compiler wherever it is said.

mod allowed;

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Kind, Token, tokens};
use crate::tree::{Tree, short};
use crate::{assert_seen, fail_if_any};
pub(crate) use allowed::WHO_NAMES;
use allowed::{FLOORS, UNNAMED};

/// A table of a manifest that lists dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Normal,
    Dev,
    Build,
}

/// The dependencies of a manifest, with the table that each stands in.
fn dependencies(manifest: &str) -> Vec<(Table, String)> {
    let mut found = Vec::new();
    let mut table = None;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            // `[dependencies]`, `[target.'cfg(…)'.dependencies]`, `[dependencies.name]`
            let (head, name) = match header.rsplit_once("dependencies.") {
                Some((head, name)) => (format!("{head}dependencies"), Some(name)),
                None => (header.to_owned(), None),
            };
            table = match head.rsplit('.').next().unwrap_or_default() {
                _ if header.starts_with("workspace") => None,
                "dependencies" => Some(Table::Normal),
                "dev-dependencies" => Some(Table::Dev),
                "build-dependencies" => Some(Table::Build),
                _ => None,
            };
            if let (Some(of), Some(name)) = (table, name) {
                found.push((of, name.to_owned()));
                table = None;
            }
        } else if let Some(of) = table
            && !line.starts_with('#')
            && line.contains('=')
        {
            let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
            // The lines of a list that goes on belong to the key before.
            if key.starts_with(|c: char| c.is_ascii_alphabetic()) {
                found.push((of, key.to_owned()));
            }
        }
    }
    found
}

/// What `[workspace.dependencies]` lists.
fn shared_dependencies(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter_map(|line| line.split([' ', '=', '.']).next().map(str::to_owned))
        .collect()
}

/// Package names to short folders: `reasonedit-openai` to `integrations/openai`.
fn packages(tree: &Tree) -> BTreeMap<String, String> {
    tree.crates()
        .into_iter()
        .filter_map(|folder| {
            let line = tree.manifest(folder).lines().find(|line| line.starts_with("name = "))?;
            Some((line.split('"').nth(1)?.to_owned(), short(folder).to_owned()))
        })
        .collect()
}

fn forbidden_names(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for folder in tree.crates() {
        for (_, named) in dependencies(tree.manifest(folder)) {
            for (dependency, allowed) in WHO_NAMES {
                if named == dependency && !allowed.contains(&short(folder)) {
                    offenders.push(format!("{folder}/Cargo.toml: names {dependency}; only {allowed:?} may"));
                }
            }
        }
    }
    offenders
}

/// Where the crates and their uses differ from `floors`.
fn off_their_floors(tree: &Tree, floors: &[(&str, &[&str])]) -> Vec<String> {
    let packages = packages(tree);
    let mut offenders = Vec::new();
    for folder in tree.crates() {
        let Some(floor) = floors.iter().position(|(name, _)| *name == short(folder)) else {
            offenders.push(format!("{folder}: on which floor does it stand?"));
            continue;
        };
        let uses: BTreeSet<String> = dependencies(tree.manifest(folder))
            .into_iter()
            .filter(|(table, _)| *table == Table::Normal)
            .filter_map(|(_, name)| packages.get(&name).cloned())
            .collect();
        let listed = floors[floor].1;
        for name in uses.iter().filter(|name| !listed.contains(&name.as_str())) {
            offenders.push(format!("{folder}/Cargo.toml: uses {name}, which its floor does not list"));
        }
        for name in listed {
            if !uses.contains(*name) {
                offenders.push(format!("{folder}/Cargo.toml: no longer uses {name}: shorten the list"));
            }
            if !floors[..floor].iter().any(|(below, _)| below == name) {
                offenders.push(format!("{folder}: {name} does not stand below it"));
            }
        }
    }
    for (name, _) in floors.iter().filter(|(name, _)| !packages.values().any(|there| there == name)) {
        offenders.push(format!("crates/{name}: there is no such crate"));
    }
    offenders
}

/// Whether some token names the crate `module`: `module::`, `use module`, a path in a text of an attribute.
fn names(found: &[Token], module: &str) -> bool {
    found.iter().enumerate().any(|(at, token)| match &token.kind {
        Kind::Ident(name) if name == module => {
            let before = at.checked_sub(1).map(|at| &found[at]);
            let path = found.get(at + 1).is_some_and(|next| next.kind == Kind::Colons);
            let imported = before.and_then(Token::ident).is_some_and(|word| word == "use" || word == "crate");
            imported || path && !before.is_some_and(|token| token.kind == Kind::Colons || token.is('.'))
        }
        Kind::Text(text) => text.strip_prefix(module).is_some_and(|rest| rest.starts_with("::")),
        _ => false,
    })
}

/// Dependencies that no file of the crate names, and shared ones that no crate takes.
fn unused(tree: &Tree, unnamed: &[(&str, &str, &str)]) -> Vec<String> {
    let mut offenders = Vec::new();
    let mut taken = BTreeSet::new();
    for folder in tree.crates() {
        let sources: Vec<(&str, Vec<Token>)> = tree
            .files()
            .filter(|(path, _)| path.ends_with(".rs") && tree.crate_of(path) == Some(folder))
            .map(|(path, text)| (&path[folder.len() + 1..], tokens(text)))
            .collect();
        // What doctests name stands in comments.
        let examples: String = tree
            .files()
            .filter(|(path, _)| path.ends_with(".rs") && tree.crate_of(path) == Some(folder))
            .flat_map(|(_, text)| text.lines().map(str::trim_start).filter(|line| line.starts_with("//")))
            .collect();
        for (table, name) in dependencies(tree.manifest(folder)) {
            let module = name.replace('-', "_");
            let used = sources
                .iter()
                .filter(|(path, _)| match table {
                    Table::Normal => path.starts_with("src/"),
                    Table::Dev => *path != "build.rs",
                    Table::Build => *path == "build.rs",
                })
                .any(|(_, tokens)| names(tokens, &module))
                || table == Table::Dev && examples.contains(&format!("{module}::"));
            let excused =
                unnamed.iter().any(|(of, dependency, _)| *of == short(folder) && *dependency == name);
            if !used && !excused {
                offenders.push(format!("{folder}/Cargo.toml: {name}: nothing names it"));
            } else if used && excused {
                offenders.push(format!("{folder}/Cargo.toml: {name}: listed as named by nothing"));
            }
            taken.insert(name);
        }
    }
    for name in shared_dependencies(tree.read("Cargo.toml").unwrap_or_default()) {
        if !taken.contains(&name) {
            offenders.push(format!("Cargo.toml: {name}: no crate takes it"));
        }
    }
    offenders
}

/// Whatever says a number of the compiler, and what it says; the toolchain's comes first.
fn compilers(tree: &Tree) -> Vec<(String, String)> {
    let number = |path: &str, before: &str| {
        let text = tree.read(path).unwrap_or_default();
        let said = text
            .split(before)
            .skip(1)
            .map(|rest| rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>());
        said.map(|number| (format!("{path}: {before}"), number)).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (path, before) in [
        ("rust-toolchain.toml", "channel = \""),
        ("Cargo.toml", "rust-version = \""),
        ("README.md", "Rust toolchain ("),
        ("docker/Dockerfile", "FROM rust:"),
        ("docker/Dockerfile", "RUSTUP_TOOLCHAIN="),
        ("docker/Dockerfile.cuda", "from=rust:"),
        ("docker/Dockerfile.cuda", "RUSTUP_TOOLCHAIN="),
    ] {
        let said = number(path, before);
        if said.is_empty() {
            found.push((format!("{path}: {before}"), String::new()));
        }
        found.extend(said);
    }
    found
}

/// Where another number stands than in `rust-toolchain.toml`; two parts stand for three.
fn other_compilers(tree: &Tree) -> Vec<String> {
    let found = compilers(tree);
    let (_, channel) = &found[0];
    let minor = channel.rsplit_once('.').map_or("", |(minor, _)| minor);
    found
        .iter()
        .filter(|(_, number)| number.is_empty() || number != channel && number != minor)
        .map(|(place, number)| format!("{place}{number}, not {channel}"))
        .collect()
}

#[test]
fn manifests_name_a_dependency_only_where_allowed() {
    let tree = Tree::checkout();
    fail_if_any("architecture invariant 1", &forbidden_names(tree));
    for (dependency, _) in [WHO_NAMES[0], WHO_NAMES[4], WHO_NAMES[6]] {
        let somewhere = tree.crates().iter().any(|folder| {
            dependencies(tree.manifest(folder)).contains(&(Table::Normal, dependency.to_owned()))
        });
        assert!(somewhere, "no manifest names {dependency}: this test looks for the wrong thing");
    }
}

#[test]
fn crates_use_what_stands_below_them() {
    fail_if_any("architecture invariant 9", &off_their_floors(Tree::checkout(), &FLOORS));
}

#[test]
fn every_dependency_is_used() {
    fail_if_any("dependencies that nothing names", &unused(Tree::checkout(), &UNNAMED));
}

#[test]
fn one_number_of_the_compiler() {
    fail_if_any("another compiler than rust-toolchain.toml's", &other_compilers(Tree::checkout()));
}

#[test]
fn manifests_are_read() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b.workspace = true\n# c = 1\nd = { version = \"1\" }
[target.'cfg(unix)'.dependencies]\ne = \"1\"\n[dev-dependencies.f]\nversion = \"1\"\n[features]\ng = [\"d/x\"]\n[build-dependencies]\nh = \"1\"";
    let found = dependencies(manifest);
    let names: Vec<(Table, &str)> = found.iter().map(|(table, name)| (*table, name.as_str())).collect();
    let expected = [
        (Table::Normal, "a-b"),
        (Table::Normal, "d"),
        (Table::Normal, "e"),
        (Table::Dev, "f"),
        (Table::Build, "h"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_name_that_is_others_business_is_seen() {
    let tree = Tree::of(&[
        ("crates/codebook/Cargo.toml", "[dependencies]\nsled.workspace = true"),
        (
            "crates/group/one/Cargo.toml",
            "[dev-dependencies]\nsled = \"1\"\n[dependencies]\naxum-extra = \"1\"",
        ),
    ]);
    assert_seen(&forbidden_names(&tree), &["crates/group/one/Cargo.toml: names sled"]);
}

#[test]
fn a_crate_off_its_floor_is_seen() {
    let manifest = |name: &str, uses: &str| format!("[package]\nname = \"x-{name}\"\n[dependencies]\n{uses}");
    let (high, low) = (manifest("high", "x-low.workspace = true"), manifest("low", ""));
    let odd = manifest("odd", "x-high = { path = \"\" }\n[dev-dependencies]\nx-new = \"1\"");
    let new = manifest("new", "");
    let tree = Tree::of(&[
        ("crates/group/high/Cargo.toml", &high),
        ("crates/low/Cargo.toml", &low),
        ("crates/new/Cargo.toml", &new),
        ("crates/odd/Cargo.toml", &odd),
    ]);
    let floors: [(&str, &[&str]); 4] =
        [("odd", &["low"]), ("low", &[]), ("group/high", &["low"]), ("gone", &[])];
    let expected = [
        "crates/new: on which",
        "crates/odd/Cargo.toml: uses group/high",
        "crates/odd/Cargo.toml: no longer uses low",
        "crates/odd: low does not stand below",
        "crates/gone: there is no such crate",
    ];
    assert_seen(&off_their_floors(&tree, &floors), &expected);
}

#[test]
fn an_unused_dependency_is_seen() {
    let manifest =
        "[dependencies]\nserde_json = \"1\"\ntime = \"1\"\nserde = \"1\"\nbytes = \"1\"\nlink = \"1\"
[dev-dependencies]\ninsta = \"1\"\ntempfile = \"1\"";
    let tree = Tree::of(&[
        (
            "Cargo.toml",
            "[workspace.dependencies]\nserde_json = \"1\"\nlost = \"1\"\n[profile.release]\nx = 1",
        ),
        ("crates/one/Cargo.toml", manifest),
        (
            "crates/one/src/lib.rs",
            "// serde_json::x\nuse serde::Serialize; #[serde(with = \"time::serde\")] struct A; fn f(bytes: u8) {}",
        ),
        ("crates/one/tests/it.rs", "use serde_json::Value; insta::assert_snapshot!(1);"),
    ]);
    let expected = [
        "crates/one/Cargo.toml: serde_json",
        "crates/one/Cargo.toml: bytes",
        "crates/one/Cargo.toml: tempfile",
        "Cargo.toml: lost",
    ];
    assert_seen(&unused(&tree, &[("one", "link", "to the linker")]), &expected);
}

#[test]
fn another_compiler_is_seen() {
    let tree = Tree::of(&[
        ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\""),
        ("Cargo.toml", "rust-version = \"1.94\""),
        ("README.md", "A Rust toolchain (1.95 or newer)"),
        ("docker/Dockerfile", "FROM rust:1.95.0-bookworm\nENV RUSTUP_TOOLCHAIN=1.95.0"),
        ("docker/Dockerfile.cuda", "COPY --from=rust:1.95.0-x\nCOPY --from=rust:1.95.1-x"),
    ]);
    let expected = [
        "Cargo.toml: rust-version",
        "docker/Dockerfile.cuda: from=rust:1.95.1",
        "docker/Dockerfile.cuda: RUSTUP",
    ];
    assert_seen(&other_compilers(&tree), &expected);
}
