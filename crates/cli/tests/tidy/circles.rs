//! Circles of imports: files of a crate that need each other, so that none can be read, tested or moved
//! without the others. Small ones are how Rust is written; a large one is a knot.

use std::collections::BTreeSet;

use crate::modules::{Edges, Modules};
use crate::tree::{Tree, short};

/// A circle of more files than this is a knot.
const MOST_FILES: usize = 3;

/// Circles that are left, and why: one of more files, and those of which no file is the parts' whole. A
/// module and what lies in its folder may use each other, as a crate's first file and the others may.
const LEFT: [(&str, &[&str], &str); 8] = [
    ("codebook", &["book.rs", "commits.rs"], "a book tells its listeners, who are given the book"),
    (
        "records",
        &["error.rs", "ids.rs", "records.rs"],
        "an error names what it is about, which is refused with one",
    ),
    ("http", &["coding.rs", "problem.rs"], "an encoding that is refused is told those that are taken"),
    ("http", &["limits.rs", "policy.rs"], "a policy entitles to a place, and says the time that limits hold"),
    ("imaging", &["error.rs", "pixel_box.rs"], "an error names the box that was refused with it"),
    (
        "models",
        &["siglip/pieces.rs", "siglip/text.rs"],
        "the pieces' file and the mark that pieces begin with",
    ),
    ("nn", &["blocks/attention.rs", "blocks/attention_cpu.rs"], "the CPU's way through one layout of heads"),
    ("world", &["probe.rs", "record.rs"], "records draft the probes that are written beside them"),
];

/// One circle: the crate, its files without `src/`, and the paths that close it.
struct Circle {
    folder: String,
    files: BTreeSet<String>,
    because: Vec<String>,
}

/// The root files of a crate's targets under `src`.
pub(crate) fn roots(tree: &Tree, folder: &str) -> Vec<String> {
    ["lib.rs", "main.rs"]
        .iter()
        .map(|file| format!("{folder}/src/{file}"))
        .filter(|path| tree.read(path).is_some())
        .collect()
}

impl Circle {
    /// Whether all but one of the files lie in that one's folder: `x.rs` and `x/…`.
    fn is_one_module(&self) -> bool {
        self.files.iter().any(|whole| {
            let folder = whole.strip_suffix(".rs").unwrap_or(whole);
            let first = ["lib.rs", "main.rs"].contains(&whole.as_str());
            let within =
                |file: &String| first || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
            self.files.iter().all(|file| file == whole || within(file))
        })
    }

    fn is(&self, (name, files, _): &(&str, &[&str], &str)) -> bool {
        short(&self.folder) == *name && self.files.iter().map(String::as_str).eq(files.iter().copied())
    }

    fn line(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        format!("{}: {} files: {}", short(&self.folder), files.len(), files.join(" "))
    }
}

/// Circles that are too large, those that nobody gave a reason for, and reasons of circles that are no more.
fn knots(circles: &[Circle], left: &[(&str, &[&str], &str)]) -> Vec<String> {
    let mut offenders = Vec::new();
    for circle in circles {
        if left.iter().any(|listed| circle.is(listed)) {
            continue;
        }
        if circle.files.len() > MOST_FILES {
            offenders.push(format!("{}: too many", circle.line()));
        } else if !circle.is_one_module() {
            offenders.push(format!("{}: cut it, or list it with a reason", circle.line()));
        }
    }
    for listed in left.iter().filter(|listed| !circles.iter().any(|circle| circle.is(listed))) {
        offenders.push(format!("{}: {}: no circle any more", listed.0, listed.1.join(" ")));
    }
    offenders
}

/// All circles of the tree, largest first.
fn circles(tree: &Tree) -> Vec<Circle> {
    let mut found = Vec::new();
    for folder in tree.crates() {
        for root in roots(tree, folder) {
            let modules = Modules::of(tree, &root);
            let edges = modules.edges();
            for group in connected(modules.files.len(), &edges) {
                let name = |file: usize| {
                    let path = modules.files[file].as_str();
                    path.strip_prefix(folder).and_then(|path| path.strip_prefix("/src/")).unwrap_or(path)
                };
                let because = edges
                    .iter()
                    .filter(|((from, to), _)| group.contains(from) && group.contains(to))
                    .map(|((from, to), paths)| {
                        let paths: Vec<String> =
                            paths.iter().map(|(line, path)| format!("{path} ({line})")).collect();
                        format!("{} -> {}: {}", name(*from), name(*to), paths.join(", "))
                    })
                    .collect();
                let files = group.iter().map(|file| name(*file).to_owned()).collect();
                found.push(Circle { folder: folder.to_owned(), files, because });
            }
        }
    }
    found.sort_by_key(|circle| std::cmp::Reverse(circle.files.len()));
    found
}

/// The strongly connected components of more than one file (Tarjan's algorithm).
fn connected(files: usize, edges: &Edges) -> Vec<BTreeSet<usize>> {
    struct Search {
        needs: Vec<Vec<usize>>,
        index: Vec<Option<usize>>,
        lowest: Vec<usize>,
        stack: Vec<usize>,
        next: usize,
        found: Vec<BTreeSet<usize>>,
    }
    impl Search {
        fn visit(&mut self, file: usize) {
            self.index[file] = Some(self.next);
            self.lowest[file] = self.next;
            self.next += 1;
            self.stack.push(file);
            for need in self.needs[file].clone() {
                match self.index[need] {
                    None => {
                        self.visit(need);
                        self.lowest[file] = self.lowest[file].min(self.lowest[need]);
                    }
                    Some(index) if self.stack.contains(&need) => {
                        self.lowest[file] = self.lowest[file].min(index);
                    }
                    Some(_) => {}
                }
            }
            if Some(self.lowest[file]) == self.index[file] {
                let at = self.stack.iter().rposition(|other| *other == file).unwrap();
                let group: BTreeSet<usize> = self.stack.drain(at..).collect();
                if group.len() > 1 {
                    self.found.push(group);
                }
            }
        }
    }
    let mut needs = vec![Vec::new(); files];
    for (from, to) in edges.keys() {
        needs[*from].push(*to);
    }
    let mut search = Search {
        needs,
        index: vec![None; files],
        lowest: vec![0; files],
        stack: Vec::new(),
        next: 0,
        found: Vec::new(),
    };
    for file in 0..files {
        if search.index[file].is_none() {
            search.visit(file);
        }
    }
    search.found
}

/// `-- --nocapture` shows every circle, and the paths that close it.
#[test]
fn circles_of_imports_are_small() {
    let found = circles(Tree::checkout());
    for circle in &found {
        println!("{}\n    {}", circle.line(), circle.because.join("\n    "));
    }
    crate::fail_if_any("circles of imports", &knots(&found, &LEFT));
}

#[test]
fn a_circle_is_found() {
    let tree = Tree::of(&[
        ("crates/group/one/Cargo.toml", ""),
        ("crates/group/one/src/lib.rs", "mod a; mod b; mod c; mod d; pub use d::D;"),
        ("crates/group/one/src/a.rs", "use crate::b::B; pub struct A;"),
        ("crates/group/one/src/b.rs", "pub struct B; fn f(x: super::c::C) {}"),
        ("crates/group/one/src/c.rs", "use crate::D; pub struct C;"),
        ("crates/group/one/src/d.rs", "use super::a::*; pub struct D(A);"),
    ]);
    let found = circles(&tree);
    assert_eq!(found.len(), 1);
    crate::assert_seen(&knots(&found, &[]), &["group/one: 4 files: a.rs b.rs c.rs d.rs: too many"]);
    assert_eq!(found[0].files, ["a.rs", "b.rs", "c.rs", "d.rs"].map(str::to_owned).into());
    assert!(found[0].because.contains(&"c.rs -> d.rs: crate::D (1)".to_owned()), "{:?}", found[0].because);
}

#[test]
fn a_small_circle_is_a_module_or_has_a_reason() {
    let tree = Tree::of(&[
        ("crates/one/Cargo.toml", ""),
        ("crates/one/src/lib.rs", "mod a; mod b; mod c;"),
        ("crates/one/src/a.rs", "mod part; pub struct A(part::P);"),
        ("crates/one/src/a/part.rs", "pub struct P; fn f(x: super::A) {}"),
        ("crates/one/src/b.rs", "pub struct B(crate::c::C);"),
        ("crates/one/src/c.rs", "pub struct C(Box<crate::b::B>);"),
    ]);
    let found = circles(&tree);
    assert_eq!(found.len(), 2);
    crate::assert_seen(&knots(&found, &[]), &["one: 2 files: b.rs c.rs: cut it"]);
    crate::assert_seen(&knots(&found, &[("one", &["b.rs", "c.rs"], "said")]), &[]);
    let stale: [(&str, &[&str], &str); 2] = [("one", &["b.rs", "c.rs"], ""), ("one", &["b.rs", "d.rs"], "")];
    crate::assert_seen(&knots(&found, &stale), &["one: b.rs d.rs: no circle any more"]);
}

#[test]
fn what_only_tests_close_is_no_circle() {
    let tree = Tree::of(&[
        ("crates/one/Cargo.toml", ""),
        ("crates/one/src/main.rs", "mod a; mod b;"),
        ("crates/one/src/a.rs", "use crate::b::B; pub struct A;"),
        ("crates/one/src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
    ]);
    assert!(circles(&tree).is_empty());
}
