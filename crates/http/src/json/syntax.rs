//! Documents as bytes: in what characters they are written, and what is wrong where they are no JSON.

use std::borrow::Cow;

use crate::problem::{Problem, ProblemKind, Result};

/// The document as UTF-8 without a byte order mark; one that says it is UTF-16 is written anew.
///
/// # Errors
/// 400 for UTF-32, and for UTF-16 that is none or doesn't say so.
pub(super) fn plain(document: &[u8]) -> Result<Cow<'_, [u8]>> {
    let refused = |detail: &str| Err(Problem::new(ProblemKind::Malformed, detail));
    match document {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(Cow::Borrowed(rest)),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => refused("The body is UTF-32; send UTF-8."),
        [0xff, 0xfe, rest @ ..] => from_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => from_utf16(rest, u16::from_be_bytes),
        [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..] => {
            refused("The body looks like UTF-16 without a byte order mark; send UTF-8.")
        }
        other => Ok(Cow::Borrowed(other)),
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, [u8]>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text: std::result::Result<String, _> =
        char::decode_utf16(pairs.iter().map(|&pair| unit(pair))).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(Cow::Owned(text.into_bytes())),
        _ => Err(Problem::new(ProblemKind::Malformed, "The body begins as UTF-16 and is none; send UTF-8.")),
    }
}

/// What the parser says, and what a person is told instead.
const WORDS: &[(&str, &str)] = &[
    ("EOF", "it ends too early"),
    ("trailing comma", "there is a comma after the last item"),
    ("trailing characters", "something follows after its end"),
    ("key must be a string", "the name of a field has to stand in double quotes"),
    ("expected `:`", "a colon is missing after the name of a field"),
    ("expected `,`", "a comma or the closing bracket is missing"),
    (
        "control character",
        "a text holds a control character, which has to be written as an escape such as \\n",
    ),
    ("invalid escape", "a text holds an escape that there is not"),
    ("lone leading surrogate", "a text holds half of a character (\\ud800 to \\udfff alone)"),
    ("unexpected end of hex escape", "a text holds half of a character (\\ud800 to \\udfff alone)"),
    ("invalid unicode code point", "a text is not UTF-8"),
    ("invalid number", "a number is not written as JSON has it"),
    ("number out of range", "a number is too large"),
    ("recursion limit exceeded", "it is nested too deeply"),
];

/// What stands where nothing of the kind may, and what a person is told of it.
const HINTS: &[(&[u8], &str)] = &[
    (b"NaN", "JSON has no NaN"),
    (b"nan", "JSON has no NaN"),
    (b"Infinity", "JSON has no infinities"),
    (b"-Infinity", "JSON has no infinities"),
    (b"inf", "JSON has no infinities"),
    (b"'", "texts stand in double quotes"),
    (b"\xe2\x80\x9c", "texts stand in straight double quotes"),
    (b"\xe2\x80\x9d", "texts stand in straight double quotes"),
    (b"True", "JSON writes true, false and null in small letters"),
    (b"False", "JSON writes true, false and null in small letters"),
    (b"None", "JSON has null for nothing"),
    (b"undefined", "JSON has null for nothing"),
    (b"//", "JSON has no comments"),
    (b"/*", "JSON has no comments"),
    (b"#", "JSON has no comments"),
    (b"\x1f\x8b", "it looks like gzip, which the header Content-Encoding has to say"),
    (b"\x28\xb5\x2f\xfd", "it looks like zstd, which the header Content-Encoding has to say"),
    (b"--", "it looks like a form, which the header Content-Type has to say"),
];

/// What is wrong with a document that is no JSON; `parser` says it in words that are for programmers.
pub(super) fn words(parser: &str, document: &[u8]) -> String {
    let told = WORDS.iter().find(|(start, _)| parser.starts_with(start)).map(|(_, words)| *words);
    let Some((line, column)) = place(parser) else {
        return format!("The body is not JSON: {}.", told.unwrap_or("it can't be read"));
    };
    let text = document.split(|&byte| byte == b'\n').nth(line - 1).unwrap_or_default();
    // The parser counts bytes, and stands at what it didn't expect or just behind it.
    let before = &text[..(column.max(1) - 1).min(text.len())];
    let stands = |at: usize, start: &[u8]| text.get(at..).is_some_and(|rest| rest.starts_with(start));
    let hinted = HINTS.iter().find(|(start, _)| {
        stands(before.len(), start) || before.len().checked_sub(1).is_some_and(|at| stands(at, start))
    });
    let what = match (told, hinted) {
        (_, Some((_, hint))) => hint,
        (Some(told), None) => told,
        (None, None) => "something stands there that JSON doesn't have",
    };
    let column = String::from_utf8_lossy(before).chars().count() + 1;
    format!("The body is not JSON: {what} (line {line}, column {column}).")
}

/// Line and column that end the parser's words.
fn place(parser: &str) -> Option<(usize, usize)> {
    let (rest, column) = parser.rsplit_once(" column ")?;
    let (_, line) = rest.rsplit_once(" line ")?;
    Some((line.parse().ok().filter(|&line| line > 0)?, column.parse().ok()?))
}
