//! Transformers whose norms stand ahead of their parts and whose positions are learned: the vision towers of
//! CLIP, SigLIP and EVA, and SigLIP's text tower.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::activation::Activation;
use super::add;
use super::attention::{HeadLayout, Span, attend};
use super::linear::Linear;
use super::norm::LayerNorm;
use super::pool::TapCollector;
use crate::error::{NnError, Result};
use crate::sequence::PixelInput;
use crate::weights::Scope;

/// Sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub struct EncoderSizes {
    /// Width of the hidden states.
    pub width: usize,
    /// Width of the feed-forward.
    pub inner: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// ε of every layer norm.
    pub epsilon: f64,
    /// Activation of the feed-forward.
    pub activation: Activation,
}

impl EncoderSizes {
    /// Checks that the sizes can be those of a network; `part` is the section of `config.json` they come
    /// from.
    pub fn check(&self, part: &str) -> Result<()> {
        let sizes = [self.width, self.inner, self.layers, self.heads];
        if !sizes.iter().all(|s| (1..=1 << 24).contains(s)) || !self.width.is_multiple_of(self.heads) {
            return Err(NnError::load(
                "config.json",
                format!(
                    "{part}: a size is 0 or beyond reason, or hidden_size is not a multiple of the heads"
                ),
            ));
        }
        Ok(())
    }
}

/// How a checkpoint names an attention's projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionNames {
    /// `q_proj`, `k_proj`, `v_proj`, `out_proj` (CLIP, SigLIP).
    Separate,
    /// `qkv`, `projection` (EVA in BLIP's models).
    Fused,
}

/// A layer norm below `scope`.
pub fn layer_norm(scope: &Scope<'_>, width: usize, epsilon: f64) -> Result<LayerNorm> {
    Ok(LayerNorm::new(scope.tensor("weight", &[width])?, scope.tensor("bias", &[width])?, epsilon))
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

/// Blocks of bidirectional attention and feed-forward.
#[derive(Debug)]
pub struct Encoder {
    layout: HeadLayout,
    activation: Activation,
    blocks: Vec<Block>,
}

impl Encoder {
    /// Reads the blocks `layers.0` … below `scope`.
    pub fn new(scope: &Scope<'_>, sizes: &EncoderSizes, names: AttentionNames) -> Result<Self> {
        let EncoderSizes { width, inner, heads, epsilon, .. } = *sizes;
        let blocks = (0..sizes.layers)
            .map(|i| {
                let block = scope.scope(format_args!("layers.{i}"));
                let attention = block.scope("self_attn");
                let (qkv, out) = match names {
                    AttentionNames::Separate => (
                        attention.linear(&["q_proj", "k_proj", "v_proj"].map(|n| (n, width)), width, true)?,
                        "out_proj",
                    ),
                    AttentionNames::Fused => {
                        (attention.linear(&[("qkv", 3 * width)], width, true)?, "projection")
                    }
                };
                Ok(Block {
                    norm1: layer_norm(&block.scope("layer_norm1"), width, epsilon)?,
                    qkv,
                    out: attention.linear(&[(out, width)], width, true)?,
                    norm2: layer_norm(&block.scope("layer_norm2"), width, epsilon)?,
                    fc1: block.linear(&[("mlp.fc1", inner)], width, true)?,
                    fc2: block.linear(&[("mlp.fc2", width)], inner, true)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layout: HeadLayout { heads, kv_heads: heads, head_dim: width / heads },
            activation: sizes.activation,
            blocks,
        })
    }

    /// Blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// What block `i` makes of `x`, whose rows are sequences one behind the other; `x` is used up.
    pub fn block(&self, i: usize, x: Tensor, spans: &[Span<'_>]) -> Result<Tensor> {
        let block = &self.blocks[i];
        let qkv = block.qkv.forward(&block.norm1.forward(&x)?)?;
        let attended = attend(&qkv, self.layout, spans, false, None)?;
        let x = add(x, &block.out.forward(&attended)?)?;
        let inner = block.fc1.forward_activated(&block.norm2.forward(&x)?, self.activation)?;
        Ok(add(x, &block.fc2.forward(&inner)?)?)
    }
}

/// Spans of `count` sequences of the same length, one behind the other.
pub fn even_spans(count: usize, len: usize) -> Vec<Span<'static>> {
    (0..count).map(|i| Span::alone(i * len, len)).collect()
}

/// The same as ranges of rows.
pub fn even_rows(count: usize, len: usize) -> Vec<Range<usize>> {
    (0..count).map(|i| i * len..(i + 1) * len).collect()
}

/// Whose vision tower it is: what precedes the blocks, and how it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    /// A class token, a norm ahead of the first block, patches without bias.
    Clip,
    /// Patches and positions alone.
    Siglip,
    /// A class token.
    Eva,
}

/// A vision tower for pictures of one fixed size.
#[derive(Debug)]
pub struct VisionTransformer {
    patch: Linear,
    /// (1, width).
    class: Option<Tensor>,
    /// (tokens, width).
    positions: Tensor,
    pre_norm: Option<LayerNorm>,
    encoder: Encoder,
    post_norm: LayerNorm,
    width: usize,
    /// Patches along a side.
    side: usize,
    /// Values of a patch.
    values: usize,
    device: Device,
    dtype: DType,
}

impl VisionTransformer {
    /// Reads the tower below `scope`, for square pictures of `image_size` pixels cut into patches of
    /// `patch_size`; pixels that don't fill a patch are looked at by nobody.
    pub fn new(
        scope: &Scope<'_>,
        tower: Tower,
        sizes: &EncoderSizes,
        (image_size, patch_size): (usize, usize),
        device: &Device,
    ) -> Result<Self> {
        sizes.check("vision_config")?;
        let side = image_size / patch_size.max(1);
        if side == 0 || image_size > 1 << 13 {
            return Err(NnError::load("config.json", "vision_config: image_size or patch_size is unusable"));
        }
        let width = sizes.width;
        let embeddings = scope.scope("embeddings");
        let class = match tower {
            Tower::Clip => Some(embeddings.tensor("class_embedding", &[width])?.reshape((1, width))?),
            Tower::Eva => Some(embeddings.tensor("class_embedding", &[1, 1, width])?.reshape((1, width))?),
            Tower::Siglip => None,
        };
        let tokens = side * side + usize::from(class.is_some());
        let positions = match tower {
            Tower::Eva => {
                embeddings.tensor("position_embedding", &[1, tokens, width])?.reshape((tokens, width))?
            }
            _ => embeddings.tensor("position_embedding.weight", &[tokens, width])?,
        };
        let patch = [3, patch_size, patch_size];
        let names = if tower == Tower::Eva { AttentionNames::Fused } else { AttentionNames::Separate };
        let norm = |name: &str| layer_norm(&scope.scope(name), width, sizes.epsilon);
        Ok(Self {
            patch: embeddings.linear_shaped(&[("patch_embedding", width)], &patch, tower != Tower::Clip)?,
            class,
            positions,
            // Spelt like this in every published file.
            pre_norm: (tower == Tower::Clip).then(|| norm("pre_layrnorm")).transpose()?,
            encoder: Encoder::new(&scope.scope("encoder"), sizes, names)?,
            post_norm: norm("post_layernorm")?,
            width,
            side,
            values: patch.iter().product(),
            device: device.clone(),
            dtype: scope.dtype(),
        })
    }

    /// Tap names with their widths, in forward order.
    pub fn taps(&self) -> impl Iterator<Item = (String, usize)> {
        std::iter::once("vision.embedding".to_owned())
            .chain((0..self.encoder.depth()).map(|i| format!("vision.{i}")))
            .map(|name| (name, self.width))
    }

    /// Width of the hidden states.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Blocks.
    pub fn layers(&self) -> usize {
        self.encoder.depth()
    }

    /// Tokens of a picture, class token included.
    pub fn tokens(&self) -> usize {
        self.side * self.side + usize::from(self.class.is_some())
    }

    /// Whether a class token precedes the patches.
    pub fn has_class(&self) -> bool {
        self.class.is_some()
    }

    /// Patches along a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The norm behind the last block.
    pub fn post_norm(&self) -> &LayerNorm {
        &self.post_norm
    }

    /// Hidden states after the first `blocks` blocks, (pictures · tokens, width); later blocks are run for
    /// their taps alone.
    pub fn forward(
        &self,
        images: &[&PixelInput],
        blocks: usize,
        taps: &mut TapCollector<'_>,
    ) -> Result<Tensor> {
        let mut x = self.embed(images)?;
        let (spans, rows) = (even_spans(images.len(), self.tokens()), even_rows(images.len(), self.tokens()));
        taps.take("vision.embedding", &x, &rows)?;
        let mut kept = None;
        let end = (blocks..self.layers()).rev().find(|i| taps.wants(&format!("vision.{i}")));
        for i in 0..end.map_or(blocks, |last| last + 1) {
            if i == blocks {
                // Blocks write over what they are given.
                kept = Some(x.copy()?);
            }
            x = self.encoder.block(i, x, &spans)?;
            taps.take(&format!("vision.{i}"), &x, &rows)?;
        }
        Ok(kept.unwrap_or(x))
    }

    /// Patches, class token and positions, through the norm ahead of the first block where there is one.
    fn embed(&self, images: &[&PixelInput]) -> Result<Tensor> {
        let patches = self.side * self.side;
        let mut values = Vec::with_capacity(images.len() * patches * self.values);
        for image in images {
            let (t, rows, columns) = image.grid;
            if image.grid != (1, self.side, self.side) || image.values.len() != patches * self.values {
                return Err(NnError::Shape(format!(
                    "{} values for a grid of {t}×{rows}×{columns} patches; this model takes {side}×{side} patches of {} values",
                    image.values.len(),
                    self.values,
                    side = self.side,
                )));
            }
            values.extend_from_slice(&image.values);
        }
        let pixels = Tensor::from_vec(values, (images.len() * patches, self.values), &self.device)?;
        let x = self.patch.forward(&pixels.to_dtype(self.dtype)?)?;
        let x = x.reshape((images.len(), patches, self.width))?;
        let x = match &self.class {
            Some(class) => Tensor::cat(&[class.broadcast_as((images.len(), 1, self.width))?, x], 1)?,
            None => x,
        };
        let x = x.broadcast_add(&self.positions)?.reshape((images.len() * self.tokens(), self.width))?;
        Ok(match &self.pre_norm {
            Some(norm) => norm.forward(&x)?,
            None => x,
        })
    }
}
