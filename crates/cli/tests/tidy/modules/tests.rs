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
    assert_eq!(with_a("#[cfg(test)] fn f<A, X>(x: B) { crate::b::make() } use crate::c::C;"), ["src/c.rs"]);
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
