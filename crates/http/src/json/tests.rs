use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, json};

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Outer {
    name: String,
    #[serde(default)]
    items: Vec<Inner>,
    free: Option<Map<String, Value>>,
    flag: Option<bool>,
    seed: Option<i64>,
    ratio: Option<f64>,
    mode: Option<Mode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Inner {
    size: u32,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    VerySlow,
}

/// Words of the libraries beneath, which no client is to read.
const FOREIGN: [&str; 16] = [
    "usize",
    "u32",
    "u64",
    "i64",
    "f64",
    "struct",
    "invalid type",
    "invalid value",
    "expected",
    "sequence",
    "map",
    "variant",
    "unit",
    "EOF",
    "ident",
    "string",
];

fn refused(text: &str) -> (u16, Vec<String>, String) {
    let body = from_slice::<Outer>(text.as_bytes()).unwrap_err().body();
    for word in FOREIGN {
        assert!(!body.detail.split(|c: char| !c.is_alphanumeric()).any(|w| w == word), "{}", body.detail);
        assert!(!word.contains(' ') || !body.detail.contains(word), "{}", body.detail);
    }
    (body.status, body.errors.into_iter().map(|e| e.pointer).collect(), body.detail)
}

#[test]
fn syntax_is_400_with_a_position() {
    for (text, told) in [
        ("", "empty"),
        ("  \n", "empty"),
        ("\u{feff}", "empty"),
        ("{", "ends too early (line 1, column 1)"),
        ("{\"name\": }", "(line 1, column 10)"),
        ("nul", "ends too early"),
        ("{\"name\": \"a\"} x", "something follows after its end (line 1, column 15)"),
        ("{\"name\": \"\\ud800\"}", "half of a character"),
        ("{\"name\": \"a\", }", "comma after the last item"),
        ("{\"name\" \"a\"}", "colon"),
        ("{\"name\": \"a\" \"flag\": true}", "comma or the closing bracket"),
        ("{name: \"a\"}", "double quotes"),
        ("{'name': \"a\"}", "texts stand in double quotes"),
        ("{\"name\": \u{201c}a\u{201d}}", "straight double quotes"),
        ("{\"name\": \"a\nb\"}", "control character"),
        ("{\"name\": \"\\x\"}", "escape"),
        ("{\"ratio\": NaN}", "NaN"),
        ("{\"ratio\": -Infinity}", "infinities"),
        ("{\"ratio\": 01}", "JSON"),
        ("{\"ratio\": 1e999}", "too large"),
        ("{\"flag\": True}", "small letters"),
        ("{\"flag\": None}", "null for nothing"),
        ("{\"name\": \"a\"} // yes", "comments"),
        ("--XX\r\nContent-Disposition: form-data", "Content-Type"),
        ("{\0\"\0", "UTF-16"),
    ] {
        let (status, pointers, detail) = refused(text);
        assert_eq!((status, pointers.len()), (400, 0), "{text}: {detail}");
        assert!(detail.contains(told), "{text}: {detail}");
    }
    assert!(refused("{\"name\":\n ä}").2.contains("line 2, column 2"));
    assert!(refused("{\"name\": \"äöü\" x}").2.contains("line 1, column 16"));
    assert_eq!(refused(&"[".repeat(100_000)).0, 422, "an array where an object is needed");
    let deep = format!("{{\"name\": \"a\", \"free\": {}", "{\"a\":".repeat(100_000));
    assert!(refused(&deep).2.contains("nested too deeply"));
    let gzip = from_slice::<Outer>(b"\x1f\x8b\x08\0").unwrap_err();
    assert!(gzip.body().detail.contains("Content-Encoding"), "{gzip:?}");
    let latin = from_slice::<Outer>(b"{\"name\": \"\xff\"}").unwrap_err();
    assert_eq!((latin.status().as_u16(), latin.body().detail.contains("UTF-8")), (400, true), "{latin:?}");
}

#[test]
fn byte_order_marks_are_no_part_of_a_document() {
    let text = r#"{"name": "é𝄞"}"#;
    let utf16 = |unit: fn(u16) -> [u8; 2]| {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(unit).collect::<Vec<u8>>()
    };
    let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
    for bytes in [format!("\u{feff}{text}").into_bytes(), little.clone(), big.clone()] {
        assert_eq!(from_slice::<Outer>(&bytes).unwrap().name, "é𝄞");
    }
    for bytes in
        [&little[..little.len() - 1], &[0xff, 0xfe, 0, 0xd8], &[0xff, 0xfe, 0, 0], &[0, 0, 0xfe, 0xff]]
    {
        let problem = from_slice::<Outer>(bytes).unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        assert!(problem.body().detail.contains("UTF-8"), "{problem:?}");
    }
}

#[test]
fn wrong_fields_are_422_with_a_pointer() {
    for (text, pointer, told) in [
        ("{}", "/name", "`name` is missing."),
        ("[\"a\"]", "", "The body must be an object, not a list."),
        ("7", "", "The body must be an object, not 7."),
        (r#"{"name": 5}"#, "/name", "`name` must be a text, not 5."),
        (r#"{"name": null}"#, "/name", "`name` must be a text, not `null`."),
        (r#"{"name": "a", "other": 1}"#, "/other", "`other` is not known here; there is `name`, "),
        (r#"{"name": "a", "name": "b"}"#, "/name", "`name` is given twice."),
        (
            r#"{"name": "a", "items": [{"size": 1}, {"size": -1}]}"#,
            "/items/1/size",
            "from 0 to 4294967295, not -1.",
        ),
        (r#"{"name": "a", "items": [{"size": 1.5}]}"#, "/items/0/size", "not 1.5."),
        (r#"{"name": "a", "items": [{"size": 4294967296}]}"#, "/items/0/size", "not 4294967296."),
        (r#"{"name": "a", "items": [{"size": 1e300}]}"#, "/items/0/size", "not 1e300."),
        (r#"{"name": "a", "items": [{"size": "1"}]}"#, "/items/0/size", "not a text."),
        (r#"{"name": "a", "items": [{}]}"#, "/items/0/size", "`size` is missing."),
        (
            r#"{"name": "a", "items": [[1]]}"#,
            "/items/0",
            "An item of `items` must be an object (`size`), not a list.",
        ),
        (
            r#"{"name": "a", "items": [{"size": 1, "a/b~": 1}]}"#,
            "/items/0/a~1b~0",
            "`a/b~` is not known here",
        ),
        (r#"{"name": "a", "items": {"size": 1}}"#, "/items", "`items` must be a list, not an object."),
        (r#"{"name": "a", "free": []}"#, "/free", "`free` must be an object, not a list."),
        (r#"{"name": "a", "flag": 1}"#, "/flag", "`flag` must be `true` or `false`, not 1."),
        (r#"{"name": "a", "ratio": {}}"#, "/ratio", "`ratio` must be a number, not an object."),
        (r#"{"name": "a", "seed": 1e19}"#, "/seed", "`seed` must be a whole number, not 1e19."),
        (r#"{"name": "a", "mode": "slow"}"#, "/mode", "`mode` must be `fast` or `very_slow`, not `slow`."),
        (
            r#"{"name": "a", "mode": {"fast": null}}"#,
            "/mode",
            "`mode` must be `fast` or `very_slow`, not an object.",
        ),
        (r#"{"name": "a", "mode": 3}"#, "/mode", "`mode` must be `fast` or `very_slow`, not 3."),
    ] {
        let (status, pointers, detail) = refused(text);
        assert_eq!((status, pointers), (422, vec![pointer.to_owned()]), "{text}: {detail}");
        assert!(detail.contains(told), "{text}: {detail}");
    }
}

/// A text within a document was counted as a text when the document came.
#[test]
fn a_text_makes_no_more_than_some_thousand_values() {
    assert_eq!(from_text("{\"a\": [1, {}]}"), Some(json!({"a": [1, {}]})));
    assert_eq!(from_text("{\"a\""), None);
    let objects = |count: usize| format!("[{}]", vec!["{\"\":0}"; count].join(","));
    assert!(from_text(&objects(3000)).is_some());
    assert_eq!(from_text(&objects(6000)), None);
    assert!(from_text(&json!("x".repeat(1 << 20)).to_string()).is_some());
}

#[test]
fn whole_numbers_may_be_written_with_a_point() {
    let read = |text: &str| from_slice::<Outer>(text.as_bytes()).unwrap();
    let outer = read(
        r#"{"name": "a", "items": [{"size": 64.0}, {"size": 1e2}, {"size": -0.0}], "seed": -7.0, "ratio": 3}"#,
    );
    assert_eq!(outer.items.iter().map(|item| item.size).collect::<Vec<_>>(), [64, 100, 0]);
    assert_eq!((outer.seed, outer.ratio), (Some(-7), Some(3.0)));
    assert_eq!(read(r#"{"name": "a", "seed": 9007199254740993}"#).seed, Some(9_007_199_254_740_993));
}

#[test]
fn what_is_free_stays_as_it_was_sent() {
    let text =
        r#"{"name": "a", "free": {"x": 64.0, "y": [1, [2], {"z": null}], "x2": 1, "x2": 2}, "mode": "fast"}"#;
    let outer = from_slice::<Outer>(text.as_bytes()).unwrap();
    // A name twice: the last one counts.
    assert_eq!(Value::Object(outer.free.unwrap()), json!({"x": 64.0, "y": [1, [2], {"z": null}], "x2": 2}));
    assert_eq!(outer.mode, Some(Mode::Fast));
}

#[test]
fn forms_have_texts_for_numbers() {
    let read = |more: Value| {
        let mut form = json!({"name": "5"});
        form.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_form::<Outer>(form)
    };
    let outer = read(
        json!({"items": [{"size": "40"}, {"size": "4.0"}], "flag": "True", "seed": "-3", "ratio": "0.5"}),
    );
    let outer = outer.unwrap();
    assert_eq!(outer.items.iter().map(|item| item.size).collect::<Vec<_>>(), [40, 4]);
    assert_eq!((outer.flag, outer.seed, outer.ratio, &*outer.name), (Some(true), Some(-3), Some(0.5), "5"));
    for (field, text) in
        [("flag", "maybe"), ("seed", "1.5"), ("seed", ""), ("ratio", "nan"), ("items", "x"), ("free", "")]
    {
        let body = read(json!({field: text})).unwrap_err().body();
        assert_eq!(body.errors[0].pointer, format!("/{field}"), "{}", body.detail);
    }
}

#[test]
fn query_strings() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        limit: Option<usize>,
        q: Option<String>,
        verify: Option<bool>,
        mode: Option<Mode>,
    }
    let params: Params = from_query("limit=5&q=a%20b%2Bc&mode=very_slow").unwrap();
    assert_eq!((params.limit, params.q.as_deref()), (Some(5), Some("a b+c")));
    assert_eq!(params.mode, Some(Mode::VerySlow));
    for (query, flag) in
        [("verify=True", true), ("verify=1", true), ("verify=false&limit=50.0", false), ("verify=0", false)]
    {
        let params: Params = from_query(query).unwrap();
        assert_eq!(params.verify, Some(flag), "{query}");
        assert!(params.limit.is_none_or(|limit| limit == 50));
    }
    for (query, pointer, told) in [
        ("limit=-1", "/limit", "`limit` must be a whole number of at least 0, not `-1`."),
        ("limit=", "/limit", "not ``."),
        ("limit=1&limit=2", "/limit", "given twice"),
        ("limit=99999999999999999999", "/limit", "whole number"),
        ("lmit=1", "/lmit", "`lmit` is not known here; there is `limit`, `q`, `verify` and `mode`."),
        ("verify=maybe", "/verify", "`true` or `false`, not `maybe`"),
        ("mode=slow", "/mode", "`fast` or `very_slow`, not `slow`"),
    ] {
        let body = from_query::<Params>(query).unwrap_err().body();
        assert_eq!((body.status, &*body.errors[0].pointer), (422, pointer), "{query}");
        assert!(body.detail.contains(told), "{query}: {}", body.detail);
    }
}

proptest! {
    #[test]
    fn no_document_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), cut in any::<prop::sample::Index>()) {
        let _ = from_slice::<Outer>(&bytes);
        let text = r#"{"name": "ä", "items": [{"size": 64.0}], "free": {"x": [1, "y", null]}, "mode": "fast", "ratio": -1e-3}"#.as_bytes();
        let mut damaged = text[..cut.index(text.len())].to_vec();
        let _ = from_slice::<Outer>(&damaged);
        damaged.extend(&bytes);
        let _ = from_slice::<Outer>(&damaged);
    }
}
