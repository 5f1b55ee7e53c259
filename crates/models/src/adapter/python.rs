//! What Python has and JSON has not: numbers that are none, and expressions with views ahead and back.

use fancy_regex::Regex;
use reasonedit_nn::settings;
use serde_json::Value;

use super::files::CONFIG;
use crate::error::{ModelError, Result};

/// How Python's `json` writes floats that are no numbers.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The settings in a file of Python's. What is no finite number becomes a text, so that it can be told by the
/// name of its setting; see [`not_finite`].
pub(super) fn json(bytes: &[u8]) -> Result<Value> {
    let written = std::str::from_utf8(bytes).map(quoted);
    Ok(settings::json(CONFIG, written.as_ref().map_or(bytes, |text| text.as_bytes()))?)
}

/// A text of JSON whose numbers that are not finite stand in quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' {
            end_of_text(rest)
        } else {
            let of_number = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            rest.find(|c| !of_number(c))
                .filter(|end| *end > 0)
                .unwrap_or_else(|| if of_number(first) { rest.len() } else { first.len_utf8() })
        };
        let (token, after) = rest.split_at(end);
        if not_finite(token).is_some() {
            quoted.extend(["\"", token, "\""]);
        } else {
            quoted.push_str(token);
        }
        rest = after;
    }
    quoted
}

/// Bytes of the text in quotes that begins here.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// What a token of JSON is to Python, if that is no finite number: NaN, ∞ or −∞.
pub(super) fn not_finite(token: &str) -> Option<f64> {
    match NO_NUMBERS.iter().position(|name| *name == token) {
        Some(0) => Some(f64::NAN),
        Some(1) => Some(f64::INFINITY),
        Some(_) => Some(f64::NEG_INFINITY),
        // Above the greatest float: infinite.
        None => {
            let number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
            token.parse().ok().filter(|value: &f64| number && value.is_infinite())
        }
    }
}

/// A number as Python computes with it: `true` is 1.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(token) => not_finite(token),
        other => other.as_f64(),
    }
}

/// Whether a condition holds with this value in Python.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(_) => number(value) != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// An expression of Python's, which has to fit a whole text between `before` and `after`.
///
/// # Errors
/// [`ModelError::load`] with the setting's name for one that can't be read.
pub(super) fn expression(setting: &str, written: &str, before: &str, after: &str) -> Result<Regex> {
    Regex::new(&format!("^{before}(?:{written}){after}$")).map_err(|_| {
        ModelError::load(CONFIG, format!("{setting} has the expression {written:?}, which can't be read"))
    })
}

/// Whether an expression fits.
///
/// # Errors
/// [`ModelError::load`] for one that takes too long.
pub(super) fn fits(expression: &Regex, text: &str) -> Result<bool> {
    expression.is_match(text).map_err(|error| ModelError::load(CONFIG, format!("{expression}: {error}")))
}

/// The refusal of a setting that PEFT could not use either.
pub(super) fn wrong(name: &str, value: &Value, wanted: &str) -> ModelError {
    ModelError::load(CONFIG, format!("{name} is {}; wanted is {wanted}", shown(value)))
}

/// A value as the file has it.
pub(super) fn shown(value: &Value) -> String {
    match value.as_str() {
        Some(token) if not_finite(token).is_some() => token.to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    #[test]
    fn numbers_that_are_none_are_told_from_texts() {
        let read =
            json(br#"{"a": NaN, "b": [-Infinity,1e999,-1.8e308], "c": "NaN, \"Infinity", "d": 1.7e308}"#);
        let want = value!({
            "a": "NaN", "b": ["-Infinity", "1e999", "-1.8e308"], "c": "NaN, \"Infinity", "d": 1.7e308,
        });
        assert_eq!(read.unwrap(), want);
        assert!(json(b"{\"a\": nan}").is_err() && json(b"{\"a\": \"NaN").is_err() && json(b"\xff").is_err());
        assert_eq!(number(&value!("1e999")), Some(f64::INFINITY));
        assert!(number(&value!("NaN")).unwrap().is_nan());
        assert_eq!([value!("3"), value!("inf"), value!(null)].map(|v| number(&v)), [None; 3]);
    }

    #[test]
    fn conditions_hold_as_in_python() {
        for held in [value!(1), value!("no"), value!([0]), value!({"a": 0}), value!(true), value!(0.5)] {
            assert!(is_true(&held), "{held}");
        }
        for not in [value!(0), value!(0.0), value!(""), value!([]), value!({}), value!(false), value!(null)] {
            assert!(!is_true(&not), "{not}");
        }
    }

    #[test]
    fn expressions_fit_whole_texts_and_may_look_ahead() {
        let fitting = |written: &str, text: &str| {
            fits(&expression("target_modules", written, "", "").unwrap(), text).unwrap()
        };
        assert!(fitting(
            r"^model\.language_model(?=\.).*\.(q_proj|v_proj)$",
            "model.language_model.layers.0.q_proj"
        ));
        assert!(!fitting(r"(?!.*visual).*q_proj", "model.visual.q_proj"));
        assert!(!fitting("q_proj", "model.q_proj") && fitting("a|bc", "bc") && !fitting("a|bc", "abc"));
        let error = expression("target_modules", "(", "", "").unwrap_err().to_string();
        assert!(error.contains(CONFIG) && error.contains("target_modules"), "{error}");
    }
}
