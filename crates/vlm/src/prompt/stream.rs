//! Tokens to text, one at a time.

use super::PromptTokenizer;
use crate::Result;

/// Turns a growing reply into pieces of text that end at whole characters; their concatenation is what
/// [`PromptTokenizer::decode`] gives for all tokens at once.
#[derive(Clone, Debug, Default)]
pub struct TokenStream {
    tokens: Vec<u32>,
    /// Tokens before this index are only decoded again as context for the next ones.
    context: usize,
    /// Tokens before this index have been emitted.
    emitted: usize,
}

/// What decoders put in place of bytes that aren't (yet) a character.
const INCOMPLETE: char = '\u{FFFD}';

impl TokenStream {
    /// An empty reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next token; `None` while its bytes are not a whole character yet.
    ///
    /// # Errors
    /// [`crate::VlmError::Tokenizer`].
    pub fn push(&mut self, tokenizer: &PromptTokenizer, token: u32) -> Result<Option<String>> {
        self.tokens.push(token);
        let text = self.pending(tokenizer)?;
        if text.is_empty() || text.ends_with(INCOMPLETE) {
            return Ok(None);
        }
        self.advance();
        Ok(Some(text))
    }

    /// What is left when no more tokens come: unfinished characters as replacement characters.
    ///
    /// # Errors
    /// [`crate::VlmError::Tokenizer`].
    pub fn finish(&mut self, tokenizer: &PromptTokenizer) -> Result<Option<String>> {
        let text = self.pending(tokenizer)?;
        self.advance();
        Ok((!text.is_empty()).then_some(text))
    }

    fn advance(&mut self) {
        self.context = self.emitted;
        self.emitted = self.tokens.len();
    }

    fn pending(&self, tokenizer: &PromptTokenizer) -> Result<String> {
        let decode = |to: usize| {
            let tokens = &self.tokens[self.context..to];
            if self.context == 0 { tokenizer.decode(tokens) } else { tokenizer.decode_raw(tokens) }
        };
        let before = decode(self.emitted)?;
        let now = decode(self.tokens.len())?;
        Ok(now.strip_prefix(before.as_str()).map_or_else(String::new, str::to_owned))
    }
}
