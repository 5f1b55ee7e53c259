//! What every token of a vocabulary adds to a text, in bytes.

use crate::error::{PromptError, Result};
use crate::tokenizer::PromptTokenizer;

/// Stands for a space at the beginning of a word in SentencePiece's vocabularies.
const WORD_MARK: char = '\u{2581}';

/// A vocabulary in bytes.
#[derive(Clone, Debug)]
pub struct Spelling {
    /// Bytes by token id; empty for added tokens and for ids without a token: nothing that is said is made of
    /// them.
    pub tokens: Vec<Vec<u8>>,
    /// Whether a space at the very beginning of a reply is taken off when it becomes text.
    pub strips_space: bool,
}

impl Spelling {
    /// Bytes that may stand in a text (UTF-8, control characters other than tab and line ends aside) and for
    /// which there is no token of their own. Where there are none, every text can be written token by token,
    /// whatever it must look like.
    pub fn missing(&self) -> usize {
        let mut single = [false; 256];
        for token in &self.tokens {
            if let [byte] = token.as_slice() {
                single[usize::from(*byte)] = true;
            }
        }
        (0..=u8::MAX).filter(|byte| in_text(*byte) && !single[usize::from(*byte)]).count()
    }
}

/// Whether a byte occurs in texts.
fn in_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7E | 0x80..=0xBF | 0xC2..=0xF4)
}

impl PromptTokenizer {
    /// The vocabulary in bytes, for `vocabulary` logits; `None` for a kind of tokenizer whose tokens can't be
    /// spelt one by one.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
    pub fn spelling(&self, vocabulary: usize) -> Result<Option<Spelling>> {
        let decoder = serde_json::to_string(&self.full.get_decoder())
            .map_err(|e| PromptError::Tokenizer(format!("its decoder can't be read: {e}")))?;
        let spell: fn(&str) -> Option<Vec<u8>> = if decoder.contains("\"ByteLevel\"") {
            byte_level
        } else if decoder.contains("\"ByteFallback\"") {
            byte_fallback
        } else {
            return Ok(None);
        };
        let mut tokens = vec![Vec::new(); vocabulary];
        let added = self.full.get_added_tokens_decoder();
        for (text, id) in self.full.get_vocab(false) {
            if let Some(token) = tokens.get_mut(id as usize)
                && !added.contains_key(&id)
                && !self.stop_tokens.contains(&id)
            {
                *token = spell(&text).unwrap_or_default();
            }
        }
        let strips_space = self.strips_space(&tokens)?;
        Ok(Some(Spelling { tokens, strips_space }))
    }

    /// Whether a word with a space before it loses that at the beginning of a reply.
    fn strips_space(&self, tokens: &[Vec<u8>]) -> Result<bool> {
        let word = |token: &&Vec<u8>| token.len() > 1 && token[0] == b' ' && token[1..].is_ascii();
        let Some(id) = tokens.iter().position(|token| word(&token) && token[1] != b' ') else {
            return Ok(false);
        };
        Ok(!self.decode(&[id as u32])?.starts_with(' '))
    }
}

/// Bytes of a token whose characters stand for bytes.
fn byte_level(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

/// The byte that a character of a byte-level vocabulary stands for: printable ones for themselves, the others
/// for what follows U+0100 in order.
fn byte_of(c: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(c) {
        code @ 0..=0xFF => u8::try_from(code).ok().filter(|byte| printable(*byte)),
        code => (0..=u8::MAX).filter(|byte| !printable(*byte)).nth((code - 0x100) as usize),
    }
}

/// Bytes of a token of text with marks for spaces, or of a token that is one byte.
#[allow(clippy::unnecessary_wraps, reason = "stands where `byte_level` may")]
fn byte_fallback(token: &str) -> Option<Vec<u8>> {
    let byte = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match byte.filter(|digits| digits.len() == 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => Some(vec![byte]),
        None => Some(token.replace(WORD_MARK, " ").into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_byte_level_vocabularies_stand_for_all_bytes() {
        let mut bytes: Vec<u8> = (0..0x144).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=u8::MAX).collect::<Vec<_>>());
        for (c, byte) in [('Ġ', b' '), ('Ċ', b'\n'), ('a', b'a'), ('é', 0xE9), ('Ń', 0xAD)] {
            assert_eq!(byte_of(c), Some(byte), "{c}");
        }
        assert_eq!((byte_of('ń'), byte_of(' ')), (None, None));
        assert_eq!(byte_fallback("<0x0A>"), Some(b"\n".to_vec()));
        assert_eq!(byte_fallback("\u{2581}a<0x>"), Some(b" a<0x>".to_vec()));
    }
}
