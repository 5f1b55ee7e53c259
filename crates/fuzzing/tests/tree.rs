//! Memory is counted for the whole process, so that this test is one of its own.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use reasonedit_fuzzing::peak;
use reasonedit_http::json::from_slice;
use reasonedit_resilience::tree_bytes;
use serde_json::Value;

/// Shapes that take most for each byte: what is told beforehand holds, and isn't many times too much.
#[test]
fn a_tree_takes_what_is_told_of_it() {
    let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let fields: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
    for json in [
        list("0", 10_000),
        list("0", 9),
        list("[]", 10_000),
        list("[0]", 10_000),
        list("[[[[0]]]]", 3000),
        list("{}", 10_000),
        list("{\"\":0}", 10_000),
        list("{\"a\":{\"b\":{\"c\":0}}}", 3000),
        list("{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0}", 3000),
        list("\"\"", 10_000),
        list("\"a picture of a chest\"", 10_000),
        list("\"\\u00e4\\u00e4\"", 10_000),
        format!("{{{}}}", fields.join(",")),
        format!("{{\"a\":{}{}}}", "{\"a\":".repeat(120) + "0", "}".repeat(120)),
    ] {
        let taken = peak(|| from_slice::<Value>(json.as_bytes()).unwrap()) as u64;
        let told = tree_bytes(json.as_bytes());
        let shape = &json[..json.len().min(60)];
        assert!(taken <= told && told <= 8 * taken.max(2048), "{taken} of {told} told: {shape}");
    }
}
