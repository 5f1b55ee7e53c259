//! The modules of a crate: which file holds which, what each defines and imports, and to which file a path
//! leads when every re-export on its way is followed.

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::tokens;
use crate::tree::Tree;

/// One module, in a file of its own or inline.
struct Module {
    file: usize,
    parent: Option<usize>,
    /// Compiled for tests only.
    test: bool,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// One leaf of a `use` tree.
struct Import {
    /// The name it has here; none of a glob or of `as _`.
    name: Option<String>,
    path: Vec<String>,
    glob: bool,
    line: usize,
}

/// A path in code, or a single name that a glob may have brought.
struct Mention {
    module: usize,
    path: Vec<String>,
    line: usize,
}

/// An item that other crates can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicType {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// A crate's module tree.
pub(crate) struct Modules {
    /// The files, relative to the root of the repository; the crate's root first.
    pub(crate) files: Vec<String>,
    /// Public structs, enums, unions, traits and aliases outside of tests.
    pub(crate) public_types: Vec<PublicType>,
    all: Vec<Module>,
    mentions: Vec<Mention>,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    Item { file: usize },
}

/// Why one file needs another: the paths that say so, with their lines.
pub(crate) type Edges = BTreeMap<(usize, usize), BTreeSet<(usize, String)>>;

impl Modules {
    /// The module tree under `root`, which is `…/src/lib.rs` or `…/src/main.rs`.
    pub(crate) fn of(tree: &Tree, root: &str) -> Self {
        let mut found =
            Self { files: Vec::new(), public_types: Vec::new(), all: Vec::new(), mentions: Vec::new() };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        found.read_file(tree, root, &folder, None, false);
        found
    }

    /// Whether a file holds nothing but tests.
    pub(crate) fn is_test(&self, file: usize) -> bool {
        self.all.iter().filter(|module| module.file == file).all(|module| module.test)
    }

    /// Which file needs which, by every path in code that is compiled without tests.
    pub(crate) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        let mut add = |from: usize, targets: Vec<Target>, line: usize, path: &[String]| {
            for target in targets {
                if let Target::Item { file } = target
                    && file != from
                {
                    edges.entry((from, file)).or_default().insert((line, path.join("::")));
                }
            }
        };
        for (id, module) in self.all.iter().enumerate().filter(|(_, module)| !module.test) {
            for import in &module.imports {
                add(module.file, self.resolve(id, &import.path), import.line, &import.path);
            }
        }
        for mention in self.mentions.iter().filter(|mention| !self.all[mention.module].test) {
            let module = &self.all[mention.module];
            let targets = match mention.path.as_slice() {
                [name] if module.knows(name) => continue,
                [name] => self.through_globs(mention.module, name, &mut BTreeSet::new()),
                path => self.resolve(mention.module, path),
            };
            add(module.file, targets, mention.line, &mention.path);
        }
        edges
    }

    fn resolve(&self, module: usize, path: &[String]) -> Vec<Target> {
        self.resolve_seen(module, path, &mut BTreeSet::new())
    }

    fn resolve_seen(
        &self,
        module: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Vec<Target> {
        let mut here = Vec::new();
        for (place, segment) in path.iter().enumerate() {
            here = match (place, segment.as_str()) {
                (0, "crate") => vec![Target::Module(0)],
                (0, "self") => vec![Target::Module(module)],
                (0, "super") => self.all[module].parent.map(Target::Module).into_iter().collect(),
                (0, name) => self.look_up(module, name, seen),
                (_, "self") => here,
                (_, "super") => here
                    .iter()
                    .filter_map(|target| match target {
                        Target::Module(id) => self.all[*id].parent.map(Target::Module),
                        Target::Item { .. } => None,
                    })
                    .collect(),
                (_, name) => here
                    .iter()
                    .flat_map(|target| match target {
                        Target::Module(id) => self.look_up(*id, name, seen),
                        // A variant or an associated item stands where its type does.
                        item @ Target::Item { .. } => vec![*item],
                    })
                    .collect(),
            };
        }
        here
    }

    /// What `name` stands for inside a module: a child, an item, an import; several where name spaces differ.
    fn look_up(&self, module: usize, name: &str, seen: &mut BTreeSet<(usize, String)>) -> Vec<Target> {
        if !seen.insert((module, name.to_owned())) {
            return Vec::new();
        }
        let this = &self.all[module];
        let mut found: Vec<Target> =
            this.children.get(name).copied().map(Target::Module).into_iter().collect();
        if this.items.contains(name) {
            found.push(Target::Item { file: this.file });
        }
        for import in this.imports.iter().filter(|import| import.name.as_deref() == Some(name)) {
            found.extend(self.resolve_seen(module, &import.path, seen));
        }
        if found.is_empty() {
            found = self.through_globs(module, name, seen);
        }
        seen.remove(&(module, name.to_owned()));
        found.sort();
        found.dedup();
        found
    }

    fn through_globs(&self, module: usize, name: &str, seen: &mut BTreeSet<(usize, String)>) -> Vec<Target> {
        let mut found = Vec::new();
        for import in self.all[module].imports.iter().filter(|import| import.glob) {
            for target in self.resolve_seen(module, &import.path, seen) {
                if let Target::Module(id) = target
                    && id != module
                {
                    found.extend(self.look_up(id, name, seen));
                }
            }
        }
        found
    }

    fn add_module(&mut self, file: usize, parent: Option<usize>, test: bool) -> usize {
        self.all.push(Module {
            file,
            parent,
            test,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
        });
        self.all.len() - 1
    }

    /// Reads a file and the files of its modules; `folder` is where those lie.
    fn read_file(
        &mut self,
        tree: &Tree,
        path: &str,
        folder: &str,
        parent: Option<usize>,
        test: bool,
    ) -> Option<usize> {
        let source = tree.read(path)?;
        self.files.push(path.to_owned());
        let module = self.add_module(self.files.len() - 1, parent, test);
        reader::read(tree, tokens(source), self, module, folder);
        Some(module)
    }
}

impl Module {
    fn knows(&self, name: &str) -> bool {
        self.items.contains(name)
            || self.children.contains_key(name)
            || self.imports.iter().any(|import| import.name.as_deref() == Some(name))
    }
}

#[cfg(test)]
mod tests;
