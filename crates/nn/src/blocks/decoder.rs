//! The decoder that every language model here is: token embedding, layers of attention and gated
//! feed-forward, output matrix. All new tokens of a batch lie in one matrix, attention is per sequence over
//! its past and itself.
//!
//! What differs between architectures is a [`Variant`]: the rotary embedding's axes, biases, norms of heads,
//! a tied output matrix. Taps are the token embedding with the image tokens in place and the output of every
//! layer (before `DeepStack` features are added).

mod config;
pub mod differentiable;
mod layer_suffix;
mod pack;
mod rope;

use std::sync::Arc;

use candle_core::{DType, Tensor};

pub use config::{RopeConfig, TextConfig, Variant, require, require_sizes};
pub use rope::Axes;

use self::layer_suffix::DecoderSuffix;
use self::pack::Packed;
use self::rope::TextRope;
use super::activation::Activation;
use super::attention::{HeadLayout, Span, attend, keys_and_values};
use super::linear::Linear;
use super::norm::RmsNorm;
use super::pool::TapCollector;
use super::product::RowKind;
use super::rotary::{RotaryTable, norm_and_rotate};
use super::{add, select_rows};
use crate::error::Result;
use crate::kv_cache::{KvCache, Past, Stretch};
use crate::sequence::{Sequence, SequenceOutput};
use crate::taps::{TapInfo, TapName, TapStage};
use crate::weights::Scope;

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    qkv: Linear,
    /// Norms of each head's queries and keys.
    head_norms: Option<(RmsNorm, RmsNorm)>,
    o: Linear,
    post_norm: RmsNorm,
    gate_up: Linear,
    down: Linear,
    /// Widths of the hidden states and of the feed-forward.
    width: usize,
    inner: usize,
}

impl Layer {
    fn new(layer: &Scope<'_>, config: &TextConfig, variant: &Variant) -> Result<Self> {
        let (hidden, d, inner) = (config.hidden_size, config.head_size(), config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * d, config.kv_heads() * d);
        let norm = |scope: &Scope<'_>, name: &str, width: usize| rms_norm(scope, name, width, config);
        let attention = layer.scope("self_attn");
        Ok(Self {
            input_norm: norm(layer, "input_layernorm", hidden)?,
            qkv: attention.linear(
                &[("q_proj", q), ("k_proj", kv), ("v_proj", kv)],
                hidden,
                variant.qkv_bias,
            )?,
            head_norms: if variant.head_norms {
                Some((norm(&attention, "q_norm", d)?, norm(&attention, "k_norm", d)?))
            } else {
                None
            },
            o: attention.linear(&[("o_proj", hidden)], q, variant.output_bias)?,
            post_norm: norm(layer, "post_attention_layernorm", hidden)?,
            gate_up: layer.linear(&[("mlp.gate_proj", inner), ("mlp.up_proj", inner)], hidden, false)?,
            down: layer.linear(&[("mlp.down_proj", hidden)], inner, false)?,
            width: hidden,
            inner,
        })
    }

    /// Rotated queries and keys, and values, of the rows of `x`.
    fn project(
        &self,
        layout: HeadLayout,
        x: &Tensor,
        table: &RotaryTable,
        kind: RowKind,
    ) -> candle_core::Result<Tensor> {
        let qkv = self.qkv.forward_as(&self.input_norm.forward(x)?, kind)?;
        norm_and_rotate(qkv, layout, self.head_norms.as_ref().map(|(q, k)| (q, k)), table)
    }

    /// `x`, which must not be used elsewhere, and what attention adds to it.
    fn attended(&self, x: Tensor, attended: &Tensor, kind: RowKind) -> candle_core::Result<Tensor> {
        add(x, &self.o.forward_as(attended, kind)?)
    }

    /// The rest of the layer behind attention. `x` must not be used elsewhere.
    fn finish(
        &self,
        activation: Activation,
        x: Tensor,
        attended: &Tensor,
        kind: RowKind,
    ) -> candle_core::Result<Tensor> {
        let x = self.attended(x, attended, kind)?;
        let inner = self.gate_up.forward_as(&self.post_norm.forward(&x)?, kind)?;
        add(x, &self.down.forward_as(&activation.gated(&inner)?, kind)?)
    }
}

fn rms_norm(scope: &Scope<'_>, name: &str, width: usize, config: &TextConfig) -> Result<RmsNorm> {
    Ok(RmsNorm::new(scope.tensor(&format!("{name}.weight"), &[width])?, config.rms_norm_eps))
}

/// Token embedding, decoder layers and output matrix.
#[derive(Debug)]
pub struct Decoder {
    layout: HeadLayout,
    activation: Activation,
    rope: TextRope,
    /// (vocabulary, width), perhaps in a narrower type than what is computed in.
    embedding: Tensor,
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
    head: Arc<Linear>,
    /// The type that is computed in.
    dtype: DType,
    width: usize,
    vocabulary: usize,
    max_positions: usize,
}

impl Decoder {
    /// Builds it of the weights below `model` (`embed_tokens`, `layers.0` …, `norm`) and `root` (`lm_head`,
    /// unless tied).
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; an activation that isn't known.
    pub fn new(model: &Scope<'_>, root: &Scope<'_>, config: &TextConfig, variant: Variant) -> Result<Self> {
        let (width, vocabulary, d) = (config.hidden_size, config.vocab_size, config.head_size());
        let embedding = model.table("embed_tokens.weight", &[vocabulary, width], variant.tied)?;
        // The layers are what is quantised, when that is asked for.
        let quantisable = model.quantisable();
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                Layer::new(&quantisable.scope(format_args!("layers.{i}")), config, &variant).map(Arc::new)
            })
            .collect::<Result<_>>()?;
        let head = if variant.tied {
            model.tied_head("embed_tokens.weight", &embedding)?
        } else {
            root.head("lm_head", vocabulary, width)?
        };
        Ok(Self {
            layout: HeadLayout {
                heads: config.num_attention_heads,
                kv_heads: config.kv_heads(),
                head_dim: d,
            },
            activation: Activation::parse(&config.hidden_act)?,
            rope: TextRope::new(d, variant.theta, variant.axes),
            embedding,
            layers,
            norm: rms_norm(model, "norm", width, config)?,
            head: Arc::new(head),
            dtype: model.dtype(),
            width,
            vocabulary,
            max_positions: config.max_position_embeddings,
        })
    }

    /// Its taps, in forward order.
    pub fn taps(&self) -> impl Iterator<Item = TapInfo> + '_ {
        std::iter::once("language.embedding".to_owned())
            .chain((0..self.layers.len()).map(|i| format!("language.{i}")))
            .map(|name| TapInfo { name: TapName(name), stage: TapStage::Language, width: self.width })
    }

    /// Longest sequence in tokens.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Size of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Hidden states of tokens before the first layer: (tokens, width). The ids must be below the
    /// vocabulary's size.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::from_slice(ids, ids.len(), self.embedding.device())?;
        Ok(self.embedding.index_select(&ids, 0)?.to_dtype(self.dtype)?)
    }

    /// Runs a batch of sequences of any lengths, each as alone; pools the named taps over its new tokens.
    pub fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let packed = Packed::new(self, batch)?;
        let step = batch.iter().all(Sequence::is_step);
        let kind = if step { RowKind::Step } else { RowKind::Prompt };
        let table = self.rope.table(&packed.positions);
        let mut collector = TapCollector::new(taps, batch.len());
        let mut caches: Vec<Vec<(Tensor, Tensor)>> = vec![Vec::new(); batch.len()];
        let mut x = packed.embedded.clone();
        collector.take("language.embedding", &x, &packed.rows)?;
        let last = self.layers.len() - 1;
        // In the last layer only the rows that need logits need an output, unless someone looks at all of
        // them.
        let may_skip = !collector.wants(&format!("language.{last}")) && packed.deepstack.len() <= last;
        // The rows of x that are left at the end.
        let logits_rows = packed.logits_rows();
        for (i, layer) in self.layers.iter().enumerate() {
            let qkv = layer.project(self.layout, &x, &table, kind)?;
            let skip = i == last && may_skip;
            let spans: Vec<Span<'_>> = batch
                .iter()
                .zip(&packed.rows)
                .zip(&packed.first_logits)
                .map(|((sequence, rows), first)| Span {
                    start: rows.start,
                    len: rows.len(),
                    skip: if skip { *first } else { 0 },
                    past: sequence.past.as_deref().map_or_else(Past::default, |past| past.layer(i)),
                    step,
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
            x = layer.finish(self.activation, x, &attended, kind)?;
            if !skip {
                collector.take(&format!("language.{i}"), &x, &packed.rows)?;
            }
            if let Some(features) = packed.deepstack.get(i) {
                x = add(x, features)?;
            }
        }
        if !may_skip {
            x = select_rows(&x, &logits_rows)?;
        }
        let logits = self.logits(&x, &logits_rows, kind)?;
        batch
            .iter()
            .zip(collector.finish())
            .zip(caches)
            .zip(logits)
            .zip(packed.next_positions)
            .map(|((((sequence, taps), layers), logits), next_position)| {
                let cache = sequence
                    .keep_cache
                    .then(|| KvCache::after(sequence.past.as_deref(), Stretch { layers }, next_position))
                    .transpose()?;
                Ok(SequenceOutput { logits, cache, taps })
            })
            .collect()
    }

    /// Runs one sequence of text up to a layer; what follows is a function of its first new token's state.
    pub fn forward_from_layer(&self, layer: usize, sequence: &Sequence) -> Result<DecoderSuffix<'_>> {
        DecoderSuffix::new(self, layer, sequence)
    }

    /// Logits of the rows that are left, by sequence.
    fn logits(&self, x: &Tensor, rows: &[std::ops::Range<usize>], kind: RowKind) -> Result<Vec<Vec<f32>>> {
        if rows.iter().all(std::ops::Range::is_empty) {
            return Ok(vec![Vec::new(); rows.len()]);
        }
        let logits = self.head.forward_as(&self.norm.forward(x)?, kind)?;
        let values = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut rest = values.as_slice();
        Ok(rows
            .iter()
            .map(|rows| {
                let (these, after) = rest.split_at(rows.len() * self.vocabulary);
                rest = after;
                these.to_vec()
            })
            .collect())
    }
}
