//! Files of tokenizers.

use reasonedit_nn::error::{ModelError, Result};
use reasonedit_nn::settings;
use tokenizers::Tokenizer;

/// Reads a `tokenizer.json`.
///
/// # Errors
/// [`ModelError::Load`] for what is no JSON, [`ModelError::Tokenizer`] for what is no tokenizer.
pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Tokenizer> {
    Tokenizer::from_bytes(bytes).map_err(|_| match settings::json(file, bytes) {
        Err(error) => error,
        Ok(_) => ModelError::Tokenizer(format!(
            "{file} is not a tokenizer of a form that is known here; \
             AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it anew"
        )),
    })
}
