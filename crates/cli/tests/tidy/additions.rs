//! What an addition touches: of everything of a kind that is there, the files beside its own that speak of
//! it. `docs/ARCHITECTURE.md` has the table, `.github/CONTRIBUTING.md` how each is done.

use std::collections::BTreeSet;

use crate::modules::Modules;
use crate::tree::Tree;
use crate::{assert_seen, fail_if_any};

/// A kind of addition within one crate.
struct Addition {
    /// What it is called.
    what: &'static str,
    /// The crate's root.
    root: &'static str,
    /// Where each has its file or folder.
    folder: &'static str,
    /// Where the rest of its files lie, under the same name.
    beside: &'static [&'static str],
    /// What the file of one says, and no other file in that folder.
    mark: &'static str,
    /// Files that may speak of it.
    most: usize,
}

const ADDITIONS: [Addition; 4] = [
    Addition {
        what: "endpoint",
        root: "crates/server/src/lib.rs",
        folder: "crates/server/src/handlers/",
        beside: &["crates/dto/src/"],
        mark: "#[utoipa::path(",
        most: 3,
    },
    Addition {
        what: "architecture",
        root: "crates/models/src/lib.rs",
        folder: "crates/models/src/architectures/",
        beside: &[],
        mark: "const ARCHITECTURE:",
        most: 2,
    },
    Addition {
        what: "store",
        root: "crates/codebook/src/lib.rs",
        folder: "crates/codebook/src/store/",
        beside: &[],
        mark: "impl CodebookStore for",
        most: 3,
    },
    Addition {
        what: "baseline editor",
        root: "crates/evaluation/src/lib.rs",
        folder: "crates/evaluation/src/editors/",
        beside: &[],
        mark: "const EDITORS:",
        most: 1,
    },
];

/// What others are built on, so that more files speak of it than of one that is added: what it is, its name,
/// and why.
const BUILT_ON: [(&str, &str, &str); 4] = [
    ("endpoint", "dry_run", "`POST /edits?dry_run=true` answers with it"),
    ("endpoint", "jobs", "whatever starts one answers with it"),
    ("baseline editor", "unedited", "the model that all editors are compared with"),
    ("baseline editor", "reason_edit", "the editor that all baselines are compared with"),
];

/// Folder of integrations, each a crate of its own; how many files may speak of one.
const INTEGRATIONS: &str = "crates/integrations/";
const MOST_OF_INTEGRATION: usize = 2;

/// One of a kind, and the files beside its own that speak of it: those that use it, and the one that names
/// its module.
struct One {
    name: String,
    touched: BTreeSet<String>,
}

impl Addition {
    /// All of this kind.
    fn all(&self, tree: &Tree) -> Vec<One> {
        let modules = Modules::of(tree, self.root);
        let edges = modules.edges();
        let named = |path: &str| -> Option<String> {
            let name = path.strip_prefix(self.folder)?.strip_suffix(".rs")?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let marked = tree.files().filter(|(_, content)| content.contains(self.mark));
        marked
            .filter_map(|(path, _)| named(path))
            .map(|name| {
                let places: Vec<String> = std::iter::once(self.folder)
                    .chain(self.beside.iter().copied())
                    .map(|folder| format!("{folder}{name}"))
                    .collect();
                let is_own = |file: &str| {
                    places.iter().any(|place| {
                        file.strip_prefix(place.as_str())
                            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
                    })
                };
                let uses = edges.keys().filter_map(|(from, to)| {
                    let (from, to) = (&modules.files[*from], &modules.files[*to]);
                    (is_own(to) && !is_own(from)).then(|| from.clone())
                });
                let declared = places
                    .iter()
                    .filter(|place| tree.read(&format!("{place}.rs")).is_some())
                    .filter_map(|place| place.rsplit_once('/'))
                    .map(|(folder, _)| match folder.strip_suffix("/src") {
                        Some(_) => format!("{folder}/lib.rs"),
                        None => format!("{folder}.rs"),
                    });
                One { touched: uses.chain(declared).collect(), name }
            })
            .collect()
    }
}

/// The integrations, by the name of their crate; what they share is none.
fn integrations(tree: &Tree) -> Vec<One> {
    let crates = tree.crates();
    let folders = crates.iter().filter_map(|folder| Some((*folder, folder.strip_prefix(INTEGRATIONS)?)));
    let folders = folders.filter(|(_, name)| *name != "core");
    folders
        .map(|(folder, name)| {
            let (package, module) =
                (format!("reasonedit-{name}"), format!("reasonedit_{}", name.replace('-', "_")));
            let speaks = |(path, content): &(&str, &str)| {
                let own = path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
                let sought = if path.ends_with("Cargo.toml") { &package } else { &module };
                // The workspace's own manifest may say how it is compiled.
                let source = path.starts_with("crates/")
                    && (path.ends_with("Cargo.toml") || path.ends_with(".rs") && !path.contains("/tests/"));
                source && !own && whole_words(content, sought)
            };
            let touched = tree.files().filter(speaks).map(|(path, _)| path.to_owned()).collect();
            One { name: name.to_owned(), touched }
        })
        .collect()
}

/// Whether a text has these words, not only the beginning of longer ones.
fn whole_words(text: &str, words: &str) -> bool {
    let longer = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(words).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(longer)
            && !text[at + words.len()..].chars().next().is_some_and(longer)
    })
}

/// Everything of every kind, with how many files may speak of it.
fn all(tree: &Tree) -> Vec<(&'static str, usize, One)> {
    let within = ADDITIONS.iter().flat_map(|addition| {
        addition.all(tree).into_iter().map(move |one| (addition.what, addition.most, one))
    });
    let between = integrations(tree).into_iter().map(|one| ("integration", MOST_OF_INTEGRATION, one));
    within.chain(between).collect()
}

/// Those that more files speak of than may.
fn scattered(tree: &Tree) -> Vec<String> {
    let too_many = all(tree).into_iter().filter(|(_, most, one)| one.touched.len() > *most);
    too_many
        .map(|(what, most, One { name, touched })| {
            let files: Vec<String> = touched.into_iter().collect();
            format!("{what} {name}: {} of {most}: {}", files.len(), files.join(", "))
        })
        .collect()
}

#[test]
fn an_addition_touches_few_files() {
    let tree = Tree::checkout();
    let begins = |offender: &str, what: &str, name: &str| offender.starts_with(&format!("{what} {name}: "));
    let found = scattered(tree);
    let offenders: Vec<String> = found
        .iter()
        .filter(|offender| !BUILT_ON.iter().any(|(what, name, _)| begins(offender, what, name)))
        .cloned()
        .collect();
    fail_if_any("spoken of in more files than an addition may touch", &offenders);
    let stale: Vec<String> = BUILT_ON
        .iter()
        .filter(|(what, name, _)| !found.iter().any(|offender| begins(offender, what, name)))
        .map(|(what, name, _)| format!("{what} {name}"))
        .collect();
    fail_if_any("listed, and spoken of in few files", &stale);
    let all = all(tree);
    let is_built_on =
        |what: &str, one: &One| BUILT_ON.iter().any(|(of, name, _)| *of == what && *name == one.name);
    let mut missing = Vec::new();
    for what in ["endpoint", "architecture", "store", "baseline editor", "integration"] {
        let ones = all.iter().filter(|(of, _, one)| *of == what && !is_built_on(what, one));
        match ones.map(|(_, _, one)| one.touched.len()).max() {
            Some(most) => println!("{what}: {most} files at most"),
            None => missing.push(what.to_owned()),
        }
    }
    fail_if_any("none of these is found", &missing);
}

#[test]
fn what_is_spoken_of_everywhere_is_seen() {
    let tree = Tree::of(&[
        ("crates/evaluation/src/lib.rs", "mod editors; mod report; mod run;"),
        (
            "crates/evaluation/src/editors.rs",
            "mod good; mod bad; const ALL: [u8; 2] = [good::EDITORS, bad::EDITORS];",
        ),
        ("crates/evaluation/src/editors/good.rs", "pub const EDITORS: u8 = 1;"),
        ("crates/evaluation/src/editors/bad.rs", "pub const EDITORS: u8 = 1; pub const BAD: u8 = 2;"),
        ("crates/evaluation/src/report.rs", "use crate::editors::bad::BAD;"),
        ("crates/evaluation/src/run.rs", "#[cfg(test)] mod tests { use crate::editors::good::EDITORS; }"),
        ("crates/integrations/core/Cargo.toml", ""),
        ("crates/integrations/pacs/Cargo.toml", "name = \"reasonedit-pacs\""),
        ("crates/integrations/pacs/src/lib.rs", "use reasonedit_pacs::Own;"),
        ("crates/server/Cargo.toml", "reasonedit-pacs = { path = \"../integrations/pacs\" }"),
        ("crates/server/src/lib.rs", "use reasonedit_pacs::Pacs; use reasonedit_pacs_more::Pacs;"),
        ("crates/cli/Cargo.toml", "reasonedit-pacs-more = \"1\""),
        ("crates/jobs/src/lib.rs", "fn f() { reasonedit_pacs::go(); }"),
        ("crates/server/tests/it/main.rs", "use reasonedit_pacs::Pacs;"),
    ]);
    let expected = [
        "baseline editor bad: 2 of 1: crates/evaluation/src/editors.rs, crates/evaluation/src/report.rs",
        "integration pacs: 3 of 2: crates/jobs/src/lib.rs, crates/server/Cargo.toml, crates/server/src/lib.rs",
    ];
    assert_seen(&scattered(&tree), &expected);
}
