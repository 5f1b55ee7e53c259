//! Reasoning given as one text becomes statements (method section 2).

/// Words that end with a full stop without ending a sentence, lower-cased and without it.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "ca", "cf", "dept", "dr", "e.g", "eq", "est", "etc", "fig", "figs", "i.e", "inc", "jr",
    "max", "min", "mr", "mrs", "ms", "no", "nos", "p", "pp", "prof", "resp", "sec", "sr", "st", "vol", "vs",
];

/// Splits a text into sentences at `.`, `!` or `?` followed by white space, and at their full-width forms; not at decimals, initials or
/// common abbreviations. Line breaks separate sentences too. Each sentence keeps its final mark; white space around it goes.
pub fn split_sentences(text: &str) -> Vec<String> {
    text.lines().flat_map(split_line).collect()
}

fn split_line(line: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    for (position, &(offset, mark)) in chars.iter().enumerate() {
        let end = offset + mark.len_utf8();
        let next = chars.get(position + 1).map(|&(_, c)| c);
        let ends = match mark {
            '。' | '！' | '？' => true,
            '!' | '?' => next.is_none_or(char::is_whitespace),
            '.' => {
                next.is_none_or(char::is_whitespace)
                    && !(is_abbreviation(&line[start..offset])
                        && next_word_continues(&line[end..], &line[start..offset]))
            }
            // A closing quote or bracket belongs to the sentence it closes.
            '"' | '\'' | ')' | '”' | '’' => {
                let before = position.checked_sub(1).and_then(|p| chars.get(p)).map(|&(_, c)| c);
                matches!(before, Some('.' | '!' | '?')) && next.is_none_or(char::is_whitespace)
            }
            _ => false,
        };
        if ends {
            push_trimmed(&mut sentences, &line[start..end]);
            start = end;
        }
    }
    push_trimmed(&mut sentences, &line[start..]);
    sentences
}

fn push_trimmed(sentences: &mut Vec<String>, piece: &str) {
    let piece = piece.trim();
    if piece.chars().any(char::is_alphanumeric) {
        sentences.push(piece.to_owned());
    }
}

/// Whether what stands before a full stop ends in an abbreviation or an initial.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let lower = word.to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || ABBREVIATIONS.contains(&lower.as_str())
}

/// An abbreviation at the end of the text still ends its sentence; `etc.` and `al.` also do before a capital.
fn next_word_continues(rest: &str, before: &str) -> bool {
    let Some(next) = rest.trim_start().chars().next() else { return false };
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default().to_lowercase();
    let may_end = matches!(word.as_str(), "etc" | "al" | "no" | "max" | "min" | "p" | "sec" | "est");
    !(may_end && next.is_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_at_marks_followed_by_space() {
        assert_eq!(
            split_sentences("The border is irregular. Is it large? Yes! It is."),
            ["The border is irregular.", "Is it large?", "Yes!", "It is."]
        );
    }

    #[test]
    fn keeps_decimals_abbreviations_and_initials() {
        assert_eq!(
            split_sentences(
                "It measures 3.5 mm, e.g. in Fig. 2 of Dr. A. Smith. It grows approx. 0.1 mm a day."
            ),
            ["It measures 3.5 mm, e.g. in Fig. 2 of Dr. A. Smith.", "It grows approx. 0.1 mm a day."]
        );
        assert_eq!(
            split_sentences("It has dots, stripes, etc. The rim is dark."),
            ["It has dots, stripes, etc.", "The rim is dark."]
        );
        assert_eq!(
            split_sentences("The answer is no. The rim is dark."),
            ["The answer is no.", "The rim is dark."]
        );
    }

    #[test]
    fn line_breaks_quotes_and_other_scripts() {
        assert_eq!(split_sentences("One\n\n  two.  \n..."), ["One", "two."]);
        assert_eq!(
            split_sentences("She said \"it is round.\" It was."),
            ["She said \"it is round.\"", "It was."]
        );
        assert_eq!(split_sentences("边缘不规则。颜色很深。"), ["边缘不规则。", "颜色很深。"]);
    }

    proptest! {
        #[test]
        fn loses_no_letter_and_never_yields_empty(text in "\\PC{0,200}") {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let parts = split_sentences(&text);
            prop_assert!(parts.iter().all(|p| !p.trim().is_empty()));
            prop_assert_eq!(letters(&parts.concat()), letters(&text));
        }
    }
}
