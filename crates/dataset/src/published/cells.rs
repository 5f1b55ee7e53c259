//! What stands in the cells of a row.

use serde_json::Value;

use crate::files::RawRecord;

/// The first of these columns that holds a text that is not empty, or a number; without outer space.
pub(super) fn text(row: &RawRecord, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match row.get(*name)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Texts that are not empty, without outer space; one text is cut by `cut`.
pub(super) fn parts(value: Option<&Value>, cut: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let parts = match value {
        Some(Value::String(text)) => cut(text),
        Some(Value::Array(texts)) => {
            texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// An answer as it stands among the choices, where it differs from one of them in nothing but case.
pub(super) fn among(choices: &[String], answer: String) -> String {
    let same = |choice: &&String| choice.to_lowercase() == answer.to_lowercase();
    choices.iter().find(same).cloned().unwrap_or(answer)
}
