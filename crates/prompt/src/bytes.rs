//! Tokens that stand for single bytes (SentencePiece's `byte_fallback`): how a run of them becomes text.

use tokenizers::{Decoder, Tokenizer};

use crate::error::{PromptError, Result};

/// The byte tokens of a tokenizer.
#[derive(Debug)]
pub(crate) struct ByteTokens {
    /// Token and byte, by token.
    tokens: Vec<(u32, u8)>,
}

impl ByteTokens {
    /// Those of a tokenizer; `None` if its decoder doesn't know any.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let decoder = serde_json::to_string(&tokenizer.get_decoder())
            .map_err(|e| PromptError::Tokenizer(format!("its decoder can't be read: {e}")))?;
        if !decoder.contains("\"ByteFallback\"") {
            return Ok(None);
        }
        let token = |byte: u8| Some((tokenizer.token_to_id(&format!("<0x{byte:02X}>"))?, byte));
        let mut tokens: Vec<_> = (0..=u8::MAX).filter_map(token).collect();
        tokens.sort_unstable();
        Ok((!tokens.is_empty()).then_some(Self { tokens }))
    }

    fn byte(&self, token: u32) -> Option<u8> {
        let at = self.tokens.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        Some(self.tokens[at].1)
    }

    /// Decodes tokens, without those for which `skip` holds. Bytes that are no text become replacement
    /// characters by themselves; the tokenizers library gives up the whole run of bytes they stand in, so
    /// that a character that is already told of could turn into something else when the next byte comes.
    pub(crate) fn decode(
        &self,
        tokenizer: &Tokenizer,
        ids: &[u32],
        skip: impl Fn(u32) -> bool,
    ) -> Result<String> {
        let mut texts = Vec::with_capacity(ids.len());
        let mut run = Vec::new();
        for id in ids.iter().copied().filter(|id| !skip(*id)) {
            if let Some(byte) = self.byte(id) {
                run.push(byte);
                continue;
            }
            flush(&mut run, &mut texts);
            texts.extend(tokenizer.id_to_token(id));
        }
        flush(&mut run, &mut texts);
        match tokenizer.get_decoder() {
            Some(decoder) => decoder
                .decode(texts)
                .map_err(|e| PromptError::Tokenizer(format!("tokens can't be decoded: {e}"))),
            None => Ok(texts.concat()),
        }
    }
}

/// Puts a run of bytes behind the texts: as byte tokens where they are characters.
fn flush(run: &mut Vec<u8>, texts: &mut Vec<String>) {
    for part in run.utf8_chunks() {
        texts.extend(part.valid().bytes().map(|byte| format!("<0x{byte:02X}>")));
        if !part.invalid().is_empty() {
            texts.push(char::REPLACEMENT_CHARACTER.to_string());
        }
    }
    run.clear();
}
