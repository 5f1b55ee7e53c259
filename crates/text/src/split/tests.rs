use proptest::prelude::*;

use super::*;

/// A text, its statements and its marks, as a row of the table has them.
struct Case {
    row: String,
    text: String,
    statements: Vec<String>,
    markers: Vec<String>,
}

fn cases() -> Vec<Case> {
    let table = include_str!("cases.tsv").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    table
        .map(|line| {
            let (language, row) = line.split_once('\t').unwrap();
            let row = row.replace("\\n", "\n");
            let (mut said, mut markers) = (String::new(), Vec::new());
            for (index, piece) in row.split('⟦').enumerate() {
                if index == 0 {
                    said.push_str(piece);
                } else {
                    let (marker, rest) = piece.split_once('⟧').unwrap();
                    markers.push(marker.to_owned());
                    said.push_str(rest);
                }
            }
            let ended = |statement: &str| {
                // Within a list a semicolon or comma belongs to it.
                let lines: Vec<&str> = statement.trim().lines().map(str::trim).collect();
                let statement = lines.join(" ");
                let inline = markers.len() > 1 && !row.contains('\n');
                if inline { statement.trim_end_matches([';', ',']).trim_end() } else { &statement }.to_owned()
            };
            Case {
                row: format!("{language} {row}"),
                text: row.replace(['|', '⟦', '⟧'], ""),
                statements: said.split('|').map(ended).collect(),
                markers,
            }
        })
        .collect()
}

#[test]
fn what_people_write_is_split_where_they_meant() {
    let cases = cases();
    assert!(cases.len() >= 200, "{}", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let split = split_text(&case.text);
            let right = split.statements == case.statements && split.markers == case.markers;
            (!right).then(|| format!("{}\n    {:?} {:?}", case.row, split.statements, split.markers))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_list_is_told_and_a_plain_text_is_not() {
    let warnings =
        split_text("1. It is dark. 2. It is round. 3. It is big. 4. It grows.").warnings("/reasoning");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!((warning.code.as_str(), warning.pointer.as_str()), ("list_marks_left_out", "/reasoning"));
    assert_eq!(
        warning.detail,
        "the text was read as a list: its marks (\"1.\", \"2.\", \"3.\", …) are not part of the 4 statements"
    );
    assert_eq!(split_text("It is dark. It is round.").warnings("/reasoning"), []);
}

#[test]
fn line_breaks_of_every_kind_separate_statements() {
    for mark in ["\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}", "\n\n\t\n"] {
        assert_eq!(split_sentences(&format!("One{mark}  two.{mark}...")), ["One", "two."], "{mark:?}");
    }
}

#[test]
fn long_texts_take_their_time_and_no_more() {
    for piece in ["1. a ", "a. ", "• ", "(1) ", "- b ", "z. B. ", "?! ", "i. ", "a\n", "\u{200d}"] {
        let text = piece.repeat(20_000 / piece.len());
        let began = split_text(&text);
        assert!(began.statements.len() <= text.len());
    }
}

proptest! {
    #[test]
    fn loses_no_letter_but_marks_and_never_yields_nothing(text in "[\\PC\n.•()0-9ai-]{0,200}") {
        let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<Vec<char>>();
        let split = split_text(&text);
        prop_assert!(split.statements.iter().all(|p| p.chars().any(char::is_alphanumeric)));
        let sorted = |mut chars: Vec<char>| { chars.sort_unstable(); chars };
        let kept = letters(&(split.statements.concat() + &split.markers.concat()));
        prop_assert_eq!(sorted(kept), sorted(letters(&text)));
    }

    #[test]
    fn sentences_of_letters_alone_are_split_at_every_stop(words in prop::collection::vec("[A-Z][bcdg]{1,3}[aeou]{2}[st]{5}", 1..6)) {
        let text = words.join(". ");
        prop_assert_eq!(split_sentences(&text).len(), words.len());
    }
}
