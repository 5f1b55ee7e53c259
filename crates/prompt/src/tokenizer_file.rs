//! Files of tokenizers.

use reasonedit_nn::settings;
use tokenizers::Tokenizer;

use crate::error::{PromptError, Result};

/// Reads a `tokenizer.json`.
///
/// # Errors
/// [`PromptError::File`] for what is no JSON, [`PromptError::Tokenizer`] for what is no tokenizer.
pub fn read_tokenizer(file: &str, bytes: &[u8]) -> Result<Tokenizer> {
    Tokenizer::from_bytes(bytes).map_err(|_| match settings::json(file, bytes) {
        Err(error) => error.into(),
        Ok(_) => PromptError::Tokenizer(format!(
            "{file} is not a tokenizer of a form that is known here; \
             AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it anew"
        )),
    })
}
