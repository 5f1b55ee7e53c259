//! The vision tower: patches of all pictures in one matrix, attention within each picture.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use reasonedit_nn::blocks::activation::Activation;
use reasonedit_nn::blocks::add;
use reasonedit_nn::blocks::attention::{HeadLayout, Span, attend};
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::norm::LayerNorm;
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::rotary::{RotaryTable, norm_and_rotate};
use reasonedit_nn::sequence::{ImageFeatures, PixelInput};
use reasonedit_nn::taps::{TapInfo, TapName};
use reasonedit_nn::weights::Scope;

use super::config::DeepStackConfig;
use super::positions::interpolate_positions;
use crate::composed::PictureTower;
use crate::error::Result;
use crate::qwen_vision::config::QwenVisionConfig;
use crate::qwen_vision::patches;

/// ε of every layer norm of the tower.
const EPSILON: f64 = 1e-6;

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

/// Joins the patches of a block into one token.
#[derive(Debug)]
struct Merger {
    norm: LayerNorm,
    /// Whether the norm comes after the patches are joined (DeepStack) or before.
    after: bool,
    fc1: Linear,
    fc2: Linear,
    joined: usize,
}

impl Merger {
    fn new(scope: &Scope<'_>, config: &QwenVisionConfig, after: bool) -> Result<Self> {
        let joined = config.hidden_size * config.spatial_merge_size.pow(2);
        Ok(Self {
            norm: layer_norm(&scope.scope("norm"), if after { joined } else { config.hidden_size })?,
            after,
            fc1: scope.linear(&[("linear_fc1", joined)], joined, true)?,
            fc2: scope.linear(&[("linear_fc2", config.out_hidden_size)], joined, true)?,
            joined,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = if self.after {
            self.norm.forward(&x.reshape(((), self.joined))?)?
        } else {
            self.norm.forward(x)?.reshape(((), self.joined))?
        };
        self.fc2.forward(&self.fc1.forward_activated(&x, Activation::Gelu)?)
    }
}

fn layer_norm(scope: &Scope<'_>, width: usize) -> Result<LayerNorm> {
    Ok(LayerNorm::new(scope.tensor("weight", &[width])?, scope.tensor("bias", &[width])?, EPSILON))
}

/// The vision tower with its mergers.
#[derive(Debug)]
pub(super) struct VisionTower {
    config: QwenVisionConfig,
    /// Blocks after which features are taken for DeepStack.
    taken_after: Vec<usize>,
    layout: HeadLayout,
    activation: Activation,
    patch_embed: Linear,
    /// Learned positions as f32 on the CPU: they are resampled to every picture's grid.
    positions: Vec<f32>,
    blocks: Vec<Block>,
    merger: Merger,
    deepstack: Vec<Merger>,
    device: Device,
    dtype: DType,
}

impl VisionTower {
    pub(super) fn new(
        scope: &Scope<'_>,
        config: &QwenVisionConfig,
        deepstack: &DeepStackConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let width = config.hidden_size;
        let patch = config.patch();
        let blocks = (0..config.depth)
            .map(|i| {
                let block = scope.scope(format_args!("blocks.{i}"));
                Ok(Block {
                    norm1: layer_norm(&block.scope("norm1"), width)?,
                    qkv: block.linear(&[("attn.qkv", 3 * width)], width, true)?,
                    proj: block.linear(&[("attn.proj", width)], width, true)?,
                    norm2: layer_norm(&block.scope("norm2"), width)?,
                    fc1: block.linear(&[("mlp.linear_fc1", config.intermediate_size)], width, true)?,
                    fc2: block.linear(&[("mlp.linear_fc2", width)], config.intermediate_size, true)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layout: HeadLayout {
                heads: config.num_heads,
                kv_heads: config.num_heads,
                head_dim: width / config.num_heads,
            },
            activation: Activation::parse(&config.hidden_act)?,
            patch_embed: scope.linear_shaped(&[("patch_embed.proj", width)], &patch, true)?,
            positions: scope.values("pos_embed.weight", &[deepstack.num_position_embeddings, width])?,
            blocks,
            merger: Merger::new(&scope.scope("merger"), config, false)?,
            deepstack: (0..deepstack.deepstack_visual_indexes.len())
                .map(|i| Merger::new(&scope.scope(format_args!("deepstack_merger_list.{i}")), config, true))
                .collect::<Result<_>>()?,
            config: config.clone(),
            taken_after: deepstack.deepstack_visual_indexes.clone(),
            device: device.clone(),
            dtype,
        })
    }

    fn run(
        &self,
        mut x: Tensor,
        table: &RotaryTable,
        frames: &[Span<'_>],
        images: &[&PixelInput],
        rows: &[std::ops::Range<usize>],
        taps: &[TapName],
    ) -> Result<Vec<Arc<ImageFeatures>>> {
        let unit = self.config.spatial_merge_size.pow(2);
        let tokens: Vec<_> = rows.iter().map(|r| r.start / unit..r.end / unit).collect();
        let mut collector = TapCollector::new(taps, images.len());
        collector.take("vision.embedding", &x, rows)?;
        let mut deepstack = vec![None; self.deepstack.len()];
        for (i, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.norm1.forward(&x)?)?;
            let qkv = norm_and_rotate(qkv, self.layout, None, table)?;
            let attended = attend(&qkv, self.layout, frames, false, None)?;
            x = add(x, &block.proj.forward(&attended)?)?;
            let inner = block.fc1.forward_activated(&block.norm2.forward(&x)?, self.activation)?;
            x = add(x, &block.fc2.forward(&inner)?)?;
            collector.take(&format!("vision.{i}"), &x, rows)?;
            // transformers takes the first merger listed for a block.
            if let Some(at) = self.taken_after.iter().position(|d| *d == i) {
                deepstack[at] = Some(self.deepstack[at].forward(&x)?);
            }
        }
        let merged = self.merger.forward(&x)?;
        collector.take("merger", &merged, &tokens)?;
        let deepstack: Vec<Tensor> = deepstack.into_iter().flatten().collect();
        self.config.features(images, tokens, &merged, &deepstack, collector.finish())
    }
}

impl PictureTower for VisionTower {
    fn taps(&self) -> Vec<TapInfo> {
        self.config.taps()
    }

    fn encode(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let merge = self.config.spatial_merge_size;
        let mut values = Vec::new();
        let mut positions = Vec::new();
        let mut places = Vec::new();
        let mut rows = Vec::new();
        for image in images {
            let (t, height, width) = self.config.grid_of(image)?;
            let of_image = patches::patch_places((t, height, width), merge);
            positions.extend(interpolate_positions(
                &self.positions,
                self.config.hidden_size,
                (height, width),
                &of_image,
            ));
            values.extend_from_slice(&image.values);
            rows.push(places.len()..places.len() + of_image.len());
            places.extend(of_image);
        }
        let table = patches::axial_table(&places, self.layout.head_dim, self.config.theta());
        let frames: Vec<Span<'_>> = images
            .iter()
            .zip(&rows)
            .flat_map(|(image, rows)| {
                let len = image.grid.1 * image.grid.2;
                (0..image.grid.0).map(move |t| Span::alone(rows.start + t * len, len))
            })
            .collect();
        let count = places.len();
        let pixels = Tensor::from_vec(values, (count, self.config.patch_values()), &self.device)?;
        let learned = Tensor::from_vec(positions, (count, self.config.hidden_size), &self.device)?;
        let x = self.patch_embed.forward(&pixels.to_dtype(self.dtype)?)?;
        let x = add(x, &learned.to_dtype(self.dtype)?)?;
        self.run(x, &table, &frames, images, &rows, taps)
    }
}
