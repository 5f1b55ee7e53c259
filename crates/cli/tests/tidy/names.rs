//! Public types: no two of one name in the workspace unless they are the same idea.

use std::collections::BTreeMap;

use crate::circles::roots;
use crate::modules::Modules;
use crate::tree::Tree;
use crate::{assert_seen, fail_if_any};

/// Names that several crates have, and why they are one idea.
const ONE_IDEA: [(&str, &str); 2] = [
    ("Pooling", "how states over tokens become one vector; `topology` is pure and names no layer of a model"),
    ("Result", "that of the standard library with the crate's own error"),
];

/// Names of several public types, with the places of each.
fn shared_names(tree: &Tree) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in tree.crates() {
        for root in roots(tree, folder) {
            for item in Modules::of(tree, &root).public_types {
                places.entry(item.name).or_default().push(format!("{}:{}", item.file, item.line));
            }
        }
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

#[test]
fn a_public_name_means_one_thing() {
    let shared = shared_names(Tree::checkout());
    let is = |offender: &str, name: &str| offender.split(':').next() == Some(name);
    let offenders: Vec<String> = shared
        .iter()
        .filter(|offender| !ONE_IDEA.iter().any(|(name, _)| is(offender, name)))
        .cloned()
        .collect();
    fail_if_any("public types of one name", &offenders);
    let stale: Vec<String> = ONE_IDEA
        .iter()
        .filter(|(name, _)| !shared.iter().any(|offender| is(offender, name)))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    fail_if_any("listed and no longer shared", &stale);
}

#[test]
fn a_name_given_twice_is_seen() {
    let tree = Tree::of(&[
        ("crates/one/Cargo.toml", ""),
        ("crates/one/src/lib.rs", "pub struct Row; pub(crate) struct Kind; struct Own;"),
        ("crates/group/two/Cargo.toml", ""),
        ("crates/group/two/src/lib.rs", "mod a; struct Own; pub struct Kind;"),
        ("crates/group/two/src/a.rs", "\npub enum Row {}"),
    ]);
    assert_seen(&shared_names(&tree), &["Row: crates/group/two/src/a.rs:2, crates/one/src/lib.rs:1"]);
}
