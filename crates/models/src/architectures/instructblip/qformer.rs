//! The Q-Former: learned queries that read an instruction and look at a picture.
//!
//! Queries and instruction attend to each other as one sequence; every few layers the queries alone attend to
//! the picture. What becomes of the queries are the picture's tokens.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use reasonedit_nn::blocks::attention::{HeadLayout, Span, attend};
use reasonedit_nn::blocks::cross::cross_attend;
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::norm::LayerNorm;
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::vit::{EncoderSizes, even_rows, layer_norm};
use reasonedit_nn::blocks::{add, select_rows};
use reasonedit_nn::sequence::ImageFeatures;
use reasonedit_nn::weights::Scope;

use super::config::{InstructBlipConfig, QFormerConfig};
use crate::error::{ModelError, Result};

/// A picture and what is asked of it.
pub(super) type Instructed = (Arc<ImageFeatures>, Arc<[u32]>);

/// A projection, added to what it came from and normalised.
#[derive(Debug)]
struct Output {
    dense: Linear,
    norm: LayerNorm,
}

impl Output {
    fn new(scope: &Scope<'_>, inputs: usize, sizes: &EncoderSizes) -> Result<Self> {
        Ok(Self {
            dense: scope.linear(&[("dense", sizes.width)], inputs, true)?,
            norm: layer_norm(&scope.scope("LayerNorm"), sizes.width, sizes.epsilon)?,
        })
    }

    fn forward(&self, x: &Tensor, residual: &Tensor) -> candle_core::Result<Tensor> {
        self.norm.forward(&add(self.dense.forward(x)?, residual)?)
    }
}

#[derive(Debug)]
struct FeedForward {
    inner: Linear,
    output: Output,
}

impl FeedForward {
    fn new(layer: &Scope<'_>, suffix: &str, sizes: &EncoderSizes) -> Result<Self> {
        let inner = layer.scope(format_args!("intermediate{suffix}"));
        Ok(Self {
            inner: inner.linear(&[("dense", sizes.inner)], sizes.width, true)?,
            output: Output::new(&layer.scope(format_args!("output{suffix}")), sizes.inner, sizes)?,
        })
    }

    fn forward(&self, x: &Tensor, sizes: &EncoderSizes) -> candle_core::Result<Tensor> {
        self.output.forward(&self.inner.forward_activated(x, sizes.activation)?, x)
    }
}

#[derive(Debug)]
struct CrossAttention {
    query: Linear,
    key_value: Linear,
    output: Output,
}

#[derive(Debug)]
struct Layer {
    qkv: Linear,
    output: Output,
    cross: Option<CrossAttention>,
    of_queries: FeedForward,
    of_text: FeedForward,
}

impl Layer {
    fn new(layer: &Scope<'_>, sizes: &EncoderSizes, crosses: bool, vision_width: usize) -> Result<Self> {
        let width = sizes.width;
        let attention = layer.scope("attention");
        let cross = crosses
            .then(|| {
                let cross = layer.scope("crossattention");
                let attention = cross.scope("attention");
                Ok::<_, ModelError>(CrossAttention {
                    query: attention.linear(&[("query", width)], width, true)?,
                    key_value: attention.linear(&[("key", width), ("value", width)], vision_width, true)?,
                    output: Output::new(&cross.scope("output"), width, sizes)?,
                })
            })
            .transpose()?;
        Ok(Self {
            qkv: attention.scope("attention").linear(
                &["query", "key", "value"].map(|name| (name, width)),
                width,
                true,
            )?,
            output: Output::new(&attention.scope("output"), width, sizes)?,
            cross,
            of_queries: FeedForward::new(layer, "_query", sizes)?,
            of_text: FeedForward::new(layer, "", sizes)?,
        })
    }
}

/// The Q-Former with the projection behind it.
#[derive(Debug)]
pub(super) struct QFormer {
    sizes: EncoderSizes,
    layout: HeadLayout,
    /// (queries, width).
    queries: Tensor,
    words: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    /// To the language model's width.
    projection: Linear,
}

impl QFormer {
    pub(super) fn new(root: &Scope<'_>, config: &InstructBlipConfig, hidden: usize) -> Result<Self> {
        let QFormerConfig { vocab_size, max_position_embeddings, cross_attention_frequency, .. } =
            config.qformer_config;
        let sizes = config.qformer_config.sizes()?;
        let EncoderSizes { width, heads, .. } = sizes;
        let count = config.num_query_tokens;
        let scope = root.scope("qformer");
        let embeddings = scope.scope("embeddings");
        let layers = (0..sizes.layers)
            .map(|i| {
                let layer = scope.scope(format_args!("encoder.layer.{i}"));
                let crosses = i % cross_attention_frequency == 0;
                Layer::new(&layer, &sizes, crosses, config.vision_config.hidden_size)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            sizes,
            layout: HeadLayout { heads, kv_heads: heads, head_dim: width / heads },
            queries: root.tensor("query_tokens", &[1, count, width])?.reshape((count, width))?,
            words: embeddings.tensor("word_embeddings.weight", &[vocab_size, width])?,
            positions: embeddings.tensor("position_embeddings.weight", &[max_position_embeddings, width])?,
            norm: layer_norm(&embeddings.scope("layernorm"), width, sizes.epsilon)?,
            layers,
            projection: root.linear(&[("language_projection", hidden)], width, true)?,
        })
    }

    /// Tokens that a picture becomes.
    pub(super) fn count(&self) -> Result<usize> {
        Ok(self.queries.dim(0)?)
    }

    /// Tap names with their widths, in forward order; `hidden` is the language model's width.
    pub(super) fn taps(&self, hidden: usize) -> impl Iterator<Item = (String, usize)> {
        (0..self.layers.len())
            .map(|i| (format!("qformer.{i}"), self.sizes.width))
            .chain([("projector".to_owned(), hidden)])
    }

    /// Tokens of every picture under its instruction, (pictures · queries, hidden), one behind the other.
    /// Taps are pooled over the queries of each of `groups`, given as ranges of `inputs`.
    pub(super) fn forward(
        &self,
        inputs: &[Instructed],
        groups: &[Range<usize>],
        taps: &mut TapCollector<'_>,
    ) -> Result<Tensor> {
        let count = self.count()?;
        let pooled: Vec<_> = groups.iter().map(|g| g.start * count..g.end * count).collect();
        let images: Vec<&Tensor> = inputs.iter().map(|(features, _)| &features.tokens).collect();
        let images = Tensor::cat(&images, 0)?;
        let (mut x, spans) = self.embed(inputs, count)?;
        let queries: Vec<Range<usize>> = spans.iter().map(|s| s.start..s.start + count).collect();
        let texts: Vec<Range<usize>> = spans.iter().map(|s| s.start + count..s.start + s.len).collect();
        let mut of_queries = select_rows(&x, &queries)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let attended = attend(&layer.qkv.forward(&x)?, self.layout, &spans, false, None)?;
            x = layer.output.forward(&attended, &x)?;
            of_queries = select_rows(&x, &queries)?;
            if let Some(cross) = &layer.cross {
                let shape = (inputs.len(), count, self.sizes.width);
                let kv = cross.key_value.forward(&images)?;
                let kv = kv.reshape((inputs.len(), (), 2 * self.sizes.width))?;
                let (k, v) = (kv.narrow(2, 0, shape.2)?, kv.narrow(2, shape.2, shape.2)?);
                let q = cross.query.forward(&of_queries)?.reshape(shape)?;
                let seen = cross_attend(&q, &k, &v, self.sizes.heads)?.reshape(((), shape.2))?;
                of_queries = cross.output.forward(&seen, &of_queries)?;
            }
            of_queries = layer.of_queries.forward(&of_queries, &self.sizes)?;
            taps.take(&format!("qformer.{i}"), &of_queries, &pooled)?;
            // Nobody reads what becomes of the text behind the last layer.
            if i + 1 < self.layers.len() {
                let of_text = layer.of_text.forward(&select_rows(&x, &texts)?, &self.sizes)?;
                x = interleaved(&of_queries, &of_text, count, &texts)?;
            }
        }
        let tokens = self.projection.forward(&of_queries)?;
        taps.take("projector", &tokens, &pooled)?;
        Ok(tokens)
    }

    /// Queries and instruction of every input, one behind the other, and where each lies.
    fn embed(&self, inputs: &[Instructed], count: usize) -> Result<(Tensor, Vec<Span<'static>>)> {
        let limits = (self.words.dim(0)?, self.positions.dim(0)?);
        let mut parts = Vec::with_capacity(2 * inputs.len());
        let mut spans = Vec::with_capacity(inputs.len());
        let mut start = 0;
        for (_, instruction) in inputs {
            let len = instruction.len();
            if len == 0 || len > limits.1 || instruction.iter().any(|id| *id as usize >= limits.0) {
                return Err(ModelError::shape(format!(
                    "an instruction of {len} tokens; the Q-Former takes 1 to {} tokens below {}",
                    limits.1, limits.0
                )));
            }
            let ids = Tensor::from_slice(instruction, len, self.words.device())?;
            let text = (self.words.index_select(&ids, 0)? + self.positions.narrow(0, 0, len)?)?;
            parts.extend([self.queries.clone(), text]);
            spans.push(Span::alone(start, count + len));
            start += count + len;
        }
        Ok((self.norm.forward(&Tensor::cat(&parts, 0)?)?, spans))
    }
}

/// Rows of queries and of texts (of the lengths of `texts`), input by input.
fn interleaved(queries: &Tensor, text: &Tensor, count: usize, texts: &[Range<usize>]) -> Result<Tensor> {
    let mut parts = Vec::with_capacity(2 * texts.len());
    let mut row = 0;
    for (queries_of, range) in even_rows(texts.len(), count).into_iter().zip(texts) {
        parts.push(queries.narrow(0, queries_of.start, count)?);
        parts.push(text.narrow(0, row, range.len())?);
        row += range.len();
    }
    Ok(Tensor::cat(&parts, 0)?)
}
