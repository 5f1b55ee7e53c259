//! What a Q-Former reads beside a picture: the prompt's text, in the ids of a tokenizer of its own.

use std::sync::Arc;

use tokenizers::{Tokenizer, TruncationParams};

use crate::error::{PromptError, Result};
use crate::tokenizer_file::read_tokenizer;

/// The Q-Former's tokenizer.
#[derive(Debug)]
pub(crate) struct InstructionTokenizer {
    tokenizer: Tokenizer,
}

impl InstructionTokenizer {
    /// From the bytes of its `tokenizer.json`; texts are cut to `limit` tokens.
    pub(crate) fn new(json: &[u8], limit: usize) -> Result<Self> {
        let mut tokenizer = read_tokenizer("qformer_tokenizer/tokenizer.json", json)?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: limit, ..TruncationParams::default() }))
            .map_err(|e| PromptError::Tokenizer(e.to_string()))?;
        // Special tokens typed in a text stay text.
        tokenizer.set_encode_special_tokens(true);
        Ok(Self { tokenizer })
    }

    /// Token ids of an instruction, with what the Q-Former wants around it.
    pub(crate) fn encode(&self, text: &str) -> Result<Arc<[u32]>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|e| PromptError::Tokenizer(format!("an instruction can't be encoded: {e}")))?;
        Ok(encoding.get_ids().into())
    }
}
