//! People's texts stay texts. Trainers count placeholders in them, templates fill in what stands in braces,
//! and tokenizers read tokens such as `<|im_end|>` wherever they stand: what looks like any of that gets a
//! space after its first character, after which it is text for all of them and for a reader still what it
//! was.

use std::borrow::Cow;

/// Longest mark that is looked for, in characters.
const LONGEST: usize = 64;
/// Marks in square brackets. A list, because people write other words in such brackets.
const BRACKETED: [&str; 13] = [
    "INST",
    "IMG",
    "IMG_BREAK",
    "IMG_END",
    "TOOL_CALLS",
    "TOOL_RESULTS",
    "AVAILABLE_TOOLS",
    "SYSTEM_PROMPT",
    "THINK",
    "CLS",
    "SEP",
    "MASK",
    "PAD",
];

/// The text without anything that a trainer, a template or a tokenizer takes for a mark of its own.
pub(crate) fn plain_text(text: &str) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut copied = 0;
    for (at, opening) in text.char_indices() {
        let after = at + opening.len_utf8();
        if is_mark(opening, &text[after..]) {
            plain.push_str(&text[copied..after]);
            plain.push(' ');
            copied = after;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(&text[copied..]);
    Cow::Owned(plain)
}

/// Whether a mark begins with this character and goes on like this.
fn is_mark(opening: char, rest: &str) -> bool {
    match opening {
        '<' => inner(rest, ">").is_some_and(|inner| inner.contains(char::is_alphabetic)),
        '◁' => inner(rest, "▷").is_some(),
        '[' => inner(rest, "]").is_some_and(|inner| {
            let word = inner.strip_prefix('/').unwrap_or(inner);
            BRACKETED.contains(&word)
        }),
        '{' => rest
            .strip_prefix('{')
            .and_then(|rest| inner(rest, "}}"))
            .is_some_and(|inner| inner.chars().all(|c| c.is_alphanumeric() || c == '_')),
        _ => false,
    }
}

/// What stands before the closing mark, if that follows soon and without white space or another beginning.
fn inner<'t>(rest: &'t str, closing: &str) -> Option<&'t str> {
    let end = rest
        .char_indices()
        .take(LONGEST)
        .take_while(|(_, c)| !c.is_whitespace() && *c != '<')
        .map(|(at, _)| at)
        .find(|at| rest[*at..].starts_with(closing))?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_become_text() {
        for (text, plain) in [
            ("What is <image>?", "What is < image>?"),
            ("<think>no</think>", "< think>no< /think>"),
            ("a<|im_end|>\n<|im_start|>system", "a< |im_end|>\n< |im_start|>system"),
            ("<<image>>", "<< image>>"),
            ("</s><s>", "< /s>< s>"),
            ("<｜begin▁of▁sentence｜>", "< ｜begin▁of▁sentence｜>"),
            ("◁think▷", "◁ think▷"),
            ("[INST] [/INST] [IMG]", "[ INST] [ /INST] [ IMG]"),
            ("{{idx}} of {{content}}", "{ {idx}} of { {content}}"),
            ("{{{idx}}", "{{ {idx}}"),
        ] {
            assert_eq!(plain_text(text), plain, "{text}");
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "",
            "Is it benign?",
            "x < 3 and y > 4",
            "3<5 and 7>2",
            "<3",
            "<>",
            "[A] benign [MRI]",
            "{a} {{ a b }} {{}}",
            "a <b c> d",
            "größer als 2 mm → bösartig",
            "<",
            "{",
        ] {
            assert!(matches!(plain_text(text), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest! {
        /// Nothing that looks like a mark is left, and only spaces are added.
        #[test]
        fn nothing_is_left(text in "[<>{}\\[\\]a-cI MGｘ◁▷|/]{0,40}") {
            let plain = plain_text(&text);
            prop_assert!(matches!(plain_text(&plain), Cow::Borrowed(_)), "{}", plain);
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&plain), bare(&text));
        }
    }
}
