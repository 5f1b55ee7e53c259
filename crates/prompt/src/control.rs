//! Finding control tokens in a rendered template, and keeping user text from looking like one.

use std::collections::BTreeSet;

use tokenizers::AddedToken;

use crate::error::{PromptError, Result};

/// A stretch of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// An added token of the tokenizer.
    Control(u32),
    /// Ordinary text, to be encoded as one string.
    Text(String),
}

/// The added tokens of a tokenizer.
#[derive(Debug)]
pub(crate) struct ControlTokens {
    /// Longest first, as the tokenizers library matches (leftmost, then longest).
    tokens: Vec<(u32, AddedToken)>,
    /// First characters of the tokens.
    first: Vec<char>,
}

impl ControlTokens {
    pub(crate) fn new(tokens: impl IntoIterator<Item = (u32, AddedToken)>) -> Self {
        let mut tokens: Vec<_> = tokens.into_iter().filter(|(_, t)| !t.content.is_empty()).collect();
        tokens.sort_by(|a, b| b.1.content.len().cmp(&a.1.content.len()).then(a.0.cmp(&b.0)));
        let mut first: Vec<char> = tokens.iter().filter_map(|(_, t)| t.content.chars().next()).collect();
        first.sort_unstable();
        first.dedup();
        Self { tokens, first }
    }

    /// Whether the id is one that steers the model (added and special).
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.tokens.iter().any(|(i, token)| *i == id && token.special)
    }

    fn match_at(&self, text: &str, at: usize) -> Option<&(u32, AddedToken)> {
        let rest = &text[at..];
        if !rest.chars().next().is_some_and(|c| self.first.contains(&c)) {
            return None;
        }
        self.tokens.iter().find(|(_, token)| {
            rest.starts_with(&token.content)
                && (!token.single_word || {
                    let word = |c: char| c.is_alphanumeric() || c == '_';
                    !text[..at].chars().next_back().is_some_and(word)
                        && !rest[token.content.len()..].chars().next().is_some_and(word)
                })
        })
    }

    /// Cuts a rendered template at its control tokens; empty stretches of text are left out.
    pub(crate) fn split(&self, text: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while at < text.len() {
            let Some((id, token)) = self.match_at(text, at) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let before = &text[start..at];
            let before = if token.lstrip { before.trim_end() } else { before };
            if !before.is_empty() {
                segments.push(Segment::Text(before.to_owned()));
            }
            segments.push(Segment::Control(*id));
            at += token.content.len();
            if token.rstrip {
                at = text.len() - text[at..].trim_start().len();
            }
            start = at;
        }
        if start < text.len() {
            segments.push(Segment::Text(text[start..].to_owned()));
        }
        segments
    }

    /// Cuts a text after the first character of everything in it that spells an added token.
    pub(crate) fn take_apart<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for (at, c) in text.char_indices() {
            if self.match_at(text, at).is_some() {
                let cut = at + c.len_utf8();
                pieces.push(&text[start..cut]);
                start = cut;
            }
        }
        pieces.push(&text[start..]);
        pieces.retain(|p| !p.is_empty());
        pieces
    }
}

/// Stand-ins, from the private use area, for the characters that could begin a control token.
pub(crate) struct Veil {
    pairs: Vec<(char, char)>,
}

impl Veil {
    /// Chooses stand-ins that occur in none of the texts.
    pub(crate) fn new<'t>(control: &ControlTokens, texts: impl Iterator<Item = &'t str>) -> Result<Self> {
        let mut used = BTreeSet::new();
        for text in texts {
            for c in text.chars().filter(|c| ('\u{E000}'..='\u{F8FF}').contains(c)) {
                used.insert(c);
            }
        }
        let mut free = ('\u{E000}'..='\u{F8FF}').filter(|c| !used.contains(c));
        let pairs = control
            .first
            .iter()
            .map(|c| free.next().map(|stand_in| (*c, stand_in)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| PromptError::Template("the text uses up every private-use character".into()))?;
        Ok(Self { pairs })
    }

    pub(crate) fn cover(&self, text: &str) -> String {
        text.chars().map(|c| self.pairs.iter().find(|(from, _)| *from == c).map_or(c, |p| p.1)).collect()
    }

    pub(crate) fn uncover(&self, text: &str) -> String {
        text.chars().map(|c| self.pairs.iter().find(|(_, to)| *to == c).map_or(c, |p| p.0)).collect()
    }
}
