//! Finds modules, items, imports and paths in the tokens of one file.

use super::{Import, Mention, Modules, PublicType};
use crate::tokens::{Kind, Token};
use crate::tree::Tree;

/// Reads the tokens of a module's file into `modules`; `folder` is where the files of its modules lie.
pub(super) fn read(tree: &Tree, tokens: Vec<Token>, modules: &mut Modules, module: usize, folder: &str) {
    Reader { tree, tokens, at: 0, modules }.module(module, folder);
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
        let test = self.modules.all[module].test;
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
            let file = self.modules.files[self.modules.all[module].file].clone();
            self.modules.public_types.push(PublicType { name: name.clone(), file, line: self.line() });
        }
        self.modules.all[module].items.insert(name);
        true
    }

    /// `mod name;` or `mod name { … }`.
    fn child(&mut self, module: usize, folder: &str, test: bool) {
        let name = self.ident(1).unwrap_or_default().to_owned();
        let inline = self.is(2, '{');
        self.at += 3;
        let inner = format!("{folder}/{name}");
        let child = if inline {
            let child = self.modules.add_module(self.modules.all[module].file, Some(module), test);
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
            self.modules.all[module].children.insert(name, child);
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
                self.modules.all[module].imports.push(Import { name: None, path, glob: true, line });
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
            self.modules.all[module].imports.push(Import { name, path, glob: false, line });
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
