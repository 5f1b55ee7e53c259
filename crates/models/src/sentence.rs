//! Sentence encoders: MPNet and BERT networks from sentence-transformers folders, mean pooled, not
//! normalised.

mod config;

use candle_core::{Device, Tensor};
use config::{Family, NetworkConfig, Surroundings};
use reasonedit_nn::blocks::activation::Activation;
use reasonedit_nn::blocks::attention::{HeadLayout, PositionBias, Span, attend};
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::norm::LayerNorm;
use reasonedit_nn::blocks::{add, pool};
use reasonedit_nn::weights::{Scope, Weights};
use reasonedit_prompt::read_tokenizer;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use crate::error::{ModelError, Result};
use crate::load::checkpoint::Checkpoint;
use crate::model::SentenceEncoder;

/// Tokens that are run together; more texts are run in turns, which changes no vector.
const TOKENS_AT_ONCE: usize = 8192;
/// The id whose tokens get no position of their own; fixed in MPNet's code, whatever its tokenizer says.
const MPNET_PADDING: u32 = 1;

#[derive(Debug)]
struct Layer {
    qkv: Linear,
    out: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    output_norm: LayerNorm,
}

/// A loaded sentence encoder.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    family: Family,
    fingerprint: String,
    width: usize,
    vocabulary: usize,
    surroundings: Surroundings,
    /// Tokens at the beginning of every text that don't count in the mean.
    skipped: usize,
    tokenizer: Tokenizer,
    words: Tensor,
    positions: Tensor,
    /// BERT's embedding of the first token type.
    kind: Option<Tensor>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    layout: HeadLayout,
    activation: Activation,
    bias: Option<PositionBias>,
    device: Device,
}

impl TextEncoder {
    pub(crate) fn new(checkpoint: &Checkpoint, weights: &Weights, fingerprint: String) -> Result<Self> {
        let (config, family) = NetworkConfig::read(checkpoint)?;
        let surroundings = Surroundings::read(checkpoint, config.max_tokens(family))?;
        let tokenizer = tokenizer(&checkpoint.required_bytes("tokenizer.json")?, surroundings.max_tokens)?;
        // Checkpoints saved from a model with a head carry the family's name in front.
        let prefix = [config.model_type.as_str(), ""]
            .into_iter()
            .find(|p| {
                let scope = if p.is_empty() { String::new() } else { format!("{p}.") };
                weights.has(&format!("{scope}embeddings.word_embeddings.weight"))
            })
            .unwrap_or_default();
        let root = weights.scope(prefix);
        let (embeddings, encoder) = (root.scope("embeddings"), root.scope("encoder"));
        let width = config.hidden_size;
        let heads = config.num_attention_heads;
        let words = embeddings.tensor("word_embeddings.weight", &[config.vocab_size, width])?;
        let positions =
            embeddings.tensor("position_embeddings.weight", &[config.max_position_embeddings, width])?;
        let kind = match family {
            Family::Mpnet => None,
            Family::Bert => {
                let kinds =
                    embeddings.tensor("token_type_embeddings.weight", &[config.type_vocab_size, width])?;
                Some(kinds.narrow(0, 0, 1)?.contiguous()?)
            }
        };
        let norm = layer_norm(&embeddings.scope("LayerNorm"), &config)?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| layer(&encoder.scope(format_args!("layer.{i}")), &config, family))
            .collect::<Result<_>>()?;
        let bias = match family {
            Family::Bert => None,
            Family::Mpnet => {
                let buckets = config.relative_attention_num_buckets;
                let table = encoder.values("relative_attention_bias.weight", &[buckets, heads])?;
                Some(position_bias(&table, heads, surroundings.max_tokens))
            }
        };
        weights.finish(|name| {
            ["pooler.", "position_ids", "lm_head.", "cls."].iter().any(|unused| name.contains(unused))
        })?;
        let mut this = Self {
            family,
            fingerprint: surroundings.refine(fingerprint),
            width,
            vocabulary: config.vocab_size,
            surroundings,
            skipped: 0,
            tokenizer,
            words,
            positions,
            kind,
            norm,
            layers,
            layout: HeadLayout { heads, kv_heads: heads, head_dim: width / heads },
            activation: Activation::parse(&config.hidden_act)?,
            bias,
            device: weights.device().clone(),
        };
        this.skipped = this.prompt_tokens()?;
        Ok(this)
    }

    /// Tokens of the default prompt, with what stands ahead of a text, where they don't count in the mean.
    fn prompt_tokens(&self) -> Result<usize> {
        let Surroundings { prompt, pools_prompt, max_tokens, .. } = &self.surroundings;
        if prompt.is_empty() {
            return Ok(0);
        }
        let alone = self.encoding("")?;
        let tokens = alone.get_ids().len();
        if tokens >= *max_tokens {
            let reason =
                format!("the default prompt takes all of the {max_tokens} tokens that a text is cut to");
            return Err(ModelError::load("config_sentence_transformers.json", reason));
        }
        // What the tokenizer puts behind a text is none of the prompt's.
        let behind = usize::from(alone.get_special_tokens_mask().last() == Some(&1));
        Ok(if *pools_prompt { 0 } else { tokens - behind })
    }

    fn encoding(&self, text: &str) -> Result<Encoding> {
        let mut text = format!("{}{text}", self.surroundings.prompt);
        if self.surroundings.lower_case {
            text = text.to_lowercase();
        }
        self.tokenizer
            .encode_fast(text.as_str(), true)
            .map_err(|e| ModelError::Tokenizer(format!("a text can't be encoded: {e}")))
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encoding(text)?.get_ids().to_vec();
        if ids.is_empty() || ids.iter().any(|id| *id as usize >= self.vocabulary) {
            return Err(ModelError::Tokenizer(
                "a text has no tokens, or tokens beyond the vocabulary; tokenizer.json is another model's"
                    .into(),
            ));
        }
        Ok(ids)
    }

    fn run(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<u32> = texts.iter().flatten().copied().collect();
        let places: Vec<u32> = texts.iter().flat_map(|ids| place_ids(self.family, ids)).collect();
        let mut spans = Vec::with_capacity(texts.len());
        let mut rows = Vec::with_capacity(texts.len());
        let mut start = 0;
        for text in texts {
            spans.push(Span::alone(start, text.len()));
            rows.push(start + self.skipped.min(text.len() - 1)..start + text.len());
            start += text.len();
        }
        let rows_of = |table: &Tensor, ids: Vec<u32>| -> candle_core::Result<Tensor> {
            table.index_select(&Tensor::from_vec(ids, start, &self.device)?, 0)
        };
        let mut x = add(rows_of(&self.words, ids)?, &rows_of(&self.positions, places)?)?;
        if let Some(kind) = &self.kind {
            x = x.broadcast_add(kind)?;
        }
        x = self.norm.forward(&x)?;
        for layer in &self.layers {
            let qkv = layer.qkv.forward(&x)?;
            let attended = attend(&qkv, self.layout, &spans, false, self.bias.as_ref())?;
            x = layer.attention_norm.forward(&add(layer.out.forward(&attended)?, &x)?)?;
            let inner = layer.inner.forward_activated(&x, self.activation)?;
            x = layer.output_norm.forward(&add(layer.outer.forward(&inner)?, &x)?)?;
        }
        Ok(pool::pool(&x, &rows)?.into_iter().map(|p| p.mean).collect())
    }
}

impl SentenceEncoder for TextEncoder {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn width(&self) -> usize {
        self.width
    }

    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let tokens = texts.iter().map(|t| self.tokens(t)).collect::<Result<Vec<_>>>()?;
        let mut out = Vec::with_capacity(texts.len());
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            let mut total = 0;
            let count = rest
                .iter()
                .take_while(|ids| {
                    total += ids.len();
                    total <= TOKENS_AT_ONCE
                })
                .count()
                .max(1);
            let (now, later) = rest.split_at(count);
            out.extend(self.run(now)?);
            rest = later;
        }
        Ok(out)
    }
}

fn layer_norm(scope: &Scope<'_>, config: &NetworkConfig) -> Result<LayerNorm> {
    let width = config.hidden_size;
    Ok(LayerNorm::new(
        scope.tensor("weight", &[width])?,
        scope.tensor("bias", &[width])?,
        config.layer_norm_eps,
    ))
}

fn layer(scope: &Scope<'_>, config: &NetworkConfig, family: Family) -> Result<Layer> {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let (qkv, out, norm) = match family {
        Family::Mpnet => (["attn.q", "attn.k", "attn.v"], "attn.o", "LayerNorm"),
        Family::Bert => (["self.query", "self.key", "self.value"], "output.dense", "output.LayerNorm"),
    };
    let attention = scope.scope("attention");
    Ok(Layer {
        qkv: attention.linear(&qkv.map(|name| (name, width)), width, true)?,
        out: attention.linear(&[(out, width)], width, true)?,
        attention_norm: layer_norm(&attention.scope(norm), config)?,
        inner: scope.linear(&[("intermediate.dense", inner)], width, true)?,
        outer: scope.linear(&[("output.dense", width)], inner, true)?,
        output_norm: layer_norm(&scope.scope("output.LayerNorm"), config)?,
    })
}

/// Cuts at `max_tokens` and adds what the model wants around a text; special tokens typed in a text stay
/// text.
fn tokenizer(json: &[u8], max_tokens: usize) -> Result<Tokenizer> {
    let mut tokenizer = read_tokenizer("tokenizer.json", json)?;
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(Some(TruncationParams { max_length: max_tokens, ..TruncationParams::default() }))
        .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}

/// Positions of a text's tokens.
fn place_ids(family: Family, ids: &[u32]) -> Vec<u32> {
    match family {
        Family::Bert => (0..ids.len() as u32).collect(),
        Family::Mpnet => {
            let mut place = MPNET_PADDING;
            ids.iter()
                .map(|id| {
                    if *id == MPNET_PADDING {
                        MPNET_PADDING
                    } else {
                        place += 1;
                        place
                    }
                })
                .collect()
        }
    }
}

/// T5's bidirectional buckets (32, distances from 128 on share the last) for every distance up to `reach`.
fn position_bias(table: &[f32], heads: usize, reach: usize) -> PositionBias {
    let bucket = |relative: isize| {
        let (half, exact) = (16, 8);
        let side = if relative > 0 { half } else { 0 };
        let distance = relative.unsigned_abs();
        let bucket = if distance < exact {
            distance
        } else {
            let log = (distance as f32 / exact as f32).ln() / (128.0f32 / exact as f32).ln();
            (exact + (log * (half - exact) as f32) as usize).min(half - 1)
        };
        side + bucket
    };
    let reach = reach as isize;
    let values = (0..heads)
        .flat_map(|head| (-reach..=reach).map(move |relative| table[bucket(relative) * heads + head]))
        .collect();
    PositionBias { values, reach: reach as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpnet_counts_positions_from_behind_the_padding_index() {
        assert_eq!(place_ids(Family::Mpnet, &[0, 7, 1, 9]), [2, 3, 1, 4]);
        assert_eq!(place_ids(Family::Bert, &[0, 7, 1, 9]), [0, 1, 2, 3]);
    }

    #[test]
    fn buckets_are_those_of_t5() {
        // One head whose bias is the bucket's number.
        let table: Vec<f32> = (0..32u8).map(f32::from).collect();
        let bias = position_bias(&table, 1, 200);
        let at = |relative: isize| bias.at(0, 200, (200 + relative) as usize);
        let want = [
            (0, 0.),
            (-1, 1.),
            (-7, 7.),
            (-8, 8.),
            (-12, 9.),
            (-127, 15.),
            (-200, 15.),
            (1, 17.),
            (8, 24.),
            (200, 31.),
        ];
        for (relative, bucket) in want {
            assert_eq!(at(relative), bucket, "{relative}");
        }
    }
}
