//! What is wrong with a document, in this API's own words, and where.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::problem::{Problem, ProblemKind};

/// Something wrong with a document that is being read.
#[derive(Debug)]
pub(super) struct Fault {
    /// Names and indices that lead to the place, innermost first.
    path: Vec<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A value that can't be taken; told of its place by name.
    Value(String),
    /// The same, a sentence of its own.
    Said(String),
    /// The parser can't go on: its own words, of which none but the place are told.
    Syntax(String),
}

impl Fault {
    /// The place of this name must be something else than it is.
    pub(super) fn wrong(must_be: &dyn fmt::Display, is: Unexpected<'_>) -> Self {
        Self::value(format!("must be {must_be}, not {}", Word(is)))
    }

    /// The parser can't go on, as it says.
    pub(super) fn syntax(parser: &impl fmt::Display) -> Self {
        Self { path: Vec::new(), what: What::Syntax(parser.to_string()) }
    }

    /// The place must, or must not, as the predicate says, of which it is the subject.
    pub(super) fn value(predicate: String) -> Self {
        Self { path: Vec::new(), what: What::Value(predicate) }
    }

    fn of_field(field: &str, predicate: String) -> Self {
        Self::value(predicate).under(field)
    }

    /// The same, found within the value of this name or index.
    pub(super) fn under(mut self, segment: impl Into<String>) -> Self {
        self.path.push(segment.into());
        self
    }

    /// The JSON pointer (RFC 6901) of the place.
    fn pointer(&self) -> String {
        self.path.iter().rev().fold(String::new(), |mut pointer, segment| {
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
            pointer
        })
    }

    /// What the place is called in a sentence.
    fn subject(&self) -> String {
        let is_index = |segment: &String| segment.bytes().all(|byte| byte.is_ascii_digit());
        match self.path.as_slice() {
            [] => "The body".to_owned(),
            [last, list, ..] if is_index(last) && !is_index(list) => format!("An item of `{list}`"),
            [last, ..] if is_index(last) => "An item".to_owned(),
            [last, ..] => format!("`{last}`"),
        }
    }

    /// The answer to it: 422 with a pointer, or 400 with line and column; `document` is what was read.
    pub(super) fn problem(self, document: &[u8]) -> Problem {
        match &self.what {
            What::Value(predicate) => {
                Problem::invalid(self.pointer(), format!("{} {predicate}.", self.subject()))
            }
            What::Said(detail) => Problem::invalid(self.pointer(), detail.clone()),
            What::Syntax(parser) => {
                Problem::new(ProblemKind::Malformed, super::syntax::words(parser, document))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (What::Value(text) | What::Said(text) | What::Syntax(text)) = &self.what;
        f.write_str(text)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Self { path: Vec::new(), what: What::Said(said.to_string()) }
    }

    fn invalid_type(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(&format_args!("{expected}"), is)
    }

    fn invalid_value(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(&format_args!("{expected}"), is)
    }

    fn invalid_length(length: usize, _expected: &dyn Expected) -> Self {
        Self::value(format!("has {length} items, which is not how many it needs"))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::value(format!("must be {}, not `{variant}`", one_of(known)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let known = if known.is_empty() { "no field".to_owned() } else { all_of(known) };
        Self::of_field(field, format!("is not known here; there is {known}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of_field(field, "is missing".to_owned())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of_field(field, "is given twice".to_owned())
    }
}

/// What a value is, in words.
struct Word<'a>(Unexpected<'a>);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "`{value}`"),
            Unexpected::Unsigned(value) => write!(f, "{value}"),
            Unexpected::Signed(value) => write!(f, "{value}"),
            // With a point or an exponent, as it was written.
            Unexpected::Float(value) => write!(f, "{value:?}"),
            Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => f.write_str("a text"),
            Unexpected::Unit | Unexpected::Option => f.write_str("`null`"),
            Unexpected::Seq => f.write_str("a list"),
            Unexpected::Map => f.write_str("an object"),
            _ => f.write_str("what it is"),
        }
    }
}

/// `a`, `b` or `c`.
pub(super) fn one_of(names: &[&str]) -> String {
    listed(names, "or")
}

/// `a`, `b` and `c`.
pub(super) fn all_of(names: &[&str]) -> String {
    listed(names, "and")
}

fn listed(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => format!("`{}` {word} `{last}`", most.join("`, `")),
    }
}
