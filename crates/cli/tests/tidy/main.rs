//! Holds the rules of the house that no compiler checks: who may name which dependency, how long a file may
//! be, what stands in every crate, that documents speak of what is there. Works on the files of the checkout,
//! with or without git; each check is seen to fail on a small tree made up for it.
//!
//! It needs nothing but the standard library, so that it can be run in seconds before anything else compiles:
//!
//! ```sh
//! CARGO_MANIFEST_DIR=crates/cli rustc --edition 2024 --test -o target/tidy crates/cli/tests/tidy/main.rs
//! target/tidy circles --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "names of this repository, in one case")]

mod additions;
mod bodies;
mod circles;
mod comments;
mod documents;
mod layout;
mod manifests;
mod modules;
mod names;
mod sources;
mod tokens;
mod tree;

/// Fails with the places where a rule is broken.
#[track_caller]
fn fail_if_any(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// A check sees what was planted for it: one offender for each of `expected`, in order, that begins with it.
#[track_caller]
fn assert_seen(offenders: &[String], expected: &[&str]) {
    let all = offenders.len() == expected.len()
        && offenders.iter().zip(expected).all(|(offender, begin)| offender.starts_with(begin));
    assert!(all, "seen: {offenders:#?}\nexpected: {expected:#?}");
}
