//! Numbers and truth values, as JSON has them and as texts of forms and query strings do.

use std::fmt;

/// What a place wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// What the visitor says itself.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number in this range, both ends included.
    Whole(i128, i128),
    /// Any number.
    Number,
    /// A text.
    Text,
    /// `null`.
    Null,
    /// A list.
    List,
    /// An object of these fields, if they are known.
    Object(&'static [&'static str]),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Most fields that are named where an object is missing.
const NAMED: usize = 4;

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("something else"),
            Self::Bool => f.write_str("`true` or `false`"),
            Self::Whole(least, most) if *most >= i128::from(i64::MAX) => match *least {
                0.. => write!(f, "a whole number of at least {least}"),
                _ => f.write_str("a whole number"),
            },
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a text"),
            Self::Null => f.write_str("`null`"),
            Self::List => f.write_str("a list"),
            Self::Object(fields) if (1..=NAMED).contains(&fields.len()) => {
                write!(f, "an object (`{}`)", fields.join("`, `"))
            }
            Self::Object(_) => f.write_str("an object"),
            Self::Word(words) => f.write_str(&super::fault::one_of(words)),
        }
    }
}

/// The whole number that a float is, if it is one.
pub(super) fn whole(value: f64) -> Option<i128> {
    // 2^64 and -2^64: beyond any range, and far within that of the result.
    let bound = 18_446_744_073_709_551_616.0;
    (value.fract() == 0.0 && value.abs() <= bound).then_some(value as i128)
}

/// A truth value as clients write it into forms and query strings.
pub(super) fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number as clients write it into forms and query strings. Not `inf` or `nan`, which the standard library
/// takes.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

/// A whole number as clients write it into forms and query strings: `5`, `5.0`, `5e0`.
pub(super) fn whole_of(text: &str) -> Option<i128> {
    text.parse().ok().or_else(|| number_of(text).and_then(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_numbers() {
        for (text, value) in [("5", 5), ("-3", -3), ("+7", 7), ("64.0", 64), ("1e2", 100), ("0.0", 0)] {
            assert_eq!(whole_of(text), Some(value), "{text}");
        }
        for text in ["", " 5", "5.5", "inf", "nan", "NaN", "0x10", "1_000", "five", "1e400", "1e39"] {
            assert_eq!(whole_of(text), None, "{text}");
        }
        assert_eq!(number_of("0.5"), Some(0.5));
        assert_eq!(number_of("infinity"), None);
    }

    #[test]
    fn texts_that_are_truth_values() {
        for (text, value) in [
            ("true", true),
            ("True", true),
            ("TRUE", true),
            ("1", true),
            ("false", false),
            ("False", false),
            ("0", false),
        ] {
            assert_eq!(bool_of(text), Some(value), "{text}");
        }
        for text in ["", "yes", "2", "true ", "t"] {
            assert_eq!(bool_of(text), None, "{text}");
        }
    }
}
