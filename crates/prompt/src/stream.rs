//! Tokens to text, one at a time.

use crate::error::Result;
use crate::tokenizer::PromptTokenizer;

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

    /// A reply that goes on behind tokens that were said before.
    pub fn behind(begun: Vec<u32>) -> Self {
        Self { context: 0, emitted: begun.len(), tokens: begun }
    }

    /// Takes the next token; `None` while its bytes are not a whole character yet.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn push(&mut self, tokenizer: &PromptTokenizer, token: u32) -> Result<Option<String>> {
        self.tokens.push(token);
        let text = self.pending(tokenizer)?;
        if text.is_empty() || text.ends_with(INCOMPLETE) {
            return Ok(None);
        }
        self.advance();
        Ok(Some(text))
    }

    /// What a token would add to the text if it came next: a replacement character where it is only a part of
    /// a character, the token's name where it adds nothing.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn peek(&self, tokenizer: &PromptTokenizer, token: u32) -> Result<String> {
        let context = &self.tokens[self.context..];
        let with: Vec<u32> = context.iter().copied().chain([token]).collect();
        let decode = |tokens: &[u32]| self.decode(tokenizer, tokens);
        let (before, now) = (decode(context)?, decode(&with)?);
        match now.strip_prefix(before.as_str()) {
            Some("") if !now.ends_with(INCOMPLETE) => Ok(tokenizer.name(token).unwrap_or_default()),
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            // It goes on with a character that earlier tokens began.
            _ => Ok(INCOMPLETE.to_string()),
        }
    }

    /// What is left when no more tokens come: unfinished characters as replacement characters.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
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
        let before = self.decode(tokenizer, &self.tokens[self.context..self.emitted])?;
        let now = self.decode(tokenizer, &self.tokens[self.context..])?;
        Ok(now.strip_prefix(before.as_str()).map_or_else(String::new, str::to_owned))
    }

    /// Text of tokens from the context on.
    fn decode(&self, tokenizer: &PromptTokenizer, tokens: &[u32]) -> Result<String> {
        if self.context == 0 { tokenizer.decode(tokens) } else { tokenizer.decode_raw(tokens) }
    }
}
