//! Where a sentence ends inside a line: the boundaries of UAX #29, and those after a full stop before a small
//! letter, without the ones that an abbreviation, an ordinal, a date or a bracket explains.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation as _;

use super::abbreviations::{
    Class, class_of, is_classifier, is_determiner, is_month, is_ordered, is_particle, is_starter,
};

/// Characters of a word that are looked at.
const LONGEST: usize = 64;

/// What a sentence is looked at with.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Whether the text begins its sentences with small letters.
    pub(super) small: bool,
}

/// What comes after a full stop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Small,
    Capital,
    Digit,
    /// A letter of a script without case.
    Letter,
    Symbol,
}

/// The sentences of a line, with the white space between them.
pub(super) fn sentences(line: &str, style: Style) -> Vec<&str> {
    let mut candidates: BTreeSet<usize> =
        line.split_sentence_bound_indices().map(|(start, _)| start).filter(|start| *start > 0).collect();
    candidates.extend(after_marks(line));
    let mut sentences = Vec::new();
    let mut start = 0;
    for end in candidates {
        if ends(line, end, style) {
            sentences.push(&line[start..end]);
            start = end;
        }
    }
    sentences.push(&line[start..]);
    sentences
}

/// Places after a mark, what closes behind it, and white space; or straight after a full stop before a word
/// that begins sentences.
fn after_marks(line: &str) -> Vec<usize> {
    let mut places = Vec::new();
    for (at, mark) in line.char_indices().filter(|(_, c)| is_ascii_mark(*c)) {
        let rest = &line[at + mark.len_utf8()..];
        let closed = after_closers(rest);
        let next = closed.trim_start();
        if next.len() < closed.len() {
            places.push(line.len() - next.len());
        } else if mark == '.' && rest.starts_with(char::is_uppercase) {
            places.push(line.len() - rest.len());
        }
    }
    places
}

/// What stands behind the quotes and brackets that close, French ones after their blank included.
fn after_closers(text: &str) -> &str {
    let mut rest = text.trim_start_matches(is_closer);
    while begins_closed(rest.trim_start()) {
        rest = rest.trim_start().trim_start_matches(is_closer);
    }
    rest
}

/// Whether a text begins with a French closing quote; right before a word it is a German opening one.
fn begins_closed(text: &str) -> bool {
    text.strip_prefix(['»', '›']).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

fn is_ascii_mark(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…')
}

/// Marks that end a sentence in any script: those of ASCII, and what UAX #29 broke after.
fn is_mark(c: char) -> bool {
    is_ascii_mark(c)
        || matches!(
            c,
            '。' | '！'
                | '？'
                | '｡'
                | '．'
                | '।'
                | '॥'
                | '؟'
                | '۔'
                | '‼'
                | '⁇'
                | '⁈'
                | '⁉'
                | '។'
                | '።'
                | '՞'
                | '։'
        )
}

fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '”'
            | '’'
            | '“'
            | '»'
            | '«'
            | '›'
            | '‹'
            | '」'
            | '』'
            | '）'
            | '】'
            | '》'
            | '〉'
            | '*'
    )
}

fn is_opener(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | '('
            | '['
            | '{'
            | '“'
            | '‘'
            | '„'
            | '‚'
            | '«'
            | '»'
            | '‹'
            | '›'
            | '「'
            | '『'
            | '（'
            | '¿'
            | '¡'
            | '*'
            | '_'
    )
}

/// Whether a sentence ends at this place.
fn ends(line: &str, place: usize, style: Style) -> bool {
    let (head, after) = line.split_at(place);
    let before = head.trim_end();
    let spaced = before.len() < head.len();
    let bare = before.trim_end_matches(|c: char| is_closer(c) || c.is_whitespace());
    let closed = bare.len() < before.len();
    let word_end = bare.trim_end_matches(is_mark);
    let run = &bare[word_end.len()..];
    let Some(mark) = run.chars().next() else { return false };
    if after.starts_with([',', ';', ':', ')', ']', '%', '/']) || begins_closed(after) {
        return false;
    }
    let next = next_kind(after);
    if !run.chars().all(is_ascii_mark) {
        // Full-width stops stand in numbers, too: ３．５
        return mark != '．' || spaced || next != Next::Digit;
    }
    let word = next_word(after);
    if !spaced {
        return run == "." && is_run_on(word_end, &word, after);
    }
    if run.chars().any(|c| matches!(c, '!' | '?')) {
        // `(?)` and `(!)` are remarks, and what is quoted goes on: "Why?" he asked. Names may hold a `!`.
        let goes_on = next == Next::Small && (closed || !style.small && !run.contains('?'));
        return !(goes_on || closed && word_end.ends_with('('));
    }
    if run != "." {
        return matches!(next, Next::Capital | Next::Letter);
    }
    if closed && next == Next::Small {
        return false;
    }
    full_stop_ends(word_end, after, next, &word, style)
}

/// `It is dark.The rim is round.`
fn is_run_on(before: &str, word: &str, after: &str) -> bool {
    let last = last_token(before);
    let previous = last_token(before[..before.len() - last.len()].trim_end());
    let letters = word.chars().count();
    let plain = last.chars().count() > 2
        && last.chars().all(char::is_alphabetic)
        && last.ends_with(char::is_lowercase)
        && class_of(&last.to_lowercase()).is_none();
    letters > 1
        && is_starter(word)
        && after.chars().nth(letters).is_some_and(char::is_whitespace)
        && (plain || unit_of(last, previous).is_some())
}

/// What the first letter or digit after opening marks is.
fn next_kind(after: &str) -> Next {
    let after =
        after.trim_start_matches(|c: char| is_opener(c) || matches!(c, '-' | '–' | '—') || c.is_whitespace());
    match after.chars().next() {
        Some(c) if c.is_lowercase() => Next::Small,
        Some(c) if c.is_uppercase() => Next::Capital,
        Some(c) if c.is_numeric() => Next::Digit,
        Some(c) if c.is_alphabetic() => Next::Letter,
        _ => Next::Symbol,
    }
}

/// The first word of what follows, in lower case, up to an apostrophe.
fn next_word(after: &str) -> String {
    let after = after.trim_start_matches(|c: char| is_opener(c) || c.is_whitespace());
    let end = after.find(|c: char| !(c.is_alphanumeric() || c == '-')).unwrap_or(after.len());
    after[..end].to_lowercase()
}

/// The last word before a full stop, without what opens in front of it; of a longer one its end.
fn last_token(before: &str) -> &str {
    let from = before.char_indices().rev().nth(LONGEST).map_or(0, |(at, _)| at);
    let tail = &before[from..];
    let start = tail
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace() || is_opener(*c) || matches!(c, '>' | '<' | '=' | '~' | '≈' | ','))
        .map_or(0, |(at, c)| at + c.len_utf8());
    &tail[start..]
}

/// Whether a full stop after `before` ends a sentence, where `after` begins with the word `word`.
fn full_stop_ends(before: &str, after: &str, next: Next, word: &str, style: Style) -> bool {
    let last = last_token(before);
    let earlier = before[..before.len() - last.len()].trim_end();
    let previous = last_token(earlier).to_lowercase();
    if let Some(unit) = unit_of(last, &previous) {
        return next == Next::Small && style.small || unit_ends(&unit, next, word, last.contains('/'));
    }
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        return number_ends(last, &previous, earlier, after, next, word, style);
    }
    let lower = last.to_lowercase();
    let letters = last.chars().count();
    if matches!(last, "II" | "III" | "IV" | "VI" | "VII" | "VIII" | "IX" | "XI" | "XII") {
        return !(is_ordered(word) || next == Next::Small);
    }
    if let Some(class) = known(&lower, earlier) {
        let plain = || plain_ends(last, next, style);
        return match class {
            Class::Never => false,
            Class::BeforeStarter => starts(next, word, after),
            Class::BeforeCapital => matches!(next, Next::Capital | Next::Letter),
            // `Tab. 2`, `No. A5`, `Art. IV`, `the no. is`
            Class::Number => {
                let coded =
                    word.chars().any(|c| c.is_ascii_digit()) || word.chars().all(|c| "ivxlc".contains(c));
                !(coded || after.starts_with(|c: char| c.is_ascii_digit()))
                    && (next != Next::Small || style.small)
                    && plain()
            }
            // Without a number before it, it is a word, or another abbreviation.
            Class::Unit => !(next == Next::Small && letters > 2) && plain(),
        };
    }
    if letters == 1 && last.chars().all(char::is_alphabetic) {
        return initial_ends(last, &previous, next, word);
    }
    if is_dotted(last) {
        return starts(next, word, after);
    }
    plain_ends(last, next, style)
}

/// Whether a word that begins sentences follows, and not a letter such as that of `Fig. A.`
fn starts(next: Next, word: &str, after: &str) -> bool {
    let letter = word.chars().count() == 1
        && after
            .trim_start_matches(is_opener)
            .chars()
            .nth(1)
            .is_some_and(|c| !(c.is_whitespace() || c == '\'' || c == '’'));
    next == Next::Capital && is_starter(word) && !letter
}

/// The class of a word: with the single letters before it (`z. B`), as it is, or of its last part
/// (`Mamma-Ca`, `d'env`).
fn known(lower: &str, earlier: &str) -> Option<Class> {
    let mut joined = lower.to_owned();
    let mut rest = earlier;
    // `i. d. R` is among the longest.
    for _ in 0..3 {
        let Some(stripped) = rest.strip_suffix('.') else { break };
        let letter = last_token(stripped);
        if letter.chars().count() > 2 || !letter.chars().all(char::is_alphabetic) || letter.is_empty() {
            break;
        }
        joined = format!("{}.{joined}", letter.to_lowercase());
        if let Some(class) = class_of(&joined) {
            return Some(class);
        }
        rest = stripped[..stripped.len() - letter.len()].trim_end();
    }
    if lower.chars().count() == 1 {
        return None;
    }
    let part =
        |at: &[char]| lower.rsplit_once(at).map(|(_, part)| part).filter(|part| part.chars().count() > 1);
    class_of(lower)
        .or_else(|| part(&['-', '/', '–']).and_then(class_of))
        .or_else(|| part(&['\'', '’']).and_then(class_of))
}

/// The unit that a word is: it stands after a number, or at its end (`5mm`).
fn unit_of(last: &str, previous: &str) -> Option<String> {
    let bare = last
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '–' | '/' | 'x'));
    let number = bare.len() < last.len() || previous.ends_with(|c: char| c.is_ascii_digit());
    let lower = bare.to_lowercase();
    // Before a number `mm` can't be anything else; `in` and `m` can.
    let sure = matches!(lower.as_str(), "mm" | "cm" | "ml" | "kg" | "mg");
    (class_of(&lower) == Some(Class::Unit) && !bare.is_empty() && (number || sure)).then_some(lower)
}

fn unit_ends(unit: &str, next: Next, word: &str, rate: bool) -> bool {
    let of_time = !rate
        && matches!(unit, "min" | "mins" | "sec" | "secs" | "sek" | "hrs" | "h" | "s" | "stk" | "yr" | "yrs");
    match next {
        Next::Small | Next::Symbol => false,
        Next::Capital => !of_time || is_starter(word) || word.chars().count() > 3 && unit != "min",
        Next::Digit => !of_time,
        Next::Letter => true,
    }
}

/// After a number: an ordinal, a part of a date, or the end.
fn number_ends(
    last: &str,
    previous: &str,
    earlier: &str,
    after: &str,
    next: Next,
    word: &str,
    style: Style,
) -> bool {
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let day_month = |text: &str| {
        text.split_once('.').is_some_and(|(day, month)| number(day, 1..=2) && number(month, 1..=2))
    };
    let following = after.split_whitespace().next().unwrap_or_default();
    if !number(last, 1..=2) {
        // `am 29.07. 2026`, `am 29.07. war`
        return !(day_month(last)
            && (number(following.trim_end_matches(['.', ',']), 2..=4) || next == Next::Small));
    }
    // `29. 7. 2026`
    let next_of_date = following.strip_suffix('.').is_some_and(|day| number(day, 1..=2))
        || following.split_once('.').is_some_and(|(m, year)| number(m, 1..=2) && number(year, 2..=4));
    let last_of_date = earlier.strip_suffix('.').is_some_and(|rest| number(last_token(rest), 1..=2))
        && number(following.trim_end_matches(['.', ',', ';', ':', ')']), 2..=4);
    if next_of_date || last_of_date {
        return false;
    }
    let classified = is_classifier(previous);
    match next {
        Next::Small => (style.small && !is_determiner(previous) || classified) && !is_month(word),
        Next::Capital => {
            let ordinal = is_ordered(word) || is_determiner(previous) && !is_starter(word);
            classified && !is_month(word) || !ordinal
        }
        _ => true,
    }
}

/// After a single letter: an initial, unless it names a type.
fn initial_ends(letter: &str, previous: &str, next: Next, word: &str) -> bool {
    if next != Next::Capital {
        return false;
    }
    // French `M. Le Goff`.
    is_classifier(previous) || (letter != "M" && is_starter(word) && !is_particle(word))
}

/// Letters with full stops between them, none of its parts longer than three: `i.v`, `Ph.D`, `b.i.d`.
fn is_dotted(word: &str) -> bool {
    word.contains('.')
        && word
            .split('.')
            .all(|part| (1..=3).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic))
}

/// After a word that is on no list.
fn plain_ends(word: &str, next: Next, style: Style) -> bool {
    match next {
        Next::Small if style.small => true,
        Next::Small => !is_cut(word),
        Next::Capital => !lacks_vowels(word),
        _ => true,
    }
}

/// Whether a word looks cut: it ends as no word does, or has no vowel.
fn is_cut(word: &str) -> bool {
    let lower = word.to_lowercase();
    let ending = |tail: &str| lower.ends_with(tail);
    lacks_vowels(word)
        || [
            "elca", "alca", "tr", "pr", "gr", "kr", "br", "dr", "fr", "thr", "bl", "kl", "pl", "gl", "fl",
            "spl", "chr",
        ]
        .into_iter()
        .any(ending)
}

/// Two to four small letters, no vowel among them: `Hx`, `Rgf`.
fn lacks_vowels(word: &str) -> bool {
    let letters = word.chars().count();
    (2..=4).contains(&letters)
        && word.chars().all(char::is_alphabetic)
        && word.chars().skip(1).all(char::is_lowercase)
        && word.is_ascii()
        && !word.to_lowercase().chars().any(|c| "aeiouy".contains(c))
}
