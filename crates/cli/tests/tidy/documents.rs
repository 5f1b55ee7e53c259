//! Documents: every path that one names is there.

use crate::tree::Tree;
use crate::{assert_seen, fail_if_any};

/// Endings of names that only files of this repository have where they stand in a document.
const SOURCES: [&str; 3] = [".rs", ".py", ".sh"];

/// What stands at the root of the repository and is followed by more of a path.
fn top_level(tree: &Tree, name: &str) -> bool {
    tree.paths().contains(name)
        && tree.paths().range(format!("{name}/")..).next().is_some_and(|path| path.starts_with(name))
}

/// The documents that are held to it.
fn is_document(path: &str) -> bool {
    path.ends_with(".md")
        && (path == "README.md"
            || [".github/", "docs/", "crates/"].iter().any(|folder| path.starts_with(folder)))
}

/// Parts of a document, with their lines.
type Mentions<'a> = Vec<(usize, &'a str)>;

/// What stands in backticks on the lines outside of fenced blocks, and the targets of links: (line, text).
fn mentions(document: &str) -> (Mentions<'_>, Mentions<'_>) {
    let (mut spans, mut links) = (Vec::new(), Vec::new());
    let mut fenced = false;
    for (number, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        spans.extend(line.split('`').skip(1).step_by(2).map(|span| (number + 1, span)));
        for rest in line.split("](").skip(1) {
            links.extend(rest.split([')', ' ', '#']).next().map(|target| (number + 1, target)));
        }
    }
    (spans, links)
}

/// `a/{b,c}/d` to `a/b/d` and `a/c/d`.
fn alternatives(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
        Some((head, (inner, tail))) => inner
            .split(',')
            .flat_map(|choice| alternatives(&format!("{head}{}{tail}", choice.trim())))
            .collect(),
        None => vec![path.to_owned()],
    }
}

/// Whether a path of the repository is what `pattern` says: `*` and words in capitals (`NAME`, `x.NAME.rs`)
/// stand for anything, `**` for any folders.
fn matches(pattern: &str, path: &str) -> bool {
    let (Some((first, pattern_rest)), Some((name, path_rest))) = (split(pattern), split(path)) else {
        return pattern.is_empty() && path.is_empty();
    };
    if first == "**" {
        return matches(pattern_rest, path) || matches(pattern, path_rest);
    }
    first == name && matches(pattern_rest, path_rest) || open(first, name) && matches(pattern_rest, path_rest)
}

/// The first component and the rest; none of an empty path.
fn split(path: &str) -> Option<(&str, &str)> {
    (!path.is_empty()).then(|| path.split_once('/').unwrap_or((path, "")))
}

/// Whether one component with placeholders fits a name.
fn open(component: &str, name: &str) -> bool {
    let placeholder = component.contains('*')
        || component.chars().filter(char::is_ascii_uppercase).count() > 1
            && !component.contains(|c: char| c.is_ascii_lowercase() && !component.contains('.'));
    if !placeholder {
        return false;
    }
    let fixed: Vec<String> = component
        .split(|c: char| c == '*' || c.is_ascii_uppercase())
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut rest = name;
    fixed.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Whether the tree has `path`, seen from the root.
fn has(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    tree.paths().contains(path)
        || path.contains(|c: char| c == '*' || c.is_ascii_uppercase())
            && tree.paths().iter().any(|there| matches(path, there))
}

/// Whether the end of some path in the tree is `path`.
fn has_end(tree: &Tree, folder: &str, path: &str) -> bool {
    let end = format!("/{}", path.trim_end_matches('/'));
    tree.paths().iter().any(|there| there.starts_with(folder) && there.ends_with(&end))
        || path.contains('*') && tree.paths().iter().any(|there| matches(&format!("**{end}"), there))
}

/// A relative target seen from the folder of a document; none if it leaves the repository.
fn resolved(document: &str, target: &str) -> Option<String> {
    let mut at: Vec<&str> = document.split('/').collect();
    at.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            at.pop()?;
        } else {
            at.push(part);
        }
    }
    Some(at.join("/"))
}

/// What a span says of a file: a path without what stands behind it; none if it is something else.
fn as_path(span: &str) -> Option<&str> {
    let path = span.split("::").next().unwrap_or_default().split('#').next().unwrap_or_default();
    let path = path.split_once(".rs:").map_or(path, |(head, _)| &path[..head.len() + 3]);
    let strange = |c: char| c.is_whitespace() || "<>$=()\"'|;&?@…".contains(c);
    (!path.is_empty()
        && !path.contains(strange)
        && !path.contains("://")
        && !path.starts_with(['/', '-', '~']))
    .then_some(path)
}

/// `x.rs` and `x/tests.rs` speak of any module.
fn stands_for_any(path: &str) -> bool {
    path.split(['/', '.']).next().is_some_and(|first| first.len() == 1)
}

/// Paths and links that lead nowhere.
fn lost(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (document, content) in tree.files().filter(|(path, _)| is_document(path)) {
        let home = tree.crate_of(document);
        let (spans, links) = mentions(content);
        for (number, span) in spans {
            let Some(span) = as_path(span) else { continue };
            for path in alternatives(span) {
                let first = path.split('/').next().unwrap_or_default();
                let there = if path.contains('/') && top_level(tree, first) {
                    has(tree, &path)
                        || home.is_some_and(|home| has_end(tree, home, &path))
                        || has(tree, &resolved(document, &path).unwrap_or_default())
                } else if path.contains('/') && ["src", "tests", "benches", "examples"].contains(&first) {
                    has_end(tree, home.unwrap_or("crates"), &path)
                } else if stands_for_any(&path) {
                    true
                } else if SOURCES.iter().any(|end| path.ends_with(end)) && !path.starts_with('.') {
                    has_end(tree, home.unwrap_or_default(), &path) || has_end(tree, "", &path)
                } else {
                    true
                };
                if !there {
                    offenders.push(format!("{document}:{number}: `{path}`"));
                }
            }
        }
        for (number, target) in links {
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !resolved(document, target).is_some_and(|path| path.is_empty() || has(tree, &path)) {
                offenders.push(format!("{document}:{number}: ]({target})"));
            }
        }
    }
    offenders
}

#[test]
fn documents_speak_of_what_is_there() {
    fail_if_any("named and not there", &lost(Tree::checkout()));
}

#[test]
fn paths_that_lead_nowhere_are_seen() {
    let readme = "`crates/one/src/a.rs` `crates/one/src/b.rs` [x](crates/one) [y](crates/two#z)\n```\n`crates/three`\n```
`POST /edits` `crates/NAME/src/{a,c}.rs` `crates/*/src` `application/json` `crates/one/src/a.rs:5` `crates/one/src/a.rs::f`";
    let tree = Tree::of(&[
        ("README.md", readme),
        (
            "docs/a.md",
            "`a.rs` `zone.rs` `x.rs` [r](../README.md) [s](b.md) `crates/one/` `src/a.rs` `src/z.rs`",
        ),
        ("crates/one/Cargo.toml", ""),
        ("crates/one/README.md", "`a.rs` `src/a.rs` `src/x.rs` `README.md`"),
        ("crates/one/src/a.rs", ""),
        ("findings/old.md", "`crates/gone`"),
    ]);
    let expected = [
        "README.md:1: `crates/one/src/b.rs`",
        "README.md:5: `crates/NAME/src/c.rs`",
        "README.md:1: ](crates/two)",
        "crates/one/README.md:1: `src/x.rs`",
        "docs/a.md:1: `zone.rs`",
        "docs/a.md:1: `src/z.rs`",
        "docs/a.md:1: ](b.md)",
    ];
    assert_seen(&lost(&tree), &expected);
}
