//! The items of lists: what is numbered, lettered or bulleted, line by line or within a line.
//!
//! A bullet is one by itself. A number or letter is one by its company: `2.` after `1.`; else `3.` may be the
//! third rib and `A.` an initial.

use std::collections::{HashMap, HashSet};

use super::abbreviations::{class_of, is_classifier, is_determiner, is_ordered, is_starter};

/// Bullets wherever they stand.
const BULLETS: &str = "•‣▪●◦■□►▶➢➤✓✔☐☑❖\u{f0b7}\u{f0a7}\u{f0d8}";
/// Bullets at the beginning of a line, before a blank.
const LINE_BULLETS: &str = "-–—*·∙−";
/// Greatest number of an item.
const MOST: u32 = 99;

/// A part of a text that is split into sentences.
#[derive(Debug)]
pub(super) struct Item {
    /// What marked it.
    pub(super) marker: Option<String>,
    /// Its text, which may be of several lines later.
    pub(super) text: String,
    /// Blanks before it on its line.
    pub(super) indent: usize,
    /// Whether it is not the first of its line.
    pub(super) inline: bool,
    /// Whether it is one of several on a line, so that a semicolon or comma at its end belongs to the list.
    pub(super) listed: bool,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// `1.`
    Stop,
    /// `1)`
    Closed,
    /// `(1)`
    Bracketed,
    /// `1.)`
    StopClosed,
    /// `1°`
    Degree,
    /// `1、`
    Comma,
    /// `1:`
    Colon,
    /// `①`
    Circled,
}

/// What it is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Digits {
    Arabic,
    Small,
    Capital,
    SmallRoman,
    CapitalRoman,
}

/// A number as it may be read; letters can be read twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    form: Form,
    digits: Digits,
}

/// What a line may begin with.
struct Start {
    readings: Vec<(Kind, u32)>,
    /// Bytes, without blanks after it.
    length: usize,
}

/// The items of the lines, and what marked them.
pub(super) fn items(lines: &[&str]) -> (Vec<Item>, Vec<String>) {
    let starts: Vec<Option<Start>> = lines.iter().map(|line| start_of(line.trim_start())).collect();
    let comes_later = followed(&starts);
    let (mut items, mut markers) = (Vec::new(), Vec::new());
    let mut last: HashMap<Kind, u32> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim();
        let indent = line.chars().count() - line.trim_start().chars().count();
        let mut add = |marker: Option<&str>, text: &str, inline: bool, listed: bool| {
            markers.extend(marker.map(str::to_owned));
            let marker = marker.map(str::to_owned);
            items.push(Item { marker, text: text.trim().to_owned(), indent, inline, listed });
        };
        let lone_bullet = text.chars().next().filter(|c| LINE_BULLETS.contains(*c)).filter(|c| {
            text[c.len_utf8()..].starts_with(char::is_whitespace) && !text[c.len_utf8()..].trim().is_empty()
        });
        if text.contains(|c| BULLETS.contains(c)) && bullets(text, &mut add) {
            continue;
        }
        if let Some(bullet) = lone_bullet {
            dashes(text, bullet, &mut add);
            continue;
        }
        let accepted = starts[index].as_ref().and_then(|start| {
            let rest = text[start.length..].trim_start();
            let reading = start.readings.iter().find(|(kind, value)| {
                let before = last.get(kind).copied();
                belongs(*kind, *value, before, rest)
                    || next_comes(*kind, *value, rest, comes_later[index].contains(kind))
            });
            reading.map(|&(kind, value)| (kind, value, start.length))
        });
        match accepted {
            Some((kind, value, length)) => {
                let value = numbered(text, (kind, value, length), &mut add);
                last.insert(kind, value);
            }
            None => match lead_in(text) {
                Some((at, kind)) => {
                    add(None, &text[..at], false, false);
                    let rest = &text[at..];
                    let length = token(kind, 1).len();
                    let value = numbered(rest, (kind, 1, length), &mut |marker, text, _, listed| {
                        add(marker, text, true, listed);
                    });
                    last.insert(kind, value);
                }
                None => add(None, text, false, false),
            },
        }
    }
    (items, markers)
}

/// Adds what bullets of their own kind mark in a line; `false` if they mark nothing.
fn bullets<'a>(text: &'a str, add: &mut impl FnMut(Option<&'a str>, &'a str, bool, bool)) -> bool {
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| BULLETS.contains(*c)) {
        let free = text[..at].chars().next_back().is_none_or(char::is_whitespace);
        if free && !text[at + c.len_utf8()..].trim().is_empty() {
            places.push((at, at + c.len_utf8()));
        }
    }
    // Ticks and boxes inside a sentence may be what it speaks of.
    if places.is_empty()
        || places[0].0 > 0 && !text[places[0].0..].starts_with(['•', '‣', '▪', '●', '\u{f0b7}'])
    {
        return false;
    }
    if places[0].0 > 0 {
        add(None, &text[..places[0].0], false, false);
    }
    for (index, &(at, end)) in places.iter().enumerate() {
        let until = places.get(index + 1).map_or(text.len(), |next| next.0);
        add(Some(&text[at..end]), &text[end..until], at > 0, places.len() > 1);
    }
    true
}

/// Adds what dashes or asterisks mark in a line that begins with one: inside it they count after a final
/// mark, or where there is none at all.
fn dashes<'a>(text: &'a str, bullet: char, add: &mut impl FnMut(Option<&'a str>, &'a str, bool, bool)) {
    let after = text[bullet.len_utf8()..].trim_start();
    // A box to tick belongs to the marker.
    let ticked = ["[ ]", "[x]", "[X]"].into_iter().find(|tick| after.starts_with(tick)).map_or(0, str::len);
    let (marker, rest) = if ticked > 0 {
        text.split_at(text.len() - after.len() + ticked)
    } else {
        text.split_at(bullet.len_utf8())
    };
    let between = format!(" {bullet} ");
    let finals = |c| matches!(c, '.' | '!' | '?' | ';' | '…');
    let everywhere = !rest.contains(finals);
    let (mut from, mut pieces) = (0, Vec::new());
    for (at, _) in rest.match_indices(&between) {
        if everywhere && !rest[..at].trim().is_empty() || rest[..at].trim_end().ends_with(finals) {
            pieces.push(&rest[from..at]);
            from = at + between.len();
        }
    }
    pieces.push(&rest[from..]);
    let listed = pieces.len() > 1;
    for (index, piece) in pieces.into_iter().enumerate() {
        add(Some(marker), piece, index > 0, listed);
    }
}

/// Adds the item at the beginning of a text and those that follow it there; the number of the last one.
fn numbered<'a>(
    text: &'a str,
    (kind, first, length): (Kind, u32, usize),
    add: &mut impl FnMut(Option<&'a str>, &'a str, bool, bool),
) -> u32 {
    let (mut value, mut marker, mut from) = (first, &text[..length], length);
    let mut inline = false;
    while let Some((at, end)) = following(text, from, kind, value + 1) {
        add(Some(marker), &text[from..at], inline, true);
        (value, marker, from, inline) = (value + 1, &text[at..end], end, true);
    }
    add(Some(marker), &text[from..], inline, inline);
    value
}

/// Whether a number at the beginning of a line marks an item by itself, or after the one before it.
fn belongs(kind: Kind, value: u32, before: Option<u32>, rest: &str) -> bool {
    // Numbers may be repeated, as Markdown allows, or left out.
    let follows = before.is_some_and(|before| {
        value == before + 1
            || value >= before && kind.digits == Digits::Arabic && !is_ordered(&first_word(rest))
    });
    if follows || value != 1 {
        return follows;
    }
    match (kind.form, kind.digits) {
        (
            Form::Closed | Form::Bracketed | Form::StopClosed | Form::Circled,
            Digits::Arabic | Digits::Small,
        ) => true,
        (Form::Stop, Digits::Arabic) => {
            rest.starts_with(char::is_uppercase) && !is_ordered(&first_word(rest))
        }
        _ => false,
    }
}

/// Of each line the readings of its number that a later line goes on with.
fn followed(starts: &[Option<Start>]) -> Vec<Vec<Kind>> {
    let mut seen: HashSet<(Kind, u32)> = HashSet::new();
    let mut kinds: Vec<Vec<Kind>> = starts
        .iter()
        .rev()
        .map(|start| {
            let readings = start.as_ref().map(|start| &start.readings[..]).unwrap_or_default();
            let followed = readings.iter().filter(|(kind, value)| seen.contains(&(*kind, value + 1)));
            let followed = followed.map(|(kind, _)| *kind).collect();
            seen.extend(readings.iter().copied());
            followed
        })
        .collect();
    kinds.reverse();
    kinds
}

/// Whether the next number comes at the beginning of a later line, or later in this one.
fn next_comes(kind: Kind, value: u32, rest: &str, later: bool) -> bool {
    !(kind.form == Form::Stop && is_ordered(&first_word(rest)))
        && (later || value == 1 && following(rest, 0, kind, 2).is_some())
}

/// A list that begins inside a line: after a colon, or with `1)` where `2)` follows.
fn lead_in(text: &str) -> Option<(usize, Kind)> {
    let forms = [Form::Closed, Form::Bracketed, Form::StopClosed, Form::Stop, Form::Circled];
    let digits = [Digits::Arabic, Digits::Small, Digits::SmallRoman];
    let kinds = forms.into_iter().flat_map(|form| digits.map(|digits| Kind { form, digits }));
    kinds
        .filter_map(|kind| {
            let (at, end) = occurrence(text, 0, kind, 1, |before| {
                before.ends_with([':', '：'])
                    || kind.form == Form::Closed && kind.digits == Digits::Arabic
                    || kind.form == Form::Circled
            })?;
            following(text, end, kind, 2)?;
            (at > 0).then_some((at, kind))
        })
        .min_by_key(|(at, _)| *at)
}

/// Where the marker of the next item stands in a text, from a place on: after a final mark if there is such a
/// one.
fn following(text: &str, from: usize, kind: Kind, value: u32) -> Option<(usize, usize)> {
    let ended = |before: &str| {
        let open = before.trim_end_matches(['"', '”', '’', '»', ')', ']']);
        let word = last_word(open.trim_end_matches('.'));
        open.ends_with(['.', '!', '?', ';', ':', ',', '…', '。', '！', '？', '；', '、', '，'])
            && !(open.ends_with('.') && class_of(&word).is_some())
    };
    // Where nothing ends, what stands before must not ask for a number: `grade 2.`
    let free = |before: &str| {
        let word = last_word(before);
        let asks =
            ["and", "or", "to", "of", "in", "at", "about", "y", "e", "o", "et", "ou", "en", "oder", "bzw"];
        !word.is_empty()
            && !before.ends_with('.')
            && (kind.form != Form::Stop
                || !(is_classifier(&word)
                    || is_determiner(&word)
                    || class_of(&word).is_some()
                    || asks.contains(&word.as_str())))
    };
    occurrence(text, from, kind, value, ended).or_else(|| occurrence(text, from, kind, value, free))
}

/// The first place where a marker stands alone, and what is before it fits.
fn occurrence(
    text: &str,
    from: usize,
    kind: Kind,
    value: u32,
    fits: impl Fn(&str) -> bool,
) -> Option<(usize, usize)> {
    let token = token(kind, value);
    if token.is_empty() {
        return None;
    }
    text[from..].match_indices(&token).map(|(at, _)| (from + at, from + at + token.len())).find(
        |&(at, end)| {
            let (before, after) = (&text[from..at], &text[end..]);
            let blank =
                before.is_empty() && from > 0 || before.ends_with(char::is_whitespace) || ends_wide(before);
            let tight = matches!(
                kind.form,
                Form::Closed | Form::Bracketed | Form::StopClosed | Form::Comma | Form::Circled
            );
            let word = first_word(after.trim_start());
            let stands = after.starts_with(char::is_whitespace)
                || tight && !after.is_empty()
                || after.starts_with(char::is_uppercase) && is_starter(&word);
            blank
            && stands
            && !after.trim().is_empty()
            && !(kind.form == Form::Stop && is_ordered(&word))
            // `A. Smith saw it. B. Jones did not.`
            && !(kind.form == Form::Stop && kind.digits == Digits::Capital && !is_starter(&word))
            && fits(before.trim_end())
        },
    )
}

/// Whether a text ends with a mark that no blank follows.
fn ends_wide(text: &str) -> bool {
    text.ends_with(['。', '！', '？', '；', '，', '：'])
}

fn last_word(text: &str) -> String {
    text.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default().to_lowercase()
}

fn first_word(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
}

/// A marker as it is written; empty where it can't be.
fn token(kind: Kind, value: u32) -> String {
    let letter = |first: u8| {
        let at = u8::try_from(value).ok().filter(|v| (1..=26).contains(v)).map(|v| char::from(first + v - 1));
        at.map(String::from).unwrap_or_default()
    };
    let digits = match kind.digits {
        Digits::Arabic if kind.form == Form::Circled => {
            return (1..=20)
                .contains(&value)
                .then(|| char::from_u32(0x2460 + value - 1).map(String::from))
                .flatten()
                .unwrap_or_default();
        }
        Digits::Arabic => value.to_string(),
        Digits::Small => letter(b'a'),
        Digits::Capital => letter(b'A'),
        Digits::SmallRoman => roman(value),
        Digits::CapitalRoman => roman(value).to_uppercase(),
    };
    if digits.is_empty() {
        return digits;
    }
    match kind.form {
        Form::Stop => format!("{digits}."),
        Form::Closed => format!("{digits})"),
        Form::Bracketed => format!("({digits})"),
        Form::StopClosed => format!("{digits}.)"),
        Form::Degree => format!("{digits}°"),
        Form::Comma => format!("{digits}、"),
        Form::Colon => format!("{digits}:"),
        Form::Circled => String::new(),
    }
}

/// Up to 20; beyond it, nothing.
fn roman(value: u32) -> String {
    if !(1..=20).contains(&value) {
        return String::new();
    }
    let ones = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"];
    format!("{}{}", "x".repeat((value / 10) as usize), ones[(value % 10) as usize])
}

/// The number that a line may begin with.
fn start_of(line: &str) -> Option<Start> {
    let first = line.chars().next()?;
    if ('①'..='⑳').contains(&first) {
        let value = u32::from(first) - u32::from('①') + 1;
        let kind = Kind { form: Form::Circled, digits: Digits::Arabic };
        let length = first.len_utf8();
        return (!line[length..].trim().is_empty()).then(|| Start { readings: vec![(kind, value)], length });
    }
    let open = usize::from(first == '(');
    let rest = &line[open..];
    let digits: &str = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
    let (form, closing) = match &rest[digits.len()..] {
        after if open == 1 => (Form::Bracketed, usize::from(after.starts_with(')'))),
        after if after.starts_with(".)") => (Form::StopClosed, 2),
        after if after.starts_with('.') => (Form::Stop, 1),
        after if after.starts_with(')') => (Form::Closed, 1),
        after if after.starts_with('°') => (Form::Degree, '°'.len_utf8()),
        after if after.starts_with('、') => (Form::Comma, '、'.len_utf8()),
        after if after.starts_with(':') => (Form::Colon, 1),
        _ => return None,
    };
    if closing == 0 {
        return None;
    }
    let length = open + digits.len() + closing;
    let after = &line[length..];
    let tight = match form {
        Form::Stop => after.starts_with(char::is_uppercase),
        Form::Colon | Form::Degree => false,
        _ => true,
    };
    if after.trim().is_empty() || !(tight || after.starts_with(char::is_whitespace)) {
        return None;
    }
    // `A:` may be who says it.
    let counts = |digits: Digits| form != Form::Colon || digits == Digits::Arabic;
    let values = values(digits).into_iter().filter(|(digits, _)| counts(*digits));
    let readings: Vec<_> = values.map(|(digits, value)| (Kind { form, digits }, value)).collect();
    (!readings.is_empty()).then_some(Start { readings, length })
}

/// What digits or letters may stand for.
fn values(text: &str) -> Vec<(Digits, u32)> {
    if let Ok(number) = text.parse::<u32>() {
        // `007` and `2024` number nothing.
        let sensible = (1..=MOST).contains(&number) && !text.starts_with('0');
        return if sensible { vec![(Digits::Arabic, number)] } else { Vec::new() };
    }
    let mut values = Vec::new();
    let (small, capital) =
        (text.chars().all(|c| c.is_ascii_lowercase()), text.chars().all(|c| c.is_ascii_uppercase()));
    if let (&[letter], true) = (text.as_bytes(), small || capital) {
        let first = if small { b'a' } else { b'A' };
        values.push((if small { Digits::Small } else { Digits::Capital }, u32::from(letter - first) + 1));
    }
    if (small || capital) && !text.is_empty() {
        let lower = text.to_lowercase();
        let roman = (1..=20).find(|&value| roman(value) == lower);
        values.extend(roman.map(|v| (if small { Digits::SmallRoman } else { Digits::CapitalRoman }, v)));
    }
    values
}
