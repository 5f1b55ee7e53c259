//! Reasoning given as one text becomes statements (method section 2).
//!
//! Lines first, then the items of lists in them, then sentences. What marks an item (`1.`, `b)`, `•`) says
//! nothing of the picture and is left out; nothing else is.

mod abbreviations;
mod boundaries;
mod former;
mod markers;

use crate::canonical::is_line_break;
use crate::warning::Warning;

pub use former::split_sentences as split_sentences_formerly;

use abbreviations::is_head;
use boundaries::Style;
use markers::{Item, items};

/// Most markers that a warning shows.
const SHOWN: usize = 3;
/// Characters from which on a line without a final mark may have been wrapped by a program.
const WRAPPED: usize = 50;

/// Bytes of the longest text that is looked at: no longer one can be the statements of an edit.
const LONGEST: usize = 1 << 20;

/// A text as statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitText {
    /// The statements, in order.
    pub statements: Vec<String>,
    /// What marked the items of lists, in order: no part of the statements.
    pub markers: Vec<String>,
}

impl SplitText {
    /// What a person should know of how the text at this place was split: that marks of a list were left out.
    pub fn warnings(&self, pointer: &str) -> Vec<Warning> {
        if self.markers.is_empty() {
            return Vec::new();
        }
        let shown: Vec<String> =
            self.markers.iter().take(SHOWN).map(|marker| format!("\"{marker}\"")).collect();
        let more = if self.markers.len() > SHOWN { ", …" } else { "" };
        let detail = format!(
            "the text was read as a list: its marks ({}{more}) are not part of the {} statements",
            shown.join(", "),
            self.statements.len()
        );
        vec![Warning { code: "list_marks_left_out".to_owned(), pointer: pointer.to_owned(), detail }]
    }
}

/// The statements of a text: see [`split_text`].
pub fn split_sentences(text: &str) -> Vec<String> {
    split_text(text).statements
}

/// Splits a text into statements: at line breaks, at the items of a list (marked with numbers, letters or
/// bullets, on lines of their own or within one), and at the ends of sentences by UAX #29; not at
/// abbreviations of seven languages, decimals, ordinals, dates, initials, units or semicolons. A long line
/// that goes on in small letters on the next one was wrapped, and is one. Each statement keeps its final
/// mark; white space around it goes, and so do the marks of a list. A text of more than a mebibyte is left
/// whole.
pub fn split_text(text: &str) -> SplitText {
    if text.len() > LONGEST {
        return SplitText { statements: vec![text.trim().to_owned()], markers: Vec::new() };
    }
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(is_line_break).collect();
    let style = Style { small: text.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_lowercase) };
    let (items, mut markers) = items(&lines);
    let items = unwrapped(items);
    let mut statements = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let before_list =
            item.marker.is_none() && items.get(index + 1).is_some_and(|next| next.marker.is_some());
        if let Some(head) = head_of(&item.text).filter(|_| before_list) {
            markers.insert(0, head.to_owned());
            continue;
        }
        for sentence in boundaries::sentences(&item.text, style) {
            push(&mut statements, sentence, item.listed);
        }
    }
    SplitText { statements, markers }
}

/// The text of an item that only says that reasons follow.
fn head_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let word = text.strip_suffix([':', '：'])?.trim_end();
    is_head(&word.to_lowercase()).then_some(text)
}

/// Puts lines together again that a program has wrapped.
fn unwrapped(items: Vec<Item>) -> Vec<Item> {
    let mut whole: Vec<Item> = Vec::with_capacity(items.len());
    // Of the line that the last item ends with: its characters, and the brackets that are open behind it.
    let (mut last_line, mut open) = (0, 0);
    for item in items {
        let line = item.text.chars().count();
        let brackets = item.text.matches('(').count() as i64 - item.text.matches(')').count() as i64;
        match whole.last_mut() {
            Some(before) if goes_on(before, last_line, open > 0, &item) => {
                open += brackets;
                if !before.text.ends_with('-') {
                    before.text.push(' ');
                }
                before.text.push_str(item.text.trim_start());
            }
            _ => {
                open = brackets;
                whole.push(item);
            }
        }
        last_line = line;
    }
    whole.retain(|item| !item.text.trim().is_empty());
    whole
}

/// Whether a line goes on with what the one before it, so many characters long, left unfinished, perhaps
/// within brackets.
fn goes_on(before: &Item, length: usize, open: bool, line: &Item) -> bool {
    let text = before.text.trim_end();
    let small = |text: &str| text.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
    let unfinished = !text.is_empty() && !text.ends_with(['.', '!', '?', ':', ';', '…', '。', '！', '？']);
    line.marker.is_none()
        && !line.inline
        && unfinished
        && !line.text.trim().is_empty()
        && (open
            || small(&line.text)
                && (before.marker.is_some() && line.indent > before.indent
                    || length >= WRAPPED && !small(&before.text)))
}

/// Adds a statement; a piece without letters and digits is none.
fn push(statements: &mut Vec<String>, piece: &str, listed: bool) {
    let mut piece = piece.trim();
    if listed {
        piece = piece.trim_end_matches([';', ',', '；', '，']).trim_end();
    }
    if piece.chars().any(char::is_alphanumeric) {
        statements.push(piece.to_owned());
    }
}

#[cfg(test)]
mod tests;
