//! SigLIP's text tower and its tokenizer.

use candle_core::{Device, Tensor};
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::norm::LayerNorm;
use reasonedit_nn::blocks::select_rows;
use reasonedit_nn::blocks::vit::{AttentionNames, Encoder, even_rows, even_spans, layer_norm};
use reasonedit_nn::weights::Scope;
use tokenizers::Tokenizer;

use super::config::SiglipTextConfig;
use super::pieces;
use crate::error::{ModelError, Result};
use crate::load::checkpoint::Checkpoint;
use reasonedit_prompt::read_tokenizer;

/// SentencePiece's mark for a space.
pub(super) const MARK: char = '\u{2581}';

/// Texts to token ids, equal to transformers' `SiglipTokenizer`.
#[derive(Debug)]
pub(super) struct SiglipTokenizer {
    tokenizer: Tokenizer,
    end: u32,
    pad: u32,
    /// Tokens of every text.
    len: usize,
    lower_case: bool,
}

impl SiglipTokenizer {
    /// From `tokenizer.json`, else from the SentencePiece model; `lower_case` is `do_lower_case` of
    /// `tokenizer_config.json`.
    pub(super) fn new(checkpoint: &Checkpoint, config: &SiglipTextConfig, lower_case: bool) -> Result<Self> {
        let pieces = checkpoint.bytes(pieces::FILE)?;
        let mut tokenizer = match (checkpoint.bytes("tokenizer.json")?, pieces) {
            (None, Some(pieces)) => pieces::read(&pieces)?,
            _ => read_tokenizer("tokenizer.json", &checkpoint.required_bytes("tokenizer.json")?)?,
        };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        // `</s>` typed in a text stays text.
        tokenizer.set_encode_special_tokens(true);
        let end = tokenizer
            .token_to_id("</s>")
            .ok_or_else(|| ModelError::Tokenizer("the tokenizer has no token </s>".into()))?;
        if tokenizer.get_vocab_size(true) > config.vocab_size {
            return Err(ModelError::load(
                "config.json",
                "vocab_size is less than the tokens of the tokenizer",
            ));
        }
        Ok(Self { tokenizer, end, pad: config.pad_token_id, len: config.max_position_embeddings, lower_case })
    }

    /// Lower case, without ASCII punctuation, one space between words: what SigLIP was trained on.
    pub(super) fn canonical(text: &str, lower_case: bool) -> String {
        let lower;
        let text = if lower_case {
            lower = text.to_lowercase();
            &lower
        } else {
            text
        };
        let kept: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
        // Python counts the four separators among white space.
        let space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
        kept.split(space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Token ids of a text: cut, ended and filled up to the same length for every text.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        // The mark of a beginning word goes ahead before the text is made canonical, as transformers does it:
        // a text that begins with a space keeps that space.
        let text = Self::canonical(&format!("{MARK}{}", text.replace(MARK, " ")), self.lower_case);
        let mut ids = Vec::with_capacity(self.len);
        if !text.ends_with(MARK) {
            let encoding = self
                .tokenizer
                .encode_fast(text.as_str(), false)
                .map_err(|e| ModelError::Tokenizer(format!("a text can't be encoded: {e}")))?;
            ids.extend(encoding.get_ids().iter().copied().take(self.len - 1));
        }
        ids.push(self.end);
        ids.resize(self.len, self.pad);
        Ok(ids)
    }
}

/// Embeds token sequences of one length.
#[derive(Debug)]
pub(super) struct TextTower {
    tokens: Tensor,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    head: Linear,
    len: usize,
    width: usize,
    device: Device,
}

impl TextTower {
    pub(super) fn new(scope: &Scope<'_>, config: &SiglipTextConfig, device: &Device) -> Result<Self> {
        let sizes = config.sizes()?;
        let (width, len) = (sizes.width, config.max_position_embeddings);
        let embeddings = scope.scope("embeddings");
        Ok(Self {
            tokens: embeddings.tensor("token_embedding.weight", &[config.vocab_size, width])?,
            positions: embeddings.tensor("position_embedding.weight", &[len, width])?,
            encoder: Encoder::new(&scope.scope("encoder"), &sizes, AttentionNames::Separate)?,
            norm: layer_norm(&scope.scope("final_layer_norm"), width, sizes.epsilon)?,
            head: scope.linear(&[("head", config.projection())], width, true)?,
            len,
            width,
            device: device.clone(),
        })
    }

    /// Embeddings of texts as token ids, (texts, width).
    pub(super) fn forward(&self, texts: &[Vec<u32>]) -> Result<Tensor> {
        let count = texts.len();
        let ids = Tensor::from_vec(texts.concat(), count * self.len, &self.device)?;
        let x = self.tokens.index_select(&ids, 0)?.reshape((count, self.len, self.width))?;
        let mut x = x.broadcast_add(&self.positions)?.reshape((count * self.len, self.width))?;
        let spans = even_spans(count, self.len);
        for i in 0..self.encoder.depth() {
            x = self.encoder.block(i, x, &spans)?;
        }
        // The last token stands for the text, be it padding.
        let last: Vec<_> = even_rows(count, self.len).into_iter().map(|r| r.end - 1..r.end).collect();
        Ok(self.head.forward(&self.norm.forward(&select_rows(&x, &last)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_canonical() {
        let canonical = |text| SiglipTokenizer::canonical(text, true);
        assert_eq!(canonical("  A photo,\n of a CAT! (1)\t"), "a photo of a cat 1");
        assert_eq!(canonical("naïve — ÄÖ\u{1f}x"), "naïve — äö x");
        assert_eq!(canonical("..."), "");
        assert_eq!(SiglipTokenizer::canonical("A  B.", false), "A B");
    }
}
