//! The modules of a crate: which file holds which, what each defines and imports, and to which file a path
//! leads when every re-export on its way is followed.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Kind, Token, tokens};
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
    modules: Vec<Module>,
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
            Self { files: Vec::new(), public_types: Vec::new(), modules: Vec::new(), mentions: Vec::new() };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        found.read_file(tree, root, &folder, None, false);
        found
    }

    /// Whether a file holds nothing but tests.
    pub(crate) fn is_test(&self, file: usize) -> bool {
        self.modules.iter().filter(|module| module.file == file).all(|module| module.test)
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
        for (id, module) in self.modules.iter().enumerate().filter(|(_, module)| !module.test) {
            for import in &module.imports {
                add(module.file, self.resolve(id, &import.path), import.line, &import.path);
            }
        }
        for mention in self.mentions.iter().filter(|mention| !self.modules[mention.module].test) {
            let module = &self.modules[mention.module];
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
                (0, "super") => self.modules[module].parent.map(Target::Module).into_iter().collect(),
                (0, name) => self.look_up(module, name, seen),
                (_, "self") => here,
                (_, "super") => here
                    .iter()
                    .filter_map(|target| match target {
                        Target::Module(id) => self.modules[*id].parent.map(Target::Module),
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
        let this = &self.modules[module];
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
        for import in self.modules[module].imports.iter().filter(|import| import.glob) {
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
        self.modules.push(Module {
            file,
            parent,
            test,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
        });
        self.modules.len() - 1
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
        Reader { tree, tokens: tokens(source), at: 0, modules: self }.module(module, folder);
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

/// Goes through the tokens of one file.
struct Reader<'a> {
    tree: &'a Tree,
    tokens: Vec<Token>,
    at: usize,
    modules: &'a mut Modules,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn ident(&self, ahead: usize) -> Option<&str> {
        self.peek(ahead).and_then(Token::ident)
    }

    fn is(&self, ahead: usize, sign: char) -> bool {
        self.peek(ahead).is_some_and(|token| token.is(sign))
    }

    fn colons(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|token| token.kind == Kind::Colons)
    }

    fn line(&self) -> usize {
        self.peek(0).map_or(0, |token| token.line)
    }

    /// Up to the end of the file or to the brace that closes the module.
    fn module(&mut self, module: usize, folder: &str) {
        let test = self.modules.modules[module].test;
        // Braces open inside the module: item names count only outside of all of them.
        let mut depth = 0;
        let mut test_next = false;
        let mut public = false;
        while let Some(token) = self.peek(0) {
            match &token.kind {
                Kind::Sign('#') => {
                    test_next |= self.attribute(module);
                    continue;
                }
                Kind::Sign('{') => depth += 1,
                Kind::Sign('}') if depth == 0 => return,
                Kind::Sign('}') => depth -= 1,
                Kind::Ident(word) => {
                    let word = word.clone();
                    let starts = self.at == 0 || !matches!(self.tokens[self.at - 1].kind, Kind::Sign('.'));
                    if word == "mod" && self.ident(1).is_some() && (self.is(2, ';') || self.is(2, '{')) {
                        self.child(module, folder, test || test_next);
                        test_next = false;
                        public = false;
                        continue;
                    }
                    if test_next && !test && word == "pub" {
                        // A module may follow, whose file is one of tests then.
                        self.visibility();
                        continue;
                    }
                    if test_next && !test {
                        self.skip_item();
                        test_next = false;
                        continue;
                    }
                    test_next = false;
                    if word == "use" && starts {
                        self.at += 1;
                        self.import(module, &[]);
                        public = false;
                        continue;
                    }
                    if word == "pub" {
                        public = !self.is(1, '(');
                    } else if depth == 0 && self.item(module, &word, public && !test) {
                        public = false;
                    }
                    if starts {
                        self.path(module);
                    }
                }
                _ if test_next && !test => {
                    self.skip_item();
                    test_next = false;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Passes `pub` or `pub(…)`.
    fn visibility(&mut self) {
        self.at += 1;
        if self.is(0, '(') {
            while self.peek(0).is_some() && !self.is(0, ')') {
                self.at += 1;
            }
            self.at += 1;
        }
    }

    /// Records the item that begins here, if one does.
    fn item(&mut self, module: usize, word: &str, public: bool) -> bool {
        let name = match word {
            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "static" => self.ident(1),
            "const" if self.ident(1).is_some_and(|next| !matches!(next, "fn" | "unsafe" | "async")) => {
                self.ident(1)
            }
            "macro_rules" if self.is(1, '!') => self.ident(2),
            _ => return false,
        };
        let name = name.filter(|name| *name != "mut" || word != "static").or_else(|| self.ident(2));
        let Some(name) = name.map(str::to_owned) else { return false };
        if public && matches!(word, "struct" | "enum" | "union" | "trait" | "type") {
            let file = self.modules.files[self.modules.modules[module].file].clone();
            self.modules.public_types.push(PublicType { name: name.clone(), file, line: self.line() });
        }
        self.modules.modules[module].items.insert(name);
        true
    }

    /// `mod name;` or `mod name { … }`.
    fn child(&mut self, module: usize, folder: &str, test: bool) {
        let name = self.ident(1).unwrap_or_default().to_owned();
        let inline = self.is(2, '{');
        self.at += 3;
        let inner = format!("{folder}/{name}");
        let child = if inline {
            let child = self.modules.add_module(self.modules.modules[module].file, Some(module), test);
            self.module(child, &inner);
            self.at += 1;
            Some(child)
        } else {
            let tree = self.tree;
            let found = self.modules.read_file(tree, &format!("{inner}.rs"), &inner, Some(module), test);
            found.or_else(|| {
                self.modules.read_file(tree, &format!("{inner}/mod.rs"), &inner, Some(module), test)
            })
        };
        if let Some(child) = child {
            self.modules.modules[module].children.insert(name, child);
        }
    }

    /// Passes an attribute; whether it is one of those that leave the next item to tests. Paths in serde's
    /// texts (`with = "crate::seconds"`) are paths.
    fn attribute(&mut self, module: usize) -> bool {
        self.at += if self.is(1, '!') { 2 } else { 1 };
        if !self.is(0, '[') {
            return false;
        }
        let from = self.at + 1;
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            if token.is('[') {
                depth += 1;
            } else if token.is(']') {
                depth -= 1;
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        let inside = self.tokens[from..self.at - 1].to_vec();
        let names: Vec<&str> = inside.iter().filter_map(Token::ident).collect();
        if names.first() == Some(&"serde") {
            for token in &inside {
                let Kind::Text(text) = &token.kind else { continue };
                let path: Vec<String> = text.split("::").map(str::to_owned).collect();
                if path.len() > 1 {
                    self.modules.mentions.push(Mention { module, path, line: token.line });
                }
            }
        }
        matches!(names.as_slice(), ["cfg", "test"] | ["cfg", "all", "test", ..])
    }

    /// Passes what an attribute spoke of: up to its semicolon, its closing brace or, of a field or a variant,
    /// its comma.
    fn skip_item(&mut self) {
        let item = self.ident(0).is_some_and(|word| {
            [
                "pub",
                "fn",
                "mod",
                "use",
                "impl",
                "struct",
                "enum",
                "const",
                "static",
                "type",
                "trait",
                "async",
                "unsafe",
                "extern",
                "let",
                "macro_rules",
            ]
            .contains(&word)
        });
        let whole =
            self.ident(0).is_some_and(|word| ["use", "const", "static", "type", "let"].contains(&word))
                && self.ident(1) != Some("fn");
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            match token.kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign('}') if depth == 0 => return,
                Kind::Sign(')' | ']' | '}') => {
                    depth -= 1;
                    if depth == 0 && token.is('}') && !whole {
                        self.at += 1;
                        return;
                    }
                }
                Kind::Sign(';') if depth == 0 => {
                    self.at += 1;
                    return;
                }
                Kind::Sign(',') if depth == 0 && !item => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// One branch of a `use` tree, behind `prefix`; stands behind its end afterwards.
    fn import(&mut self, module: usize, prefix: &[String]) {
        let line = self.line();
        let mut path = prefix.to_vec();
        if self.colons(0) {
            // A path from outside: nothing of this crate.
            path.push("::".to_owned());
            self.at += 1;
        }
        loop {
            if self.is(0, '{') {
                self.at += 1;
                while self.peek(0).is_some() && !self.is(0, '}') {
                    self.import(module, &path);
                    if self.is(0, ',') {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            }
            if self.is(0, '*') {
                self.at += 1;
                self.modules.modules[module].imports.push(Import { name: None, path, glob: true, line });
                return;
            }
            let Some(name) = self.ident(0).map(str::to_owned) else { return };
            self.at += 1;
            if name != "self" || path.is_empty() {
                path.push(name);
            }
            if self.colons(0) {
                self.at += 1;
                continue;
            }
            let mut name = path.last().cloned();
            if self.ident(0) == Some("as") {
                name = self.ident(1).filter(|name| *name != "_").map(str::to_owned);
                self.at += 2;
            }
            self.modules.modules[module].imports.push(Import { name, path, glob: false, line });
            return;
        }
    }

    /// Notes the path that begins here and stands at its last name.
    fn path(&mut self, module: usize) {
        if self.at > 0 && self.tokens[self.at - 1].kind == Kind::Colons {
            return;
        }
        let line = self.line();
        let mut path = vec![self.ident(0).unwrap_or_default().to_owned()];
        while self.colons(1) && self.ident(2).is_some() {
            path.push(self.ident(2).unwrap_or_default().to_owned());
            self.at += 2;
        }
        self.modules.mentions.push(Mention { module, path, line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that `src/a.rs` needs, when `lib.rs` and the others are as given.
    fn needs(files: &[(&str, &str)]) -> Vec<String> {
        let modules = Modules::of(&Tree::of(files), "src/lib.rs");
        let a = modules.files.iter().position(|file| file == "src/a.rs").unwrap();
        modules
            .edges()
            .into_keys()
            .filter(|(from, _)| *from == a)
            .map(|(_, to)| modules.files[to].clone())
            .collect()
    }

    fn with_a(a: &str) -> Vec<String> {
        needs(&[
            ("src/lib.rs", "mod a; mod b; mod c; pub use b::B; pub struct Root;"),
            (
                "src/b.rs",
                "pub mod deep; pub struct B; pub fn make() {} pub use deep::*; pub use crate::c::C as Sea;",
            ),
            ("src/b/deep.rs", "pub enum Deep { Down }"),
            ("src/c.rs", "pub struct C;"),
            ("src/a.rs", a),
        ])
    }

    #[test]
    fn imports_lead_to_the_file_that_defines() {
        assert_eq!(with_a("use crate::b::B;"), ["src/b.rs"]);
        assert_eq!(with_a("use crate::B;"), ["src/b.rs"], "a re-export is followed");
        assert_eq!(with_a("use super::{Root, b::{self, Sea}};"), ["src/lib.rs", "src/c.rs"]);
        assert_eq!(with_a("use crate::b::Deep;"), ["src/b/deep.rs"], "through a glob");
        assert_eq!(with_a("use super::b as bee; fn f() { bee::make() }"), ["src/b.rs"]);
        assert!(with_a("use crate::b; use std::fmt; use ::b::B;").is_empty(), "a module alone needs nothing");
    }

    #[test]
    fn paths_in_code_count_like_imports() {
        assert_eq!(with_a("fn f() -> Option<super::b::B> { None }"), ["src/b.rs"]);
        assert_eq!(with_a("const X: u8 = crate::b::Deep::Down as u8;"), ["src/b/deep.rs"]);
        assert_eq!(with_a("use super::*; fn f(x: B) {}"), ["src/b.rs"], "a glob needs what is named");
        assert_eq!(with_a("#[serde(with = \"crate::c::C\")] struct X;"), ["src/c.rs"]);
        assert!(with_a("use super::*; fn f(x: u8) { x.make() }").is_empty());
        assert!(with_a("// crate::b::B\nfn f() { g(\"crate::b::B\") }").is_empty());
    }

    #[test]
    fn what_only_tests_need_does_not_count() {
        assert!(with_a("#[cfg(test)] use crate::B; fn f() {}").is_empty());
        assert!(with_a("#[cfg(test)]\nmod tests { use crate::B; #[test] fn f() {} }").is_empty());
        assert_eq!(
            with_a("#[cfg(test)] fn f<A, X>(x: B) { crate::b::make() } use crate::c::C;"),
            ["src/c.rs"]
        );
        assert_eq!(with_a("struct S { #[cfg(test)] x: crate::b::B, y: crate::c::C }"), ["src/c.rs"]);
        assert_eq!(
            with_a("#[cfg(test)] impl X { } #[cfg(test)] const A: B = B { x: 1 }; fn f(x: super::c::C) {}"),
            ["src/c.rs"]
        );
        let files = [
            ("src/lib.rs", "mod a; #[cfg(test)] pub(crate) mod tests;"),
            ("src/a.rs", ""),
            ("src/tests.rs", "use crate::a;"),
        ];
        let modules = Modules::of(&Tree::of(&files), "src/lib.rs");
        assert!(modules.is_test(2) && !modules.is_test(1));
    }

    #[test]
    fn public_types_are_those_outside_of_tests_and_functions() {
        let source = "pub struct A; pub(crate) struct B; struct C; pub trait D { type E; } pub fn f() { pub struct G; }
            impl D for A { type E = u8; } pub type H = u8; #[cfg(test)] pub struct I; mod m { pub enum J {} }";
        let modules = Modules::of(&Tree::of(&[("src/lib.rs", source)]), "src/lib.rs");
        let names: Vec<&str> = modules.public_types.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["A", "D", "H", "J"]);
    }
}
