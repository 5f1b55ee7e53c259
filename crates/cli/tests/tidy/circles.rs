//! Circles of imports: files of a crate that need each other, so that none can be read, tested or moved
//! without the others. Small ones are how Rust is written; a large one is a knot.

use std::collections::BTreeSet;

use crate::modules::{Edges, Modules};
use crate::tree::{Tree, short};

/// A circle of more files than this is a knot.
const MOST_FILES: usize = 3;

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

/// `-- --nocapture` shows every circle, and of the large ones the paths that close them.
#[test]
fn circles_of_imports_are_small() {
    let mut knots = Vec::new();
    for circle in circles(Tree::checkout()) {
        let files: Vec<&str> = circle.files.iter().map(String::as_str).collect();
        let line = format!("{}: {} files: {}", short(&circle.folder), files.len(), files.join(" "));
        println!("{line}");
        for path in &circle.because {
            println!("    {path}");
        }
        if files.len() > MOST_FILES {
            knots.push(line);
        }
    }
    let rule = format!("circles of imports of more than {MOST_FILES} files");
    crate::fail_in_the_end(&rule, &knots);
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
    assert_eq!(found[0].files, ["a.rs", "b.rs", "c.rs", "d.rs"].map(str::to_owned).into());
    assert!(found[0].because.contains(&"c.rs -> d.rs: crate::D (1)".to_owned()), "{:?}", found[0].because);
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
