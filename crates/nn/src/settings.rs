//! Settings files to structures, and what is wrong with them in words of this crate.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{NnError, Result};

/// Longest value that a message quotes, in characters.
const QUOTED: usize = 40;

/// Reads what `file` has `at` a place (empty: the whole file).
///
/// # Errors
/// [`NnError::Load`] that names the file, the field and what it has to be.
pub fn read<T: DeserializeOwned>(file: &str, at: &str, json: &Value) -> Result<T> {
    let dotted = |field: &str| match (at, field) {
        ("", field) => field.to_owned(),
        (at, "" | ".") => at.to_owned(),
        (at, field) => format!("{at}.{field}"),
    };
    if !json.is_object() {
        let what = if at.is_empty() { "it".to_owned() } else { at.to_owned() };
        let reason = if json.is_null() { "is missing" } else { "is not an object" };
        return Err(NnError::load(file, format!("{what} {reason}")));
    }
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let said = error.inner().to_string();
        let reason = match (quoted(&said, "missing field `"), said.rsplit_once("expected ")) {
            (Some(name), _) => {
                let name = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
                format!("{} is missing", dotted(&name))
            }
            (None, Some((_, wanted))) => {
                format!(
                    "{} is {}, it has to be {}",
                    dotted(&path),
                    shown(json, error.path()),
                    in_words(wanted)
                )
            }
            (None, None) => format!("{} can't be used", dotted(&path)),
        };
        NnError::load(file, reason)
    })
}

/// What stands between `before` and the next backquote.
fn quoted<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.strip_prefix(before)?.split('`').next()
}

/// The value at a path, cut where it is long.
fn shown(json: &Value, path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let value = path.iter().try_fold(json, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    });
    let text = value.map_or_else(|| "something else".into(), Value::to_string);
    if text.chars().count() <= QUOTED {
        return text;
    }
    text.chars().take(QUOTED).chain(['…']).collect()
}

/// A kind of value as people call it.
fn in_words(wanted: &str) -> &str {
    match wanted.split_whitespace().next().unwrap_or_default() {
        "usize" | "u64" | "u32" | "i64" | "integer" => "a whole number",
        "f64" | "f32" => "a number",
        "a" if wanted.starts_with("a string") => "a text",
        "a" if wanted.starts_with("a boolean") => "true or false",
        "a" if wanted.starts_with("a sequence") => "a list",
        "an" => "a list of the length that the model has",
        _ => "an object",
    }
}

/// Parses a JSON file.
///
/// # Errors
/// [`NnError::Load`] that names the file and the place in it.
pub fn json(file: &str, bytes: &[u8]) -> Result<Value> {
    // Spreadsheets and editors of Windows put a mark ahead of a text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        let reason = if is_pointer(bytes) {
            "it is the stand-in that Git LFS leaves for a file; `git lfs pull` brings the file itself"
                .to_owned()
        } else if bytes.iter().all(u8::is_ascii_whitespace) {
            "it is empty; copy it again".to_owned()
        } else if error.is_eof() {
            "it ends in the middle; copy it again".to_owned()
        } else {
            format!("it is not JSON: look at line {}, column {}", error.line(), error.column())
        };
        NnError::load(file, reason)
    })
}

/// Whether a file is what Git LFS leaves in its place.
pub fn is_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Inner {
        layers: Vec<usize>,
        section: Option<[usize; 3]>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Outer {
        width: usize,
        epsilon: f64,
        tied: bool,
        name: String,
        inner: Inner,
    }

    #[test]
    fn the_field_at_fault_is_named_in_plain_words() {
        let good = || json!({"width": 1, "epsilon": 1, "tied": true, "name": "", "inner": {"layers": [1]}});
        read::<Outer>("f.json", "part", &good()).unwrap();
        for (pointer, value, want) in [
            ("/width", json!("many"), "part.width is \"many\", it has to be a whole number"),
            ("/width", json!(-1), "part.width is -1, it has to be a whole number"),
            ("/width", json!(1.5), "part.width is 1.5, it has to be a whole number"),
            ("/epsilon", json!([]), "part.epsilon is [], it has to be a number"),
            ("/tied", json!(0), "part.tied is 0, it has to be true or false"),
            ("/name", json!(7), "part.name is 7, it has to be a text"),
            ("/inner", json!(7), "part.inner is 7, it has to be an object"),
            ("/inner/layers", json!({}), "part.inner.layers is {}, it has to be a list"),
            ("/inner/layers/0", json!("x"), "part.inner.layers[0] is \"x\", it has to be a whole number"),
            ("/inner", json!({}), "part.inner.layers is missing"),
            ("/inner", json!({"layers": [], "section": [1]}), "part.inner.section"),
        ] {
            let mut json = good();
            *json.pointer_mut(pointer).unwrap() = value;
            let error = read::<Outer>("f.json", "part", &json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot load f.json: {want}")), "{pointer}: {error}");
            assert!(!error.contains("usize") && !error.contains("invalid"), "{error}");
        }
        let error = read::<Outer>("f.json", "", &json!({})).unwrap_err().to_string();
        assert_eq!(error, "cannot load f.json: width is missing");
        for (value, want) in [(Value::Null, "part is missing"), (json!([]), "part is not an object")] {
            assert!(read::<Outer>("f.json", "part", &value).unwrap_err().to_string().ends_with(want));
        }
        let long = json!({"width": "x".repeat(900)});
        assert!(read::<Outer>("f.json", "", &long).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn broken_json_is_told_by_its_place() {
        assert_eq!(json("f", b"\xef\xbb\xbf{\"a\": 1}").unwrap()["a"], 1);
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"{\"a\": ", "ends in the middle"),
            (b"{\n \"a\": 1,\n}", "line 3, column 1"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ] {
            assert!(json("f", bytes).unwrap_err().to_string().contains(word));
        }
    }
}
