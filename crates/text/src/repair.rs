//! Texts of people as they come: what is meant is read, what can't be read is named with its place.

use crate::canonical::{is_line_break, trimmed};
use crate::warning::Warning;

/// Windows-1252 from 0x80 to 0x9F, as the WHATWG has it; where the code page has nothing, the control
/// character stays.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// A character that was read as another.
struct Swap {
    /// Counted from 1 in the text as it came.
    place: usize,
    from: char,
    to: char,
}

/// Reads characters that programs put into texts by what they are there for: line breaks of word processors
/// and of pages (U+000B, U+000C, U+0085, U+2028, U+2029) as line breaks, and the control characters from
/// U+0080 to U+009F that letters of Windows-1252 became under a wrong encoding as these letters. What was
/// read otherwise is told once for each kind; at the edges of a text nobody misses it.
pub fn repair(text: &mut String, pointer: &str, warnings: &mut Vec<Warning>) {
    if !text.chars().any(is_odd) {
        return;
    }
    // U+0085 is an ellipsis of Windows-1252 among others of its kind, else the line break that it is by name.
    let windows = text.chars().any(|c| c != '\u{85}' && letter_of(c).is_some());
    let inner = trimmed(text);
    let before = text.find(inner).unwrap_or_default();
    let first = text[..before].chars().count() + 1;
    let (mut breaks, mut letters): (Vec<Swap>, Vec<Swap>) = (Vec::new(), Vec::new());
    for (offset, from) in inner.chars().enumerate() {
        let place = first + offset;
        match from {
            '\u{85}' if windows => letters.push(Swap { place, from, to: '…' }),
            c if is_odd_break(c) => breaks.push(Swap { place, from, to: '\n' }),
            c => letters.extend(letter_of(c).map(|to| Swap { place, from, to })),
        }
    }
    let swapped = text.chars().map(|c| match c {
        '\u{85}' if windows => '…',
        c if is_odd_break(c) => '\n',
        c => letter_of(c).unwrap_or(c),
    });
    *text = swapped.collect();
    for (code, swaps) in [("line_break_read", breaks), ("windows_1252_read", letters)] {
        let Some(Swap { place, from, to }) = swaps.first() else { continue };
        let meant = if *to == '\n' {
            "a line break".to_owned()
        } else {
            format!("{to} ({}), as in Windows-1252", code_point(*to))
        };
        let more = match swaps.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more of its kind"),
        };
        let detail = format!("{} at character {place} was read as {meant}{more}", code_point(*from));
        warnings.push(Warning { code: code.to_owned(), pointer: pointer.to_owned(), detail });
    }
}

/// What control characters a text has that can't be read: the first with its place, and how many there are;
/// `None` if it has none.
pub fn unreadable(text: &str) -> Option<String> {
    let mut found =
        text.chars().enumerate().filter(|(_, c)| c.is_control() && !is_line_break(*c) && *c != '\t');
    let (at, first) = found.next()?;
    let more = match found.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("{} at character {}{more}", code_point(first), at + 1))
}

/// As Unicode names it: `U+000B`.
fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

fn is_odd(c: char) -> bool {
    is_odd_break(c) || letter_of(c).is_some()
}

fn is_odd_break(c: char) -> bool {
    is_line_break(c) && !matches!(c, '\n' | '\r')
}

/// The letter of Windows-1252 whose byte a control character is.
fn letter_of(c: char) -> Option<char> {
    let at = u32::from(c).checked_sub(0x80).filter(|at| *at < 0x20)?;
    WINDOWS_1252.chars().nth(at as usize).filter(|letter| *letter != c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_read(text: &str) -> (String, Vec<(String, String)>) {
        let (mut text, mut warnings) = (text.to_owned(), Vec::new());
        repair(&mut text, "/answer", &mut warnings);
        assert!(warnings.iter().all(|warning| warning.pointer == "/answer"));
        (text, warnings.into_iter().map(|warning| (warning.code, warning.detail)).collect())
    }

    #[test]
    fn what_programs_put_into_texts_is_read_and_told() {
        for (text, read, told) in [
            ("plain\r\n\ttext", "plain\r\n\ttext", ""),
            ("border.\u{b}dark", "border.\ndark", "U+000B at character 8 was read as a line break"),
            (
                "a\u{2028}b\u{2029}c",
                "a\nb\nc",
                "U+2028 at character 2 was read as a line break, and 1 more of its kind",
            ),
            ("one\u{85}two", "one\ntwo", "U+0085 at character 4 was read as a line break"),
            ("lesion\u{92}s", "lesion’s", "U+0092 at character 7 was read as ’ (U+2019), as in Windows-1252"),
            (
                "\u{93}dark\u{85}\u{94}",
                "“dark…”",
                "U+0093 at character 1 was read as “ (U+201C), as in Windows-1252, and 2 more of its kind",
            ),
            ("  a\u{b}b", "  a\nb", "U+000B at character 4 was read as a line break"),
            // At an edge nothing is lost.
            ("page\u{c}", "page\n", ""),
            ("bell\u{7}", "bell\u{7}", ""),
        ] {
            let (now, warnings) = as_read(text);
            assert_eq!(now, read, "{text:?}");
            let details: Vec<&str> = warnings.iter().map(|(_, detail)| detail.as_str()).collect();
            assert_eq!(details.join("|"), told, "{text:?}");
        }
        let (both, warnings) = as_read("a\u{b}b\u{92}c");
        assert_eq!(both, "a\nb’c");
        let codes: Vec<&str> = warnings.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, ["line_break_read", "windows_1252_read"]);
    }

    #[test]
    fn the_code_page_has_its_holes() {
        let letters: Vec<Option<char>> = ('\u{80}'..='\u{9f}').map(letter_of).collect();
        assert_eq!(letters.iter().filter(|letter| letter.is_none()).count(), 5);
        assert_eq!((letters[0], letters[0x1f]), (Some('€'), Some('Ÿ')));
        assert_eq!((letter_of('\u{7f}'), letter_of('\u{a0}')), (None, None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(unreadable("a\tb\r\n\u{202e}c"), None);
        assert_eq!(unreadable("abc\u{7}").as_deref(), Some("U+0007 at character 4"));
        assert_eq!(unreadable("\0\u{7f}\u{9d}").as_deref(), Some("U+0000 at character 1, and 2 more"));
    }
}
