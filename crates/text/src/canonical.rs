//! When two texts are the same, whoever typed them: the forms that look alike are one text wherever texts are
//! compared.
//!
//! Nothing here changes what is stored. [`canonical`] is made for a comparison and thrown away; [`trimmed`]
//! takes off edges that nobody sees. The properties are those of the Unicode Character Database, the
//! composition is NFC (UAX #15).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, WhiteSpace};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Zero width non-joiner: in Persian and in Indic scripts it tells words apart.
const ZWNJ: char = '\u{200C}';
/// Zero width joiner: in Indic scripts and between emoji it decides what is seen.
const ZWJ: char = '\u{200D}';
/// Flags of regions are spelt behind it with characters that are invisible anywhere else.
const BLACK_FLAG: char = '\u{1F3F4}';

/// What stands between two visible characters.
#[derive(Clone, Copy, PartialEq)]
enum Gap {
    None,
    Space,
    Line,
}

/// The form in which texts are compared: composed (NFC); line breaks of whatever kind one `\n`; other white
/// space, no-break spaces and blanks among it, one space; nothing at the edges; without characters that
/// nobody sees (zero width spaces, marks of byte order and of direction, soft hyphens, variation selectors,
/// fillers). Joiners between letters or emoji stay, for there they are text, and so do embeddings and
/// overrides of direction. Case stays as it is.
///
/// Of a text of nothing visible it is empty.
pub fn canonical(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let (mut gap, mut joiner) = (Gap::None, None);
    for c in text.chars() {
        if is_line_break(c) {
            (gap, joiner) = (Gap::Line, None);
        } else if is_blank(c) {
            gap = if gap == Gap::Line { Gap::Line } else { Gap::Space };
            joiner = None;
        } else if matches!(c, ZWNJ | ZWJ) {
            if gap == Gap::None && kept.chars().next_back().is_some_and(joins) {
                joiner = Some(c);
            }
        } else if !is_ignored(c) || spells_flag(&kept, gap, c) {
            match gap {
                _ if kept.is_empty() => {}
                Gap::None => kept.extend(joiner.filter(|_| joins(c))),
                Gap::Space => kept.push(' '),
                Gap::Line => kept.push('\n'),
            }
            (gap, joiner) = (Gap::None, None);
            kept.push(c);
        }
    }
    if !is_visible(&kept) {
        return Cow::Borrowed("");
    }
    match ComposingNormalizerBorrowed::new_nfc().normalize(&kept) {
        Cow::Owned(composed) => Cow::Owned(composed),
        Cow::Borrowed(_) if kept == text => Cow::Borrowed(text),
        Cow::Borrowed(_) => Cow::Owned(kept),
    }
}

/// Whether two texts are one: their [`canonical`] forms are equal.
pub fn same(a: &str, b: &str) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// [`canonical`] in lower case and on one line: what one text is looked for in another by.
pub fn searchable(text: &str) -> String {
    canonical(text).replace('\n', " ").to_lowercase()
}

/// Whether there is something in a text that a person can see.
pub fn is_visible(text: &str) -> bool {
    text.chars().any(|c| !(is_blank(c) || c.is_control() || is_default_ignorable(c)))
}

/// A text without what nobody sees at its edges: white space, zero width spaces, fillers, byte order marks.
/// What stands at an edge and decides how the text looks (joiners, variation selectors, marks of direction)
/// stays.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| {
        is_blank(c)
            || matches!(
                c,
                '\u{AD}' | '\u{34F}' | '\u{180E}' | '\u{200B}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}'
            )
    })
}

/// Whether a character ends a line.
pub fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Printable ASCII with single spaces between words: canonical as it is, as most texts are.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|b| matches!(b, b' '..=b'~'))
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
        && !bytes.windows(2).any(|pair| pair == b"  ")
}

/// White space, and the characters that are drawn as a blank without being white space: of Braille, and the
/// fillers of Hangul.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{3164}' | '\u{FFA0}') || CodePointSetData::new::<WhiteSpace>().contains(c)
}

fn is_default_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a character counts for nothing in a comparison. Embeddings, overrides and isolates change the
/// order that is seen.
fn is_ignored(c: char) -> bool {
    is_default_ignorable(c) && !matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{E0020}'..='\u{E007F}')
}

fn spells_flag(before: &str, gap: Gap, c: char) -> bool {
    is_tag(c)
        && gap == Gap::None
        && before.chars().next_back().is_some_and(|last| last == BLACK_FLAG || is_tag(last))
}

/// Whether a joiner beside this character is text: letters, their marks, emoji and their modifiers.
fn joins(c: char) -> bool {
    use GeneralCategory::{
        EnclosingMark, LowercaseLetter, ModifierLetter, ModifierSymbol, NonspacingMark, OtherLetter,
        OtherSymbol, SpacingMark, TitlecaseLetter, UppercaseLetter,
    };
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | NonspacingMark
            | SpacingMark
            | EnclosingMark
            | OtherSymbol
            | ModifierSymbol
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_look_alike_are_one_text() {
        for (a, b) in [
            ("n\u{e6}vus caf\u{e9}", "n\u{e6}vus cafe\u{301}"),
            ("\u{c5}ngstr\u{f6}m", "\u{212b}ngstro\u{308}m"),
            ("5 mm", "5\u{a0}mm"),
            ("5 mm", "5\u{202f}mm"),
            ("5 mm", " 5\t \u{2009}mm\u{3000}"),
            ("benign", "be\u{200b}nign"),
            ("benign", "\u{feff}benign\u{2060}"),
            ("melanoma", "mela\u{ad}noma"),
            ("benign", "benign\u{200d}"),
            ("yes, it is", "yes,\u{200c} it is"),
            ("one\ntwo", "one\r\ntwo"),
            ("one\ntwo", "one \u{2028}\u{b} two"),
            ("\u{2714}", "\u{2714}\u{fe0f}"),
            ("left", "\u{200e}left\u{200f}"),
            ("a b", "a\u{2800}b"),
            ("a b", "a\u{3164}b"),
            // A filler between a base and its accent doesn't keep them apart.
            ("caf\u{e9}", "cafe\u{200b}\u{301}"),
            ("", "\u{200b}\u{fe0f}\u{3164}"),
        ] {
            assert!(same(a, b), "{a:?} {b:?}: {:?} {:?}", canonical(a), canonical(b));
        }
    }

    #[test]
    fn what_is_seen_or_counts_as_text_tells_texts_apart() {
        for (a, b) in [
            ("Benign", "benign"),
            ("a b", "ab"),
            ("one two", "one\ntwo"),
            // Persian "they want": without its non-joiner it is misspelt.
            (
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{646}\u{62f}",
                "\u{645}\u{6cc}\u{62e}\u{648}\u{627}\u{647}\u{646}\u{62f}",
            ),
            // Devanagari: a half form, and a conjunct.
            ("\u{915}\u{94d}\u{200d}\u{937}", "\u{915}\u{94d}\u{937}"),
            // A woman and a staff of Aesculapius are no physician.
            ("\u{1f469}\u{200d}\u{2695}\u{fe0f}", "\u{1f469}\u{2695}\u{fe0f}"),
            // England and Scotland.
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            ),
            ("abc", "\u{202e}abc"),
            ("1", "\u{ff11}"),
            ("5 \u{b5}m", "5 um"),
        ] {
            assert!(!same(a, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn only_what_can_be_seen_is_visible() {
        for nothing in [
            "",
            " \t\r\n",
            "\u{a0}\u{202f}\u{3000}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{3164}",
            "\u{ffa0}\u{115f}\u{1160}",
            "\u{2800}",
            "\u{fe0f}",
            "\u{e0100}\u{e0061}",
            "\u{ad}\u{34f}\u{180e}",
            "\u{200e}\u{202a}\u{202c}\u{2066}",
            "\u{7}\u{0}",
        ] {
            assert!(!is_visible(nothing), "{nothing:?}");
            assert_eq!(canonical(nothing).trim_matches(char::is_control), "", "{nothing:?}");
        }
        for something in ["a", "\u{200b}.", "\u{1f3f4}", "\u{301}", "\u{e000}"] {
            assert!(is_visible(something), "{something:?}");
        }
    }

    #[test]
    fn edges_that_nobody_sees_go() {
        for (text, left) in [
            ("\u{feff} benign \u{200b}\u{a0}", "benign"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
            ("a\u{200b}b", "a\u{200b}b"),
            ("\u{c}page\u{c}", "page"),
            ("\u{3164}\u{2800}", ""),
            ("\u{647}\u{200d}", "\u{647}\u{200d}"),
        ] {
            assert_eq!(trimmed(text), left, "{text:?}");
        }
    }

    #[test]
    fn a_plain_text_is_not_copied() {
        for text in ["It is dark.", "caf\u{e9}", ""] {
            assert!(matches!(canonical(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            ' ',
            '\u{a0}',
            '\u{200b}',
            ZWNJ,
            ZWJ,
            '\u{301}',
            '\u{fe0f}',
            '\u{2028}',
            '\n',
            'e',
            '\u{94d}',
            '\u{1f469}',
            '\u{1100}',
            '\u{1161}',
            '\u{3164}',
            '\u{e0067}',
            BLACK_FLAG,
            '\u{202e}',
            '\u{34f}',
            '\u{315}',
        ]);
        prop::collection::vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..24)
            .prop_map(|c| c.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(text in any_text()) {
            let once = canonical(&text).into_owned();
            prop_assert_eq!(canonical(&once).into_owned(), once);
        }

        #[test]
        fn decomposing_and_hiding_changes_nothing(text in any_text(), place: prop::sample::Index) {
            let nfd: String = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd().normalize(&text).into_owned();
            prop_assert_eq!(canonical(&nfd), canonical(&text));
            let mut hidden: Vec<char> = text.chars().collect();
            hidden.insert(place.index(hidden.len() + 1), '\u{200b}');
            let hidden: String = hidden.into_iter().collect();
            prop_assert!(same(&hidden, &text), "{:?}", hidden);
        }

        #[test]
        fn being_visible_is_being_something(text in any_text()) {
            prop_assert_eq!(is_visible(&text), !canonical(&text).is_empty());
        }
    }
}
