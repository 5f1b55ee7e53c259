//! Comments: their width, and that the sections and invariants they cite are there.

use std::collections::BTreeSet;

use crate::tree::Tree;
use crate::{assert_seen, fail_if_any};

/// Columns of a comment's line: rustfmt holds code to the same and leaves comments alone.
const COLUMNS: usize = 110;

/// Where the sections and the invariants stand.
const METHOD: &str = "docs/method.md";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// Comment lines that are too wide; tables, fenced blocks and what cannot be broken are left as they are.
fn too_wide(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, content) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
        let mut fenced = false;
        for (number, line) in content.lines().enumerate() {
            let text = line.trim_start();
            if !text.starts_with("//") {
                fenced = false;
                continue;
            }
            let said = text.trim_start_matches(['/', '!']).trim();
            if said.starts_with("```") {
                fenced = !fenced;
            }
            let columns = line.chars().count();
            if columns > COLUMNS && !fenced && !said.starts_with('|') && said.contains(' ') {
                offenders.push(format!("{path}:{}: {columns} columns", number + 1));
            }
        }
    }
    offenders
}

/// The numbers that follow `word` in a text: `words 2 and 3.1` has 2 and 3.1, if `word` is asked for.
fn cited(text: &str, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(word) {
        let mut rest = text[at + word.len()..].trim_start_matches('s');
        while let Some(behind) = rest.strip_prefix(' ') {
            let end = behind.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(behind.len());
            let number = behind[..end].trim_end_matches('.');
            if number.is_empty() {
                break;
            }
            found.push(number.to_owned());
            rest = &behind[end..];
            for joint in [" and", " to", ","] {
                rest = rest.strip_prefix(joint).unwrap_or(rest);
            }
        }
    }
    found
}

/// The numbers of headings such as `## 5. Retrieval` and `### 5.1 Gate`.
fn sections(document: &str) -> BTreeSet<String> {
    document
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .map(|number| number.trim_end_matches('.').to_owned())
        .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// The numbers of the list under the heading `Invariants`.
fn invariants(document: &str) -> BTreeSet<String> {
    document
        .lines()
        .skip_while(|line| *line != "## Invariants")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.split_once(". "))
        .map(|(number, _)| number.to_owned())
        .filter(|number| number.chars().all(|c| c.is_ascii_digit()))
        .collect()
}

/// What is cited and is not there.
fn unresolved(tree: &Tree) -> Vec<String> {
    let method = sections(tree.read(METHOD).unwrap_or_default());
    let architecture = invariants(tree.read(ARCHITECTURE).unwrap_or_default());
    let mut offenders = Vec::new();
    for (path, content) in tree.files() {
        for (number, line) in content.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            for word in ["method section", "method.md section", "method.md` section", "method.md) section"] {
                for section in cited(line, word).into_iter().filter(|section| !method.contains(section)) {
                    offenders.push(format!("{place}: section {section} of {METHOD}"));
                }
            }
            for cited in cited(line, "invariant").into_iter().filter(|cited| !architecture.contains(cited)) {
                offenders.push(format!("{place}: invariant {cited} of {ARCHITECTURE}"));
            }
        }
    }
    offenders
}

#[test]
fn comments_are_as_wide_as_code() {
    fail_if_any(&format!("comments wider than {COLUMNS} columns"), &too_wide(Tree::checkout()));
}

#[test]
fn what_comments_cite_is_there() {
    let tree = Tree::checkout();
    assert!(sections(tree.read(METHOD).unwrap()).len() > 5, "{METHOD} has no numbered sections");
    assert!(!invariants(tree.read(ARCHITECTURE).unwrap()).is_empty(), "{ARCHITECTURE} has no invariants");
    fail_if_any("cited and not there", &unresolved(tree));
}

#[test]
fn wide_comments_are_seen() {
    let wide = format!("{} {}", "a".repeat(60), "b".repeat(60));
    let source = format!(
        "    // {wide}\n/// | {wide} |\n/// ```\n/// {wide}\n/// ```\n/// {wide}\n// https://{}\nlet a = \"{wide}\";\n",
        "c".repeat(120)
    );
    let tree = Tree::of(&[("crates/one/src/lib.rs", &source), ("docs/a.md", &source)]);
    assert_seen(&too_wide(&tree), &["crates/one/src/lib.rs:1: 128", "crates/one/src/lib.rs:6: 125"]);
}

#[test]
fn citations_that_lead_nowhere_are_seen() {
    // In halves, so that this file itself cites none of them.
    let source = [
        concat!("// method sec", "tion 1.1, method sec", "tion 2; paper section 9"),
        concat!("// method sec", "tions 1, 3 and 1.2; docs/method.md sec", "tion 4."),
        concat!("// architecture invari", "ant 1; invari", "ant 2"),
    ]
    .join("\n");
    let tree = Tree::of(&[
        (METHOD, "# Method\n## 1. One\n### 1.1 Half\n## Sources 3"),
        (ARCHITECTURE, "2. no\n## Invariants\n\n1. **One.** It holds.\n## Others\n2. no"),
        ("crates/one/src/lib.rs", &source),
    ]);
    let expected = [
        "crates/one/src/lib.rs:1: section 2",
        "crates/one/src/lib.rs:2: section 3",
        "crates/one/src/lib.rs:2: section 1.2",
        "crates/one/src/lib.rs:2: section 4",
        "crates/one/src/lib.rs:3: invariant 2",
    ];
    assert_seen(&unresolved(&tree), &expected);
}
