//! Choices and right answers as published sets write them: which choice is right is said by its text, its
//! letter or its place.

use std::collections::HashSet;

use serde_json::Value;

use super::cells::text;
use crate::files::RawRecord;

/// Columns that say which answer is right, those first that are texts.
const RIGHT: [&str; 7] = [
    "answer",
    "multiple_choice_answer",
    "answer_label",
    "answer_idx",
    "answer_index",
    "correct_option",
    "label",
];
/// Names of columns that hold a choice each, by what stands before their letter.
const LETTERED: [&str; 3] = ["choice_", "option_", ""];
/// Letters that choices have.
const LETTERS: u8 = 26;

/// The right answer of a record, as far as one record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// A text: one of the choices, if there are any.
    Text(String),
    /// A number that is none of the choices and may be the place of one.
    Place(u64),
    /// Something that is no choice.
    Unlisted,
    /// The record says nothing.
    Missing,
}

/// From where the places of a whole set count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// As programs count, and as published sets do.
    FromZero,
    /// As people count.
    FromOne,
}

impl Counting {
    /// Of these places, each with how many choices there are. People's way only where the other can't be:
    /// some place is one beyond the last, and none is 0.
    pub(super) fn of(places: impl Iterator<Item = (u64, usize)> + Clone) -> Self {
        let beyond = places.clone().any(|(place, choices)| place == choices as u64);
        let mut places = places;
        let within = places.all(|(place, choices)| (1..=choices as u64).contains(&place));
        if beyond && within { Self::FromOne } else { Self::FromZero }
    }

    /// The choice at a place.
    pub(super) fn choice(self, listed: &[String], place: u64) -> Option<&String> {
        let at = match self {
            Self::FromZero => place,
            Self::FromOne => place.checked_sub(1)?,
        };
        listed.get(usize::try_from(at).ok()?).filter(|choice| !choice.is_empty())
    }
}

/// What a row says is right, of these choices as they are listed.
pub(super) fn right(row: &RawRecord, listed: &[String]) -> Right {
    let mut found = Right::Missing;
    for name in RIGHT {
        let Some(said) = text(row, &[name]) else { continue };
        match meant(listed, said) {
            Right::Unlisted => found = Right::Unlisted,
            other => return other,
        }
    }
    if let Some(place) = row.get("correct_choice_idx").and_then(Value::as_u64) {
        return Counting::FromZero
            .choice(listed, place)
            .map_or(Right::Unlisted, |choice| Right::Text(choice.clone()));
    }
    for name in ["direct_answers", "answers"] {
        // Several people's answers: the authors of A-OKVQA take the first of its direct answers, VQA's the
        // most frequent one.
        let answers = several(row.get(name));
        let said = if name == "answers" { most_frequent(&answers) } else { answers.first().cloned() };
        match said.map(|said| meant(listed, said)) {
            None => {}
            Some(Right::Unlisted) => found = Right::Unlisted,
            Some(other) => return other,
        }
    }
    found
}

/// What an answer means beside these choices: the text of one, else the letter of one, else perhaps the place
/// of one.
fn meant(listed: &[String], said: String) -> Right {
    let choices = || listed.iter().filter(|choice| !choice.is_empty());
    if choices().next().is_none() {
        return Right::Text(said);
    }
    let lower = said.to_lowercase();
    if let Some(choice) = choices().find(|choice| choice.to_lowercase() == lower) {
        return Right::Text(choice.clone());
    }
    // Where the choices are letters or numbers themselves, a letter or a number can only be one of them.
    if let Some(at) = letter(&said).filter(|_| !choices().all(|choice| letter(choice).is_some())) {
        let choice = listed.get(at).filter(|choice| !choice.is_empty());
        return choice.map_or(Right::Unlisted, |choice| Right::Text(choice.clone()));
    }
    match said.parse::<u64>() {
        Ok(place) if !choices().all(|choice| choice.parse::<f64>().is_ok()) => Right::Place(place),
        _ => Right::Unlisted,
    }
}

/// The place of a letter that stands alone, as `B`, `b`, `(B)`, `B.`, `B)` or `B:`.
fn letter(text: &str) -> Option<usize> {
    let bare = text.strip_prefix('(').unwrap_or(text);
    let bare = bare.strip_suffix([')', '.', ':']).unwrap_or(bare);
    match bare.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(usize::from(letter.to_ascii_lowercase() - b'a')),
        _ => None,
    }
}

/// The choices of a row as they are listed, empty ones too, so that a place means the same as in the set: a
/// list, an object with letters, a column for each, or a text: "a; b; c; d", lines that begin with a letter,
/// or a list as Python prints it.
pub(super) fn listed(row: &RawRecord) -> Vec<String> {
    let found = ["choices", "options"]
        .iter()
        .find_map(|name| Some(of_value(row.get(*name)?)).filter(|c| !c.is_empty()));
    let mut listed = found.unwrap_or_else(|| lettered(row));
    for choice in &mut listed {
        *choice = choice.trim().to_owned();
    }
    without_letters(listed)
}

/// The choices of a row. None twice.
pub(super) fn choices(row: &RawRecord) -> Vec<String> {
    distinct(&listed(row))
}

/// Choices without what is empty or stands there twice.
pub(super) fn distinct(listed: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    listed.iter().filter(|choice| !choice.is_empty() && seen.insert(choice.as_str())).cloned().collect()
}

fn of_value(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => of_text(text),
        Value::Array(texts) => texts.iter().map(scalar).collect(),
        Value::Object(fields) => {
            if let Some(Value::Array(texts)) = fields.get("text").or_else(|| fields.get("texts")) {
                texts.iter().map(scalar).collect()
            } else {
                let mut fields: Vec<(&String, &Value)> =
                    fields.iter().filter(|(key, _)| letter(key).is_some()).collect();
                fields.sort_by_key(|(key, _)| key.to_lowercase());
                fields.into_iter().map(|(_, value)| scalar(value)).collect()
            }
        }
        _ => Vec::new(),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}

fn of_text(text: &str) -> Vec<String> {
    let text = text.trim();
    if let Some(list) = literal(text) {
        return list;
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() > 1 || text.starts_with("(A)") {
        lines.into_iter().map(str::to_owned).collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        text.split(';').map(str::to_owned).collect()
    }
}

/// Columns with a letter each, `Choice A` or plainly `A`, from the first on.
fn lettered(row: &RawRecord) -> Vec<String> {
    for before in LETTERED {
        let columns = (0..LETTERS).map(|at| format!("{before}{}", char::from(b'a' + at)));
        let mut choices: Vec<String> = columns.map_while(|name| row.get(&name)).map(scalar).collect();
        while choices.last().is_some_and(|choice| choice.trim().is_empty()) {
            choices.pop();
        }
        if choices.len() > 1 {
            return choices;
        }
    }
    Vec::new()
}

/// Choices without their own letters, where every one begins with the one of its place.
fn without_letters(listed: Vec<String>) -> Vec<String> {
    let bare = |(at, choice): (usize, &String)| -> Option<String> {
        if choice.is_empty() {
            return Some(String::new());
        }
        let (head, rest) = choice.split_at_checked(choice.find([')', '.', ':'])? + 1)?;
        (letter(head.trim()) == Some(at)).then(|| rest.trim().to_owned())
    };
    let stripped: Option<Vec<String>> = listed.iter().enumerate().map(bare).collect();
    stripped
        .filter(|all| all.len() > 1 || listed.first().is_some_and(|one| one.starts_with("(A)")))
        .unwrap_or(listed)
}

/// A list of texts as JSON or Python prints it; `None` if it is none.
fn literal(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut item = String::new();
        let mut characters = rest.char_indices().skip(1);
        let end = loop {
            match characters.next()? {
                (at, c) if c == quote => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => item.push('\n'),
                    't' => item.push('\t'),
                    c @ ('\\' | '\'' | '"') => item.push(c),
                    // A formula: Python prints backslashes twice, others once.
                    c => item.extend(['\\', c]),
                },
                (_, c) => item.push(c),
            }
        };
        list.push(item);
        rest = rest[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(list)
}

/// Several people's answers: texts, objects with an `answer`, or a list as Python prints it.
fn several(value: Option<&Value>) -> Vec<String> {
    let texts: Vec<String> = match value {
        Some(Value::Array(all)) => all.iter().map(|one| scalar(one.get("answer").unwrap_or(one))).collect(),
        Some(Value::String(text)) => literal(text.trim()).unwrap_or_default(),
        _ => Vec::new(),
    };
    texts.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// The answer that most people gave; of several the one that was given first.
fn most_frequent(answers: &[String]) -> Option<String> {
    let count =
        |wanted: &String| answers.iter().filter(|a| a.to_lowercase() == wanted.to_lowercase()).count();
    let most = answers.iter().map(&count).max()?;
    answers.iter().find(|answer| count(answer) == most).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> RawRecord {
        serde_json::from_str(json).unwrap()
    }

    fn of(json: &str) -> (Vec<String>, Right) {
        let row = row(json);
        let listed = listed(&row);
        let right = right(&row, &listed);
        (distinct(&listed), right)
    }

    fn is(text: &str) -> Right {
        Right::Text(text.to_owned())
    }

    #[test]
    fn choices_come_in_many_forms() {
        let two = ["cat", "dog"];
        for json in [
            r#"{"choices": ["cat", " dog "]}"#,
            r#"{"choices": "cat; dog"}"#,
            r#"{"choices": "(A) cat\n(B) dog"}"#,
            r#"{"choices": "A. cat\nB. dog\n"}"#,
            r#"{"choices": ["A: cat", "B: dog"]}"#,
            r#"{"options": "['cat', \"dog\"]"}"#,
            r#"{"options": "[\"cat\", \"dog\"]"}"#,
            r#"{"options": {"B": "dog", "A": "cat"}}"#,
            r#"{"choices": {"label": ["A", "B"], "text": ["cat", "dog"]}}"#,
            r#"{"choice_a": "cat", "choice_b": "dog", "choice_c": null}"#,
            r#"{"a": "A:cat", "b": "B:dog", "c": "", "d": ""}"#,
            r#"{"option_a": "cat", "option_b": "dog"}"#,
        ] {
            assert_eq!(of(json).0, two, "{json}");
        }
        assert_eq!(of(r#"{"options": "[]"}"#).0, [""; 0]);
        assert_eq!(
            of(r#"{"options": "['it\\'s', '\\\\frac{1}{2}', '\\frac']"}"#).0,
            ["it's", r"\frac{1}{2}", r"\frac"]
        );
        // Something that only looks like a letter stays.
        assert_eq!(of(r#"{"choices": ["A: x", "C: y"]}"#).0, ["A: x", "C: y"]);
        assert_eq!(of(r#"{"choices": "[1, 2]"}"#).0, ["[1, 2]"]);
    }

    #[test]
    fn the_text_of_a_choice_wins_then_its_letter_then_its_place() {
        let with = |answer: &str| of(&format!(r#"{{"choices": ["cat", "dog", "B"], "answer": {answer}}}"#)).1;
        assert_eq!(with(r#""Dog""#), is("dog"));
        assert_eq!(with(r#""b""#), is("B"), "the text of the third");
        let with = |answer: &str| of(&format!(r#"{{"choices": ["cat", "dog"], "answer": {answer}}}"#)).1;
        for answer in [r#""B""#, r#""b""#, r#""(B)""#, r#""B.""#, r#""B)""#, r#"" B: ""#] {
            assert_eq!(with(answer), is("dog"), "{answer}");
        }
        assert_eq!(with("1"), Right::Place(1));
        assert_eq!(with(r#""1""#), Right::Place(1));
        for answer in [r#""C""#, r#""bird""#, r#""-1""#, "1.5", r#""BB""#] {
            assert_eq!(with(answer), Right::Unlisted, "{answer}");
        }
        assert_eq!(with("null"), Right::Missing);
        // Choices that are numbers or letters themselves.
        assert_eq!(of(r#"{"choices": ["2", "3"], "answer": 2}"#).1, is("2"));
        assert_eq!(of(r#"{"choices": ["2", "3"], "answer": 1}"#).1, Right::Unlisted);
        assert_eq!(of(r#"{"choices": ["X", "Y"], "answer": "B"}"#).1, Right::Unlisted);
        // An empty choice keeps its place and is none.
        assert_eq!(of(r#"{"choices": ["cat", "", "dog"], "answer": "C"}"#).1, is("dog"));
        assert_eq!(of(r#"{"choices": ["cat", "", "dog"], "answer": "B"}"#).1, Right::Unlisted);
    }

    #[test]
    fn other_columns_say_it_where_the_first_does_not() {
        let choices = r#""choices": ["cat", "dog"]"#;
        assert_eq!(of(&format!(r#"{{{choices}, "answer": "a dog", "answer_label": "B"}}"#)).1, is("dog"));
        assert_eq!(of(&format!(r#"{{{choices}, "correct_choice_idx": 1}}"#)).1, is("dog"));
        assert_eq!(of(&format!(r#"{{{choices}, "correct_choice_idx": 2}}"#)).1, Right::Unlisted);
        assert_eq!(of(r#"{"multiple_choice_answer": "net", "answers": [{"answer": "ball"}]}"#).1, is("net"));
        assert_eq!(
            of(r#"{"answers": [{"answer": "ball", "answer_id": 1}, {"answer": "net"}, {"answer": "Net"}]}"#)
                .1,
            is("net")
        );
        assert_eq!(of(r#"{"answers": ["one", "two"]}"#).1, is("one"));
        assert_eq!(of(r#"{"direct_answers": "['ski', 'snow', 'snow']"}"#).1, is("ski"));
        assert_eq!(of(r#"{"answer": 2}"#).1, is("2"), "without choices a number is what was asked for");
    }

    #[test]
    fn places_count_from_one_only_where_they_cannot_count_from_zero() {
        let of = |places: &[(u64, usize)]| Counting::of(places.iter().copied());
        assert_eq!(of(&[(1, 4), (3, 4)]), Counting::FromZero);
        assert_eq!(of(&[(0, 4), (4, 4)]), Counting::FromZero);
        assert_eq!(of(&[(1, 4), (4, 4)]), Counting::FromOne);
        assert_eq!(of(&[(1, 4), (5, 4), (4, 4)]), Counting::FromZero);
        assert_eq!(of(&[]), Counting::FromZero);
        let listed = ["a".to_owned(), "b".to_owned()];
        assert_eq!(Counting::FromOne.choice(&listed, 2), Some(&listed[1]));
        assert_eq!(Counting::FromOne.choice(&listed, 0), None);
        assert_eq!(Counting::FromZero.choice(&listed, 2), None);
    }
}
