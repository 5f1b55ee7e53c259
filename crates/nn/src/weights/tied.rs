//! Output matrices that are the embedding matrix.

use super::{Entry, Source, Weights};
use crate::error::{NnError, Result};

impl Weights {
    /// Whether the output matrix `head` is the embedding matrix `table`. A head that the files have counts,
    /// whatever `config.json` says (`said`): releases of transformers differ in which of its two places for
    /// it they go by. A copy of the embeddings is held once all the same.
    ///
    /// # Errors
    /// [`NnError::Load`] where there is no head and nothing says that the embeddings are one.
    pub fn tied(&self, head: &str, table: &str, said: bool) -> Result<bool> {
        match &self.source {
            Source::Names(_) => Ok(said),
            Source::Files { entries, .. } if entries.contains_key(head) => {
                Ok(said && self.equal(head, table)?)
            }
            Source::Files { .. } if said => Ok(true),
            Source::Files { .. } => Err(NnError::load(
                head,
                "the checkpoint has no such tensor, and config.json's tie_word_embeddings isn't true, neither at \
                 the top nor in text_config; is a file of it missing?",
            )),
        }
    }

    /// Whether two tensors are stored as the same bytes.
    fn equal(&self, one: &str, other: &str) -> Result<bool> {
        let Source::Files { files, entries, .. } = &self.source else { return Ok(false) };
        let (Some(a), Some(b)) = (entries.get(one), entries.get(other)) else { return Ok(false) };
        if a.dtype != b.dtype || a.shape != b.shape {
            return Ok(false);
        }
        let hash = |entry: &Entry| -> Result<blake3::Hash> {
            let mut hasher = blake3::Hasher::new();
            files[entry.file].rows(&entry.bytes, 1, |_, bytes| {
                hasher.update_rayon(bytes);
                Ok(())
            })?;
            Ok(hasher.finalize())
        };
        Ok(hash(a)? == hash(b)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_head_in_the_file_counts_more_than_what_is_said_of_it() {
        let (table, other) = (random(&[5, 3]), random(&[5, 3]));
        let tied = |tensors: &[(&str, Tensor)], said: bool| {
            let saved = tempfile::NamedTempFile::new().unwrap();
            let map: HashMap<String, Tensor> =
                tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
            candle_core::safetensors::save(&map, saved.path()).unwrap();
            let weights = Weights::open(&[saved.path()], DType::F32, Device::Cpu).unwrap();
            weights.tied("head", "table", said)
        };
        let alone = [("table", table.clone())];
        assert!(tied(&alone, true).unwrap());
        let error = tied(&alone, false).unwrap_err().to_string();
        assert!(error.contains("head") && error.contains("tie_word_embeddings"), "{error}");
        let copy = [("table", table.clone()), ("head", table.clone())];
        assert!(tied(&copy, true).unwrap() && !tied(&copy, false).unwrap());
        for head in [other, table.to_dtype(DType::F16).unwrap(), random(&[6, 3])] {
            assert!(!tied(&[("table", table.clone()), ("head", head)], true).unwrap());
        }
    }
}
