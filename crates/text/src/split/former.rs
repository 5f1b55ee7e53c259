//! How a text was split before lists were known. Requests that were sent then are recognised by it when they
//! are sent again; nothing new is split so.

/// Words that end with a full stop without ending a sentence, lower-cased and without it.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "ca", "cf", "dept", "dr", "e.g", "eq", "est", "etc", "fig", "figs", "i.e", "inc", "jr",
    "max", "min", "mr", "mrs", "ms", "no", "nos", "p", "pp", "prof", "resp", "sec", "sr", "st", "vol", "vs",
];

/// Splits a text as it once was: into sentences at `.`, `!` or `?` followed by white space, and at their
/// full-width forms; not at decimals, initials or common abbreviations. Line breaks separate sentences too.
/// Each sentence keeps its final mark; white space around it goes.
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
