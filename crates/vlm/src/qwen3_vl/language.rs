//! The language model: all new tokens of a batch in one matrix, attention per sequence over its past and itself.

mod above;

use candle_core::{DType, Tensor};

use super::config::{Qwen3VlConfig, TextConfig};
use super::rope::{self, Position, TextRope};
use crate::blocks::activation::Activation;
use crate::blocks::attention::{HeadLayout, Span, attend, keys_and_values};
use crate::blocks::linear::Linear;
use crate::blocks::norm::RmsNorm;
use crate::blocks::rotary::{RotaryTable, norm_and_rotate};
use crate::blocks::{add, pool, select_rows};
use crate::load::weights::Scope;
use crate::model::{KvCache, LogitsAt, Piece, PooledTaps, Sequence, SequenceOutput, TapName};
use crate::{Result, VlmError};
use above::Above;

/// Values of a tied output matrix up to which it is stored a second time, in the order that small products are
/// fast with.
const COPY_HEAD_UP_TO: usize = 1 << 26;

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    qkv: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    o: Linear,
    post_norm: RmsNorm,
    gate_up: Linear,
    down: Linear,
}

impl Layer {
    /// Rotated queries and keys, and values, of the rows of `x`.
    fn project(&self, layout: HeadLayout, x: &Tensor, table: &RotaryTable) -> candle_core::Result<Tensor> {
        let qkv = self.qkv.forward(&self.input_norm.forward(x)?)?;
        norm_and_rotate(qkv, layout, Some((&self.q_norm, &self.k_norm)), table)
    }

    /// The rest of the layer behind attention. `x` must not be used elsewhere.
    fn finish(&self, activation: Activation, x: Tensor, attended: &Tensor) -> candle_core::Result<Tensor> {
        let x = add(x, &self.o.forward(attended)?)?;
        let inner = self.gate_up.forward(&self.post_norm.forward(&x)?)?;
        add(x, &self.down.forward(&activation.gated(&inner)?)?)
    }
}

/// Token embedding, decoder layers and output matrix.
#[derive(Debug)]
pub(super) struct LanguageModel {
    config: TextConfig,
    layout: HeadLayout,
    activation: Activation,
    rope: TextRope,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
}

/// A batch laid out as rows.
struct Packed {
    /// Rows of each sequence.
    rows: Vec<std::ops::Range<usize>>,
    /// First row of each sequence, from its own beginning, that needs logits.
    first_logits: Vec<usize>,
    positions: Vec<Position>,
    next_positions: Vec<usize>,
    /// Hidden states before the first layer.
    embedded: Tensor,
    /// What is added to the rows after the first layers.
    deepstack: Vec<Tensor>,
}

impl LanguageModel {
    pub(super) fn new(root: &Scope<'_>, config: &Qwen3VlConfig) -> Result<Self> {
        let scope = root.scope("model.language_model");
        let text = &config.text_config;
        let (hidden, d, inner) = (text.hidden_size, text.head_size(), text.intermediate_size);
        let (q, kv, bias) = (text.num_attention_heads * d, text.kv_heads() * d, text.attention_bias);
        let norm = |scope: &Scope<'_>, name: &str, width: usize| -> Result<RmsNorm> {
            Ok(RmsNorm::new(scope.tensor(&format!("{name}.weight"), &[width])?, text.rms_norm_eps))
        };
        let embedding = scope.tensor("embed_tokens.weight", &[text.vocab_size, hidden])?;
        let layers = (0..text.num_hidden_layers)
            .map(|i| {
                let layer = scope.scope(format_args!("layers.{i}"));
                let attention = layer.scope("self_attn");
                Ok(Layer {
                    input_norm: norm(&layer, "input_layernorm", hidden)?,
                    qkv: attention.linear(&[("q_proj", q), ("k_proj", kv), ("v_proj", kv)], hidden, bias)?,
                    q_norm: norm(&attention, "q_norm", d)?,
                    k_norm: norm(&attention, "k_norm", d)?,
                    o: attention.linear(&[("o_proj", hidden)], q, bias)?,
                    post_norm: norm(&layer, "post_attention_layernorm", hidden)?,
                    gate_up: layer.linear(
                        &[("mlp.gate_proj", inner), ("mlp.up_proj", inner)],
                        hidden,
                        false,
                    )?,
                    down: layer.linear(&[("mlp.down_proj", hidden)], inner, false)?,
                })
            })
            .collect::<Result<_>>()?;
        let final_norm = norm(&scope, "norm", hidden)?;
        let head = if config.tied() {
            let transposed = embedding.t()?;
            let copy = embedding.device().is_cpu() && embedding.elem_count() <= COPY_HEAD_UP_TO;
            Linear::new(if copy { transposed.contiguous()? } else { transposed }, None)
        } else {
            root.linear(&[("lm_head", text.vocab_size)], hidden, false)?
        };
        Ok(Self {
            layout: HeadLayout { heads: text.num_attention_heads, kv_heads: text.kv_heads(), head_dim: d },
            activation: Activation::parse(&text.hidden_act)?,
            rope: TextRope::new(d, text.theta(), text.mrope_section()),
            config: text.clone(),
            embedding,
            layers,
            norm: final_norm,
            head,
        })
    }

    /// Tap names with their widths, in forward order.
    pub(super) fn taps(&self) -> Vec<(String, usize)> {
        std::iter::once("language.embedding".to_owned())
            .chain((0..self.layers.len()).map(|i| format!("language.{i}")))
            .map(|name| (name, self.config.hidden_size))
            .collect()
    }

    pub(super) fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let packed = self.pack(batch)?;
        let table = self.rope.table(&packed.positions);
        let mut pooled: Vec<PooledTaps> = vec![PooledTaps::new(); batch.len()];
        let mut tap = |name: &str, x: &Tensor| -> Result<()> {
            if let Some(name) = taps.iter().find(|t| t.0 == name) {
                for (taps, value) in pooled.iter_mut().zip(pool::pool(x, &packed.rows)?) {
                    taps.insert(name.clone(), value);
                }
            }
            Ok(())
        };
        let mut caches: Vec<Vec<(Tensor, Tensor)>> = vec![Vec::new(); batch.len()];
        let mut x = packed.embedded.clone();
        tap("language.embedding", &x)?;
        let last = self.layers.len() - 1;
        // In the last layer only the rows that need logits need an output, unless someone looks at all of them.
        let may_skip =
            !taps.iter().any(|t| t.0 == format!("language.{last}")) && packed.deepstack.len() <= last;
        // The rows of x that are left at the end.
        let logits_rows: Vec<_> = packed
            .rows
            .iter()
            .zip(&packed.first_logits)
            .map(|(rows, first)| rows.start + first..rows.end)
            .collect();
        for (i, layer) in self.layers.iter().enumerate() {
            let qkv = layer.project(self.layout, &x, &table)?;
            let skip = i == last && may_skip;
            let spans: Vec<Span<'_>> = batch
                .iter()
                .zip(&packed.rows)
                .zip(&packed.first_logits)
                .map(|((sequence, rows), first)| Span {
                    start: rows.start,
                    len: rows.len(),
                    skip: if skip { *first } else { 0 },
                    past: sequence.past.as_ref().map(|p| (&p.layers[i].0, &p.layers[i].1)),
                })
                .collect();
            for ((sequence, span), cache) in batch.iter().zip(&spans).zip(&mut caches) {
                if sequence.keep_cache {
                    cache.push(keys_and_values(&qkv, self.layout, span)?);
                }
            }
            if skip {
                if logits_rows.iter().all(std::ops::Range::is_empty) {
                    break;
                }
                x = select_rows(&x, &logits_rows)?;
            }
            let attended = attend(&qkv, self.layout, &spans, true, None)?;
            x = layer.finish(self.activation, x, &attended)?;
            if !skip {
                tap(&format!("language.{i}"), &x)?;
            }
            if let Some(features) = packed.deepstack.get(i) {
                x = add(x, features)?;
            }
        }
        if !may_skip {
            x = select_rows(&x, &logits_rows)?;
        }
        let logits = self.logits(&x, &logits_rows)?;
        Ok(batch
            .iter()
            .zip(pooled)
            .zip(caches)
            .zip(logits)
            .enumerate()
            .map(|(i, (((sequence, taps), layers), logits))| SequenceOutput {
                logits,
                cache: sequence.keep_cache.then(|| KvCache {
                    layers,
                    len: sequence.past.as_ref().map_or(0, |p| p.len) + packed.rows[i].len(),
                    next_position: packed.next_positions[i],
                }),
                taps,
            })
            .collect())
    }

    /// See [`crate::VisionLanguageModel::above`].
    pub(super) fn above(&self, layer: usize, sequence: &Sequence) -> Result<Above<'_>> {
        Above::new(self, layer, sequence)
    }

    /// Logits of the rows that are left, by sequence.
    fn logits(&self, x: &Tensor, rows: &[std::ops::Range<usize>]) -> Result<Vec<Vec<f32>>> {
        if rows.iter().all(std::ops::Range::is_empty) {
            return Ok(vec![Vec::new(); rows.len()]);
        }
        let logits = self.head.forward(&self.norm.forward(x)?)?;
        let values = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut rest = values.as_slice();
        Ok(rows
            .iter()
            .map(|rows| {
                let (these, after) = rest.split_at(rows.len() * self.config.vocab_size);
                rest = after;
                these.to_vec()
            })
            .collect())
    }

    fn pack(&self, batch: &[Sequence]) -> Result<Packed> {
        let mut rows = Vec::with_capacity(batch.len());
        let mut first_logits = Vec::with_capacity(batch.len());
        let mut positions = Vec::new();
        let mut next_positions = Vec::with_capacity(batch.len());
        let mut parts = Vec::new();
        // Row and features of every picture.
        let mut pictures = Vec::new();
        for sequence in batch {
            let past = sequence.past.as_deref();
            if past.is_some_and(|p| p.layers.len() != self.layers.len()) {
                return Err(VlmError::Shape("the cache is of a model with another number of layers".into()));
            }
            let start = positions.len();
            let mut next = past.map_or(0, |p| p.next_position);
            for piece in &sequence.pieces {
                match piece {
                    Piece::Tokens(ids) if ids.is_empty() => {}
                    Piece::Tokens(ids) => {
                        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
                            return Err(VlmError::Shape(format!(
                                "token {id} is beyond the vocabulary of {}",
                                self.config.vocab_size
                            )));
                        }
                        positions.extend(rope::text_positions(next, ids.len()));
                        next += ids.len();
                        let ids = Tensor::from_slice(ids, ids.len(), self.embedding.device())?;
                        parts.push(self.embedding.index_select(&ids, 0)?);
                    }
                    Piece::Image(features) => {
                        if features.tokens.dims() != [features.len(), self.config.hidden_size] {
                            return Err(VlmError::Shape("image features of another model".into()));
                        }
                        let (of_image, after) = rope::image_positions(next, features.grid);
                        pictures.push((positions.len(), features));
                        positions.extend(of_image);
                        next = after;
                        parts.push(features.tokens.clone());
                    }
                }
            }
            let len = positions.len() - start;
            let total = len + past.map_or(0, |p| p.len);
            if total > self.config.max_position_embeddings {
                return Err(VlmError::TooLong { tokens: total, limit: self.config.max_position_embeddings });
            }
            if len == 0 {
                return Err(VlmError::Shape("a sequence without new tokens".into()));
            }
            first_logits.push(match sequence.logits {
                LogitsAt::None => len,
                LogitsAt::Last => len - 1,
                LogitsAt::From(first) => first.min(len),
            });
            rows.push(start..positions.len());
            next_positions.push(next);
        }
        // A fresh tensor even for one part: the layers add to it in place.
        let embedded = Tensor::cat(&parts, 0)?.force_contiguous()?;
        let depth = pictures.iter().map(|(_, f)| f.deepstack.len()).max().unwrap_or(0);
        let deepstack =
            (0..depth).map(|i| self.spread(i, &pictures, positions.len())).collect::<Result<_>>()?;
        Ok(Packed { rows, first_logits, positions, next_positions, embedded, deepstack })
    }

    /// DeepStack features of depth `i` in the rows of their pictures, zero elsewhere.
    fn spread(
        &self,
        i: usize,
        pictures: &[(usize, &std::sync::Arc<crate::model::ImageFeatures>)],
        rows: usize,
    ) -> Result<Tensor> {
        let zeros = |count: usize| {
            Tensor::zeros((count, self.config.hidden_size), self.embedding.dtype(), self.embedding.device())
        };
        let mut parts = Vec::with_capacity(2 * pictures.len() + 1);
        let mut row = 0;
        for (start, features) in pictures {
            let Some(values) = features.deepstack.get(i) else { continue };
            if *start > row {
                parts.push(zeros(start - row)?);
            }
            parts.push(values.clone());
            row = start + features.len();
        }
        if row < rows {
            parts.push(zeros(rows - row)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }
}
